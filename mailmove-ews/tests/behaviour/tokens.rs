//! Tokens of folders: a pass with nothing new costs next to nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mailmove_core::{
    Edges, Migration, Source as _,
    model::Token,
    observe::{Event, Observer},
    report::{Report, Status},
    store::MemoryStore,
};
use mailmove_ews::{EwsDestination, EwsSource};
use mailmove_ews_testserver::{Builder, Scheme, Server};
use mailmove_testkit::{
    clock::TestClock,
    mailbox::{Account, FlagOp, NewMessage},
};

use crate::support::{account, config, count, fill, inbox, letter, password, source, start};

async fn token(server: &Server) -> Option<Token> {
    inbox(&source(config(server))).await.token
}

#[tokio::test]
async fn whatever_happens_in_a_folder_changes_its_token() {
    let server = start(|builder| builder).await;
    let capable = source(config(&server)).capabilities().await.unwrap();
    assert!(capable.change_tokens);
    fill(&server, 3);
    let account = account(&server);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let mut seen = vec![token(&server).await.unwrap()];
    assert_eq!(token(&server).await.as_ref(), seen.last());
    let flag = |op, flag: &str| {
        account.store(inbox, &[1], op, &[flag], None).unwrap();
    };
    let add = |number| {
        let letter = NewMessage::new(letter(number));
        account.append(inbox, vec![letter]).unwrap();
    };
    let remove = |uid| {
        account.remove(inbox, &[uid]).unwrap();
    };
    let changes: [&dyn Fn(); 6] = [
        &|| flag(FlagOp::Add, "\\Seen"),
        &|| flag(FlagOp::Remove, "\\Seen"),
        &|| flag(FlagOp::Add, "Work"),
        &|| add(9),
        &|| remove(2),
        // One goes, one comes.
        &|| {
            add(8);
            remove(3);
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        change();
        let now = token(&server).await.unwrap();
        assert!(!seen.contains(&now), "change {number}: {now:?}");
        seen.push(now);
    }
}

/// The server tells the last change to the second: what changes within the same second must not be
/// passed over, and clocks differ.
#[tokio::test]
async fn a_folder_that_was_changed_just_now_has_no_token() {
    const AT: u64 = 1_700_000_000;
    let clock = TestClock::new(Duration::from_secs(AT));
    let of_server = Arc::new(clock.clone());
    let server = start(|builder| builder.clock(of_server).last_commit(1_700_000_000)).await;
    fill(&server, 1);
    for (later, has) in [(0, false), (59, false), (2, true)] {
        clock.advance(Duration::from_secs(later));
        assert_eq!(token(&server).await.is_some(), has, "{later}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_tell_has_no_tokens() {
    let server = start(Builder::tells_no_changes).await;
    fill(&server, 1);
    let source = source(config(&server));
    assert!(!source.capabilities().await.unwrap().change_tokens);
    assert_eq!(inbox(&source).await.token, None);
}

/// With folders in which nothing is new each side is asked for its roles and its folders, and logged in to,
/// however many folders there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_with_nothing_new_asks_each_side_twice() {
    for (scheme, folders, login) in [
        (Scheme::Basic, 3, 1),
        (Scheme::Basic, 30, 1),
        (Scheme::Ntlm, 30, 2),
    ] {
        nothing_new(scheme, folders, login).await;
    }
}

async fn nothing_new(scheme: Scheme, folders: usize, login: u64) {
    let offers = |builder: Builder| builder.schemes(&[scheme]);
    let (from, to) = (start(offers).await, start(offers).await);
    for number in 0..folders {
        let id = account(&from)
            .create(&[format!("Folder {number}")])
            .unwrap();
        let letter = NewMessage::new(letter(number));
        account(&from).append(id, vec![letter]).unwrap();
    }
    let store = MemoryStore::new();
    let clock = TestClock::jumping(Duration::from_secs(1_800_000_000));
    let edges = || Edges::new().with_clock(Arc::new(clock.clone()));
    let pass = || async {
        for server in [&from, &to] {
            server.reset_counters();
        }
        let source = EwsSource::new(config(&from), password(), edges());
        let destination = EwsDestination::new(config(&to), password(), edges());
        let migration = Migration::builder(source, destination)
            .store(store.clone())
            .edges(edges())
            .build()
            .unwrap();
        let report = migration.run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:?}");
        (from.counters(), to.counters())
    };
    pass().await;
    let expected = [("FindFolder", 1), ("GetFolder", 1)];
    let expected = expected.map(|(name, times)| (name.to_owned(), times));
    // What comes right after the first pass, too.
    for _ in 0..3 {
        let (read, written) = pass().await;
        for side in [read, written] {
            assert_eq!(side.operations, expected.clone().into(), "{side:?}");
            assert_eq!(side.requests, 2 + login, "{side:?}");
        }
    }
    // One flag, and just that folder is looked at, on either side.
    let changed = account(&from).folder(&["Folder 2"]).unwrap().id;
    account(&from)
        .store(changed, &[1], FlagOp::Add, &["\\Flagged"], None)
        .unwrap();
    let (read, written) = pass().await;
    assert!(read.total_operations() <= 2 + 4, "{read:?}");
    assert!(written.total_operations() <= 2 + 12, "{written:?}");
    let there = account(&to).folder(&["Folder 2"]).unwrap().id;
    let there = account(&to).messages(there).unwrap();
    assert!(there[0].flags.contains("\\Flagged"));
    // What its user does there is looked into once; what he removes does not come back.
    pass().await;
    let lost = account(&to).folder(&["Folder 1"]).unwrap().id;
    account(&to).remove(lost, &[1]).unwrap();
    let (read, written) = pass().await;
    assert_eq!(read.total_operations(), 2);
    assert!(
        (3..=2 + 2 * 31 + 8).contains(&written.total_operations()),
        "{written:?}"
    );
    let (_, written) = pass().await;
    assert_eq!(written.operations, expected.clone().into(), "{written:?}");
    assert_eq!(account(&to).messages(lost).unwrap().len(), 0);
    assert_eq!(count(&to), 0);
}

/// Somebody who removes messages from the destination's inbox as soon as a pass works on it.
#[derive(Clone, Debug)]
struct Remover(Account, Arc<AtomicBool>);

impl Observer for Remover {
    fn on(&self, event: &Event) {
        if matches!(event, Event::FolderStarted { .. }) && self.1.swap(false, Ordering::Relaxed) {
            let inbox = self.0.folder(&["INBOX"]).unwrap().id;
            assert_eq!(self.0.remove(inbox, &[2, 3]).unwrap().len(), 2);
        }
    }
}

/// What leaves the destination while a pass is at work there is noticed by the next one, though nothing happens
/// in that folder any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_left_during_a_pass_is_noticed_by_the_next() {
    let (from, to) = (
        start(|builder| builder).await,
        start(|builder| builder).await,
    );
    let remover = Remover(account(&to), Arc::new(AtomicBool::new(false)));
    let store = MemoryStore::new();
    let clock = TestClock::jumping(Duration::from_secs(1_800_000_000));
    let edges = || Edges::new().with_clock(Arc::new(clock.clone()));
    let pass = async || -> Report {
        let source = EwsSource::new(config(&from), password(), edges());
        let destination = EwsDestination::new(config(&to), password(), edges());
        let migration = Migration::builder(source, destination)
            .store(store.clone())
            .observer(remover.clone())
            .edges(edges())
            .build()
            .unwrap();
        migration.run().await.unwrap()
    };
    fill(&from, 10);
    assert_eq!(pass().await.total().copied, 10);
    let inbox = account(&from).folder(&["INBOX"]).unwrap().id;
    account(&from)
        .append(inbox, vec![NewMessage::new(letter(77))])
        .unwrap();
    remover.1.store(true, Ordering::Relaxed);
    let second = pass().await;
    assert_eq!(second.total().copied, 1);
    assert_eq!(count(&to), 9);
    let third = pass().await;
    assert_eq!(third.total().removed_there, 2, "{third:#?}");
    assert_eq!(pass().await.total().removed_there, 2);
}
