//! Folders that go away, and names that meet.

use mailmove_core::{RepairPolicy, model::AlterationKind, report::Status};
use mailmove_imap_testserver::{Action, Builder, Capability};
use mailmove_testkit::mailbox::NewMessage;

use crate::{
    twist::{Act, Twist},
    world::{Side, World, mail, mails},
};

fn together(it: Builder) -> Builder {
    it
}

fn singles(it: Builder) -> Builder {
    it.without(Capability::MultiAppend)
}

/// Somebody deletes the folder while it is filled, and the server just says no.
#[tokio::test]
async fn a_folder_deleted_meanwhile_is_the_folders_problem_without_trycreate_too() {
    for setup in [together, singles] {
        for words in ["T NO append failed", "T NO [TRYCREATE] no such mailbox"] {
            let mut to = Side::new(setup, None).await;
            let account = to.account.clone();
            account.create(&["Box"]).unwrap();
            let once = std::sync::atomic::AtomicBool::new(true);
            let twist = Twist::commands(move |command| {
                if !command.starts_with("APPEND \"Box\"") {
                    return Act::Pass;
                }
                if once.swap(false, std::sync::atomic::Ordering::Relaxed) {
                    account.delete(&["Box"]).unwrap();
                }
                match account.folder(&["Box"]).is_ok() {
                    true => Act::Pass,
                    false => Act::Answer(words.to_owned()),
                }
            });
            let port = twist.before(to.server.plain_address().port()).await;
            to.config = to.config.clone().with_port(port);
            let world = World::of(Side::new(|it| it, None).await, to);
            world.from.add(&["Box"], mails(0..300));
            world.from.add(&["INBOX"], mails(300..310));
            let report = world.try_run().await.unwrap();
            assert_eq!(report.status(), Status::CompleteWithFailures);
            // Not one after the other.
            assert!(report.failures.is_empty(), "{words}: {:?}", report.failures);
            let problems: Vec<_> = report
                .folders
                .iter()
                .filter_map(|one| one.problem.as_ref())
                .collect();
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].code, "imap/stale");
            assert_eq!(report.total().copied, 10);
            // The next pass makes it anew.
            assert_eq!(world.run().await.total().copied, 300);
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn a_refusal_without_reason_costs_one_message_where_the_folder_is_there() {
    for setup in [together, singles] {
        let (from, to) = (Side::new(|it| it, None).await, Side::new(setup, None).await);
        let mut world = World::of(from, to);
        world
            .to
            .account
            .configure(|limits| limits.refuse_nul = true);
        world.from.add(&["Box"], mails(0..20));
        world.from.add(
            &["Box"],
            vec![NewMessage::new("Subject: nul\r\n\r\n\0\r\n")],
        );
        world.from.add(&["Box"], mails(20..40));
        world.options.repair = RepairPolicy::Off;
        let report = world.try_run().await.unwrap();
        assert_eq!((report.total().copied, report.total().failed), (40, 1));
        world.options.repair = RepairPolicy::AfterRefusal;
        let report = world.run().await;
        assert_eq!((report.total().copied, report.repaired.len()), (1, 1));
    }
}

#[tokio::test]
async fn names_that_differ_only_in_case_get_places_of_their_own() {
    let world = World::new().await;
    let here =
        |limits: &mut mailmove_testkit::mailbox::Limits| limits.case_insensitive_names = true;
    world.to.account.configure(here);
    for (n, name) in (0..).zip(["Work", "work", "WORK"]) {
        world.from.add(&[name], vec![mail(n)]);
    }
    // The server has no folder by which it could be seen beforehand: the second is refused, and not
    // put among the first one's mail.
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::CompleteWithFailures);
    let mut codes: Vec<String> = report
        .folders
        .iter()
        .filter_map(|one| Some(one.problem.as_ref()?.code.clone()))
        .collect();
    codes.sort();
    assert_eq!(codes, ["imap/folder-case"; 2]);
    assert_eq!(report.total().copied, 1);
    // Now it can be seen.
    assert_eq!(world.run().await.total().copied, 2);
    let folders = world.to.account.folders();
    let filled = folders
        .iter()
        .filter(|folder| !world.to.account.messages(folder.id).unwrap().is_empty());
    assert_eq!(filled.count(), 3, "{folders:?}");
    world.run_again().await;
}

#[tokio::test]
async fn keywords_that_are_too_many_are_left_out_late_too() {
    // The one with the keyword, or the batch that it is in.
    for (setup, nth) in [(together as fn(Builder) -> Builder, 1), (singles, 2)] {
        let world = World::of(Side::new(|it| it, None).await, Side::new(setup, None).await);
        let words = "Too many user flags in mailbox";
        world
            .to
            .server
            .faults()
            .arm("APPEND", nth, Action::No(words.to_owned()));
        let mut messages = mails(0..3);
        messages[1].flags = vec!["\\Seen".to_owned(), "kw27".to_owned()];
        world.from.add(&["INBOX"], messages);
        let report = world.run().await;
        assert_eq!(report.total().copied, 3);
        assert_eq!(world.to.server.faults().struck(), 1);
        let altered = &report.folders[0].altered;
        assert_eq!(altered[&AlterationKind::FlagDropped], 1);
        let id = world.to.account.folder(&["INBOX"]).unwrap().id;
        let found = world.to.account.messages(id).unwrap();
        let mut flags: Vec<_> = found.iter().map(|one| format!("{:?}", one.flags)).collect();
        flags.sort();
        assert_eq!(flags, ["{\"\\\\Seen\"}", "{}", "{}"]);
    }
}
