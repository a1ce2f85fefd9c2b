//! Fetching, and failures on the way.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use mailmove_core::{
    Scope,
    model::Form,
    source::{FetchRequest, Fetched, ListRequest, Source as _},
};
use mailmove_imap_testserver::Action;

use crate::support::{Summary, body, collect, stage};

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
    let mut stage = stage(&[], 2).await;
    stage.fill(10);
    let folder = stage.inbox().await;
    let summary = stage.list(ListRequest::new(&folder)).await;
    let ids: Vec<_> = summary.items.keys().cloned().collect();
    let whole: usize = (1..=10).map(|uid| body(uid).len()).sum();
    for cut in (1..whole).step_by(61) {
        stage.afresh();
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
    let mut stage = stage(&[], 2).await;
    stage.fill(400);
    let folder = stage.inbox().await;
    let request = |since| {
        ListRequest::new(&folder)
            .with_inline(Some(Form::Mime))
            .with_since(since)
    };
    let whole = stage.list(request(None)).await;
    for cut in (10..60_000).step_by(7001) {
        stage.afresh();
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
        // Around the place where it broke contents are left out.
        let without = summary.items.values().filter(|item| item.content.is_none());
        assert!(without.count() <= 100);
        for (id, item) in &mut summary.items {
            if item.content.is_none() {
                item.content.clone_from(&whole.items[id].content);
            }
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

/// A server that hangs up in the midst of one message, each time it is asked for.
#[tokio::test]
async fn a_message_that_breaks_connections_costs_no_other() {
    let stage = stage(&[], 2).await;
    stage.fill(300);
    let folder = stage.inbox().await;
    let whole = stage.list(ListRequest::new(&folder)).await;
    let ids: Vec<_> = whole.items.keys().cloned().collect();
    // The first listing breaks within the first messages.
    stage
        .server
        .faults()
        .arm("UID FETCH", 1, Action::CloseInReply(500));
    let request = || ListRequest::new(&folder).with_inline(Some(Form::Mime));
    let mut pages = stage.source.list(request());
    let failure = loop {
        if let Err(error) = pages.next().await.unwrap() {
            break error;
        }
    };
    assert!(failure.is_transient());
    // The second leaves out contents around that place, and nothing else.
    let summary = stage.list(request()).await;
    assert_eq!((summary.items.len(), summary.exists), (300, Some(300)));
    let bare: Vec<usize> = (0..300)
        .filter(|at| summary.items[&ids[*at]].content.is_none())
        .collect();
    let first = bare[0];
    assert!(first < 10);
    assert_eq!(bare, (first..first + 100).collect::<Vec<_>>());

    // Asked for alone, and last, it breaks connections until it is given up.
    let fetch = |ids: &[_]| {
        let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids.to_vec());
        collect(stage.source.fetch(request))
    };
    let asked = &ids[..first + 5];
    let mut given_up = None;
    for _ in 0..3 {
        // Whole sets come first, so that the second command is the odd one alone.
        stage
            .server
            .faults()
            .arm("UID FETCH", 2, Action::CloseInReply(20));
        let answers = fetch(asked).await;
        stage.server.faults().clear();
        assert_eq!(answers.len(), asked.len());
        for (id, fetched) in answers {
            match fetched {
                Fetched::Content(_) => assert_ne!(id, ids[first]),
                Fetched::Failed(error) => {
                    assert_eq!(id, ids[first]);
                    given_up = Some(error);
                }
                other => unreachable!("{other:?}"),
            }
        }
    }
    let error = given_up.unwrap();
    assert_eq!(error.code(), "imap/breaks-connection");
    assert_eq!(
        (error.scope(), error.is_transient()),
        (Scope::Message, false)
    );
}
