//! Two real servers of a kind, started by `cargo xtask servers`.

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

/// Whether it is a failure if there is no such server.
pub(crate) fn required(kind: &str) -> bool {
    std::env::var("MAILMOVE_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|one| one.trim() == kind))
}

/// From one instance to another.
#[derive(Debug)]
pub(crate) struct Real {
    kind: &'static str,
    from: Instance,
    to: Instance,
    source: String,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Instance {
    port: u16,
    password: String,
    prefix: String,
    separator: String,
}

impl Instance {
    fn read(one: &Value) -> Option<Self> {
        let text = |name: &str| Some(one[name].as_str()?.to_owned());
        Some(Self {
            port: u16::try_from(one["imap_port"].as_u64()?).ok()?,
            password: text("password")?,
            prefix: text("prefix")?,
            separator: text("separator")?,
        })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

impl Real {
    pub(crate) fn connect(kind: &'static str, from: &str, to: &str) -> Result<Self, String> {
        let path = std::env::var_os(VARIABLE)
            .ok_or_else(|| format!("{VARIABLE} is not set; see `cargo xtask servers`"))?;
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let all: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let instance = |name: &str| {
            let all = all["instances"].as_array().into_iter().flatten();
            let found = all.clone().find(|one| one["name"] == name);
            found
                .and_then(Instance::read)
                .ok_or_else(|| format!("there is no instance {name}"))
        };
        let (from, to) = (instance(from)?, instance(to)?);
        let source = format!("interrupt-source-{}", std::process::id());
        fill(&from, &source, &scene::source());
        Ok(Self {
            kind,
            from,
            to,
            source,
            next: AtomicUsize::new(0),
        })
    }
}

fn fill(at: &Instance, user: &str, mails: &[Mail]) {
    let mut client = Client::open(at.port, user, &at.password).unwrap();
    for mail in mails {
        let name = match mail.folder {
            "INBOX" => quoted(mail.folder),
            other => quoted(&format!("{}{other}", at.prefix)),
        };
        // It may be there.
        let _ = client.command(&format!("CREATE {name}")).unwrap();
        let flags: Vec<String> = mail.flags.iter().map(|flag| (*flag).to_owned()).collect();
        client
            .append(&name, &flags, mail.received, &mail.body)
            .unwrap();
    }
    client.command("LOGOUT").ok();
}

impl Ground for Real {
    fn name(&self) -> String {
        format!("{0} to {0}", self.kind)
    }

    fn source(&self) -> (SocketAddr, String) {
        (self.from.address(), self.source.clone())
    }

    fn destination(&self) -> (SocketAddr, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let user = format!("interrupt-{}-{number}", std::process::id());
        fill(&self.to, &user, &scene::destination());
        (self.to.address(), user)
    }

    fn password(&self) -> String {
        self.to.password.clone()
    }

    fn snapshot(&self, user: &str, source: bool) -> Snapshot {
        let at = if source { &self.from } else { &self.to };
        let mut client = Client::open(at.port, user, &at.password).unwrap();
        let mut snapshot = Snapshot::new();
        for one in client.list().unwrap() {
            client
                .ok(&format!("EXAMINE {}", quoted(&one.name)))
                .unwrap();
            let path = FolderPath::new(one.name.split(at.separator.as_str()));
            let folder = snapshot.folder_mut(&path);
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
