//! Dates that are none.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use mailmove_core::{Report, model::AlterationKind};
use mailmove_imap_testserver::{Builder, Capability};
use mailmove_testkit::mailbox::{InternalDate, NewMessage};

use crate::{
    twist::{Act, Twist, between, find, replace, uid},
    world::{Side, World, mail, mails},
};

/// Replaces INTERNALDATE by UID.
fn dates() -> Twist {
    Twist::responses(|response| {
        let Some(date) = between(&response, "INTERNALDATE \"", "\"") else {
            return response;
        };
        let told = match uid(&response) {
            Some(1) => "",
            Some(2) => "INTERNALDATE NIL",
            Some(3) => "INTERNALDATE \"01-Jan-1960 00:00:00 +0000\"",
            Some(4) => "INTERNALDATE \"01-Feb-2040 00:00:00 +0000\"",
            Some(5) => "INTERNALDATE \" 1-Mar-2020 00:00:00 +0000\"",
            Some(6) => "INTERNALDATE \"1-Mar-2020 01:00:00 +0100\"",
            Some(7) => "INTERNALDATE \"01-Mar-2020 00:00:00\"",
            Some(8) => "INTERNALDATE \"01-Xyz-2020 00:00:00 +0000\"",
            Some(9) => "INTERNALDATE \"99-Mar-2020 00:00:00 +0000\"",
            Some(10) => "INTERNALDATE \"\"",
            _ => return response,
        };
        replace(
            &response,
            format!("INTERNALDATE \"{date}\"").as_bytes(),
            told.as_bytes(),
        )
    })
}

#[tokio::test]
async fn odd_dates_are_read_or_replaced_and_said() {
    let world = World::odd_source(dates()).await;
    world.from.add(&["INBOX"], mails(0..12));
    let report = world.run().await;
    assert_eq!(report.total().copied, 12);
    // Missing, NIL, no month, no day, empty.
    assert_eq!(report.folders[0].altered[&AlterationKind::DateReplaced], 5);
    let id = world.to.account.folder(&["INBOX"]).unwrap().id;
    let found = world.to.account.messages(id).unwrap();
    let header = 1_700_042_400;
    let march = 1_583_020_800;
    let seconds: Vec<i64> = found.iter().map(|one| one.date.unix).collect();
    assert_eq!(seconds[..2], [header; 2]);
    assert_eq!(seconds[2..4], [-315_619_200, 2_211_667_200]);
    assert_eq!(seconds[4..7], [march; 3]);
    assert_eq!(seconds[7..10], [header; 3]);
    assert_eq!(seconds[10..], [1_700_000_010, 1_700_000_011]);
    // Listed anew, they are still the same messages.
    world.from.add(&["INBOX"], vec![mail(50)]);
    assert_eq!(world.run().await.total().copied, 1);
    world.run_again().await;
}

fn together(it: Builder) -> Builder {
    it
}

fn singles(it: Builder) -> Builder {
    it.without(Capability::MultiAppend)
}

/// Dates of the first messages: what some servers refuse, and what some replace.
const ODD: [i64; 5] = [-315_619_200, -1, 0, 4_294_967_296, 7_258_118_400];

fn old_mails() -> Vec<NewMessage> {
    let mut messages = mails(0..30);
    for (message, unix) in messages.iter_mut().zip(ODD) {
        message.date = Some(InternalDate::utc(unix));
    }
    messages
}

/// Which dates the destination has, sorted.
fn stored(world: &World) -> Vec<i64> {
    let id = world.to.account.folder(&["INBOX"]).unwrap().id;
    let found = world.to.account.messages(id).unwrap();
    assert_eq!(found.len(), 30);
    let mut dates: Vec<i64> = found.iter().map(|one| one.date.unix).collect();
    dates.sort();
    dates
}

fn replaced(report: &Report) -> u64 {
    assert_eq!(report.total().copied, 30);
    let altered = &report.folders[0].altered;
    altered
        .get(&AlterationKind::DateReplaced)
        .copied()
        .unwrap_or(0)
}

#[tokio::test]
async fn a_server_that_keeps_dates_before_1970_gets_them() {
    for setup in [together, singles] {
        let world = World::of(Side::new(|it| it, None).await, Side::new(setup, None).await);
        world.from.add(&["INBOX"], old_mails());
        assert_eq!(replaced(&world.run().await), 0);
        let dates = stored(&world);
        assert_eq!((&dates[..3], &dates[28..]), (&ODD[..3], &ODD[3..]));
        world.assert_equal();
    }
}

#[tokio::test]
async fn where_dates_before_1970_are_refused_others_stand_for_them() {
    for setup in [together as fn(Builder) -> Builder, singles] {
        for words in [
            "T BAD Invalid date-time in Append command",
            "T NO Error in IMAP command received by server.",
        ] {
            let refusals = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&refusals);
            let twist = Twist::commands(move |command| {
                let old = ["1960", "1969"].iter().any(|year| command.contains(year));
                if command.starts_with("APPEND") && old {
                    count.fetch_add(1, Ordering::Relaxed);
                    return Act::Answer(words.to_owned());
                }
                Act::Pass
            });
            let to = Side::new(setup, Some(twist)).await;
            let world = World::of(Side::new(|it| it, None).await, to);
            world.from.add(&["INBOX"], old_mails());
            let report = world.run().await;
            // 0 is no date before 1970, but goes the same way once that is known.
            let few = replaced(&report);
            assert!((2..=3).contains(&few), "{few}");
            let dates = stored(&world);
            assert_eq!(dates.iter().filter(|at| **at == 86_400).count() as u64, few);
            assert_eq!(dates[28..], ODD[3..]);
            assert!(dates[0] >= 0);
            // The first tells of the others; some were on their way.
            let refused = refusals.load(Ordering::Relaxed);
            assert!((1..=2).contains(&refused), "{refused}");
            world.run_again().await;
        }
    }
}

#[tokio::test]
async fn a_date_that_the_server_replaced_without_a_word_is_reported() {
    // As Dovecot shows them: 32 bits of it.
    let twist = Twist::responses(|response| {
        let old = find(&response, b"INTERNALDATE \"01-Jan-1960").is_some();
        let new = match old {
            true => "INTERNALDATE \"06-Feb-2096",
            false => return response,
        };
        replace(&response, b"INTERNALDATE \"01-Jan-1960", new.as_bytes())
    });
    let world = World::odd_destination(twist).await;
    world.from.add(&["INBOX"], old_mails());
    assert_eq!(replaced(&world.run().await), 1);
}
