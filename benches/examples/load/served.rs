//! The embedded server in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mailmove_benches::measure::Result;
use mailmove_benches::message;
use mailmove_core::Edges;
use mailmove_core::edge::{Credential, StaticCredential};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::Server;
use mailmove_testkit::mailbox::{Account, NewMessage, Store};

/// Folders of each mailbox.
pub(crate) const FOLDERS: usize = 4;

/// Runs it until the one who started it is gone.
pub(crate) fn serve(mailboxes: &str, messages: &str, bytes: &str) -> Result<()> {
    let (mailboxes, messages, bytes) = (mailboxes.parse()?, messages.parse()?, bytes.parse()?);
    let store = Store::new();
    let mut builder = Server::builder(store.clone());
    for number in 0..mailboxes {
        builder = builder.user(&format!("from-{number}"), "secret");
        builder = builder.user(&format!("to-{number}"), "secret");
        fill(
            &store.add_account(&format!("from-{number}")),
            number,
            messages,
            bytes,
        )?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(builder.start())?;
    println!("{}", server.plain_address());
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Messages that are others in each mailbox.
pub(crate) fn fill(account: &Account, mailbox: usize, messages: usize, bytes: usize) -> Result<()> {
    for folder in 0..FOLDERS {
        let id = account
            .create(&[format!("Folder {folder}")])
            .map_err(|error| error.to_string())?;
        let share = messages / FOLDERS + usize::from(folder < messages % FOLDERS);
        let mail = (0..share).map(|at| {
            let number = (mailbox * FOLDERS + folder) * messages + at;
            NewMessage::new(message(number, bytes)).with_flags(["\\Seen"])
        });
        account
            .append(id, mail.collect())
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The process, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    pub(crate) fn start(mailboxes: usize, messages: usize, bytes: usize) -> Result<Self> {
        let numbers = [mailboxes, messages, bytes].map(|number| number.to_string());
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .args(numbers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        let address = line.trim().parse();
        Ok(Self {
            child,
            address: address.map_err(|_| "the server did not start")?,
        })
    }

    /// Both sides of one migration.
    pub(crate) fn sides(
        &self,
        number: usize,
        connections: usize,
        edges: &Edges,
    ) -> (ImapSource, ImapDestination) {
        let config = |user: &str| {
            ImapConfig::new(self.address.ip().to_string())
                .with_port(self.address.port())
                .with_security(Security::Plain)
                .with_user(user)
                .with_connections(connections)
        };
        let login = |user: &str| {
            let credential = Credential::password(user, "secret");
            Arc::new(StaticCredential::new(credential))
        };
        let (from, to) = (format!("from-{number}"), format!("to-{number}"));
        (
            ImapSource::new(config(&from), login(&from), edges.clone()),
            ImapDestination::new(config(&to), login(&to), edges.clone()),
        )
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
