//! Answers that no Graph should give, byte by byte.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mailmove_core::{
    error::Scope,
    model::{Folder, FolderId, FolderPath},
    source::ListRequest,
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
            while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
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

#[tokio::test]
async fn a_page_without_entries_is_none() {
    let (url, _) =
        answering(|_, base| json(&format!("{{\"@odata.deltaLink\":\"{base}/x\"}}"))).await;
    let error = pages(&at(&url), ListRequest::new(&folder()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "graph/malformed");
}
