//! Listing whole folders.

use futures_util::StreamExt as _;
use mailmove_core::{
    Scope,
    identity::HeaderDigest,
    model::{Flags, Form},
    source::{Change, Coverage, FetchRequest, Fetched, ListRequest, Source as _},
};
use mailmove_testkit::mailbox::{InternalDate, NewMessage};

use crate::support::{CHANGES, Summary, body, collect, stage};

#[tokio::test]
async fn folders_tell_what_is_in_them() {
    let stage = stage(&[], 1).await;
    stage.fill(3);
    let folders = stage.source.folders().await.unwrap();
    let inbox = folders.iter().find(|folder| folder.path.is_inbox());
    let inbox = inbox.unwrap();
    assert_eq!(inbox.messages, Some(3));
    assert!(inbox.token.is_some());
    let capabilities = stage.source.capabilities().await.unwrap();
    assert!(capabilities.deltas && capabilities.keeps_bytes);
    assert_eq!(capabilities.concurrency, 1);
    assert_eq!(stage.source.endpoint().scheme, "imap");
}

#[tokio::test]
async fn a_first_listing_brings_everything_in_few_commands() {
    let stage = stage(&[], 2).await;
    stage.fill(1000);
    let folder = stage.inbox().await;
    stage.server.reset_counters();
    let request = ListRequest::new(&folder).with_inline(Some(Form::Mime));
    let summary = stage.list(request).await;
    assert_eq!(summary.exists, Some(1000));
    assert_eq!(summary.coverage, Some(Coverage::Full));
    assert_eq!(summary.items.len(), 1000);
    for (at, (id, item)) in summary.items.iter().enumerate() {
        let uid = at as u32 + 1;
        assert_eq!(stage.source.describe(id), format!("UID {uid}"));
        assert_eq!(item.content.as_deref(), Some(body(uid).as_slice()), "{uid}");
        assert_eq!(item.size, Some(body(uid).len() as u64));
        assert_eq!(
            item.received.unwrap().seconds(),
            1_700_000_000 + i64::from(uid)
        );
    }
    let counters = stage.server.counters();
    assert_eq!(counters.command("EXAMINE"), 1);
    assert_eq!(counters.command("SELECT"), 0);
    // Two of 250 at first, until their size is known, and one with the rest.
    assert_eq!(counters.command("UID FETCH"), 3);
    assert_eq!(counters.total_commands(), 4);
    assert_eq!(counters.connections, 0);
}

#[tokio::test]
async fn many_windows_are_asked_for_ahead() {
    let stage = stage(&[], 1).await;
    stage.fill(3500);
    let folder = stage.inbox().await;
    for inline in [None, Some(Form::Mime)] {
        stage.server.reset_counters();
        let summary = stage
            .list(ListRequest::new(&folder).with_inline(inline))
            .await;
        assert_eq!(summary.items.len(), 3500);
        assert_eq!(summary.exists, Some(3500));
        let fetches = stage.server.counters().command("UID FETCH");
        assert!((2..=5).contains(&fetches), "{inline:?}: {fetches}");
        assert_eq!(stage.server.counters().command("EXAMINE"), 1);
    }
}

#[tokio::test]
async fn nothing_at_the_source_changes() {
    let stage = stage(&[], 1).await;
    stage.fill(20);
    let before = stage.account.snapshot();
    let folder = stage.inbox().await;
    let request = ListRequest::new(&folder).with_inline(Some(Form::Mime));
    let summary = stage.list(request).await;
    let ids = summary.items.keys().cloned().collect();
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids);
    assert_eq!(collect(stage.source.fetch(request)).await.len(), 20);
    assert_eq!(
        before.difference(&stage.account.snapshot()),
        Vec::<String>::new()
    );
    // The next client to SELECT still gets them as \Recent.
    assert_eq!(stage.account.recent(stage.folder, false).unwrap(), 1);
}

#[tokio::test]
async fn header_digests_are_the_same_by_either_way() {
    let stage = stage(&[], 1).await;
    stage.fill(30);
    let folder = stage.inbox().await;
    let request = || ListRequest::new(&folder).with_headers(true);
    let alone = stage.list(request()).await;
    let inline = stage.list(request().with_inline(Some(Form::Mime))).await;
    for (at, (id, item)) in alone.items.iter().enumerate() {
        assert_eq!(item.header, Some(HeaderDigest::of(&body(at as u32 + 1))));
        assert_eq!(inline.items[id].header, item.header);
        assert_eq!(item.content, None);
    }
    assert_eq!(alone.items.len(), 30);
}

#[tokio::test]
async fn odd_flags_are_named_and_cost_nothing_else() {
    let stage = stage(&[], 1).await;
    let flags = ["\\Seen", "$Forwarded", "Work]1"];
    let message = NewMessage::new(body(1)).with_flags(flags);
    stage.account.append(stage.folder, vec![message]).unwrap();
    let folder = stage.inbox().await;
    let summary = stage.list(ListRequest::new(&folder)).await;
    let item = summary.items.values().next().unwrap();
    assert_eq!(item.flags, Flags::parse("\\Seen $Forwarded"));
    assert_eq!(item.notes, ["Work]1"]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_the_folders_problem() {
    let stage = stage(&[], 1).await;
    let folder = stage.inbox().await;
    let mut other = folder.clone();
    other.id = mailmove_core::model::FolderId::new("gone");
    let error = stage
        .source
        .list(ListRequest::new(&other))
        .next()
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.scope(), Scope::Folder);
    // The connection is still of use.
    stage.server.reset_counters();
    assert_eq!(stage.list(ListRequest::new(&folder)).await.exists, Some(0));
    assert_eq!(stage.server.counters().connections, 0);
}

#[tokio::test]
async fn one_connection_lists_and_fetches_at_once() {
    let stage = stage(&[], 1).await;
    stage.fill(1500);
    let folder = stage.inbox().await;
    stage.server.reset_counters();
    let mut pages = stage.source.list(ListRequest::new(&folder));
    let mut summary = Summary::default();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let ids: Vec<_> = page
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Item(listed) => Some(listed.id.clone()),
                _ => None,
            })
            .collect();
        summary.add(page).await;
        let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids.clone());
        let fetched = collect(stage.source.fetch(request)).await;
        assert_eq!(fetched.len(), ids.len());
        assert!(
            fetched
                .iter()
                .all(|(_, fetched)| matches!(fetched, Fetched::Content(_)))
        );
    }
    assert_eq!((summary.items.len(), summary.exists), (1500, Some(1500)));
    let counters = stage.server.counters();
    assert_eq!((counters.connections, counters.peak), (0, 1));
    // The folder stays open from a fetch to the listing that goes on, and a fetch opens it on its
    // way.
    let fetches = summary.pages.len() as u64;
    assert_eq!(counters.command("EXAMINE"), 1 + fetches);
    let windows = counters.command("UID FETCH") - fetches;
    assert_eq!(counters.round_trips, 1 + fetches + windows);
}

#[tokio::test]
async fn the_count_is_right_while_mail_comes_and_goes() {
    for (name, without) in CHANGES {
        let stage = stage(without, 1).await;
        stage.fill(3000);
        let folder = stage.inbox().await;
        let mut pages = stage.source.list(ListRequest::new(&folder));
        let mut summary = Summary::default();
        let mut step = 0;
        while let Some(page) = pages.next().await {
            summary.add(page.unwrap()).await;
            step += 1;
            if step == 1 {
                // Listed, not listed yet, and new.
                stage.expunge(&[7, 2500, 2501]);
                stage.fill(4);
            }
        }
        assert_eq!(summary.exists, Some(summary.items.len() as u64), "{name}");
        assert!(summary.items.len() >= 2998, "{name}");
    }
}

#[tokio::test]
async fn a_dropped_stream_takes_its_connection_along() {
    let stage = stage(&[], 1).await;
    stage.fill(500);
    let folder = stage.inbox().await;
    let mut pages = stage
        .source
        .list(ListRequest::new(&folder).with_inline(Some(Form::Mime)));
    pages.next().await.unwrap().unwrap();
    drop(pages);
    let summary = stage.list(ListRequest::new(&folder)).await;
    assert_eq!((summary.items.len(), summary.exists), (500, Some(500)));
    assert_eq!(stage.server.counters().connections, 2);
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_poll() {
    let stage = stage(&[], 1).await;
    let folder = stage.inbox().await;
    stage.server.reset_counters();
    let pages = stage.source.list(ListRequest::new(&folder));
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), Vec::new());
    let mut fetched = stage.source.fetch(request);
    assert!(fetched.next().await.is_none());
    drop(pages);
    assert_eq!(stage.server.counters().total_commands(), 0);
}

#[tokio::test]
async fn large_messages_go_past_memory() {
    let stage = stage(&[], 1).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + (n % 25) as u8).collect();
    let message = NewMessage::new(large.clone()).with_date(InternalDate::utc(5));
    stage.account.append(stage.folder, vec![message]).unwrap();
    stage.fill(3);
    let folder = stage.inbox().await;
    let summary = stage
        .list(ListRequest::new(&folder).with_inline(Some(Form::Mime)))
        .await;
    let first = summary.items.values().next().unwrap();
    assert_eq!(first.content.as_deref(), Some(large.as_slice()));
    assert!(stage.edges.spool.budget().peak() < 1 << 20);
}

#[tokio::test]
async fn gaps_in_the_numbers_are_no_matter() {
    let stage = stage(&[], 1).await;
    stage.fill(3);
    stage
        .account
        .skip_uids(stage.folder, 4_000_000_000)
        .unwrap();
    stage.fill(3);
    let folder = stage.inbox().await;
    for inline in [None, Some(Form::Mime)] {
        let request = ListRequest::new(&folder).with_inline(inline);
        let summary = stage.list(request).await;
        assert_eq!((summary.items.len(), summary.exists), (6, Some(6)));
    }
}
