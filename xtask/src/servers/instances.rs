//! Starting and stopping the instances, and telling tests about them.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Map, Value, json};

use super::daemon::{self, Place};
use super::dovecot::{PASSWORD, Spec};
use super::place::{self, Account};
use super::tls::{self, Certificates, Pair};
use super::{Tools, courier, cyrus, description};
use crate::{Result, corpora};

/// A Dovecot with nothing special.
const PLAIN: Spec = Spec {
    name: "",
    format: "maildir",
    separator: '/',
    prefix: "",
    capability: None,
    connections: 50,
    shared: false,
};

/// The Dovecots that tests find by their names.
const DOVECOTS: [Spec; 8] = [
    Spec {
        name: "a",
        format: "mdbox",
        ..PLAIN
    },
    Spec {
        name: "b",
        separator: '.',
        ..PLAIN
    },
    // An old server: nothing beyond the base protocol is offered.
    Spec {
        name: "c",
        capability: Some("IMAP4rev1"),
        ..PLAIN
    },
    // As hosting panels configure it: all folders live below INBOX.
    Spec {
        name: "d",
        separator: '.',
        prefix: "INBOX.",
        ..PLAIN
    },
    // Batches, but each literal waits; a separator that names hardly hold.
    Spec {
        name: "no-literals",
        separator: '|',
        capability: Some(
            "IMAP4rev1 ID ENABLE NAMESPACE SPECIAL-USE LIST-EXTENDED LIST-STATUS UNSELECT \
             UIDPLUS MULTIAPPEND CONDSTORE QRESYNC ESEARCH MOVE",
        ),
        ..PLAIN
    },
    // Neither ids of what is appended nor deltas; all folders below the inbox.
    Spec {
        name: "no-ids",
        prefix: "INBOX/",
        capability: Some("IMAP4rev1 LITERAL+ ID NAMESPACE UNSELECT LIST-STATUS LIST-EXTENDED"),
        ..PLAIN
    },
    Spec {
        name: "one-connection",
        connections: 1,
        ..PLAIN
    },
    Spec {
        name: "shared",
        shared: true,
        ..PLAIN
    },
];

/// What is measured between, in the mail format that is fastest to write. The last takes the place of the
/// second.
const PAIR: [Spec; 3] = [
    Spec {
        name: "from",
        format: "mdbox",
        ..PLAIN
    },
    Spec {
        name: "to",
        format: "mdbox",
        ..PLAIN
    },
    Spec {
        name: "to",
        format: "mdbox",
        capability: Some(
            "IMAP4rev1 ID ENABLE NAMESPACE SPECIAL-USE LIST-EXTENDED LIST-STATUS UNSELECT UIDPLUS \
             CONDSTORE QRESYNC ESEARCH MOVE",
        ),
        ..PLAIN
    },
];

/// Serves nothing but an expired certificate.
const EXPIRED: Spec = Spec {
    name: "expired",
    ..PLAIN
};

/// Whether the instances outlive the process that starts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// They stay until `stop`.
    Detached,
    /// They end with the process that started them, however that ends.
    Guarded,
}

/// Running instances; stops them when dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    run: PathBuf,
    stop: bool,
    /// Stops them when this process is killed and drops nothing.
    guard: Option<Child>,
}

impl Servers {
    /// Starts all instances with fresh mail in `run` and writes their description there.
    pub(crate) fn start(
        tools: &Tools,
        run: &Path,
        quota: &str,
        lifetime: Lifetime,
    ) -> Result<Self> {
        Self::start_those(tools, run, quota, lifetime, |starter| starter.all(tools))
    }

    /// Starts two Dovecots, `from` and `to`, to measure between; they end with this process. A poor
    /// destination offers neither LITERAL+ nor MULTIAPPEND.
    pub(crate) fn start_pair(tools: &Tools, run: &Path, poor: bool) -> Result<Self> {
        Self::start_those(tools, run, super::QUOTA, Lifetime::Guarded, |starter| {
            let mut told = Vec::new();
            let [from, to, poor_to] = &PAIR;
            for spec in [from, if poor { poor_to } else { to }] {
                let place = starter.place(spec.name, &starter.certificates.good, |place| {
                    tools.dovecot.start(spec, place)
                })?;
                told.push(starter.tell(tools.dovecot.describe(spec, &place), &place, 0));
            }
            Ok(told)
        })
    }

    fn start_those(
        tools: &Tools,
        run: &Path,
        quota: &str,
        lifetime: Lifetime,
        those: impl FnOnce(&Starter<'_>) -> Result<Vec<Value>>,
    ) -> Result<Self> {
        stop_all(run)?;
        let account = Account::of_servers()?;
        let certificates = tls::certificates(&tools.dir.join("tls"), &account)?;
        std::fs::create_dir_all(run)?;
        // From here on, an error stops what was started before it.
        let guard = match lifetime {
            Lifetime::Guarded => Some(guard(run)?),
            Lifetime::Detached => None,
        };
        let servers = Self {
            run: run.to_path_buf(),
            stop: true,
            guard,
        };
        let starter = Starter {
            run,
            account: &account,
            certificates: &certificates,
            quota,
        };
        let all = json!({ "instances": those(&starter)?, "absent": tools.absent() });
        std::fs::write(description(run), serde_json::to_string_pretty(&all)?)?;
        Ok(servers)
    }

    /// Lets the instances run after this process.
    pub(crate) fn leave_running(mut self) {
        self.stop = false;
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if self.stop
            && let Err(error) = daemon::end_all(&self.run)
        {
            eprintln!("xtask: could not stop the servers: {error}");
        }
        if let Some(mut guard) = self.guard.take() {
            // Waiting closes its input, which ends it.
            let _ = guard.wait();
        }
    }
}

/// Starts a process that waits for this one's end, be it by Ctrl-C or `kill -9`.
fn guard(run: &Path) -> Result<Child> {
    // The file may have been replaced by a build since; this names the program that runs.
    let mut command = Command::new("/proc/self/exe");
    command.args(["servers", "guard"]).arg(run);
    command.process_group(0).stdin(Stdio::piped());
    Ok(command.spawn()?)
}

/// What the guard does: reads until the process that has the other end is gone, then stops.
pub(crate) fn guard_until_end_of_input(run: &Path) -> Result<()> {
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    daemon::end_all(run)
}

struct Starter<'a> {
    run: &'a Path,
    account: &'a Account,
    certificates: &'a Certificates,
    quota: &'a str,
}

impl<'a> Starter<'a> {
    /// Starts everything that there is; what tests are told of it.
    fn all(&self, tools: &Tools) -> Result<Vec<Value>> {
        let (good, expired) = (&self.certificates.good, &self.certificates.expired);
        let dovecot = &tools.dovecot;
        let ports = self.place(EXPIRED.name, expired, |place| {
            dovecot.start(&EXPIRED, place)
        })?;
        let expired_port = ports.ports.imaps;
        let mut told = Vec::new();
        let known = |spec: &&Spec| !spec.shared || dovecot.is_v23();
        for spec in DOVECOTS.iter().filter(known) {
            let place = self.place(spec.name, good, |place| dovecot.start(spec, place))?;
            told.push(self.tell(dovecot.describe(spec, &place), &place, expired_port));
        }
        if let Ok(server) = &tools.cyrus {
            for spec in &cyrus::INSTANCES {
                let place = self.place(spec.name, good, |place| server.start(spec, place))?;
                told.push(self.tell(server.describe(spec, &place), &place, expired_port));
            }
        }
        if let Ok(server) = &tools.courier {
            let place = self.place(courier::NAME, good, |place| server.start(place))?;
            told.push(self.tell(server.describe(&place), &place, expired_port));
        }
        Ok(told)
    }

    /// Starts an instance on free ports.
    fn place(
        &self,
        name: &str,
        certificate: &'a Pair,
        start: impl Fn(&Place<'a>) -> Result<()>,
    ) -> Result<Place<'a>> {
        // A free port can be taken by somebody else before the server binds it.
        for _ in 0..4 {
            let place = Place {
                dir: self.run.join(name),
                account: self.account,
                ports: daemon::free_ports()?,
                certificate,
                quota: self.quota,
            };
            let _ = std::fs::remove_dir_all(&place.dir);
            place::forget_memory(&place.dir)?;
            self.account.create_dir(&place.dir)?;
            match start(&place) {
                Ok(()) => return Ok(place),
                Err(error) => {
                    daemon::end(&place.dir)?;
                    if !error.to_string().contains("Address already in use") {
                        return Err(error);
                    }
                }
            }
        }
        Err("four times in a row the chosen ports were taken by other programs".into())
    }

    /// Adds what all instances have in common.
    fn tell(&self, mut own: Value, place: &Place<'_>, expired_tls_port: u16) -> Value {
        let common = json!({
            "host": "127.0.0.1",
            "imap_port": place.ports.imap,
            "imaps_port": place.ports.imaps,
            "expired_tls_port": expired_tls_port,
            "ca_pem": self.certificates.ca,
            "password": PASSWORD,
        });
        if let (Some(own), Value::Object(common)) = (own.as_object_mut(), common) {
            own.extend::<Map<String, Value>>(common);
        }
        own
    }
}

/// Stops all instances of `run` and removes their mail.
pub(crate) fn stop_all(run: &Path) -> Result<()> {
    daemon::end_all(run)?;
    for spec in &cyrus::INSTANCES {
        place::forget_memory(&run.join(spec.name))?;
    }
    match std::fs::remove_dir_all(run) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The variables that tests read, for the instances that run in `run`.
pub(crate) fn environment(dir: &Path, run: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let file = description(run);
    if !file.exists() {
        return Err("no servers run; start them with `cargo xtask servers start`".into());
    }
    let mut all = vec![
        ("MAILMOVE_TEST_DOVECOT", file),
        ("MAILMOVE_TEST_MBSYNC", dir.join("bin/mbsync")),
        ("MAILMOVE_TEST_PYTHON", dir.join("bin/python3")),
    ];
    let mails = corpora::dir()?;
    if mails.join("spam-assassin").exists() {
        all.push(("MAILMOVE_TEST_CORPORA", mails));
    }
    Ok(all)
}
