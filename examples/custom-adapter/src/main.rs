//! Copies an IMAP mailbox into a Maildir: `… HOST USER MAILDIR`, the password in `MAILMOVE_PASSWORD`.

use std::{env, error::Error, sync::Arc};

use maildir::Maildir;
use mailmove_core::{
    Edges, Migration,
    edge::{Credential, StaticCredential},
    store::SqliteStore,
};
use mailmove_imap::{ImapConfig, ImapSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut next = |what| arguments.next().ok_or(what);
    let (host, user) = (next("which host?")?, next("which user?")?);
    let target = next("which directory?")?;
    let password = env::var("MAILMOVE_PASSWORD")?;

    let edges = Edges::new();
    let login = StaticCredential::new(Credential::password(&user, password));
    let config = ImapConfig::new(host).with_user(user);
    let source = ImapSource::new(config, Arc::new(login), edges.clone());
    let migration = Migration::builder(source, Maildir::new(&target))
        .store(SqliteStore::new(format!("{target}.ledger")))
        .edges(edges)
        .build()?;
    let report = migration.run().await?;
    let total = report.total();
    #[allow(clippy::print_stdout, reason = "a program, and this is its result")]
    {
        println!(
            "{:?}: {} of {} messages copied",
            report.status(),
            total.copied,
            total.found
        );
    }
    Ok(())
}
