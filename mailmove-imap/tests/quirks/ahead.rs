//! Folders that are not what was thought when contents were asked for along with their opening.

use mailmove_imap_testserver::Capability;

use crate::{
    twist::{Act, Twist, between, replace},
    world::{Side, World, mails},
};

/// A migration from there is complete, and so is the next.
async fn moves(twist: Twist) -> World {
    let from = Side::new(|it| it.without(Capability::Qresync), Some(twist)).await;
    let world = World::of(from, Side::new(|it| it, None).await);
    world.from.add(&["INBOX"], mails(0..40));
    world.from.add(&["Other"], mails(40..45));
    assert_eq!(world.run().await.total().copied, 45);
    world.assert_equal();
    world.run_again().await;
    world
}

#[tokio::test]
async fn a_folder_that_does_not_tell_its_next_uid() {
    let twist = Twist::responses(|response| match between(&response, "[UIDNEXT ", "]") {
        Some(_) => Vec::new(),
        None => response,
    });
    moves(twist).await;
}

/// STATUS counts further than EXAMINE does.
#[tokio::test]
async fn a_folder_whose_numbers_are_told_in_two_ways() {
    let twist = Twist::responses(|response| {
        let Some(next) = between(&response, "UIDNEXT ", ")")
            .and_then(|rest| rest.split(' ').next())
            .filter(|_| response.starts_with(b"* STATUS"))
        else {
            return response;
        };
        let told = format!("UIDNEXT {next}");
        replace(&response, told.as_bytes(), b"UIDNEXT 1000")
    });
    moves(twist).await;
}

/// The contents were asked for by then, and are asked for again.
#[tokio::test]
async fn an_opening_that_is_not_understood() {
    let twist = Twist::commands(|command| match command.contains("(CONDSTORE)") {
        true => Act::Answer("T BAD what?".into()),
        false => Act::Pass,
    });
    let world = moves(twist).await;
    // The first of them met BAD: no folder was open.
    assert!(world.from.server.counters().command("UID FETCH") >= 3);
}

#[tokio::test]
async fn a_folder_that_is_gone_by_then() {
    let twist = Twist::commands(|command| match command.starts_with("EXAMINE \"Other\"") {
        true => Act::Answer("T NO [NONEXISTENT] gone".into()),
        false => Act::Pass,
    });
    let from = Side::new(|it| it, Some(twist)).await;
    let world = World::of(from, Side::new(|it| it, None).await);
    world.from.add(&["INBOX"], mails(0..40));
    world.from.add(&["Other"], mails(40..45));
    let report = world.try_run().await.unwrap();
    assert_eq!(report.total().copied, 40);
    assert_eq!(world.to.bodies(&["INBOX"]).len(), 40);
    assert_eq!(world.to.bodies(&["Other"]).len(), 0);
    let problem = report.folders.iter().find_map(|one| one.problem.as_ref());
    assert_eq!(problem.unwrap().code, "imap/no-folder");
}
