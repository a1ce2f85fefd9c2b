//! Any bytes as a ledger's file: opened and read, or refused with an error; never a panic, and what is
//! refused as somebody else's stays as it was.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use futures_util::StreamExt as _;
use mailmove_core::{
    CheckpointStore as _, Ledger,
    checkpoint::{FolderNo, FolderRow, Intent, ItemRow, Record, Scan, TargetNo, TargetRow},
    identity::HeaderDigest,
    model::{ContentDigest, ContentId, Flags, FolderId, FolderPath, JobId, Mark, MessageId},
    store::SqliteStore,
};

/// What the file is made of: a good ledger with changes, or the bytes as they are.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let file = match choice % 4 {
        0 => rest.to_vec(),
        _ => changed(rest),
    };
    let place = &*PLACE;
    let path = place.path().join("job.sqlite3");
    let log = place.path().join("job.sqlite3-wal");
    for name in ["job.sqlite3-shm", "job.sqlite3-journal", "job.sqlite3-wal"] {
        let _ = std::fs::remove_file(place.path().join(name));
    }
    std::fs::write(&path, &file).expect("written");
    if choice & 0x80 != 0 {
        std::fs::write(&log, rest).expect("written");
    }
    let error = RUNTIME.block_on(async {
        let store = SqliteStore::new(place.path());
        match store.open(&JobId::new("job")).await {
            Ok(ledger) => {
                use_it(ledger).await;
                None
            }
            Err(error) => Some(error),
        }
    });
    if let Some(error) = error {
        let _ = (error.chain().to_string(), format!("{error:?}"));
        if ["store/foreign", "store/newer"].contains(&error.code()) && choice & 0x80 == 0 {
            // The journal's mode is in two bytes of the header.
            let now = std::fs::read(&path).expect("still there");
            assert!(now.len() == file.len(), "a refused file was changed");
        }
    }
}

/// Whatever is in it, each question has an answer or an error.
async fn use_it(ledger: Arc<dyn Ledger>) {
    let (folder, target) = (FolderNo(1), TargetNo(1));
    let _ = ledger.meta("pass").await;
    let _ = ledger.folders().await;
    let _ = ledger.targets().await;
    let _ = ledger.intents().await;
    let ids = vec![MessageId::new("1-1"), MessageId::new("no")];
    let _ = ledger.items(folder, ids.clone()).await;
    let _ = ledger.sharing(vec![ContentId::new("c")]).await;
    let _ = ledger.claims(target, ids).await;
    let header = HeaderDigest::of(b"Subject: mail\r\n");
    let _ = ledger.candidates(target, header, Some(4)).await;
    let _ = ledger.counts(folder).await;
    let mut pages = ledger.scan(Scan::all());
    let mut seen = 0;
    while let Some(page) = pages.next().await {
        seen += page.map_or(0, |page| page.len());
        assert!(seen < 1 << 20, "a scan that does not end");
    }
    drop(pages);
    let _ = ledger.commit(records()).await;
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().expect("a runtime")
});

/// In memory where there is such a place: what is tested is not the disk.
static PLACE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let made = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
    made.expect("a temporary directory")
});

/// A small ledger, closed.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = tempfile::tempdir().expect("a temporary directory");
    let store = SqliteStore::new(place.path());
    RUNTIME.block_on(async {
        let ledger = store.open(&JobId::new("good")).await.expect("made");
        ledger.commit(records()).await.expect("committed");
    });
    std::fs::read(store.file(&JobId::new("good"))).expect("a file")
});

fn records() -> Vec<Record> {
    let path = FolderPath::new(["a/b", "ü"]);
    let mut folder = FolderRow::new(FolderNo(1), FolderId::new("a"), path.clone(), "7");
    folder.target = Some(TargetNo(1));
    let mut target = TargetRow::new(TargetNo(1), FolderId::new("a"), path, "9");
    target.mark = Some(Mark::counted("9", 3));
    let mut row = ItemRow::new(FolderNo(1), MessageId::new("1-1"));
    row.flags = Flags::parse("\\Seen $Work");
    row.digest = Some(ContentDigest::of(b"mail"));
    row.header = Some(HeaderDigest::of(b"Subject: mail\r\n"));
    let intent = Intent::new(3, TargetNo(1), Mark::counted("9", 1), vec![row.clone()]);
    vec![
        Record::Folder(Box::new(folder)),
        Record::Target(Box::new(target)),
        Record::Item(Box::new(row)),
        Record::Intent(Box::new(intent)),
    ]
}

/// The good ledger with bytes put over it: each change is a place (two bytes), a length, and bytes.
fn changed(mut changes: &[u8]) -> Vec<u8> {
    let mut file = GOOD.clone();
    while let Some((&[high, low, len], rest)) = changes.split_first_chunk::<3>() {
        let place = usize::from(u16::from_be_bytes([high, low])) % file.len();
        let (bytes, rest) = rest.split_at(usize::from(len % 32).min(rest.len()));
        if len >= 0xf0 {
            file.truncate(place.max(1));
        }
        let place = place.min(file.len() - 1);
        for (byte, new) in file[place..].iter_mut().zip(bytes) {
            *byte = *new;
        }
        changes = rest;
    }
    file
}

/// A good one, some with changes in header, schema and rows, and what is none.
pub fn seeds() -> Vec<Vec<u8>> {
    let file = &GOOD;
    let find = |text: &[u8]| {
        let at = file.windows(text.len()).position(|found| found == text);
        u16::try_from(at.unwrap_or(100))
            .unwrap_or(100)
            .to_be_bytes()
    };
    let change = |place: [u8; 2], bytes: &[u8]| {
        let len = u8::try_from(bytes.len()).expect("short");
        [&[1, place[0], place[1], len], bytes].concat()
    };
    let mut plain = vec![0];
    plain.extend_from_slice(&file[..file.len().min(4000)]);
    vec![
        vec![1],
        plain,
        change([0, 18], &[1, 1]),
        change([0, 63], &[9]),
        change([0, 28], &[0xff; 8]),
        change(find(b"mvlg"), b"else"),
        change(find(b"CREATE TABLE"), b"CREATE TRIGGER"),
        change(find(b"pending"), b"missing"),
        change(find(b"{\"epoch\""), b"[[[[[[["),
        change(find(b"[\"a/b\""), b"{\"a\":1}"),
        b"\0no database at all, but some text".to_vec(),
        vec![0x81, 0x37, 0x7f, 0x06, 0x82, 0, 0x2d, 0xe2, 0x18],
    ]
}
