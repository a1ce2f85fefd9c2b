//! Trials of the contract.

use mailmove_core::{
    ErrorKind, Scope,
    checkpoint::{FolderNo, FolderState, ItemRow, ItemState, Record, Scan, Stored, TargetNo},
    model::{
        Alteration, AlterationKind, ContentDigest, ContentId, Cursor, Flags, JobId, Mark, Role,
        Timestamp, Token,
    },
    store::{MemoryStore, When},
};

use super::util::*;

macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::memory()).await;
            })*
        }
        #[cfg(feature = "sqlite")]
        mod in_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::sqlite()).await;
            })*
        }
    };
}

trials![
    every_field_reads_back,
    rows_outlive_the_ledger,
    one_ledger_at_a_time,
    a_stream_keeps_the_lock,
    a_conflict_leaves_nothing_behind,
    a_conflict_does_not_disturb_its_neighbours,
    claims_hold_across_folders_and_may_move,
    rows_keep_their_numbers,
    scans_filter_and_keep_order,
    scans_go_over_many_pages,
    counts_add_up,
    rows_are_found_by_content,
    unclaimed_messages_are_offered_until_claimed,
    intents_close,
    gone_rows_come_back,
    huge_numbers_are_bounded,
];

async fn every_field_reads_back(place: Place) {
    let ledger = place.open().await;
    let mut records = places();
    let (Record::Folder(mut folder), Record::Target(mut target)) = (folder(0), target(0)) else {
        unreachable!()
    };
    folder.role = Some(Role::Sent);
    folder.state = FolderState::Excluded("rule/'x'".into());
    folder.target = Some(TargetNo(0));
    folder.cursor = Some(Cursor::new("c"));
    folder.rules = "r".into();
    folder.listed = true;
    folder.token = Some(Token::new("t"));
    folder.exists = Some(12);
    target.examined = Some(Mark::counted("9", u64::MAX));
    target.messages = Some(3);
    target.mark = Some(Mark::opaque("", "tok"));
    let mut full = copied(0, 1, 0, 5);
    full.code = Some("imap/x".into());
    full.size = 99;
    full.received = Some(Timestamp::new(-5, -90));
    full.flags = Flags::parse("\\Seen $Forwarded");
    full.accepted = Some(Flags::parse(""));
    full.digest = Some(ContentDigest::of(b"x"));
    full.header = Some(header(3));
    full.content_id = Some(ContentId::new("g:1"));
    full.pass = 4;
    full.attempts = 2;
    full.gone = true;
    full.resent = true;
    full.altered = vec![Alteration::new(
        AlterationKind::FlagDropped,
        "Work \u{1f600}\0",
    )];
    let stored = full.clone();
    records.push(Record::Folder(folder.clone()));
    records.push(Record::Target(target.clone()));
    records.push(item(full.clone()));
    let Record::Intent(mut copying) = intent(3, vec![full]) else {
        unreachable!()
    };
    copying.copied = true;
    records.push(Record::Intent(copying));
    records.push(Record::Meta("a".into(), "1".into()));
    records.push(Record::Meta("a".into(), "2".into()));
    ledger.commit(records).await.unwrap();

    assert_eq!(ledger.meta("a").await.unwrap().as_deref(), Some("2"));
    assert_eq!(ledger.meta("z").await.unwrap(), None);
    assert_eq!(ledger.folders().await.unwrap()[0], *folder);
    assert_eq!(ledger.targets().await.unwrap()[0], *target);
    let found = ledger.items(FolderNo(0), vec![id(9), id(1)]).await.unwrap();
    assert!(found[0].is_none());
    let found = found[1].clone().unwrap();
    assert_eq!((found.number, &found.row), (0, &stored));
    // The zone is no part of equality.
    let zone = found.row.received.map(Timestamp::offset_minutes);
    assert_eq!(zone, Some(-90));
    let intents = ledger.intents().await.unwrap();
    assert_eq!(intents[0].items, vec![stored]);
    assert!(intents[0].copied);
    for state in [
        FolderState::Failed("c".into()),
        FolderState::Gone,
        FolderState::Mapped,
    ] {
        folder.state = state.clone();
        let again = vec![Record::Folder(folder.clone())];
        ledger.commit(again).await.unwrap();
        assert_eq!(ledger.folders().await.unwrap()[0].state, state);
    }
    for (n, state) in (10..).zip(ItemState::ALL) {
        let mut row = row(1, n);
        row.state = state;
        ledger.commit(vec![item(row)]).await.unwrap();
        let found = ledger.items(FolderNo(1), vec![id(n)]).await.unwrap();
        assert_eq!(found[0].as_ref().unwrap().row.state, state);
    }
}

async fn rows_outlive_the_ledger(place: Place) {
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    let more = vec![item(row(0, 1)), intent(1, vec![row(0, 1)])];
    ledger.commit(more).await.unwrap();
    let before = dump(&ledger).await;
    drop(ledger);
    let ledger = place.open().await;
    assert_eq!(dump(&ledger).await, before);
    let other = place.store.open(&JobId::new("job-2")).await.unwrap();
    assert!(other.folders().await.unwrap().is_empty());
}

async fn one_ledger_at_a_time(place: Place) {
    let ledger = place.open().await;
    let error = place.store.open(&job()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.remedy().is_some() && error.to_string().contains("job-1"));
    drop(ledger);
    place.open().await;
}

async fn a_stream_keeps_the_lock(place: Place) {
    let ledger = place.open().await;
    let stream = ledger.scan(Scan::all());
    drop(ledger);
    let error = place.store.open(&job()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    drop(stream);
    place.open().await;
}

async fn a_conflict_leaves_nothing_behind(place: Place) {
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    let first = vec![
        item(copied(0, 1, 0, 5)),
        item(copied(0, 2, 0, 6)),
        unclaimed(0, 7, 1, Some(1)),
        unclaimed(0, 8, 1, Some(1)),
        intent(1, vec![row(0, 3)]),
        Record::Meta("a".into(), "1".into()),
    ];
    ledger.commit(first).await.unwrap();
    let before = dump(&ledger).await;
    let bad = vec![
        Record::Meta("a".into(), "2".into()),
        Record::Meta("b".into(), "2".into()),
        folder(0),
        target(9),
        item(row(2, 1)),
        item(copied(0, 3, 0, 7)),
        // Gives up one claim and takes another's.
        item(copied(0, 2, 1, 6)),
        unclaimed(0, 9, 1, None),
        Record::Gone(FolderNo(0), id(1), true),
        Record::Close(1),
        intent(2, vec![]),
        item(copied(1, 1, 0, 5)),
    ];
    let error = ledger.commit(bad).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.scope()),
        (ErrorKind::Conflict, Scope::Message)
    );
    assert!(
        error.to_string().contains("7/1 of folder 0"),
        "names the holder: {error}"
    );
    assert_eq!(dump(&ledger).await, before);
    // Row numbers have no gap where the failed commit was.
    ledger.commit(vec![item(row(3, 3))]).await.unwrap();
    let found = ledger.items(FolderNo(3), vec![id(3)]).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().number, 2);
}

async fn a_conflict_does_not_disturb_its_neighbours(place: Place) {
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    let many = (0..300_u64).map(|n| {
        // Each third one claims what its predecessor has claimed.
        let there = if n % 3 == 2 { n - 1 } else { n };
        ledger.commit(vec![item(row(1, n)), item(copied(0, n, 0, there))])
    });
    let results = futures_util::future::join_all(many).await;
    for (n, result) in results.into_iter().enumerate() {
        match n % 3 {
            2 => assert_eq!(result.unwrap_err().kind(), ErrorKind::Conflict),
            _ => result.unwrap(),
        }
    }
    for no in 0..2 {
        let rows = scan(&ledger, Scan::folder(FolderNo(no))).await;
        assert_eq!(rows.len(), 200);
        assert!(rows.iter().all(|stored| stored.row.id != id(2)));
    }
    let numbers: Vec<_> = scan(&ledger, Scan::all()).await;
    let numbers: Vec<_> = numbers.iter().map(|stored| stored.number).collect();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
}

async fn claims_hold_across_folders_and_may_move(place: Place) {
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    let first = vec![item(copied(0, 1, 0, 5)), item(copied(1, 1, 1, 5))];
    ledger.commit(first).await.unwrap();
    let ids = || vec![id(4), id(5)];
    let claims = ledger.claims(TargetNo(0), ids()).await.unwrap();
    assert_eq!(claims, vec![None, Some((FolderNo(0), id(1)))]);
    // The same row may say again what it has.
    ledger.commit(vec![item(copied(0, 1, 0, 5))]).await.unwrap();
    // A claim that is given up is free within the same commit, but not before.
    let early = vec![item(copied(2, 1, 0, 5)), item(row(0, 1))];
    assert_eq!(
        ledger.commit(early).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let swap = vec![item(row(0, 1)), item(copied(2, 1, 0, 5))];
    ledger.commit(swap).await.unwrap();
    let claims = ledger.claims(TargetNo(0), ids()).await.unwrap();
    assert_eq!(claims, vec![None, Some((FolderNo(2), id(1)))]);
}

async fn rows_keep_their_numbers(place: Place) {
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    for n in [5, 3, 4] {
        ledger.commit(vec![item(row(0, n))]).await.unwrap();
    }
    ledger.commit(vec![item(copied(0, 3, 0, 1))]).await.unwrap();
    let asked = vec![id(3), id(9), id(5), id(3)];
    let found = ledger.items(FolderNo(0), asked).await.unwrap();
    let numbers: Vec<_> = found
        .iter()
        .map(|found| found.as_ref().map(|found| found.number))
        .collect();
    assert_eq!(numbers, [Some(1), None, Some(0), Some(1)]);
}

async fn scans_filter_and_keep_order(place: Place) {
    let ledger = place.open().await;
    let mut records = places();
    for n in (0..40_u64).rev() {
        let folder = u32::try_from(n % 3).unwrap();
        let mut row = copied(folder, n, u32::try_from(n % 2).unwrap(), n);
        row.state = ItemState::ALL[usize::try_from(n % 8).unwrap()];
        row.gone = n % 5 == 0;
        records.push(item(row));
    }
    ledger.commit(records).await.unwrap();
    let seen = |rows: Vec<mailmove_core::checkpoint::Stored>| -> Vec<u64> {
        rows.into_iter().map(|stored| 39 - stored.number).collect()
    };
    let states = [ItemState::Pending, ItemState::Copied];
    let expect =
        |keep: &dyn Fn(u64) -> bool| -> Vec<u64> { (0..40).rev().filter(|n| keep(*n)).collect() };
    for (asked, expected) in [
        (Scan::all(), expect(&|_| true)),
        (Scan::folder(FolderNo(1)), expect(&|n| n % 3 == 1)),
        (Scan::target(TargetNo(1)), expect(&|n| n % 2 == 1)),
        (Scan::all().with_gone(true), expect(&|n| n % 5 == 0)),
        (Scan::all().with_states(&states), expect(&|n| n % 8 < 2)),
        (
            Scan::folder(FolderNo(2))
                .with_states(&states)
                .with_gone(false),
            expect(&|n| n % 3 == 2 && n % 8 < 2 && n % 5 != 0),
        ),
        (
            Scan::folder(FolderNo(0)).with_states(&[ItemState::Failed, ItemState::Pending]),
            expect(&|n| n % 3 == 0 && matches!(n % 8, 0 | 5)),
        ),
    ] {
        assert_eq!(
            seen(scan(&ledger, asked.clone()).await),
            expected,
            "{asked:?}"
        );
    }
    let mut both = Scan::folder(FolderNo(1));
    both.target = Some(TargetNo(0));
    assert_eq!(seen(scan(&ledger, both).await), expect(&|n| n % 6 == 4));
}

async fn scans_go_over_many_pages(place: Place) {
    use futures_util::StreamExt as _;
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    let rows = |range: std::ops::Range<u64>| range.map(|n| item(row(0, n))).collect::<Vec<_>>();
    ledger.commit(rows(0..5000)).await.unwrap();
    let mut stream = ledger.scan(Scan::all());
    let mut seen = Vec::new();
    while let Some(page) = stream.next().await {
        let page = page.unwrap();
        assert!(!page.is_empty() && page.len() <= 4096);
        // Writing goes on while somebody reads.
        ledger.commit(vec![item(row(0, 17))]).await.unwrap();
        seen.extend(page.into_iter().map(|stored| stored.number));
    }
    assert_eq!(seen, (0..5000).collect::<Vec<_>>());
}

async fn counts_add_up(place: Place) {
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    assert!(ledger.counts(FolderNo(0)).await.unwrap().is_empty());
    let mut records = Vec::new();
    for n in 0..60_u64 {
        let mut row = row(u32::try_from(n % 2).unwrap(), n);
        row.state = ItemState::ALL[usize::try_from(n % 8).unwrap()];
        row.pass = u32::try_from(n % 3).unwrap();
        row.gone = n % 7 == 0;
        row.size = n;
        records.push(item(row));
    }
    ledger.commit(records).await.unwrap();
    let counts = ledger.counts(FolderNo(0)).await.unwrap();
    assert_eq!(counts.iter().map(|count| count.messages).sum::<u64>(), 30);
    assert_eq!(counts.iter().map(|count| count.bytes).sum::<u64>(), 870);
    assert!(counts.iter().all(|count| count.messages > 0));
    let keys: Vec<_> = counts
        .iter()
        .map(|count| (count.state, count.pass, count.gone))
        .collect();
    assert!(keys.is_sorted() && keys.len() > 8);
}

async fn rows_are_found_by_content(place: Place) {
    let ledger = place.open().await;
    let with = |mut row: ItemRow, content: &str| {
        row.content_id = Some(ContentId::new(content));
        item(row)
    };
    let mut records = places();
    records.push(with(copied(1, 1, 1, 1), "a"));
    records.push(with(row(0, 1), "b"));
    records.push(with(row(0, 2), "a"));
    records.push(item(row(0, 3)));
    ledger.commit(records).await.unwrap();
    let asked = || ["a", "none", "b"].map(ContentId::new).to_vec();
    let found = ledger.sharing(asked()).await.unwrap();
    let numbers = |found: &[Vec<Stored>]| -> Vec<Vec<u64>> {
        let of = |rows: &Vec<Stored>| rows.iter().map(|stored| stored.number).collect();
        found.iter().map(of).collect()
    };
    assert_eq!(numbers(&found), [vec![0, 2], vec![], vec![1]]);
    assert_eq!(found[0][0].row.target, Some((TargetNo(1), id(1))));
    // A commit that fails takes its changes of it back.
    let fails = vec![
        with(row(0, 2), "b"),
        with(row(0, 9), "a"),
        item(copied(0, 3, 1, 1)),
    ];
    ledger.commit(fails).await.unwrap_err();
    let found = ledger.sharing(asked()).await.unwrap();
    assert_eq!(numbers(&found), [vec![0, 2], vec![], vec![1]]);
    ledger.commit(vec![with(row(0, 2), "b")]).await.unwrap();
    let found = ledger.sharing(asked()).await.unwrap();
    assert_eq!(numbers(&found), [vec![0], vec![], vec![1, 2]]);
}

async fn unclaimed_messages_are_offered_until_claimed(place: Place) {
    let ledger = place.open().await;
    let mut records = places();
    records.extend([
        unclaimed(0, 9, 1, Some(100)),
        unclaimed(0, 2, 1, Some(100)),
        unclaimed(0, 3, 1, Some(101)),
        unclaimed(0, 4, 2, Some(100)),
        unclaimed(0, 5, 1, None),
        unclaimed(1, 2, 1, Some(100)),
        // Known already: what was recorded first stays.
        unclaimed(0, 9, 2, Some(7)),
    ]);
    ledger.commit(records).await.unwrap();
    assert_eq!(
        candidates(&ledger, 0, 1, Some(100)).await,
        [id(9), id(2)],
        "in the order recorded"
    );
    assert_eq!(candidates(&ledger, 0, 1, None).await.len(), 4);
    assert_eq!(candidates(&ledger, 0, 2, None).await, [id(4)]);
    // Claimed: no longer offered, and not taken in again.
    let claim = vec![
        item(copied(0, 1, 0, 9)),
        unclaimed(0, 9, 1, Some(100)),
        unclaimed(0, 6, 3, None),
    ];
    ledger.commit(claim).await.unwrap();
    assert_eq!(candidates(&ledger, 0, 1, Some(100)).await, [id(2)]);
    // A claim given up does not make it unclaimed, but it may be recorded again.
    ledger.commit(vec![item(row(0, 1))]).await.unwrap();
    assert_eq!(candidates(&ledger, 0, 1, Some(100)).await, [id(2)]);
    let again = vec![unclaimed(0, 9, 1, Some(100))];
    ledger.commit(again).await.unwrap();
    assert_eq!(candidates(&ledger, 0, 1, Some(100)).await, [id(2), id(9)]);
    assert_eq!(candidates(&ledger, 1, 1, None).await, [id(2)]);
}

async fn intents_close(place: Place) {
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    let open = vec![intent(10, vec![]), intent(9, vec![row(0, 1), row(0, 2)])];
    ledger.commit(open).await.unwrap();
    let batches = |intents: Vec<mailmove_core::checkpoint::Intent>| -> Vec<u64> {
        intents.iter().map(|intent| intent.batch).collect()
    };
    assert_eq!(batches(ledger.intents().await.unwrap()), [9, 10]);
    let close = vec![Record::Close(9), Record::Close(77)];
    ledger.commit(close).await.unwrap();
    assert_eq!(batches(ledger.intents().await.unwrap()), [10]);
}

async fn gone_rows_come_back(place: Place) {
    let ledger = place.open().await;
    let mut records = places();
    records.extend([
        item(row(0, 1)),
        Record::Gone(FolderNo(0), id(1), true),
        // Never seen: ignored.
        Record::Gone(FolderNo(0), id(2), true),
    ]);
    ledger.commit(records).await.unwrap();
    let gone = || scan(&ledger, Scan::all().with_gone(true));
    assert_eq!(gone().await.len(), 1);
    let back = vec![Record::Gone(FolderNo(0), id(1), false)];
    ledger.commit(back).await.unwrap();
    assert!(gone().await.is_empty());
}

async fn huge_numbers_are_bounded(place: Place) {
    let ledger = place.open().await;
    let mut records = places();
    for n in 0..3 {
        let mut row = row(0, n);
        row.size = u64::MAX;
        records.push(item(row));
    }
    records.push(unclaimed(0, 1, 1, Some(u64::MAX)));
    ledger.commit(records).await.unwrap();
    let rows = scan(&ledger, Scan::all()).await;
    assert_eq!(rows[0].row.size, i64::MAX as u64);
    assert_eq!(ledger.counts(FolderNo(0)).await.unwrap()[0].bytes, u64::MAX);
    assert_eq!(candidates(&ledger, 0, 1, Some(u64::MAX)).await, [id(1)]);
}

#[tokio::test]
async fn memory_commits_fail_when_told_to() {
    let store = MemoryStore::new();
    let open = || async {
        mailmove_core::CheckpointStore::open(&store, &job())
            .await
            .unwrap()
    };
    let ledger = open().await;
    ledger.commit(places()).await.unwrap();
    assert_eq!((store.commits(), store.records()), (1, 8));
    store.fail_commit(2, When::Before);
    store.fail_commit(3, When::After);
    for (n, rows) in [(1, 0), (2, 1)] {
        let error = ledger.commit(vec![item(row(0, n))]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert_eq!(store.rows(&job()).len(), rows);
    }
    ledger.commit(vec![item(row(0, 3))]).await.unwrap();
    store.die_at_commit(5, When::After);
    for n in 4..7 {
        ledger.commit(vec![item(row(0, n))]).await.unwrap_err();
    }
    drop(ledger);
    let ledger = open().await;
    ledger.commit(vec![item(row(0, 9))]).await.unwrap();
    let ids: Vec<_> = store.rows(&job()).into_iter().map(|r| r.row.id).collect();
    assert_eq!(ids, [id(2), id(3), id(4), id(9)]);
    assert_eq!(store.commits(), 8);
    store.fail_commit(20, When::Before);
    store.die_at_commit(21, When::After);
    store.die_at_commit(22, When::Before);
    assert_eq!((store.disarm(), store.disarm()), (3, 0));
    ledger.commit(vec![intent(1, vec![])]).await.unwrap();
    assert_eq!(store.intents(&job()), ledger.intents().await.unwrap());
    assert_eq!(store.intents(&job()).len(), 1);
}

#[tokio::test]
async fn memory_refuses_what_refers_to_nothing() {
    let place = memory();
    let ledger = place.open().await;
    let error = ledger.commit(vec![item(row(0, 1))]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug);
    ledger.commit(vec![folder(7)]).await.unwrap();
    for claims in [vec![(7, 9)], vec![(7, 8), (7, 8)]] {
        let rows = claims.iter().zip(1..);
        let rows = rows.map(|((folder, target), n)| item(copied(*folder, n, *target, n)));
        let error = ledger.commit(rows.collect()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Bug);
    }
    let mut together = vec![item(copied(0, 1, 2, 1))];
    together.extend(places());
    ledger.commit(together).await.unwrap();
}
