//! What is on disk, as other programs see it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use futures_util::StreamExt as _;
use maildir::Maildir;
use mailmove_core::{
    Destination as _, ErrorKind,
    destination::{Batch, Depth, Existing, FlagChange, NoFence, Outcome, Outgoing, Probe, Receipt},
    model::{
        AlterationKind, Content, ContentDigest, Flags, Folder, FolderPath, FolderSpec, Mark,
        MessageId, Timestamp,
    },
};

async fn ensure(maildir: &Maildir, names: &[&str]) -> Folder {
    let spec = FolderSpec::new(FolderPath::new(names.iter().copied())).with_subscription(true);
    maildir
        .ensure_folders(vec![spec])
        .next()
        .await
        .unwrap()
        .1
        .unwrap()
}

fn message(text: &str, flags: &str, seconds: i64) -> Outgoing {
    Outgoing::new(Content::from_bytes(text.to_owned()))
        .with_flags(Flags::parse(flags))
        .with_received(Some(Timestamp::new(seconds, 120)))
}

async fn append(
    maildir: &Maildir,
    folder: &Folder,
    mark: Mark,
    items: Vec<Outgoing>,
) -> Vec<Outcome> {
    let batch = Batch::new(folder.id.clone(), mark, items, Arc::new(NoFence));
    maildir
        .append(batch)
        .map(|(_, outcome)| outcome)
        .collect()
        .await
}

async fn store(maildir: &Maildir, folder: &Folder, item: Outgoing) -> Receipt {
    let mark = maildir.mark(&folder.id).await.unwrap();
    match append(maildir, folder, mark, vec![item]).await.pop() {
        Some(Outcome::Stored(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

async fn look(maildir: &Maildir, probe: Probe) -> Vec<Existing> {
    let pages: Vec<_> = maildir.existing(probe).collect().await;
    pages.into_iter().flat_map(Result::unwrap).collect()
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_message_is_a_file_with_its_flags_date_and_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = Maildir::new(dir.path().join("Maildir"));
    let folder = ensure(&maildir, &["Archive", "2024"]).await;
    let text = "Subject: x\r\n\r\n8-bit \u{e4}, bare\nLF";
    let receipt = store(
        &maildir,
        &folder,
        message(text, "\\Seen \\Flagged Work $Forwarded", 1_700_000_000),
    )
    .await;
    assert!(receipt.altered.is_empty(), "{receipt:?}");

    let root = dir.path().join("Maildir");
    let cur = root.join(".Archive.2024/cur");
    let names = files(&cur);
    assert_eq!(names.len(), 1);
    let (base, letters) = names[0].split_once(":2,").unwrap();
    assert!(base.ends_with(&format!(",S={}", text.len())), "{base}");
    // "$Forwarded" sorts before "Work", so it came first and is the letter a.
    assert_eq!(letters, "FSab");
    assert_eq!(
        fs::read_to_string(root.join(".Archive.2024/dovecot-keywords")).unwrap(),
        "0 $Forwarded\n1 Work\n"
    );
    assert_eq!(fs::read(cur.join(&names[0])).unwrap(), text.as_bytes());
    let modified = fs::metadata(cur.join(&names[0]))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    assert!(files(&root.join(".Archive.2024/tmp")).is_empty());
    assert!(
        root.join(".Archive/cur").is_dir(),
        "parents are folders too"
    );
    assert_eq!(
        fs::read_to_string(root.join("subscriptions")).unwrap(),
        "Archive.2024\n"
    );

    let found = look(&maildir, Probe::new(folder.id.clone(), Depth::Content)).await;
    assert_eq!(found[0].digest, Some(ContentDigest::of(text.as_bytes())));
    assert_eq!(found[0].received, Some(Timestamp::new(1_700_000_000, 0)));
    assert_eq!(
        found[0].flags,
        Flags::parse("\\Seen \\Flagged Work $Forwarded")
    );
}

#[tokio::test]
async fn what_others_deliver_is_found_from_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = Maildir::new(dir.path());
    let folder = ensure(&maildir, &["INBOX"]).await;
    fs::write(dir.path().join("new/1.early.host"), "early").unwrap();
    let mark = maildir.mark(&folder.id).await.unwrap();
    fs::write(dir.path().join("new/0.late.host"), "late").unwrap();
    fs::write(dir.path().join("cur/2.late.host:2,T"), "later").unwrap();
    let since = Probe::new(folder.id.clone(), Depth::Content).with_since(Some(mark));
    let mut digests: Vec<_> = look(&maildir, since.clone())
        .await
        .into_iter()
        .map(|e| e.digest)
        .collect();
    let mut expected = vec![
        Some(ContentDigest::of(b"late")),
        Some(ContentDigest::of(b"later")),
    ];
    digests.sort();
    expected.sort();
    assert_eq!(digests, expected);
    // Another program marks it as read: the same message, by the same id.
    let before = look(&maildir, since.clone()).await;
    fs::rename(
        dir.path().join("new/0.late.host"),
        dir.path().join("cur/0.late.host:2,S"),
    )
    .unwrap();
    let after = look(&maildir, since).await;
    let ids = |found: &[Existing]| found.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after));
}

#[tokio::test]
async fn a_folder_made_again_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = Maildir::new(dir.path());
    let folder = ensure(&maildir, &["a"]).await;
    let mark = maildir.mark(&folder.id).await.unwrap();
    fs::remove_dir_all(dir.path().join(".a")).unwrap();
    assert_eq!(
        maildir.mark(&folder.id).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let again = ensure(&maildir, &["a"]).await;
    assert_ne!(again.identity, folder.identity);
    let outcomes = append(&maildir, &again, mark, vec![message("x", "", 0)]).await;
    assert!(
        matches!(&outcomes[..], [Outcome::NotStored(error)] if error.kind() == ErrorKind::Stale)
    );
    assert!(files(&dir.path().join(".a/cur")).is_empty());
}

#[tokio::test]
async fn a_torn_line_of_numbers_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = Maildir::new(dir.path());
    let folder = ensure(&maildir, &["INBOX"]).await;
    let first = store(&maildir, &folder, message("1", "", 0))
        .await
        .id
        .unwrap();
    let list = dir.path().join("mailmove-numbers");
    let mut text = fs::read_to_string(&list).unwrap();
    text.push_str("9999 17000");
    fs::write(&list, text).unwrap();
    let second = store(&maildir, &folder, message("2", "", 0))
        .await
        .id
        .unwrap();
    let found = look(&maildir, Probe::new(folder.id, Depth::Ids)).await;
    assert_eq!(
        found.iter().map(|e| e.id.clone()).collect::<Vec<_>>(),
        [first, second.clone()]
    );
    assert_eq!(maildir.describe(&second), "message 2");
}

#[tokio::test]
async fn the_27th_keyword_is_reported_as_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = Maildir::new(dir.path());
    let folder = ensure(&maildir, &["INBOX"]).await;
    let all: Vec<String> = (0..27).map(|n| format!("k{n:02}")).collect();
    let receipt = store(&maildir, &folder, message("x", &all.join(" "), 0)).await;
    assert_eq!(receipt.altered.len(), 1);
    assert_eq!(
        (receipt.altered[0].kind, receipt.altered[0].detail.as_str()),
        (AlterationKind::FlagDropped, "k26")
    );
    assert_eq!(receipt.flags, Some(Flags::parse(&all[..26].join(" "))));
    let keeps = maildir.folders().await.unwrap().remove(0).keeps.unwrap();
    assert_eq!(
        keeps.split(&Flags::parse("k00 other \\Seen")).1,
        Flags::parse("other")
    );
}

#[tokio::test]
async fn the_updater_changes_moves_and_removes_just_that_one() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = Maildir::new(dir.path());
    let (inbox, other) = (
        ensure(&maildir, &["INBOX"]).await,
        ensure(&maildir, &["other"]).await,
    );
    let kept = store(&maildir, &inbox, message("kept", "\\Seen", 7))
        .await
        .id
        .unwrap();
    let id = store(&maildir, &inbox, message("moves", "\\Seen Work", 8))
        .await
        .id
        .unwrap();
    let updater = maildir.updater().unwrap();

    let change = FlagChange::new(id.clone(), Flags::parse("\\Draft"), Flags::parse("\\Seen"));
    let outcomes: Vec<_> = updater.set_flags(&inbox.id, vec![change]).collect().await;
    let [(_, Outcome::Stored(receipt))] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(receipt.flags, Some(Flags::parse("\\Draft Work")));

    let gone = MessageId::new("0.99");
    let outcomes: Vec<_> = updater
        .relocate(&inbox.id, vec![id, gone], &other.id)
        .collect()
        .await;
    let [
        (_, Outcome::Stored(receipt)),
        (_, Outcome::NotStored(error)),
    ] = &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let moved = look(&maildir, Probe::new(other.id.clone(), Depth::Meta)).await;
    assert_eq!(Some(&moved[0].id), receipt.id.as_ref());
    assert_eq!(
        (moved[0].flags.clone(), moved[0].received),
        (Flags::parse("\\Draft Work"), Some(Timestamp::new(8, 0)))
    );

    let outcomes: Vec<_> = updater
        .remove(&other.id, vec![moved[0].id.clone()])
        .collect()
        .await;
    assert!(matches!(&outcomes[..], [(_, Outcome::Stored(_))]));
    assert!(
        look(&maildir, Probe::new(other.id, Depth::Ids))
            .await
            .is_empty()
    );
    let left = look(&maildir, Probe::new(inbox.id, Depth::Ids)).await;
    assert_eq!(
        left.iter().map(|e| e.id.clone()).collect::<Vec<_>>(),
        [kept]
    );
}

#[tokio::test]
async fn looking_at_the_folders_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = Maildir::new(dir.path().join("none"));
    assert!(maildir.folders().await.unwrap().is_empty());
    for part in ["cur", "new", "tmp", ".x/cur", ".x/new"] {
        fs::create_dir_all(dir.path().join(part)).unwrap();
    }
    fs::write(dir.path().join(".x/new/1.a"), "x").unwrap();
    let found = Maildir::new(dir.path()).folders().await.unwrap();
    let seen: Vec<_> = found
        .iter()
        .map(|f| (f.path.to_string(), f.messages))
        .collect();
    assert_eq!(
        seen,
        [("x".to_owned(), Some(1)), ("INBOX".to_owned(), Some(0))]
    );
    assert_eq!(files(&dir.path().join(".x")), ["cur", "new"]);
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_for_their_slot_alone() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = Maildir::new(dir.path());
    let names = [vec!["a.b"], vec!["../x"], vec!["fine"], vec![]];
    let want = names
        .map(|names| FolderSpec::new(FolderPath::new(names)))
        .to_vec();
    let made: Vec<_> = maildir.ensure_folders(want).collect().await;
    let fine: Vec<_> = made.iter().map(|(_, result)| result.is_ok()).collect();
    assert_eq!(fine, [false, false, true, false]);
}
