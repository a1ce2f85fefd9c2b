//! What is left of messages that were made and not completed.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Error, ErrorKind, Result,
    destination::{Batch, Depth, Fence},
};
use mailmove_graph_testserver::Action;
use mailmove_testkit::clock::TestClock;
use tokio::time::timeout;

use crate::{
    attachments::at,
    support::{USER, append, destination, existing, made, of, parcel, start, stored, words},
};

const MARK: &str = "String {6f1d7a52-3c0e-4b6b-9d5a-8e0c2f4b7a91} Name mailmove";

/// The request was answered by nobody, and carried out long after its message had been sent once more.
#[tokio::test]
async fn what_lands_after_its_message_was_stored_is_removed() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let message = parcel(&[100]);
    server
        .faults()
        .arm("CreateMessage", 1, Action::LandOnRelease);
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert!(words(&outcomes)[0].starts_with("unknown"), "{outcomes:?}");
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    server.faults().release();
    let landed = async {
        while stored(&server).len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), landed).await.unwrap();
    let told = existing(&destination, &folder, Depth::Meta).await;
    assert_eq!(told.len(), 1);
    assert_eq!(stored(&server).len(), 1);
    let mark = server.item_property(USER, &["INBOX"], 1, MARK).unwrap();
    assert!(mark.starts_with("2 "), "{mark}");
}

/// An append that nobody waited for: what it was about to fill is no longer anybody's.
#[tokio::test]
async fn what_was_being_filled_when_its_append_ended_is_removed_and_made_anew() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let message = parcel(&[100]);
    server.faults().arm("AddAttachment", 1, Action::Hold);
    let cut_off = timeout(
        Duration::from_millis(200),
        append(&destination, &folder, of(&message)),
    );
    assert!(cut_off.await.is_err());
    server.faults().clear();
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    existing(&destination, &folder, Depth::Meta).await;
    assert_eq!(stored(&server).len(), 1);
}

/// What another process may be filling now has its time.
#[tokio::test]
async fn what_may_be_another_processs_is_removed_when_it_is_old() {
    let clock = TestClock::new(Duration::from_secs(1_700_000_000));
    let server = start(|builder| builder.clock(Arc::new(clock.clone()))).await;
    let (one, other) = (at(&server, &clock), at(&server, &clock));
    let folder = made(&one).await;
    let message = parcel(&[100, 200]);
    let wait = Duration::from_secs(1);
    server
        .faults()
        .arm("AddAttachment", 2, Action::Throttle(Some(wait)));
    let outcomes = append(&one, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["not stored: graph/throttled"]);
    clock.advance(wait);

    // The other one is to store the same, and finds it.
    let folder_there = made(&other).await;
    let waiting = tokio::spawn({
        let (other, folder, message) = (other.clone(), folder_there.clone(), message.clone());
        async move { words(&append(&other, &folder, of(&message)).await) }
    });
    let asked = async {
        while server.counters().operation("GetMessage") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), asked).await.unwrap();
    assert_eq!(server.counters().operation("PurgeMessage"), 0);
    // Meanwhile the first one goes on, so that it is nobody's to remove.
    let outcomes = append(&one, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    while !waiting.is_finished() {
        clock.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(waiting.await.unwrap(), ["stored"]);
    assert_eq!(server.counters().operation("PurgeMessage"), 0);
    assert_eq!(existing(&other, &folder, Depth::Meta).await.len(), 2);

    // One that nobody goes on with goes when it is old: large attachments may take hours.
    server.faults().arm("AddAttachment", 1, Action::Close);
    let outcomes = append(&one, &folder, of(&message)).await;
    assert!(
        words(&outcomes)[0].starts_with("not stored"),
        "{outcomes:?}"
    );
    assert_eq!(existing(&other, &folder, Depth::Meta).await.len(), 2);
    assert_eq!(stored(&server).len(), 3);
    clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(existing(&other, &folder, Depth::Meta).await.len(), 2);
    assert_eq!(stored(&server).len(), 3);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(existing(&other, &folder, Depth::Meta).await.len(), 2);
    assert_eq!(stored(&server).len(), 2);
}

/// A note that came along from another mailbox says nothing here.
#[tokio::test]
async fn what_is_incomplete_in_another_mailbox_is_whole_here() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let message = parcel(&[100]);
    let outcomes = append(&destination, &folder, of(&message)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    let mark = server.item_property(USER, &["INBOX"], 1, MARK).unwrap();
    let (what, _mailbox) = mark.rsplit_once(' ').unwrap();
    let foreign = format!("open {what} 0123456789abcdef");
    assert!(server.set_item_property(USER, &["INBOX"], 1, MARK, &foreign));
    let found = existing(&destination, &folder, Depth::Meta).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].given, None);
    append(&destination, &folder, of(&message)).await;
    existing(&destination, &folder, Depth::Meta).await;
    assert_eq!(stored(&server).len(), 2);
    assert_eq!(server.counters().operation("PurgeMessage"), 0);
}

/// Objects from the request of that number on.
#[derive(Debug)]
struct Ends(std::sync::atomic::AtomicU32, u32);

impl Fence for Ends {
    fn check(&self) -> Result<()> {
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match asked < self.1 {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Locked, "another process took over")),
        }
    }
}

/// Whose job it is no more removes nothing either.
#[tokio::test]
async fn a_removal_asks_whether_the_job_is_still_ours() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let refusal = Action::Error(400, "ErrorAttachmentSizeLimitExceeded".to_owned());
    server.faults().arm("AddAttachment", 1, refusal);
    // The message and its attachment are sent, and then it is another's.
    let fence = Arc::new(Ends(0.into(), 2));
    let batch = Batch::new(
        folder.id.clone(),
        folder.mark.clone().unwrap(),
        of(&parcel(&[100])),
        fence,
    );
    let outcomes: Vec<_> = destination.append(batch).collect().await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(server.counters().operation("AddAttachment"), 1);
    assert_eq!(server.counters().operation("PurgeMessage"), 0);
    assert_eq!(stored(&server).len(), 1);
}
