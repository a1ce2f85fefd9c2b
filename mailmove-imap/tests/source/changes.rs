//! Listing from a cursor on.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use mailmove_core::{
    ErrorKind, Scope,
    model::{Cursor, Flags, Form},
    source::{Coverage, FetchRequest, Fetched, ListRequest, Source as _},
};
use mailmove_testkit::mailbox::FlagOp;

use crate::support::{CHANGES, Stage, collect, stage};

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
                    ([], _) | ([_, _], _) => Coverage::Delta,
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
        if without.len() < 3 {
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
