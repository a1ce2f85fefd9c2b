//! A server, and the adapter on it.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mailmove_core::{
    Edges, Error, Source,
    edge::{Credential, CredentialProvider, Secret, StaticCredential},
    model::{Flags, Folder, MessageId},
    source::{Change, FetchRequest, Fetched, ListRequest, Page},
};
use mailmove_graph::{GraphConfig, GraphSource};
use mailmove_graph_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{Account, FolderId, NewMessage, Store};

pub(crate) const USER: &str = "ann";
const TOKEN: &str = "app-token";

pub(crate) async fn start(change: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder(Store::new()).user(USER).app_token(TOKEN);
    change(builder.without_default_folders())
        .start()
        .await
        .unwrap()
}

pub(crate) fn account(server: &Server) -> Account {
    server.store().account(USER).unwrap()
}

pub(crate) fn config(server: &Server) -> GraphConfig {
    GraphConfig::new(server.tenant(), "ann@example.com")
        .with_base(&server.url())
        .unwrap()
        .with_timeout(Duration::from_secs(20))
}

pub(crate) fn token() -> Arc<dyn CredentialProvider> {
    Arc::new(StaticCredential::new(Credential::BearerToken {
        user: USER.to_owned(),
        token: Secret::new(TOKEN),
    }))
}

pub(crate) fn source(config: GraphConfig) -> GraphSource {
    GraphSource::new(config, token(), Edges::new())
}

pub(crate) fn letter(number: usize) -> String {
    format!(
        "Message-ID: <{number}@example.com>\r\nFrom: a@example.com\r\nSubject: letter {number}\r\n\r\n\
        This is letter {number}.\r\n"
    )
}

pub(crate) fn put(server: &Server, message: &str) {
    let account = account(server);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account
        .append(inbox, vec![NewMessage::new(message.to_owned())])
        .unwrap();
}

pub(crate) fn fill(server: &Server, count: usize) -> FolderId {
    let account = account(server);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let all = (0..count).map(|number| NewMessage::new(letter(number)));
    account.append(inbox, all.collect()).unwrap();
    inbox
}

pub(crate) async fn inbox(source: &dyn Source) -> Folder {
    let folders = source.folders().await.unwrap();
    folders
        .into_iter()
        .find(|folder| folder.path.is_inbox())
        .unwrap()
}

pub(crate) async fn pages(source: &dyn Source, request: ListRequest) -> Result<Vec<Page>, Error> {
    let all: Vec<Result<Page, Error>> = source.list(request).collect().await;
    all.into_iter().collect()
}

/// Everything in the inbox.
pub(crate) async fn all(source: &dyn Source) -> Vec<Page> {
    let inbox = inbox(source).await;
    pages(source, ListRequest::new(&inbox)).await.unwrap()
}

pub(crate) fn ids(pages: &[Page]) -> Vec<MessageId> {
    let changes = pages.iter().flat_map(|page| &page.changes);
    let ids = changes.filter_map(|change| match change {
        Change::Item(item) => Some(item.id.clone()),
        _ => None,
    });
    ids.collect()
}

/// Flags of all that was listed.
pub(crate) fn flags(pages: &[Page]) -> Vec<Flags> {
    let changes = pages.iter().flat_map(|page| &page.changes);
    let flags = changes.filter_map(|change| match change {
        Change::Item(item) => Some(item.flags.clone()),
        _ => None,
    });
    flags.collect()
}

pub(crate) async fn fetch(source: &dyn Source, ids: Vec<MessageId>) -> Vec<(MessageId, Fetched)> {
    let folder = inbox(source).await;
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids);
    source.fetch(request).collect().await
}

/// `content`, `vanished` or the error's code.
pub(crate) fn words(fetched: &[(MessageId, Fetched)]) -> Vec<String> {
    let word = |(_, fetched): &(MessageId, Fetched)| match fetched {
        Fetched::Content(_) => "content".to_owned(),
        Fetched::Vanished => "vanished".to_owned(),
        Fetched::Failed(error) => error.code().to_owned(),
        other => format!("{other:?}"),
    };
    fetched.iter().map(word).collect()
}

/// The error that reading the mailbox ends in.
pub(crate) async fn refusal(source: &dyn Source) -> Error {
    source.folders().await.unwrap_err()
}
