//! A message is stored when all of its attachments are.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Destination as _, Edges, Scope,
    destination::{Depth, Outcome},
    model::ContentDigest,
};
use mailmove_graph::{GraphDestination, Writing};
use mailmove_graph_testserver::{Action, Mangle, Server};
use mailmove_testkit::clock::TestClock;

use crate::support::{
    USER, account, append, destination, existing, made, of, parcel, start, stored, with, words,
};

const MARK: &str = "String {6f1d7a52-3c0e-4b6b-9d5a-8e0c2f4b7a91} Name mailmove";

/// A process, by that clock.
pub(crate) fn at(server: &Server, clock: &TestClock) -> GraphDestination {
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    with(server, Writing::new(), edges)
}

/// Names of the attachments of the only message.
fn attached(server: &Server) -> Vec<String> {
    let all = stored(server);
    assert_eq!(all.len(), 1);
    let text = String::from_utf8_lossy(&all[0].body).into_owned();
    let mut names: Vec<String> = (0..9)
        .map(|at| format!("f{at}.bin"))
        .filter(|name| text.contains(name.as_str()))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn small_ones_go_in_one_request_and_large_ones_in_parts_without_a_token() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let message = parcel(&[100, 5 << 20, 200_000]);
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    assert_eq!(attached(&server), ["f0.bin", "f1.bin", "f2.bin"]);
    let counters = server.counters();
    assert_eq!(counters.operation("AddAttachment"), 2);
    assert_eq!(counters.operation("CreateUploadSession"), 1);
    assert_eq!(counters.operation("UploadRange"), 2);
    assert_eq!(counters.leaked_tokens, 0);
    let found = existing(&destination, &folder, Depth::Meta).await;
    assert_eq!(found[0].given, Some(ContentDigest::of(message.as_bytes())));
    // As large as they were.
    let body = &stored(&server)[0].body;
    assert!(body.len() > 5 << 20);
}

#[tokio::test]
async fn what_lacks_an_attachment_is_no_message_and_is_made_anew() {
    for (operation, nth, action) in [
        ("AddAttachment", 2, Action::CloseUnanswered),
        ("AddAttachment", 2, Action::Close),
        ("AddAttachment", 1, Action::StatusAfter(504)),
        ("CreateUploadSession", 1, Action::CloseUnanswered),
        ("UploadRange", 2, Action::CloseUnanswered),
        ("UploadRange", 1, Action::Close),
    ] {
        // What a process that begins anew finds has to be old.
        let clock = TestClock::jumping(Duration::from_secs(1_700_000_000));
        let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
        let message = parcel(&[100, 200, 5 << 20]);
        // The same process, and one that begins anew.
        for again in [false, true] {
            let first = at(&server, &clock);
            let folder = made(&first).await;
            server.faults().arm(operation, nth, action.clone());
            // What would remove it at once is cut off, too.
            server.faults().arm("PurgeMessage", 1, Action::Close);
            let outcomes = append(&first, &folder, of(&message)).await;
            assert!(
                words(&outcomes)[0].starts_with("not stored"),
                "{outcomes:?}"
            );
            server.faults().clear();
            let second = match again {
                true => at(&server, &clock),
                false => first.clone(),
            };
            assert!(existing(&second, &folder, Depth::Content).await.is_empty());
            let outcomes = append(&second, &folder, of(&message)).await;
            assert_eq!(words(&outcomes), ["stored"], "{operation} {action:?}");
            assert_eq!(attached(&server), ["f0.bin", "f1.bin", "f2.bin"]);
            let Outcome::Stored(receipt) = &outcomes[0] else {
                continue;
            };
            let found = existing(&second, &folder, Depth::Ids).await;
            assert_eq!(found.len(), 1);
            assert_eq!(Some(&found[0].id), receipt.id.as_ref());
            let ids = vec![found[0].id.clone()];
            let removed = second.updater().unwrap().remove(&folder.id, ids);
            let _: Vec<_> = futures_util::StreamExt::collect(removed).await;
        }
    }
}

#[tokio::test]
async fn who_is_asked_to_slow_down_goes_on_where_it_was() {
    let clock = TestClock::new(Duration::from_secs(1_700_000_000));
    let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
    let destination = at(&server, &clock);
    let folder = made(&destination).await;
    let message = parcel(&[100, 200, 300]);
    let wait = Duration::from_secs(5);
    server
        .faults()
        .arm("AddAttachment", 2, Action::Throttle(Some(wait)));
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["not stored: graph/throttled"]);
    clock.advance(wait);
    let mark = server.item_property(USER, &["INBOX"], 1, MARK).unwrap();
    assert!(mark.starts_with("open 2 "), "{mark}");
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    let counters = server.counters();
    assert_eq!(counters.operation("CreateMessage"), 1);
    assert_eq!(counters.operation("AddAttachment"), 4);
    assert_eq!(counters.during_backoff, 0);
    assert_eq!(attached(&server), ["f0.bin", "f1.bin", "f2.bin"]);
    let mark = server.item_property(USER, &["INBOX"], 1, MARK).unwrap();
    assert!(mark.starts_with("2 "), "{mark}");
}

#[tokio::test]
async fn a_message_whose_completion_is_in_doubt_is_unknown_and_its_mark_tells() {
    for (action, landed) in [(Action::CloseUnanswered, 1), (Action::Close, 0)] {
        let server = start(|builder| builder).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        let message = parcel(&[100]);
        server.faults().arm("UpdateMessage", 1, action.clone());
        let outcomes = append(&destination, &folder, of(&message)).await;
        assert!(words(&outcomes)[0].starts_with("unknown"), "{outcomes:?}");
        let found = existing(&destination, &folder, Depth::Meta).await;
        assert_eq!(found.len(), landed, "{action:?}");
        if landed == 0 {
            let outcomes = append(&destination, &folder, of(&message)).await;
            assert_eq!(words(&outcomes), ["stored"]);
        }
        assert_eq!(attached(&server), ["f0.bin"]);
    }
}

/// The server says that it did it, and did not.
#[tokio::test]
async fn what_is_not_complete_when_it_is_read_back_is_unknown() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let message = parcel(&[100]);
    server.faults().arm("UpdateMessage", 1, Action::Nothing);
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["unknown: graph/unexpected"]);
    assert!(
        existing(&destination, &folder, Depth::Meta)
            .await
            .is_empty()
    );
}

/// A twin of a message whose completion was in doubt, and happened, does not cost that one.
#[tokio::test]
async fn what_turned_out_complete_is_never_removed() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let message = parcel(&[100]);
    server
        .faults()
        .arm("UpdateMessage", 1, Action::CloseUnanswered);
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert!(words(&outcomes)[0].starts_with("unknown"), "{outcomes:?}");
    assert_eq!(existing(&destination, &folder, Depth::Meta).await.len(), 1);
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    assert_eq!(existing(&destination, &folder, Depth::Meta).await.len(), 2);
    assert_eq!(server.counters().operation("PurgeMessage"), 0);
}

/// The link in a mark ends one day: what came since is found all the same.
#[tokio::test]
async fn a_mark_whose_link_is_forgotten_proves_no_absence() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let outcomes = append(&destination, &folder, of(&parcel(&[100]))).await;
    assert_eq!(words(&outcomes), ["stored"]);
    server.forget_deltas();
    let found = existing(&destination, &folder, Depth::Meta).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].given.is_some());
}

#[tokio::test]
async fn a_refused_attachment_costs_its_message_and_nothing_is_left() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let refusal = Action::Error(400, "ErrorAttachmentSizeLimitExceeded".to_owned());
    server.faults().arm("AddAttachment", 1, refusal);
    let outcomes = append(&destination, &folder, of(&parcel(&[100]))).await;
    assert_eq!(words(&outcomes), ["not stored: graph/too-large"]);
    assert!(stored(&server).is_empty());
}

/// From 2.9 to 3 MB: too large to be sent with others, too small for a session.
#[tokio::test]
async fn what_is_nearly_three_megabytes_goes_in_one_request() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    for size in [2_920_000, 3_000_000, 3_100_000] {
        let outcomes = append(&destination, &folder, of(&parcel(&[size]))).await;
        assert_eq!(words(&outcomes), ["stored"], "{size}");
    }
    assert_eq!(server.counters().operation("CreateUploadSession"), 0);
    assert_eq!(server.counters().operation("AddAttachment"), 3);
}

/// Where megabytes have a million bytes.
#[tokio::test]
async fn what_is_too_large_for_one_request_goes_by_a_session() {
    let server = start(|builder| builder.attachment_limit(3_000_000)).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let outcomes = append(&destination, &folder, of(&parcel(&[3_100_000]))).await;
    assert_eq!(words(&outcomes), ["stored"]);
    assert_eq!(server.counters().operation("CreateUploadSession"), 1);
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_asked_to_slow_down() {
    let clock = TestClock::jumping(Duration::from_secs(1_700_000_000));
    let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
    let destination = at(&server, &clock);
    let folder = made(&destination).await;
    for nth in 1..=3 {
        let wait = Some(Duration::from_secs(5));
        server
            .faults()
            .arm("UploadRange", nth, Action::Throttle(wait));
    }
    let message = parcel(&[100, 9 << 20]);
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    let counters = server.counters();
    assert_eq!(counters.operation("CreateMessage"), 1);
    assert_eq!(counters.operation("AddAttachment"), 1);
    assert_eq!(counters.operation("CreateUploadSession"), 1);
    assert_eq!(counters.operation("UploadRange"), 6);
    assert_eq!(counters.operation("PurgeMessage"), 0);
    assert_eq!(counters.during_backoff, 0);
    assert_eq!(attached(&server), ["f0.bin", "f1.bin"]);
}

/// What the server has no patience for is gone on with later, by another upload.
#[tokio::test]
async fn an_upload_that_is_refused_for_long_keeps_its_message() {
    let clock = TestClock::jumping(Duration::from_secs(1_700_000_000));
    let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
    let destination = at(&server, &clock);
    let folder = made(&destination).await;
    let wait = Some(Duration::from_secs(250));
    server
        .faults()
        .arm_every("UploadRange", 1, Action::Throttle(wait));
    let message = parcel(&[100, 5 << 20]);
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["not stored: graph/throttled"]);
    server.faults().clear();
    clock.advance(Duration::from_secs(250));
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    assert_eq!(server.counters().operation("CreateMessage"), 1);
    assert_eq!(server.counters().operation("AddAttachment"), 1);
    assert_eq!(attached(&server), ["f0.bin", "f1.bin"]);
}

#[tokio::test]
async fn an_odd_answer_to_one_attachment_costs_one_message() {
    for (operation, action) in [
        ("AddAttachment", Action::Nothing),
        ("AddAttachment", Action::Mangle(Mangle::Truncated)),
        ("AddAttachment", Action::Mangle(Mangle::NoId)),
        ("CreateUploadSession", Action::Nothing),
        ("CreateUploadSession", Action::Mangle(Mangle::Truncated)),
        ("UploadRange", Action::Status(404)),
    ] {
        let server = start(|builder| builder).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        server.faults().arm(operation, 1, action.clone());
        let outcomes = append(&destination, &folder, of(&parcel(&[100, 5 << 20]))).await;
        let Outcome::NotStored(error) = &outcomes[0] else {
            panic!("{operation} {action:?}: {outcomes:?}");
        };
        assert_eq!(error.scope(), Scope::Message, "{operation} {action:?}");
        assert!(stored(&server).is_empty(), "{operation} {action:?}");
    }
}

#[tokio::test]
async fn what_somebody_removed_before_it_was_complete_is_made_anew() {
    for (operation, nth) in [("AddAttachment", 2), ("UpdateMessage", 1)] {
        let clock = TestClock::jumping(Duration::from_secs(1_700_000_000));
        let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
        let destination = at(&server, &clock);
        let folder = made(&destination).await;
        let message = parcel(&[100, 200]);
        let wait = Duration::from_secs(5);
        server
            .faults()
            .arm(operation, nth, Action::Throttle(Some(wait)));
        let outcomes = append(&destination, &folder, of(&message)).await;
        assert_eq!(words(&outcomes), ["not stored: graph/throttled"]);
        clock.advance(wait);
        let inbox = account(&server).folder(&["INBOX"]).unwrap().id;
        let uids: Vec<u32> = stored(&server).iter().map(|message| message.uid).collect();
        account(&server).remove(inbox, &uids).unwrap();
        // Once more while it is filled.
        let gone = Action::Error(404, "ErrorItemNotFound".to_owned());
        server.faults().arm("AddAttachment", 2, gone);
        let outcomes = append(&destination, &folder, of(&message)).await;
        let Outcome::NotStored(error) = &outcomes[0] else {
            panic!("{outcomes:?}");
        };
        assert!(error.is_transient() && error.scope() == Scope::Message);
        let uids: Vec<u32> = stored(&server).iter().map(|message| message.uid).collect();
        account(&server).remove(inbox, &uids).unwrap();
        let outcomes = append(&destination, &folder, of(&message)).await;
        assert_eq!(words(&outcomes), ["stored"]);
        assert_eq!(attached(&server), ["f0.bin", "f1.bin"]);
    }
}
