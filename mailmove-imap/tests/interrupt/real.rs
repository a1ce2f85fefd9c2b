//! Two real Dovecots, started by `cargo xtask servers`.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use mailmove_core::model::{Flags, FolderPath};
use mailmove_testkit::snapshot::{MessageState, Snapshot};
use serde_json::Value;

use crate::{
    client::{Client, quoted},
    ground::Ground,
    scene::{self, Mail},
};

/// Names the file that describes the running servers.
const VARIABLE: &str = "MAILMOVE_TEST_DOVECOT";

/// Whether a missing Dovecot is a failure.
pub(crate) fn required() -> bool {
    std::env::var("MAILMOVE_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|one| one.trim() == "dovecot"))
}

/// From the first instance (mdbox) to the second (Maildir).
#[derive(Debug)]
pub(crate) struct Dovecot {
    from: u16,
    to: u16,
    password: String,
    source: String,
    next: AtomicUsize,
}

impl Dovecot {
    pub(crate) fn connect() -> Result<Self, String> {
        let path = std::env::var_os(VARIABLE)
            .ok_or_else(|| format!("{VARIABLE} is not set; see `cargo xtask servers`"))?;
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let all: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let instance = |name: &str| {
            let found = all["instances"]
                .as_array()?
                .iter()
                .find(|one| one["name"] == name)?;
            let port = u16::try_from(found["imap_port"].as_u64()?).ok()?;
            Some((port, found["password"].as_str()?.to_owned()))
        };
        let (from, password) = instance("a").ok_or("there is no instance a")?;
        let (to, _) = instance("b").ok_or("there is no instance b")?;
        let source = format!("interrupt-source-{}", std::process::id());
        fill(from, &source, &password, &scene::source());
        Ok(Self {
            from,
            to,
            password,
            source,
            next: AtomicUsize::new(0),
        })
    }
}

fn fill(port: u16, user: &str, password: &str, mails: &[Mail]) {
    let mut client = Client::open(port, user, password).unwrap();
    for mail in mails {
        // It may be there.
        let _ = client
            .command(&format!("CREATE {}", quoted(mail.folder)))
            .unwrap();
        let flags: Vec<String> = mail.flags.iter().map(|flag| (*flag).to_owned()).collect();
        client
            .append(&quoted(mail.folder), &flags, mail.received, &mail.body)
            .unwrap();
    }
    client.command("LOGOUT").ok();
}

impl Ground for Dovecot {
    fn name(&self) -> String {
        "Dovecot to Dovecot".to_owned()
    }

    fn source(&self) -> (SocketAddr, String) {
        (
            SocketAddr::from(([127, 0, 0, 1], self.from)),
            self.source.clone(),
        )
    }

    fn destination(&self) -> (SocketAddr, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let user = format!("interrupt-{}-{number}", std::process::id());
        fill(self.to, &user, &self.password, &scene::destination());
        (SocketAddr::from(([127, 0, 0, 1], self.to)), user)
    }

    fn password(&self) -> String {
        self.password.clone()
    }

    fn snapshot(&self, user: &str, source: bool) -> Snapshot {
        let port = if source { self.from } else { self.to };
        let mut client = Client::open(port, user, &self.password).unwrap();
        let mut snapshot = Snapshot::new();
        for one in client.list().unwrap() {
            client
                .ok(&format!("EXAMINE {}", quoted(&one.name)))
                .unwrap();
            let folder = snapshot.folder_mut(&FolderPath::new(one.name.split('.')));
            for one in client.fetch_all().unwrap() {
                folder.messages.push(MessageState::new(
                    &one.body,
                    Flags::parse(&one.flags),
                    one.received,
                ));
            }
        }
        snapshot
    }
}
