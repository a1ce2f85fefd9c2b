//! Sources and destinations on the embedded server, and a migration between any two.

use std::sync::Arc;

use mailmove_benches::measure::Result;
use mailmove_benches::message;
use mailmove_core::edge::{Credential, CredentialProvider, Secret, StaticCredential};
use mailmove_core::observe::{Event, Observer};
use mailmove_core::report::Status;
use mailmove_core::store::SqliteStore;
use mailmove_core::{Destination, Edges, Migration, Options, Source};
use mailmove_graph::GraphConfig;
use mailmove_graph_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{Account, NewMessage, Store};

/// The mailbox that is read, and the one that is filled.
pub(crate) const FROM: &str = "from";
pub(crate) const TO: &str = "to";
const TOKEN: &str = "token";

/// A server with both mailboxes.
pub(crate) fn builder() -> Builder {
    let builder = Server::builder(Store::new()).user(FROM).user(TO);
    // What these clients say was validated elsewhere, and calendars are not what is measured.
    builder
        .app_token(TOKEN)
        .without_shape_gate()
        .without_default_folders()
}

/// Where a mailbox of a server is.
pub(crate) fn config(tenant: &str, url: &str, user: &str) -> Result<GraphConfig> {
    let config = GraphConfig::new(tenant, format!("{user}@example.com"));
    Ok(config.with_base(url)?.with_upload_host("127.0.0.1"))
}

/// Leave for all its mailboxes.
pub(crate) fn token() -> Arc<dyn CredentialProvider> {
    Arc::new(StaticCredential::new(Credential::BearerToken {
        user: String::new(),
        token: Secret::new(TOKEN),
    }))
}

/// So many messages of this size in a folder.
pub(crate) fn fill(account: &Account, folder: &str, messages: usize, bytes: usize) -> Result<()> {
    let id = account
        .create(&[folder])
        .map_err(|error| error.to_string())?;
    let mail = (0..messages).map(|number| NewMessage::new(message(number, bytes)));
    account
        .append(id, mail.collect())
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// Moves everything; how many messages.
///
/// # Errors
/// If not all of them arrived.
pub(crate) async fn migrate(
    source: impl Source,
    destination: impl Destination,
    options: Options,
    edges: &Edges,
) -> Result<u64> {
    watched(source, destination, options, edges, Unseen).await
}

/// The same while somebody looks on.
///
/// # Errors
/// As above.
pub(crate) async fn watched(
    source: impl Source,
    destination: impl Destination,
    options: Options,
    edges: &Edges,
    observer: impl Observer,
) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let migration = Migration::builder(source, destination)
        .store(SqliteStore::new(directory.path().join("state")))
        .options(options)
        .edges(edges.clone())
        .observer(observer)
        .build()?;
    let report = migration.run().await?;
    match report.status() {
        Status::Complete => Ok(report.total().copied),
        _ => Err(format!("not all of it arrived: {report:?}").into()),
    }
}

#[derive(Debug)]
struct Unseen;

impl Observer for Unseen {
    fn on(&self, _event: &Event) {}
}
