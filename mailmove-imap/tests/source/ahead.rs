//! What is asked for before the folder is known to be open.

use mailmove_core::{
    model::{Flags, Form, Mark},
    source::ListRequest,
};
use mailmove_imap_testserver::Capability;
use mailmove_testkit::mailbox::FlagOp;

use crate::support::{Stage, stage};

async fn request(stage: &Stage) -> ListRequest {
    ListRequest::new(&stage.inbox().await).with_inline(Some(Form::Mime))
}

#[tokio::test]
async fn a_small_folder_comes_in_one_round_trip() {
    let plain = [
        Capability::Qresync,
        Capability::Esearch,
        Capability::Condstore,
    ];
    for without in [&[][..], &plain] {
        let stage = stage(without, 1).await;
        stage.fill(100);
        let request = request(&stage).await;
        stage.server.reset_counters();
        let summary = stage.list(request).await;
        assert_eq!((summary.items.len(), summary.exists), (100, Some(100)));
        let counters = stage.server.counters();
        assert_eq!(counters.command("EXAMINE"), 1);
        assert_eq!(counters.command("UID FETCH"), 1);
        assert_eq!(counters.round_trips, 1);
    }
}

#[tokio::test]
async fn nothing_is_asked_ahead_without_contents_or_of_an_empty_folder() {
    let stage = stage(&[], 1).await;
    let empty = request(&stage).await;
    stage.server.reset_counters();
    assert_eq!(stage.list(empty).await.exists, Some(0));
    assert_eq!(stage.server.counters().command("UID FETCH"), 0);
    stage.fill(10);
    let folder = stage.inbox().await;
    stage.server.reset_counters();
    let summary = stage.list(ListRequest::new(&folder)).await;
    assert_eq!((summary.items.len(), summary.exists), (10, Some(10)));
    assert_eq!(stage.server.counters().round_trips, 2);
}

#[tokio::test]
async fn what_came_and_went_since_is_seen() {
    let stage = stage(&[], 1).await;
    stage.fill(300);
    let request = request(&stage).await;
    stage.expunge(&[1, 2, 250, 300]);
    stage.fill(20);
    stage.store(&[5], FlagOp::Add, &["\\Flagged"]);
    let summary = stage.list(request).await;
    assert_eq!((summary.items.len(), summary.exists), (316, Some(316)));
    let flagged = Flags::parse("\\Flagged");
    let items = summary.items.values();
    assert!(items.clone().all(|item| item.content.is_some()));
    assert_eq!(items.filter(|item| item.flags == flagged).count(), 1);
}

/// Whatever was thought of the folder: it is listed as it is.
#[tokio::test]
async fn a_wrong_guess_costs_nothing_but_time() {
    let stage = stage(&[], 1).await;
    stage.fill(300);
    let right = request(&stage).await;
    let mark = right.mark.clone().unwrap();
    let epoch = mark.epoch.as_str();
    for (other, next) in [(epoch, 5000), (epoch, 2), (epoch, 1), ("17", 301)] {
        for messages in [None, Some(0), Some(1), Some(100_000)] {
            let mut wrong = right.clone();
            wrong.mark = Some(Mark::counted(other, next));
            wrong.messages = messages;
            let summary = stage.list(wrong).await;
            let found = (summary.items.len(), summary.exists);
            assert_eq!(found, (300, Some(300)), "{other} {next} {messages:?}");
            let mut items = summary.items.values();
            assert!(items.all(|item| item.content.is_some()), "{other} {next}");
        }
    }
}
