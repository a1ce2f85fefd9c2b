//! `ImapSource` against the embedded server: what it says, and what it costs.

mod support;

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use mailmove_core::{
    ErrorKind, Scope,
    identity::HeaderDigest,
    model::{Cursor, Flags, Form},
    source::{Change, Coverage, FetchRequest, Fetched, ListRequest, Source},
};
use mailmove_imap_testserver::{Action, Capability};
use mailmove_testkit::mailbox::{FlagOp, InternalDate, NewMessage};
use support::{Stage, Summary, body, collect, stage};

/// Each combination of extensions that makes listing work in another way.
const CHANGES: [(&str, &[Capability]); 3] = [
    ("QRESYNC", &[]),
    ("CONDSTORE", &[Capability::Qresync]),
    ("nothing", &[Capability::Qresync, Capability::Condstore]),
];

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
async fn a_first_listing_brings_everything_in_one_command() {
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
    assert_eq!(counters.command("UID FETCH"), 1);
    assert_eq!(counters.total_commands(), 2);
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
        assert!((2..=4).contains(&fetches), "{inline:?}: {fetches}");
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
async fn every_page_is_a_place_to_go_on_from() {
    for (name, without) in CHANGES {
        for inline in [None, Some(Form::Mime)] {
            let stage = stage(without, 1).await;
            stage.fill(700);
            stage.expunge(&[5, 300, 301, 699]);
            let folder = stage.inbox().await;
            let request = || ListRequest::new(&folder).with_inline(inline);
            let whole = stage.list(request()).await;
            assert_eq!(whole.items.len(), 696, "{name}");
            assert!(whole.pages.len() > 2, "{name}");
            let mut before = 0;
            for (count, cursor) in &whole.pages {
                before += count;
                let rest = stage.list(request().with_since(Some(cursor.clone()))).await;
                let last = before == 696;
                let coverage = match (without, last) {
                    ([], _) | ([_], _) => Coverage::Delta,
                    (_, true) => Coverage::Full,
                    (_, false) => Coverage::Rest,
                };
                assert_eq!(rest.coverage, Some(coverage), "{name} {cursor}");
                assert_eq!(rest.exists, Some(696), "{name} {cursor}");
                if coverage == Coverage::Full {
                    assert_eq!(rest.items.len(), 696);
                } else {
                    let expected: Vec<_> = whole.items.keys().skip(before).collect();
                    assert_eq!(
                        rest.items.keys().collect::<Vec<_>>(),
                        expected,
                        "{name} {cursor}"
                    );
                    assert!(rest.flags.is_empty() && rest.removed.is_empty());
                }
                assert_eq!(rest.last, whole.last, "{name} {cursor}");
            }
        }
    }
}

#[tokio::test]
async fn deltas_name_what_changed() {
    for (name, without) in CHANGES {
        let stage = stage(without, 1).await;
        stage.fill(50);
        let folder = stage.inbox().await;
        let first = stage.list(ListRequest::new(&folder)).await;
        let ids: Vec<_> = first.items.keys().cloned().collect();
        stage.store(&[3, 4], FlagOp::Add, &["\\Flagged", "Later"]);
        stage.fill(2);
        stage.server.reset_counters();
        let delta = stage
            .list(ListRequest::new(&folder).with_since(first.last.clone()))
            .await;
        let counters = stage.server.counters();
        assert_eq!(delta.exists, Some(52), "{name}");
        if without.len() < 2 {
            assert_eq!(delta.coverage, Some(Coverage::Delta), "{name}");
            let flags = Flags::parse("\\Flagged Later");
            let changed =
                BTreeMap::from([(ids[2].clone(), flags.clone()), (ids[3].clone(), flags)]);
            assert_eq!(delta.flags, changed, "{name}");
            assert_eq!(delta.items.len(), 2, "{name}");
            // EXAMINE tells all by QRESYNC; the messages that are new are one command.
            let expected = if without.is_empty() { 2 } else { 4 };
            assert_eq!(counters.total_commands(), expected, "{name} {counters:?}");
        } else {
            assert_eq!(delta.coverage, Some(Coverage::Full), "{name}");
            assert_eq!(delta.items.len(), 52);
        }

        stage.expunge(&[10, 51]);
        let gone = stage
            .list(ListRequest::new(&folder).with_since(delta.last.clone()))
            .await;
        assert_eq!(gone.exists, Some(50), "{name}");
        if without.is_empty() {
            assert_eq!(gone.coverage, Some(Coverage::Delta), "{name}");
            let uids: Vec<_> = gone
                .removed
                .iter()
                .map(|id| stage.source.describe(id))
                .collect();
            assert_eq!(uids, ["UID 10", "UID 51"]);
            assert!(gone.items.is_empty());
        } else {
            assert_eq!(gone.coverage, Some(Coverage::Full), "{name}");
            assert_eq!(gone.items.len(), 50, "{name}");
            assert!(!gone.items.contains_key(&ids[9]));
        }
    }
}

#[tokio::test]
async fn nothing_new_costs_one_command() {
    for (name, without) in CHANGES.into_iter().take(2) {
        let stage = stage(without, 1).await;
        stage.fill(50);
        let folder = stage.inbox().await;
        let first = stage.list(ListRequest::new(&folder)).await;
        stage.server.reset_counters();
        let again = stage
            .list(ListRequest::new(&folder).with_since(first.last.clone()))
            .await;
        assert_eq!(stage.server.counters().total_commands(), 1, "{name}");
        assert_eq!(
            (again.exists, again.coverage),
            (Some(50), Some(Coverage::Delta))
        );
        assert_eq!(again.pages.len(), 1);
        assert_eq!(again.last, first.last, "{name}");
    }
}

#[tokio::test]
async fn an_interrupted_first_listing_names_what_changed_before_its_place() {
    let stage = stage(&[], 1).await;
    stage.fill(600);
    let folder = stage.inbox().await;
    let whole = stage.list(ListRequest::new(&folder)).await;
    let (count, cursor) = whole.pages[0].clone();
    assert!(count < 600);
    stage.store(&[1], FlagOp::Add, &["\\Seen"]);
    stage.store(&[599], FlagOp::Add, &["\\Seen"]);
    stage.expunge(&[2, 600]);
    let rest = stage
        .list(ListRequest::new(&folder).with_since(Some(cursor)))
        .await;
    assert_eq!(rest.coverage, Some(Coverage::Delta));
    assert_eq!(rest.flags.len(), 1);
    assert_eq!(rest.removed.len(), 1);
    assert_eq!(rest.items.len(), 600 - count - 1);
    assert_eq!(rest.exists, Some(598));
}

#[tokio::test]
async fn a_renumbered_or_replaced_folder_is_stale() {
    let stage = stage(&[], 1).await;
    stage.fill(5);
    let folder = stage.inbox().await;
    let first = stage.list(ListRequest::new(&folder)).await;
    stage.account.bump_uidvalidity(stage.folder).unwrap();
    for since in [None, first.last.clone()] {
        let request = ListRequest::new(&folder).with_since(since);
        let error = stage
            .source
            .list(request)
            .next()
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.scope()),
            (ErrorKind::Stale, Scope::Folder)
        );
    }
    let ids: Vec<_> = first.items.keys().cloned().collect();
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids.clone());
    for (_, fetched) in collect(stage.source.fetch(request)).await {
        let Fetched::Failed(error) = fetched else {
            panic!("{fetched:?}")
        };
        assert_eq!(error.kind(), ErrorKind::Stale);
    }
    // With the new identity, but ids of the old numbering.
    let now = stage.inbox().await;
    let request = FetchRequest::new(now.id.clone(), now.identity.as_str(), ids);
    let fetched = collect(stage.source.fetch(request)).await;
    assert_eq!(fetched.len(), 5);
    assert!(fetched.iter().all(|(_, fetched)| matches!(
        fetched,
        Fetched::Failed(error) if error.kind() == ErrorKind::Stale
    )));
}

#[tokio::test]
async fn a_cursor_of_another_version_lists_everything() {
    let stage = stage(&[], 1).await;
    stage.fill(5);
    let folder = stage.inbox().await;
    let request = ListRequest::new(&folder).with_since(Some(Cursor::new("9:x")));
    let summary = stage.list(request).await;
    assert_eq!(
        (summary.items.len(), summary.coverage),
        (5, Some(Coverage::Full))
    );
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
async fn fetching_names_what_vanished() {
    let stage = stage(&[], 1).await;
    stage.fill(40);
    let folder = stage.inbox().await;
    let summary = stage.list(ListRequest::new(&folder)).await;
    let ids: Vec<_> = summary.items.keys().cloned().collect();
    stage.expunge(&[1, 20, 40]);
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids.clone());
    let fetched: BTreeMap<_, _> = collect(stage.source.fetch(request))
        .await
        .into_iter()
        .collect();
    assert_eq!(fetched.len(), 40);
    for (at, id) in ids.iter().enumerate() {
        match &fetched[id] {
            Fetched::Vanished => assert!([0, 19, 39].contains(&at)),
            Fetched::Content(content) => {
                assert_eq!(content.as_bytes().unwrap(), &body(at as u32 + 1));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn ids_of_somebody_else_fail_alone() {
    let stage = stage(&[], 1).await;
    stage.fill(1);
    let folder = stage.inbox().await;
    let summary = stage.list(ListRequest::new(&folder)).await;
    let mut ids: Vec<_> = summary.items.keys().cloned().collect();
    ids.push(mailmove_core::model::MessageId::new("AAMk="));
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids);
    let fetched = collect(stage.source.fetch(request)).await;
    let failed: Vec<_> = fetched
        .iter()
        .filter_map(|(_, fetched)| match fetched {
            Fetched::Failed(error) => Some((error.code(), error.scope())),
            _ => None,
        })
        .collect();
    assert_eq!(
        (fetched.len(), failed),
        (2, vec![("imap/message-id", Scope::Message)])
    );
}

#[tokio::test]
async fn a_connection_cut_in_a_body_yields_no_half_message() {
    let stage = stage(&[], 2).await;
    stage.fill(10);
    let folder = stage.inbox().await;
    let summary = stage.list(ListRequest::new(&folder)).await;
    let ids: Vec<_> = summary.items.keys().cloned().collect();
    let whole: usize = (1..=10).map(|uid| body(uid).len()).sum();
    for cut in (1..whole).step_by(61) {
        stage
            .server
            .faults()
            .arm("UID FETCH", 1, Action::CloseInReply(cut as u64));
        let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids.clone());
        let fetched = collect(stage.source.fetch(request)).await;
        assert_eq!(fetched.len(), 10, "{cut}");
        let mut failed = 0;
        for (id, fetched) in fetched {
            match fetched {
                Fetched::Content(content) => {
                    let at = ids.iter().position(|other| *other == id).unwrap();
                    assert_eq!(content.as_bytes().unwrap(), &body(at as u32 + 1), "{cut}");
                }
                Fetched::Failed(error) => {
                    assert!(error.is_transient(), "{error:?}");
                    assert_eq!(error.scope(), Scope::Account);
                    failed += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(failed > 0, "{cut}");
    }
    // It goes on with a new connection.
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids);
    let fetched = collect(stage.source.fetch(request)).await;
    assert!(
        fetched
            .iter()
            .all(|(_, fetched)| matches!(fetched, Fetched::Content(_)))
    );
}

#[tokio::test]
async fn a_listing_cut_anywhere_goes_on_from_its_last_page() {
    let stage = stage(&[], 2).await;
    stage.fill(400);
    let folder = stage.inbox().await;
    let request = |since| {
        ListRequest::new(&folder)
            .with_inline(Some(Form::Mime))
            .with_since(since)
    };
    let whole = stage.list(request(None)).await;
    for cut in (10..60_000).step_by(7001) {
        stage
            .server
            .faults()
            .arm("UID FETCH", 1, Action::CloseInReply(cut));
        let mut summary = Summary::default();
        let mut pages = stage.source.list(request(None));
        let mut failure = None;
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => summary.add(page).await,
                Err(error) => failure = Some(error),
            }
        }
        let failure = failure.unwrap();
        assert!(failure.is_transient(), "{failure:?}");
        assert_eq!(summary.exists, None);
        let mut pages = stage.source.list(request(summary.last.clone()));
        while let Some(page) = pages.next().await {
            // Nothing comes twice: Summary checks.
            summary.add(page.unwrap()).await;
        }
        assert_eq!(summary.items, whole.items, "{cut}");
        assert_eq!(summary.exists, Some(400));
    }
}

#[tokio::test]
async fn a_refused_window_is_listed_without_contents() {
    let stage = stage(&[], 1).await;
    stage.fill(5);
    let folder = stage.inbox().await;
    let refusal = Action::No("one of them is damaged".to_owned());
    stage.server.faults().arm("UID FETCH", 1, refusal);
    let request = ListRequest::new(&folder).with_inline(Some(Form::Mime));
    let summary = stage.list(request).await;
    assert_eq!((summary.items.len(), summary.exists), (5, Some(5)));
    assert!(summary.items.values().all(|item| item.content.is_none()));
}

#[tokio::test]
async fn a_refused_fetch_costs_one_message() {
    let stage = stage(&[], 1).await;
    stage.fill(5);
    let folder = stage.inbox().await;
    let summary = stage.list(ListRequest::new(&folder)).await;
    let ids: Vec<_> = summary.items.keys().cloned().collect();
    for _ in 0..2 {
        // The whole command, and then the first of those asked for alone.
        let refusal = Action::No("cannot read it".to_owned());
        stage.server.faults().arm("UID FETCH", 1, refusal);
    }
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids);
    let fetched = collect(stage.source.fetch(request)).await;
    let failed: Vec<_> = fetched
        .iter()
        .filter_map(|(id, fetched)| match fetched {
            Fetched::Failed(error) => Some((stage.source.describe(id), error.scope())),
            _ => None,
        })
        .collect();
    assert_eq!(fetched.len(), 5);
    assert_eq!(failed, [("UID 1".to_owned(), Scope::Message)]);
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

#[tokio::test]
async fn an_empty_folder_has_a_cursor_too() {
    for (name, without) in CHANGES {
        let stage: Stage = stage(without, 1).await;
        let folder = stage.inbox().await;
        let empty = stage.list(ListRequest::new(&folder)).await;
        assert_eq!((empty.pages.len(), empty.exists), (1, Some(0)));
        stage.fill(2);
        let request = ListRequest::new(&folder).with_since(empty.last.clone());
        let filled = stage.list(request).await;
        assert_eq!((filled.items.len(), filled.exists), (2, Some(2)), "{name}");
        stage.expunge(&[1, 2]);
        let request = ListRequest::new(&folder).with_since(filled.last.clone());
        let gone = stage.list(request).await;
        assert_eq!((gone.items.len(), gone.exists), (0, Some(0)), "{name}");
    }
}
