//! A server, and the adapter on it.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination, Edges, Error, Source,
    destination::{Batch, Depth, Existing, NoFence, Outcome, Outgoing, Probe},
    edge::{Credential, CredentialProvider, StaticCredential, tls::TlsSettings},
    model::{Content, Folder, MessageId, Slot},
    source::{Change, Coverage, FetchRequest, Fetched, ListRequest, Page},
};
use mailmove_ews::{EwsConfig, EwsDestination, EwsSource};
use mailmove_ews_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{Account, NewMessage, Store};

pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) async fn start(change: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder(Store::new()).user(USER, PASSWORD);
    change(builder.without_default_folders())
        .start()
        .await
        .unwrap()
}

pub(crate) fn account(server: &Server) -> Account {
    server.store().account(USER).unwrap()
}

pub(crate) fn config(server: &Server) -> EwsConfig {
    let config = EwsConfig::at(&server.url()).unwrap();
    config
        .with_user("ann@example.com")
        .with_timeout(Duration::from_secs(20))
}

pub(crate) fn secure(server: &Server) -> EwsConfig {
    let tls = TlsSettings::new().with_extra_ca_pem(server.ca_pem());
    let config = EwsConfig::at(&server.tls_url()).unwrap();
    config.with_user("ann@example.com").with_tls(tls)
}

pub(crate) fn password() -> Arc<dyn CredentialProvider> {
    Arc::new(StaticCredential::new(Credential::password(USER, PASSWORD)))
}

pub(crate) fn source(config: EwsConfig) -> EwsSource {
    EwsSource::new(config, password(), Edges::new())
}

pub(crate) fn destination(server: &Server) -> EwsDestination {
    EwsDestination::new(config(server), password(), Edges::new())
}

pub(crate) fn letter(number: usize) -> String {
    format!(
        "Message-ID: <{number}@example.com>\r\nFrom: a@example.com\r\nSubject: letter {number}\r\n\r\n\
        This is letter {number}.\r\n"
    )
}

pub(crate) fn fill(server: &Server, count: usize) {
    let account = account(server);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let all = (0..count).map(|number| NewMessage::new(letter(number)));
    account.append(inbox, all.collect()).unwrap();
}

pub(crate) fn count(server: &Server) -> usize {
    let account = account(server);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account.messages(inbox).unwrap().len()
}

pub(crate) async fn inbox(source: &dyn Source) -> Folder {
    let folders = source.folders().await.unwrap();
    folders
        .into_iter()
        .find(|folder| folder.path.is_inbox())
        .unwrap()
}

pub(crate) async fn made(destination: &dyn Destination) -> Folder {
    let spec = mailmove_core::model::FolderSpec::new(mailmove_core::model::FolderPath::inbox());
    let mut all = destination.ensure_folders(vec![spec]);
    all.next().await.unwrap().1.unwrap()
}

pub(crate) async fn pages(source: &dyn Source, request: ListRequest) -> Result<Vec<Page>, Error> {
    let all: Vec<Result<Page, Error>> = source.list(request).collect().await;
    all.into_iter().collect()
}

pub(crate) fn ids(pages: &[Page]) -> Vec<MessageId> {
    let changes = pages.iter().flat_map(|page| &page.changes);
    let ids = changes.filter_map(|change| match change {
        Change::Item(item) => Some(item.id.clone()),
        _ => None,
    });
    ids.collect()
}

pub(crate) fn coverage(pages: &[Page]) -> Coverage {
    pages.first().unwrap().coverage
}

pub(crate) async fn fetch(source: &dyn Source, ids: Vec<MessageId>) -> Vec<(MessageId, Fetched)> {
    let folder = inbox(source).await;
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids);
    source.fetch(request).collect().await
}

/// Stores so many letters in one batch.
pub(crate) async fn append(
    destination: &dyn Destination,
    folder: &Folder,
    letters: usize,
) -> Vec<Outcome> {
    let items = (0..letters).map(|number| Outgoing::new(Content::from_bytes(letter(number))));
    let mark = folder.mark.clone().unwrap();
    let batch = Batch::new(folder.id.clone(), mark, items.collect(), Arc::new(NoFence));
    let mut all: Vec<(Slot, Outcome)> = destination.append(batch).collect().await;
    all.sort_by_key(|(slot, _)| *slot);
    assert_eq!(all.len(), letters);
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

/// `stored`, `unknown CODE`, …
pub(crate) fn words(outcomes: &[Outcome]) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Stored(_) => "stored".to_owned(),
        Outcome::NotStored(error) => format!("not stored: {}", error.code()),
        Outcome::Unknown(error) => format!("unknown: {}", error.code()),
        other => format!("{other:?}"),
    };
    outcomes.iter().map(word).collect()
}
