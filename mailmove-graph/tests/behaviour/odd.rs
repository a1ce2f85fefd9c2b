//! Answers that no Graph should give, byte by byte.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use mailmove_core::{
    Source as _,
    error::{Retry, Scope},
    model::{Content, Folder, FolderId, FolderPath, MessageId},
    source::{FetchRequest, Fetched, ListRequest},
};
use mailmove_graph::{GraphConfig, GraphSource};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{pages, source};

/// Answers each request, of which it is told the first line and the address of the server; then the connection ends.
/// Gives the address of Graph, and how many requests came.
async fn answering(
    answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1.0", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, base) = (Arc::clone(&count), url.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = Vec::new();
            while !is_whole(&seen) {
                if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let head = String::from_utf8_lossy(&seen).into_owned();
            let line = head.lines().next().unwrap_or_default();
            let _ = stream.write_all(&answer(line, &base)).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, count)
}

/// A head and as much of a body as it says.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut fields = head.lines();
    let len = fields.find_map(|line| line.strip_prefix("content-length:"));
    body.len() >= len.map_or(0, |len| len.trim().parse().unwrap())
}

fn at(url: &str) -> GraphSource {
    source(GraphConfig::new("t", "ann").with_base(url).unwrap())
}

fn json(text: &str) -> Vec<u8> {
    let len = text.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{text}"
    )
    .into_bytes()
}

fn folder() -> Folder {
    Folder::new(FolderId::new("f"), FolderPath::new(["INBOX"]), "f")
}

async fn fetched(url: &str) -> Fetched {
    let request = FetchRequest::new(FolderId::new("f"), "f", vec![MessageId::new("m")]);
    let mut all: Vec<_> = at(url).fetch(request).collect().await;
    all.pop().unwrap().1
}

const MAIL: &str = "Received: from a\r\nSubject: x\r\n\r\nText.\r\n";

#[tokio::test]
async fn what_is_no_message_never_becomes_one() {
    let answer = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\n\r\n{body}");
    let len = MAIL.len();
    let plain = "Content-Type: text/plain";
    for (head, body) in [
        (format!("200 OK\r\n{plain}\r\nContent-Length: 0"), ""),
        ("204 No Content".to_owned(), ""),
        (
            format!("202 Accepted\r\n{plain}\r\nContent-Length: {len}"),
            MAIL,
        ),
        (
            format!("200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len}"),
            MAIL,
        ),
        (
            format!("200 OK\r\nContent-Type: application/json\r\nContent-Length: {len}"),
            MAIL,
        ),
        (
            format!("200 OK\r\n{plain}\r\nContent-Length: 13"),
            "<html></html>",
        ),
        (
            format!("200 OK\r\n{plain}\r\nContent-Length: 12"),
            "No such mail",
        ),
        // Nobody can tell whether this is all of it.
        (format!("200 OK\r\n{plain}"), MAIL),
        (
            format!("200 OK\r\n{plain}\r\nTransfer-Encoding: gzip"),
            MAIL,
        ),
    ] {
        let text = answer(&head, body).into_bytes();
        let (url, _) = answering(move |line, _| match line.contains("$value") {
            true => text.clone(),
            false => sized(100),
        })
        .await;
        let Fetched::Failed(error) = fetched(&url).await else {
            panic!("{head}");
        };
        assert_eq!(
            (error.scope(), error.retry()),
            (Scope::Message, Retry::Backoff),
            "{head}"
        );
    }
    let whole = answer(&format!("200 OK\r\n{plain}\r\nContent-Length: {len}"), MAIL).into_bytes();
    let chunked = format!("200 OK\r\n{plain}\r\nTransfer-Encoding: chunked");
    let chunked = answer(&chunked, &format!("{len:x}\r\n{MAIL}\r\n0\r\n\r\n")).into_bytes();
    for text in [whole, chunked] {
        let (url, _) = answering(move |_, _| text.clone()).await;
        match fetched(&url).await {
            Fetched::Content(content) => assert_eq!(bytes(&content).await, MAIL.as_bytes()),
            other => panic!("{other:?}"),
        }
    }
}

/// What the server says of a message's size.
fn sized(bytes: u64) -> Vec<u8> {
    json(&format!(
        "{{\"id\":\"m\",\"singleValueExtendedProperties\":[{{\"id\":\"Integer 0xe08\",\"value\":\"{bytes}\"}}]}}"
    ))
}

async fn bytes(content: &Content) -> Vec<u8> {
    content.prefix(1 << 20).await.unwrap().to_vec()
}

const MARKED: &str = "{\"id\":\"m\",\"isRead\":true,\"isDraft\":false,\"flag\":null,\"categories\":[],\
    \"receivedDateTime\":\"2026-01-01T00:00:00Z\"}";

#[tokio::test]
async fn links_that_lead_in_circles_are_left() {
    // To itself.
    let (url, count) = answering(|line, base| {
        let path = line.split(' ').nth(1).unwrap_or_default();
        let base = base.trim_end_matches("/v1.0");
        json(&format!(
            "{{\"value\":[],\"@odata.nextLink\":\"{base}{path}\"}}"
        ))
    })
    .await;
    let error = pages(&at(&url), ListRequest::new(&folder()))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.scope()),
        ("graph/endless", Scope::Folder)
    );
    // The first link is ours, and may be written in another way.
    assert!(count.load(Ordering::SeqCst) <= 2);
    // From the second page to the first, with ever the same that comes and goes.
    let number = AtomicUsize::new(0);
    let (url, count) = answering(move |_, base| {
        let (entry, next) = match number.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => (MARKED, "b"),
            _ => ("{\"id\":\"m\",\"@removed\":{\"reason\":\"deleted\"}}", "a"),
        };
        json(&format!(
            "{{\"value\":[{entry}],\"@odata.nextLink\":\"{base}/{next}\"}}"
        ))
    })
    .await;
    let error = pages(&at(&url), ListRequest::new(&folder()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "graph/endless");
    assert!(count.load(Ordering::SeqCst) <= 4);
    // To ever new pages of nothing.
    let number = AtomicUsize::new(0);
    let (url, count) = answering(move |_, base| {
        let next = number.fetch_add(1, Ordering::SeqCst);
        json(&format!(
            "{{\"value\":[],\"@odata.nextLink\":\"{base}/x?n={next}\"}}"
        ))
    })
    .await;
    let config = GraphConfig::new("t", "ann").with_base(&url).unwrap();
    let source = source(config.with_request_limit(100_000, Duration::from_secs(600)));
    let error = pages(&source, ListRequest::new(&folder()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "graph/endless");
    assert!(count.load(Ordering::SeqCst) < 1100);
}

/// The answers to all requests of a batch, however many there are.
fn batch(status: u16, body: &str) -> Vec<u8> {
    let one = |id: usize| format!("{{\"id\":\"{id}\",\"status\":{status},\"body\":{body}}}");
    let all: Vec<_> = (0..20).map(one).collect();
    json(&format!("{{\"responses\":[{}]}}", all.join(",")))
}

#[tokio::test]
async fn folders_that_stand_on_a_further_page_are_not_left_out() {
    const PAGE: &str = "{\"value\":[{\"id\":\"f\",\"displayName\":\"a\",\"childFolderCount\":0}],";
    for (case, code, most) in [
        // It is gone: nobody knows which folders were on it.
        ("gone", "graph/not-found", 3),
        ("same", "graph/endless", 4),
        ("nothing", "graph/endless", 110),
    ] {
        let number = AtomicUsize::new(0);
        let (url, count) = answering(move |_, base| {
            let number = number.fetch_add(1, Ordering::SeqCst);
            match (number, case) {
                (0, _) => batch(200, "{\"id\":\"root\"}"),
                (2, "gone") => batch(404, "{\"error\":{\"code\":\"ErrorItemNotFound\"}}"),
                (_, "nothing") => {
                    let link = format!("\"@odata.nextLink\":\"{base}/users/ann/x?n={number}\"}}");
                    batch(200, &format!("{PAGE}{link}"))
                }
                _ => {
                    let link = format!("\"@odata.nextLink\":\"{base}/users/ann/x\"}}");
                    batch(200, &format!("{PAGE}{link}"))
                }
            }
        })
        .await;
        let config = GraphConfig::new("t", "ann").with_base(&url).unwrap();
        let error = source(config.with_exports(false))
            .folders()
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), error.retry()),
            (code, Retry::Backoff),
            "{case}"
        );
        assert!(count.load(Ordering::SeqCst) <= most, "{case}");
    }
}

#[tokio::test]
async fn a_page_without_entries_is_none() {
    let (url, _) =
        answering(|_, base| json(&format!("{{\"@odata.deltaLink\":\"{base}/x\"}}"))).await;
    let error = pages(&at(&url), ListRequest::new(&folder()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "graph/malformed");
}

/// A byte now and then, for ever.
#[tokio::test]
async fn an_answer_that_never_ends_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1.0", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{";
                let mut sent = stream.write_all(head).await;
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    sent = stream.write_all(b" ").await;
                }
            });
        }
    });
    let config = GraphConfig::new("t", "ann").with_base(&url).unwrap();
    let source = source(config.with_timeout(Duration::from_millis(50)));
    let listing = pages(&source, ListRequest::new(&folder())).await;
    assert_eq!(listing.unwrap_err().code(), "graph/timeout");
}
