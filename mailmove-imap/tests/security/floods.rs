//! Too much, too deep, too slow: each ends with an error, and memory stays bounded on the way.

use std::{sync::Arc, time::Duration};

use flate2::{Compress, Compression, FlushCompress};
use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Edges, Error, Source as _,
    destination::{Batch, NoFence, Outcome, Outgoing},
    model::Content,
    source::{FetchRequest, Fetched, ListRequest},
};

use crate::hostile::{Answer, Hostile, hostile};

/// Large responses, so that a flood is soon over.
fn large(begin: &str, end: &str) -> Answer {
    Answer::Endless(format!("{begin}{}{end}", "x".repeat(256 << 10)).into_bytes())
}

/// What becomes of listing the folders of a server that answers LIST so.
async fn listed(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Error {
    let server = hostile(move |command| match command {
        _ if command.starts_with("LIST") => answer(),
        _ => Answer::Usual,
    });
    server.await.source().folders().await.unwrap_err()
}

#[tokio::test]
async fn a_line_without_end() {
    let server = hostile(|command| match command {
        "" => Answer::Endless(b"* OK and so on ".to_vec()),
        _ => Answer::Usual,
    });
    let error = server.await.source().folders().await.unwrap_err();
    assert_eq!(error.code(), "imap/protocol", "{error:?}");
    let error = listed(|| large("", "")).await;
    assert_eq!(error.code(), "imap/protocol", "{error:?}");
}

#[tokio::test]
async fn a_literal_of_any_announced_size() {
    for size in [20_000_000, u64::from(u32::MAX), u64::MAX] {
        let error =
            listed(move || Answer::text(format!("* LIST () \"/\" {{{size}}}\r\nabc"))).await;
        assert_eq!(error.code(), "imap/protocol", "{error:?}");
    }
    // That of a message is believed no further than it comes.
    let server = hostile(|command| match command {
        _ if command.contains("BODY.PEEK[]") => {
            Answer::text("* 1 FETCH (UID 1 BODY[] {18446744073709551615}\r\nabc")
        }
        _ => Answer::Usual,
    });
    let server = server.await;
    let source = server.source();
    let folder = source.folders().await.unwrap().remove(0);
    let ids = first_page(&server).await.unwrap();
    let request = FetchRequest::new(folder.id, folder.identity.to_string(), ids);
    let mut fetched = source.fetch(request);
    let fetched = tokio::time::timeout(Duration::from_secs(5), fetched.next()).await;
    assert!(!matches!(fetched, Ok(Some((_, Fetched::Content(_))))));
}

#[tokio::test]
async fn folders_without_end() {
    let many: Vec<u8> = (0..1000)
        .flat_map(|n| format!("* LIST () \"/\" a{n}\r\n").into_bytes())
        .collect();
    let error = listed(move || {
        // More than can be kept, then an answer after all.
        let mut text = many.repeat(110);
        text.extend_from_slice(b"TAG OK done\r\n");
        Answer::Text(text)
    });
    assert_eq!(error.await.code(), "imap/folders");
}

#[tokio::test]
async fn responses_without_end_and_without_an_answer() {
    for (begin, end) in [("* OK ", "\r\n"), ("* X-NEWS (", ")\r\n")] {
        let error = listed(move || large(begin, end)).await;
        assert_eq!(error.code(), "imap/flood", "{begin}: {error:?}");
    }
    // Lines that say nothing at all.
    let error = listed(|| Answer::Endless(b"\r\n".repeat(100_000))).await;
    assert_eq!(error.code(), "imap/flood", "{error:?}");
}

async fn first_page(server: &Hostile) -> Result<Vec<mailmove_core::model::MessageId>, Error> {
    let source = server.source();
    let folder = source.folders().await?.remove(0);
    let mut pages = source.list(ListRequest::new(&folder));
    let mut ids = Vec::new();
    while let Some(page) = pages.next().await {
        ids.extend(page?.changes.iter().filter_map(|change| match change {
            mailmove_core::source::Change::Item(listed) => Some(listed.id.clone()),
            _ => None,
        }));
    }
    Ok(ids)
}

#[tokio::test]
async fn messages_without_end() {
    // The same one, and others that nobody asked for.
    let server = hostile(|command| match command {
        _ if command.starts_with("UID FETCH") => large("* 1 FETCH (UID 1 X-MORE \"", "\")\r\n"),
        _ => Answer::Usual,
    });
    let error = first_page(&server.await).await.unwrap_err();
    assert_eq!(error.code(), "imap/flood", "{error:?}");
}

#[tokio::test]
async fn responses_without_end_where_a_literal_waits() {
    let server = hostile(|command| match command {
        _ if command.starts_with("APPEND") => large("* OK ", "\r\n"),
        _ => Answer::Usual,
    });
    let destination = server.await.destination(Edges::new());
    let folder = destination.folders().await.unwrap().remove(0);
    let mail = Outgoing::new(Content::from_bytes("Subject: x\r\n\r\n"));
    let mark = destination.mark(&folder.id).await.unwrap();
    let batch = Batch::new(folder.id, mark, vec![mail], Arc::new(NoFence));
    let outcomes: Vec<_> = destination.append(batch).collect().await;
    let [(_, Outcome::NotStored(error) | Outcome::Unknown(error))] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(error.code(), "imap/flood", "{error:?}");
}

/// Short to say, and four billion to go through one by one.
#[tokio::test]
async fn sets_of_all_numbers_there_are() {
    let server = hostile(|command| {
        let verb = command.trim_start_matches("UID ").split(' ').next();
        match verb.unwrap_or_default() {
            "" => Answer::text("* OK [CAPABILITY IMAP4rev1 UIDPLUS MOVE QRESYNC ENABLE] hi\r\n"),
            "CAPABILITY" => Answer::text(
                "* CAPABILITY IMAP4rev1 UIDPLUS MOVE QRESYNC ENABLE LITERAL+\r\nTAG OK done\r\n",
            ),
            "ENABLE" => Answer::text("* ENABLED QRESYNC\r\nTAG OK done\r\n"),
            "FETCH" => Answer::text(
                "* 1 FETCH (UID 1 FLAGS ())\r\n* VANISHED 1:4294967295\r\nTAG OK done\r\n",
            ),
            "APPEND" => Answer::text("TAG OK [APPENDUID 7 1:4294967295] done\r\n"),
            "COPY" => Answer::text("TAG OK [COPYUID 7 1:4294967295 1:4294967295] done\r\n"),
            "MOVE" => Answer::text(
                "* OK [COPYUID 7 1:4294967295 1:4294967295] x\r\n* VANISHED 1:4294967295\r\n\
                 TAG OK done\r\n",
            ),
            _ => Answer::Usual,
        }
    })
    .await;
    let work = async {
        let _ = first_page(&server).await;
        let destination = server.destination(Edges::new());
        let folder = destination.folders().await.unwrap().remove(0);
        let mail = || Outgoing::new(Content::from_bytes("Subject: x\r\n\r\n"));
        let mark = destination.mark(&folder.id).await.unwrap();
        let batch = Batch::new(
            folder.id.clone(),
            mark,
            vec![mail(), mail()],
            Arc::new(NoFence),
        );
        let outcomes: Vec<_> = destination.append(batch).collect().await;
        // None of the four billion is taken for one of the two.
        for (_, outcome) in &outcomes {
            let named = |receipt: &mailmove_core::destination::Receipt| receipt.id.is_some();
            assert!(!matches!(outcome, Outcome::Stored(receipt) if named(receipt)));
        }
        let id = mailmove_core::model::MessageId::new("0000000007-0000000001");
        let updater = destination.updater().unwrap();
        let copied = updater.duplicate(&folder.id, vec![id.clone()], &folder.id);
        assert_eq!(copied.count().await, 1);
        let moved = updater.relocate(&folder.id, vec![id], &folder.id);
        assert_eq!(moved.count().await, 1);
    };
    let done = tokio::time::timeout(Duration::from_secs(20), work).await;
    assert!(done.is_ok(), "it counts to four billion");
    let sent = server.sent().await;
    for verb in ["UID FETCH", "APPEND", "UID COPY", "UID MOVE"] {
        assert!(
            sent.iter().any(|one| one.starts_with(verb)),
            "no {verb} in {sent:#?}"
        );
    }
}

#[tokio::test]
async fn lists_in_lists() {
    for depth in [33, 100_000] {
        let deep = "(".repeat(depth);
        for begin in [
            "* LIST ",
            "* NAMESPACE ",
            "* 1 FETCH (BODYSTRUCTURE ",
            "* ID ",
        ] {
            let text = format!("{begin}{deep}\r\nTAG OK done\r\n");
            let error = listed(move || Answer::text(text.clone())).await;
            assert_eq!(error.code(), "imap/protocol", "{begin}: {error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then() {
    // Never silent for as long as the patience lasts, a minute, and never done.
    let pause = Duration::from_secs(50);
    let error = listed(move || Answer::Trickle(b"* LIST () \"/\" a", pause)).await;
    assert_eq!(error.code(), "imap/too-slow", "{error:?}");
    let error = listed(move || Answer::Trickle(b"* OK wait\r\n", pause)).await;
    assert_eq!(error.code(), "imap/too-slow", "{error:?}");
}

/// A small piece that unpacks to a line of a gigabyte.
#[tokio::test]
async fn a_bomb_in_a_compressed_stream() {
    let mut packer = Compress::new(Compression::best(), false);
    let mut bomb = Vec::with_capacity(2 << 20);
    let line = "x".repeat(1 << 20);
    for begin in std::iter::once("* OK ").chain(std::iter::repeat_n(line.as_str(), 1 << 10)) {
        bomb.reserve(16 << 10);
        packer
            .compress_vec(begin.as_bytes(), &mut bomb, FlushCompress::None)
            .unwrap();
    }
    bomb.reserve(16 << 10);
    packer
        .compress_vec(&[], &mut bomb, FlushCompress::Sync)
        .unwrap();
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    let server = hostile(move |command| match command {
        "CAPABILITY" => Answer::text("* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE\r\nTAG OK done\r\n"),
        "COMPRESS DEFLATE" => {
            let answer = [b"TAG OK packed from here\r\n", &bomb[..]].concat();
            Answer::Text(answer)
        }
        _ => Answer::Usual,
    });
    let server = server.await;
    let error = server.source().folders().await.unwrap_err();
    assert_eq!(error.code(), "imap/protocol", "{error:?}");
    assert!(
        server
            .sent()
            .await
            .iter()
            .any(|one| one == "COMPRESS DEFLATE")
    );
}
