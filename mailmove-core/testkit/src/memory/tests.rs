//! Tests of what the conformance suite does not ask: faults, strictness, variations.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination, Edges, ErrorKind, Source,
    destination::{Batch, Depth, NoFence, Outcome, Outgoing, Probe},
    model::{Content, Flags, Folder, FolderPath, Slot},
    source::{Change, Coverage, FetchRequest, Fetched, ListRequest, Page},
};

use super::*;
use crate::{clock::TestClock, mailbox::Store};

fn mailbox() -> MemoryMailbox {
    MemoryMailbox::new(Store::new().add_account("ann"))
}

fn single(mailbox: MemoryMailbox) -> MemoryMailbox {
    mailbox.configure(|can| can.batching = Batching::new(16, 1 << 20, false))
}

async fn inbox(mailbox: &MemoryMailbox) -> Folder {
    let all = Destination::folders(mailbox).await.unwrap();
    let mut inboxes = all.into_iter().filter(|f| f.path.is_inbox());
    inboxes.next().unwrap()
}

fn items(count: usize) -> Vec<Outgoing> {
    (0..count)
        .map(|n| Outgoing::new(Content::from_bytes(format!("Subject: {n}\r\n\r\n{n}\r\n"))))
        .collect()
}

async fn append(mailbox: &MemoryMailbox, items: Vec<Outgoing>) -> Vec<(Slot, Outcome)> {
    let folder = inbox(mailbox).await;
    let batch = Batch::new(folder.id, folder.mark.unwrap(), items, Arc::new(NoFence));
    mailbox.append(batch).collect().await
}

fn kinds(outcomes: &[(Slot, Outcome)]) -> String {
    let mut sorted: Vec<_> = outcomes
        .iter()
        .map(|(slot, outcome)| {
            let letter = match outcome {
                Outcome::Stored(_) => 'S',
                Outcome::AlreadyThere(_) => 'A',
                Outcome::NotStored(_) => 'N',
                Outcome::Unknown(_) => 'U',
                _ => '?',
            };
            (*slot, letter)
        })
        .collect();
    sorted.sort_unstable();
    sorted.into_iter().map(|(_, letter)| letter).collect()
}

fn stored(mailbox: &MemoryMailbox) -> u64 {
    mailbox.account().used_messages()
}

#[tokio::test]
async fn an_unknown_append_is_stored_lost_or_late() {
    let clock = TestClock::new(Duration::from_secs(1000));
    let mailbox = single(mailbox()).with_edges(Edges::new().with_clock(Arc::new(clock.clone())));
    for (landing, there) in [(Landing::Stored, 2), (Landing::Lost, 1)] {
        let before = stored(&mailbox);
        mailbox.arm(Fault::Append(1, AppendFault::Unknown(landing)));
        assert_eq!(kinds(&append(&mailbox, items(3)).await), "SUN");
        assert_eq!(stored(&mailbox) - before, there);
    }
    let before = stored(&mailbox);
    mailbox.arm(Fault::Append(
        0,
        AppendFault::Unknown(Landing::AfterOperations(2)),
    ));
    assert_eq!(kinds(&append(&mailbox, items(1)).await), "U");
    assert_eq!((stored(&mailbox), mailbox.in_flight()), (before, 1));
    inbox(&mailbox).await;
    assert_eq!(stored(&mailbox), before);
    inbox(&mailbox).await;
    assert_eq!((stored(&mailbox), mailbox.in_flight()), (before + 1, 0));

    mailbox.arm(Fault::Append(
        0,
        AppendFault::Unknown(Landing::At(Duration::from_secs(1010))),
    ));
    assert_eq!(kinds(&append(&mailbox, items(1)).await), "U");
    inbox(&mailbox).await;
    assert_eq!(stored(&mailbox), before + 1);
    clock.advance(Duration::from_secs(10));
    inbox(&mailbox).await;
    assert_eq!(stored(&mailbox), before + 2);
    assert!(mailbox.violations().is_empty());
}

#[tokio::test]
async fn an_atomic_batch_shares_its_fate() {
    let mailbox = mailbox();
    mailbox.arm(Fault::Append(2, AppendFault::Unknown(Landing::Stored)));
    assert_eq!(kinds(&append(&mailbox, items(4)).await), "UUUU");
    assert_eq!(stored(&mailbox), 4);
    mailbox.arm(Fault::Refuse(
        Predicate::holding("Subject: 1"),
        ErrorKind::Refused,
    ));
    assert_eq!(kinds(&append(&mailbox, items(3)).await), "NNN");
    assert_eq!(kinds(&append(&mailbox, items(1)).await), "S");
    mailbox.arm(Fault::Append(0, AppendFault::Ends(Landing::Stored)));
    assert_eq!(append(&mailbox, items(1)).await.len(), 0);
    assert_eq!((stored(&mailbox), mailbox.disarm()), (6, 1));
}

#[tokio::test]
async fn single_appends_fail_alone_and_a_dropped_stream_sends_no_more() {
    let mailbox = single(mailbox());
    mailbox.arm(Fault::Refuse(
        Predicate::holding("Subject: 1"),
        ErrorKind::Refused,
    ));
    assert_eq!(kinds(&append(&mailbox, items(3)).await), "SNS");
    mailbox
        .account()
        .configure(|limits| limits.quota_messages = Some(3));
    let outcomes = append(&mailbox, items(1)).await;
    assert_eq!(kinds(&outcomes), "S");
    let outcomes = append(&mailbox, items(1)).await;
    assert!(matches!(&outcomes[0].1, Outcome::NotStored(e) if e.kind() == ErrorKind::Quota));
    mailbox
        .account()
        .configure(|limits| limits.quota_messages = None);
    let folder = inbox(&mailbox).await;
    let mark = folder.mark.clone().unwrap();
    let mut stream = mailbox.append(Batch::new(folder.id, mark, items(9), Arc::new(NoFence)));
    assert_eq!(stored(&mailbox), 3, "lazy until polled");
    stream.next().await.unwrap();
    drop(stream);
    assert_eq!(stored(&mailbox), 4);
    assert_eq!(mailbox.counters().most_appends, 1);
}

#[tokio::test]
async fn what_a_caller_must_not_do_is_refused_and_remembered() {
    let mailbox = mailbox();
    let outcomes = append(&mailbox, items(17)).await;
    assert_eq!(kinds(&outcomes), "N".repeat(17));
    assert!(matches!(&outcomes[0].1, Outcome::NotStored(e) if e.kind() == ErrorKind::Bug));
    let big = vec![b'x'; 600_000];
    let two = vec![Outgoing::new(Content::from_bytes(big.clone())); 2];
    assert_eq!(kinds(&append(&mailbox, two).await), "NN");
    let one = vec![Outgoing::new(Content::from_bytes(
        [big.clone(), big].concat(),
    ))];
    assert_eq!(
        kinds(&append(&mailbox, one).await),
        "S",
        "a larger one travels alone"
    );
    assert_eq!(mailbox.violations().len(), 2);
    assert_eq!(stored(&mailbox), 1);

    let folder = inbox(&mailbox).await;
    let request = FetchRequest::new(
        folder.id,
        folder.identity.as_str(),
        vec![MessageId::new("17")],
    );
    let answers: Vec<_> = mailbox.fetch(request).collect().await;
    assert!(matches!(&answers[0].1, Fetched::Failed(e) if e.kind() == ErrorKind::Bug));
    assert_eq!(mailbox.violations().len(), 3);
}

async fn pages(mailbox: &MemoryMailbox, request: ListRequest) -> Vec<Result<Page>> {
    mailbox.list(request).collect().await
}

#[tokio::test]
async fn a_listing_that_fails_goes_on_from_its_last_page() {
    let mailbox = mailbox().with_page(3);
    append(&mailbox, items(10)).await;
    let folder = Source::folders(&mailbox).await.unwrap().remove(0);
    mailbox.arm(Fault::ListFails(2, ErrorKind::Interrupted));
    let first = pages(&mailbox, ListRequest::new(&folder)).await;
    assert_eq!(first.len(), 3);
    assert!(first[2].is_err());
    let cursor = first[1].as_ref().unwrap().next.clone();
    // Changes behind the cursor's back are told by the delta that follows the rest.
    let account = mailbox.account();
    let id = account.folder(&["INBOX"]).unwrap().id;
    account.remove(id, &[2, 8]).unwrap();
    let rest = pages(&mailbox, ListRequest::new(&folder).with_since(Some(cursor))).await;
    let rest: Vec<Page> = rest.into_iter().map(Result::unwrap).collect();
    assert!(rest.iter().all(|page| page.coverage == Coverage::Rest));
    let listed: usize = rest.iter().map(|page| page.changes.len()).sum();
    assert_eq!((listed, rest.last().unwrap().exists), (3, Some(8)));
    let cursor = rest.last().unwrap().next.clone();
    let request = ListRequest::new(&folder).with_since(Some(cursor.clone()));
    let delta = pages(&mailbox, request).await.remove(0).unwrap();
    assert_eq!(delta.coverage, Coverage::Delta);
    let removed = |c: &Change| matches!(c, Change::Removed(_));
    assert_eq!(delta.changes.iter().filter(|c| removed(c)).count(), 2);

    mailbox.arm(Fault::CursorExpires);
    let request = ListRequest::new(&folder).with_since(Some(cursor));
    let expired = pages(&mailbox, request).await;
    assert_eq!(expired[0].as_ref().unwrap_err().kind(), ErrorKind::Stale);
    mailbox.arm(Fault::ListEnds(1));
    assert_eq!(pages(&mailbox, ListRequest::new(&folder)).await.len(), 1);
}

#[tokio::test]
async fn fetch_faults_hit_the_message_they_name() {
    let mailbox = mailbox();
    append(&mailbox, items(6)).await;
    let folder = inbox(&mailbox).await;
    let probe = Probe::new(folder.id.clone(), Depth::Ids);
    let found = mailbox.existing(probe).next().await.unwrap().unwrap();
    let ids: Vec<MessageId> = found.into_iter().map(|e| e.id).collect();
    let request = FetchRequest::new(folder.id, folder.identity.as_str(), ids.clone());
    mailbox.arm(Fault::Vanish(0));
    mailbox.arm(Fault::FetchRefused(1, ErrorKind::Refused));
    mailbox.arm(Fault::FetchFails(4, ErrorKind::Interrupted));
    let answers: Vec<_> = mailbox.fetch(request.clone()).collect().await;
    let letter = |id: &MessageId| {
        let answer = answers.iter().find(|(other, _)| other == id);
        match answer.map(|(_, fetched)| fetched) {
            Some(Fetched::Content(_)) => 'C',
            Some(Fetched::Vanished) => 'V',
            Some(Fetched::Failed(_)) => 'F',
            _ => '-',
        }
    };
    assert_eq!(answers.len(), 6);
    assert_eq!(ids.iter().map(letter).collect::<String>(), "VFCCFF");
    mailbox.arm(Fault::FetchEnds(5));
    assert_eq!(mailbox.fetch(request.clone()).count().await, 5);
    mailbox.arm(Fault::Renumber(0, FolderPath::inbox()));
    let answers: Vec<_> = mailbox.fetch(request).collect().await;
    let stale = |f: &Fetched| matches!(f, Fetched::Failed(e) if e.kind() == ErrorKind::Stale);
    assert!(answers.len() == 6 && answers.iter().all(|(_, f)| stale(f)));
}

#[tokio::test]
async fn servers_that_lose_things_silently_or_say_so() {
    let flags = Flags::parse("\\Seen $Work");
    let date = mailmove_core::model::Timestamp::new(1000, 0);
    let item = || {
        let mut item = items(1).remove(0).with_flags(flags.clone());
        item.received = Some(date);
        vec![item]
    };
    let silent = mailbox();
    silent.arm(Fault::DropsKeywords);
    silent.arm(Fault::ShiftsDates(7));
    let outcomes = append(&silent, item()).await;
    assert!(matches!(&outcomes[0].1, Outcome::Stored(r) if r.altered.is_empty()));
    let id = silent.account().folder(&["INBOX"]).unwrap().id;
    let message = silent.account().messages(id).unwrap().remove(0);
    assert_eq!((message.flags.len(), message.date.unix), (1, 1007));

    let honest = mailbox().configure(|can| {
        can.keeps_keywords = false;
        can.keeps_received = false;
        can.returns_ids = false;
    });
    let outcomes = append(&honest, item()).await;
    let Outcome::Stored(receipt) = &outcomes[0].1 else {
        panic!("{outcomes:?}");
    };
    assert_eq!((receipt.id.as_ref(), receipt.altered.len()), (None, 2));
    assert_eq!(receipt.flags, Some(Flags::parse("\\Seen")));

    let merging = single(mailbox()).with_merging();
    assert_eq!(
        kinds(&append(&merging, [items(2), items(1)].concat()).await),
        "SSA"
    );
    let hints = mailbox();
    hints.arm(Fault::SizeHints(-5));
    append(&hints, items(1)).await;
    let folder = inbox(&hints).await;
    let page = pages(&hints, ListRequest::new(&folder))
        .await
        .remove(0)
        .unwrap();
    let Change::Item(item) = &page.changes[0] else {
        panic!("{page:?}");
    };
    assert_eq!(item.size, Some(hints.account().used_bytes() - 5));
}

#[tokio::test]
async fn operations_fail_where_armed_and_opaque_marks_bound() {
    let mailbox = mailbox().with_opaque_marks();
    mailbox.arm(Fault::Operation(1, ErrorKind::Unavailable));
    let folder = inbox(&mailbox).await;
    let error = mailbox.mark(&folder.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    append(&mailbox, items(2)).await;
    let mark = mailbox.mark(&folder.id).await.unwrap();
    assert_eq!(mark.next, None);
    append(&mailbox, items(1)).await;
    let probe = Probe::new(folder.id.clone(), Depth::Meta).with_since(Some(mark));
    let found = mailbox.existing(probe).next().await.unwrap().unwrap();
    assert_eq!(found.len(), 1);
    mailbox.arm(Fault::ExistingFails(0, ErrorKind::Timeout));
    let probe = Probe::new(folder.id, Depth::Meta);
    assert!(mailbox.existing(probe).next().await.unwrap().is_err());
    assert!(mailbox.violations().is_empty());
}
