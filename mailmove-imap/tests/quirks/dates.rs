//! Dates that are none.

use mailmove_core::model::AlterationKind;

use crate::{
    twist::{Twist, between, replace, uid},
    world::{World, mail, mails},
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
    // Missing, NIL, no month, no day, empty; and one before 1970, which no server keeps.
    assert_eq!(report.folders[0].altered[&AlterationKind::DateReplaced], 6);
    let id = world.to.account.folder(&["INBOX"]).unwrap().id;
    let found = world.to.account.messages(id).unwrap();
    let header = 1_700_042_400;
    let march = 1_583_020_800;
    let seconds: Vec<i64> = found.iter().map(|one| one.date.unix).collect();
    assert_eq!(seconds[..2], [header; 2]);
    assert_eq!(seconds[2..4], [86_400, 2_211_667_200]);
    assert_eq!(seconds[4..7], [march; 3]);
    assert_eq!(seconds[7..10], [header; 3]);
    assert_eq!(seconds[10..], [1_700_000_010, 1_700_000_011]);
    // Listed anew, they are still the same messages.
    world.from.add(&["INBOX"], vec![mail(50)]);
    assert_eq!(world.run().await.total().copied, 1);
    world.run_again().await;
}
