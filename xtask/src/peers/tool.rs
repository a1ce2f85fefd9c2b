//! Who takes part, and how each is told to copy a mailbox.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mailmove_benches::measure::raw::Folder;
use mailmove_benches::measure::replay::{self, Replay};
use mailmove_benches::measure::usage::{self, Usage};

use super::pair::{Route, Server};
use crate::Result;
use crate::servers::Tools;

/// Whoever takes longer for one pass is stopped, and nothing is measured.
const LIMIT: Duration = Duration::from_secs(3600);

/// A program, or the raw sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tool {
    /// Raw sockets: FETCH on one, MULTIAPPEND on the other.
    Floor,
    Mailmove,
    Mbsync,
    Doveadm,
    Imapsync,
}

impl Tool {
    pub(super) const ALL: [Self; 5] = [
        Self::Floor,
        Self::Mailmove,
        Self::Mbsync,
        Self::Doveadm,
        Self::Imapsync,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Mailmove => "mailmove",
            Self::Mbsync => "mbsync",
            Self::Doveadm => "doveadm",
            Self::Imapsync => "imapsync",
        }
    }

    pub(super) fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|tool| tool.name() == name);
        found.ok_or_else(|| format!("there is no tool {name:?}").into())
    }
}

/// Where programs are, and how they are run.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) mailmove: PathBuf,
    pub(super) mbsync: PathBuf,
    pub(super) imapsync: Option<PathBuf>,
    pub(super) connections: usize,
    /// Whether the replay may put one folder on several connections.
    pub(super) spread: bool,
    /// More words for `mailmove migrate`.
    pub(super) more: Vec<String>,
    /// What runs the program, e.g. a tracer with its arguments; nothing, usually.
    pub(super) under: Vec<OsString>,
}

impl Programs {
    pub(super) fn new(tools: &Tools, mailmove: PathBuf, connections: usize) -> Self {
        Self {
            mailmove,
            mbsync: tools.dir.join("bin/mbsync"),
            imapsync: None,
            connections,
            spread: false,
            more: Vec::new(),
            under: Vec::new(),
        }
    }

    /// One pass; `state` is a directory that it finds as the pass before left it.
    pub(super) fn run(
        &self,
        tool: Tool,
        route: &Route<'_>,
        state: &Path,
        folders: &[Folder],
    ) -> Result<Usage> {
        std::fs::create_dir_all(state)?;
        let mut command = match tool {
            Tool::Floor => return self.replay(route, folders),
            Tool::Mailmove => self.mailmove(route, state),
            Tool::Mbsync => self.mbsync(route, state)?,
            Tool::Doveadm => doveadm(route),
            Tool::Imapsync => self.imapsync(route, state)?,
        };
        let log = state.join("output");
        super::plain(usage::run(&mut command, &log, LIMIT))
    }

    fn replay(&self, route: &Route<'_>, folders: &[Folder]) -> Result<Usage> {
        let replay = Replay {
            from: route.from.side(route.user),
            to: route.to.side(route.copy),
            connections: self.connections,
            batch: 100,
            spread: self.spread,
        };
        let seconds = super::plain(replay::run(&replay, folders))?;
        Ok(Usage {
            seconds,
            ..Usage::default()
        })
    }

    fn mailmove(&self, route: &Route<'_>, state: &Path) -> Command {
        let url = |server: &Server, user: &str| match route.tls {
            true => format!("imaps://{user}@127.0.0.1:{}", server.imaps),
            false => format!("imap://{user}@127.0.0.1:{}?tls=off", server.imap),
        };
        let mut command = match self.under.split_first() {
            Some((tracer, args)) => {
                let mut command = Command::new(tracer);
                command.args(args).arg(&self.mailmove);
                command
            }
            None => Command::new(&self.mailmove),
        };
        command
            .args(["migrate", "--quiet"])
            .args(["--from", &url(&route.from, route.user)])
            .args(["--to", &url(&route.to, route.copy)])
            .arg("--state")
            .arg(state.join("state"))
            .args(["--connections", &self.connections.to_string()])
            .args(&self.more)
            .env("MAILMOVE_FROM_PASSWORD", &route.from.password)
            .env("MAILMOVE_TO_PASSWORD", &route.to.password);
        if route.tls {
            command.arg("--ca-file").arg(&route.from.ca);
        }
        command
    }

    fn mbsync(&self, route: &Route<'_>, state: &Path) -> Result<Command> {
        let store = |name: &str, server: &Server, user: &str| {
            let (port, tls) = match route.tls {
                true => (server.imaps, "IMAPS"),
                false => (server.imap, "None"),
            };
            format!(
                "IMAPStore {name}\nHost localhost\nPort {port}\nUser {user}\nPass {}\nSSLType {tls}\n\
                 CertificateFile {}\nAuthMechs LOGIN\nTimeout 600\n\n",
                server.password,
                server.ca.display()
            )
        };
        // Wildcards do not match the inbox. With CopyArrivalDate received dates stay, as with the others.
        let config = format!(
            "{}{}Channel all\nFar :left:\nNear :right:\nPatterns * INBOX\nSync Pull\nCreate Near\n\
             CopyArrivalDate yes\nSyncState {}/\n",
            store("left", &route.from, route.user),
            store("right", &route.to, route.copy),
            state.display()
        );
        let file = state.join("config");
        std::fs::write(&file, config)?;
        let mut command = Command::new(&self.mbsync);
        command.env("HOME", state).arg("-c").arg(file);
        command.args(["-q", "all"]);
        Ok(command)
    }

    fn imapsync(&self, route: &Route<'_>, state: &Path) -> Result<Command> {
        let program = self.imapsync.as_ref().ok_or("there is no imapsync")?;
        let mut command = Command::new(program);
        for (side, server, user) in [("1", &route.from, route.user), ("2", &route.to, route.copy)] {
            let (port, tls) = match route.tls {
                true => (server.imaps, vec![format!("--ssl{side}")]),
                false => (
                    server.imap,
                    vec![format!("--nossl{side}"), format!("--notls{side}")],
                ),
            };
            command
                .args([format!("--host{side}"), "127.0.0.1".into()])
                .args([format!("--port{side}"), port.to_string()])
                .args([format!("--user{side}"), user.to_owned()])
                .args([format!("--password{side}"), server.password.clone()])
                .args(tls);
        }
        // What it does beside copying by default is switched off.
        command.args([
            "--nofoldersizes",
            "--nofoldersizesatend",
            "--noreleasecheck",
        ]);
        command
            .args(["--nolog", "--no-modulesversion", "--tmpdir"])
            .arg(state);
        command.arg("--pidfile").arg(state.join("pid"));
        command.current_dir(state);
        Ok(command)
    }
}

/// Reads over IMAP and writes its own store; its settings are those that Dovecot's documentation
/// advises for migrations.
fn doveadm(route: &Route<'_>) -> Command {
    let from = &route.from;
    let mut command = Command::new(&route.to.doveadm);
    let mut set = |name: &str, value: &str| {
        command.args(["-o", &format!("{name}={value}")]);
    };
    set("imapc_user", route.user);
    set("imapc_password", &from.password);
    set("imapc_features", "rfc822.size fetch-headers");
    set("mail_prefetch_count", "20");
    let port = match route.tls {
        true => {
            // Its name is in the certificate.
            set("imapc_host", "localhost");
            set("imapc_ssl", "imaps");
            set("ssl_client_ca_file", &from.ca.to_string_lossy());
            from.imaps
        }
        false => {
            set("imapc_host", "127.0.0.1");
            from.imap
        }
    };
    set("imapc_port", &port.to_string());
    command.args(["backup", "-R", "-u", route.copy, "imapc:"]);
    command
}
