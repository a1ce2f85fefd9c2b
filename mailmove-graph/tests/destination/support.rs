//! A server, and the destination on it.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination, Edges,
    destination::{Batch, Depth, Existing, Fence, NoFence, Outcome, Outgoing, Probe},
    edge::{Credential, Secret, StaticCredential},
    model::{Content, Folder, FolderPath, FolderSpec, Slot},
};
use mailmove_graph::{GraphConfig, GraphDestination, Writing};
use mailmove_graph_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{Account, Message, Store};

/// A run that goes on as long as the test.
static RUN: LazyLock<Arc<dyn Fence>> = LazyLock::new(|| Arc::new(NoFence));

pub(crate) const USER: &str = "ann";

pub(crate) async fn start(change: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder(Store::new()).user(USER).app_token("token");
    change(builder.without_default_folders())
        .start()
        .await
        .unwrap()
}

pub(crate) fn account(server: &Server) -> Account {
    server.store().account(USER).unwrap()
}

/// What is in the inbox.
pub(crate) fn stored(server: &Server) -> Vec<Message> {
    let account = account(server);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account.messages(inbox).unwrap()
}

pub(crate) fn config(server: &Server) -> GraphConfig {
    GraphConfig::new(server.tenant(), "ann@example.com")
        .with_base(&server.url())
        .unwrap()
        .with_upload_host("127.0.0.1")
        .with_timeout(Duration::from_secs(20))
}

pub(crate) fn destination(server: &Server) -> GraphDestination {
    with(server, Writing::new(), Edges::new())
}

pub(crate) fn with(server: &Server, writing: Writing, edges: Edges) -> GraphDestination {
    let (user, token) = ("ann@example.com".to_owned(), Secret::new("token"));
    let credential = StaticCredential::new(Credential::BearerToken { user, token });
    GraphDestination::with(config(server), writing, Arc::new(credential), edges)
}

pub(crate) fn letter(number: usize) -> String {
    format!(
        "Message-ID: <{number}@example.com>\r\nFrom: a@example.com\r\nSubject: letter {number}\r\n\r\n\
        This is letter {number}.\r\n"
    )
}

/// A letter with attachments of these sizes.
pub(crate) fn parcel(sizes: &[usize]) -> String {
    let mut out = "Message-ID: <p@example.com>\r\nFrom: a@example.com\r\nSubject: parcel\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n"
        .to_owned();
    for (at, size) in sizes.iter().enumerate() {
        out.push_str(&format!(
            "--b\r\nContent-Type: application/x-{at}\r\nContent-Disposition: attachment; filename=f{at}.bin\r\n\r\n"
        ));
        let line = format!("{}\r\n", "0123456789".repeat(7));
        out.extend(std::iter::repeat_n(line.as_str(), size / line.len() + 1));
        out.push_str("end\r\n");
    }
    out.push_str("--b--\r\n");
    out
}

pub(crate) async fn made(destination: &dyn Destination) -> Folder {
    destination.capabilities().await.unwrap();
    let spec = FolderSpec::new(FolderPath::inbox());
    let mut all = destination.ensure_folders(vec![spec]);
    all.next().await.unwrap().1.unwrap()
}

pub(crate) fn letters(count: usize) -> Vec<Outgoing> {
    let letter = |number| Outgoing::new(Content::from_bytes(letter(number)));
    (0..count).map(letter).collect()
}

pub(crate) fn of(message: &str) -> Vec<Outgoing> {
    vec![Outgoing::new(Content::from_bytes(message.to_owned()))]
}

/// Stores messages in one batch.
pub(crate) async fn append(
    destination: &dyn Destination,
    folder: &Folder,
    items: Vec<Outgoing>,
) -> Vec<Outcome> {
    let count = items.len();
    let mark = folder.mark.clone().unwrap();
    let batch = Batch::new(folder.id.clone(), mark, items, Arc::clone(&*RUN));
    let mut all: Vec<(Slot, Outcome)> = destination.append(batch).collect().await;
    all.sort_by_key(|(slot, _)| *slot);
    assert_eq!(all.len(), count);
    all.into_iter().map(|(_, outcome)| outcome).collect()
}

pub(crate) async fn existing(
    destination: &dyn Destination,
    folder: &Folder,
    depth: Depth,
) -> Vec<Existing> {
    let probe = Probe::new(folder.id.clone(), depth).with_since(folder.mark.clone());
    let pages: Vec<_> = destination.existing(probe).collect().await;
    pages.into_iter().flat_map(Result::unwrap).collect()
}

/// `stored`, `unknown: CODE`, …
pub(crate) fn words(outcomes: &[Outcome]) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Stored(_) => "stored".to_owned(),
        Outcome::AlreadyThere(_) => "already there".to_owned(),
        Outcome::NotStored(error) => format!("not stored: {}", error.code()),
        Outcome::Unknown(error) => format!("unknown: {}", error.code()),
        other => format!("{other:?}"),
    };
    outcomes.iter().map(word).collect()
}
