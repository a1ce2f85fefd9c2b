//! Moves a mailbox from one IMAP server to another. Run it again for what is new since.
#![allow(clippy::print_stdout)]

use std::{env, error::Error, sync::Arc};

use mailmove_core::{
    Edges, Migration,
    edge::{Credential, StaticCredential},
    store::SqliteStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let edges = Edges::new(); // limits of memory, bandwidth and connections, for all migrations
    let (from, login) = mailbox("FROM")?;
    let source = ImapSource::new(from, login, edges.clone());
    let (to, login) = mailbox("TO")?;
    let destination = ImapDestination::new(to, login, edges.clone());

    let migration = Migration::builder(source, destination)
        .store(SqliteStore::new("mailmove-state"))
        .edges(edges)
        .build()?;
    let report = migration.run().await?;
    println!("{:?}: {:?}", report.status(), report.total());
    Ok(())
}

/// Reads `FROM_HOST`, `FROM_USER` and `FROM_PASSWORD`, or those of `TO`.
fn mailbox(side: &str) -> Result<(ImapConfig, Arc<StaticCredential>), env::VarError> {
    let get = |what| env::var(format!("{side}_{what}"));
    let login = Credential::password(get("USER")?, get("PASSWORD")?);
    let config = ImapConfig::new(get("HOST")?).with_user(get("USER")?);
    Ok((config, Arc::new(StaticCredential::new(login))))
}
