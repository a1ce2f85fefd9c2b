//! What messages hold.

use std::time::Duration;

use mailmove_core::{
    error::{Retry, Scope},
    model::Content,
    source::Fetched,
};
use mailmove_graph_testserver::Action;

use crate::support::{account, all, config, fetch, fill, ids, put, source, start, words};

const PARTS: &str = "Received: from a by b; Tue, 1 Jul 2003 10:52:37 +0200\r\nX-Own: kept\r\n\
    Message-ID: <parts@example.com>\r\nFrom: a@example.com\r\nSubject: parts\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n--b\r\n\
    Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=x\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nAAECAwQFBgcICQoLDA0ODw==\r\n--b--\r\n";

fn content(fetched: &Fetched) -> &Content {
    match fetched {
        Fetched::Content(content) => content,
        other => panic!("{other:?}"),
    }
}

async fn bytes(content: &Content) -> String {
    let all = content.prefix(1 << 20).await.unwrap();
    String::from_utf8(all.to_vec()).unwrap()
}

#[tokio::test]
async fn what_is_cut_off_is_read_again() {
    let server = start(|builder| builder).await;
    put(&server, PARTS);
    let source = source(config(&server).with_renamed_boundaries(false));
    let found = ids(&all(&source).await);
    server.faults().arm("GetMime", 1, Action::Truncate);
    let fetched = fetch(&source, found.clone()).await;
    assert_eq!(bytes(content(&fetched[0].1)).await, PARTS);
    assert_eq!(server.counters().operation("GetMime"), 2);
    // Cut each time it is never taken for whole, also not in the same place.
    server.faults().arm_every("GetMime", 1, Action::Truncate);
    let fetched = fetch(&source, found).await;
    let Fetched::Failed(error) = &fetched[0].1 else {
        panic!("a content");
    };
    assert_eq!(error.code(), "graph/truncated");
    assert_eq!(
        (error.scope(), error.retry()),
        (Scope::Message, Retry::Backoff)
    );
}

#[tokio::test]
async fn a_message_that_never_had_an_end_goes_as_it_is() {
    let server = start(|builder| builder).await;
    let open = PARTS.strip_suffix("--b--\r\n").unwrap();
    put(&server, open);
    let source = source(config(&server).with_renamed_boundaries(false));
    let fetched = fetch(&source, ids(&all(&source).await)).await;
    assert_eq!(bytes(content(&fetched[0].1)).await, open);
}

#[tokio::test]
async fn what_cannot_be_converted_costs_itself() {
    let server = start(|builder| builder).await;
    fill(&server, 5);
    let code = "ErrorMimeContentConversionFailed";
    assert!(server.poison_operation("ann", &["INBOX"], 2, "GetMime", code));
    let source = source(config(&server));
    let found = ids(&all(&source).await);
    let fetched = fetch(&source, found).await;
    let mut words = words(&fetched);
    words.sort();
    assert_eq!(
        words,
        [
            "content",
            "content",
            "content",
            "content",
            "graph/conversion"
        ]
    );
    let failed = fetched.iter().find_map(|(_, fetched)| match fetched {
        Fetched::Failed(error) => Some(error),
        _ => None,
    });
    let error = failed.unwrap();
    assert_eq!(
        (error.scope(), error.retry()),
        (Scope::Message, Retry::Never)
    );
    assert!(
        error
            .context()
            .any(|(name, value)| name == "code" && value == code)
    );
}

#[tokio::test]
async fn the_same_bytes_at_each_read_with_the_header_as_it_came() {
    let server = start(mailmove_graph_testserver::Builder::rebuilds_mime).await;
    put(&server, PARTS);
    let source = source(config(&server));
    let found = ids(&all(&source).await);
    let first = fetch(&source, found.clone()).await;
    let second = fetch(&source, found.clone()).await;
    let (first, second) = (content(&first[0].1), content(&second[0].1));
    assert_eq!(first.digest(), second.digest());
    let text = bytes(first).await;
    assert!(text.starts_with("Received: from a by b"), "{text}");
    assert!(text.contains("X-Own: kept\r\n"), "{text}");
    // A digest that a listing takes is that of what is fetched.
    let folder = crate::support::inbox(&source).await;
    let request = mailmove_core::source::ListRequest::new(&folder).with_headers(true);
    let listed = crate::support::pages(&source, request).await.unwrap();
    let header = listed
        .iter()
        .flat_map(|page| &page.changes)
        .find_map(|change| match change {
            mailmove_core::source::Change::Item(item) => item.header,
            _ => None,
        });
    let fetched = mailmove_core::identity::HeaderDigest::of(text.as_bytes());
    assert_eq!(header, Some(fetched));
}

#[tokio::test]
async fn what_is_gone_has_vanished_and_what_is_cut_in_transit_is_asked_for_again() {
    let server = start(|builder| builder).await;
    let folder = fill(&server, 3);
    let source = source(config(&server).with_timeout(Duration::from_secs(5)));
    let found = ids(&all(&source).await);
    account(&server).remove(folder, &[1]).unwrap();
    server.faults().arm("GetMime", 2, Action::CloseInReply(150));
    server.faults().arm("GetMime", 3, Action::Close);
    let mut words = words(&fetch(&source, found).await);
    words.sort();
    assert_eq!(
        words,
        ["graph/connection-lost", "graph/connection-lost", "vanished"]
    );
}
