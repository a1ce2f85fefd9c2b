//! The two servers that is measured between.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mailmove_benches::measure::delay::{DelayProxy, Passed};
use mailmove_benches::measure::raw::Connection;
use mailmove_benches::measure::replay;
use serde_json::Value;

use crate::Result;
use crate::servers::{self, Servers, Tools};

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) imap: u16,
    pub(super) imaps: u16,
    pub(super) doveadm: PathBuf,
    pub(super) password: String,
    pub(super) ca: PathBuf,
    mail: PathBuf,
}

impl Server {
    fn of(told: &Value) -> Option<Self> {
        let port = |name: &str| u16::try_from(told[name].as_u64()?).ok();
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        let doveadm = PathBuf::from(told["doveadm"][0].as_str()?);
        Some(Self {
            imap: port("imap_port")?,
            imaps: port("imaps_port")?,
            mail: doveadm.parent()?.join("mail"),
            doveadm,
            password: text("password")?,
            ca: text("ca_pem")?.into(),
        })
    }

    /// Connects without TLS.
    pub(super) fn connect(&self, user: &str) -> Result<Connection> {
        let side = self.side(user);
        super::plain(side.connect())
    }

    pub(super) fn side<'a>(&'a self, user: &'a str) -> replay::Side<'a> {
        replay::Side {
            host: "127.0.0.1",
            port: self.imap,
            user,
            password: &self.password,
        }
    }

    /// Removes a user's mail, so that many rounds need no more room than one.
    pub(super) fn forget(&self, user: &str) -> Result<()> {
        match std::fs::remove_dir_all(self.mail.join(user)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Both, and what runs them; they end when it is dropped.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) from: Server,
    pub(super) to: Server,
    /// A directory for what tools write.
    pub(super) work: PathBuf,
    _running: Servers,
}

impl Pair {
    /// Starts them; `name` keeps several apart. A poor destination offers neither LITERAL+ nor
    /// MULTIAPPEND.
    pub(super) fn start(tools: &Tools, name: &str, poor: bool) -> Result<Self> {
        let run = tools.dir.join(name);
        let running = Servers::start_pair(tools, &run, poor)?;
        let told: Value = serde_json::from_slice(&std::fs::read(servers::description(&run))?)?;
        let server = |at: usize| Server::of(&told["instances"][at]).ok_or("no servers were told");
        let work = run.join("work");
        std::fs::create_dir_all(&work)?;
        Ok(Self {
            from: server(0)?,
            to: server(1)?,
            work,
            _running: running,
        })
    }
}

/// The way to both servers, as far away as asked, and a mailbox on each.
#[derive(Debug)]
pub(super) struct Route<'a> {
    pub(super) from: Server,
    pub(super) to: Server,
    pub(super) user: &'a str,
    pub(super) copy: &'a str,
    pub(super) tls: bool,
    proxies: Vec<DelayProxy>,
}

/// How the way is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight to the servers.
    Direct,
    /// Through proxies that count, with a round trip of so many milliseconds.
    Through(u64),
}

impl<'a> Route<'a> {
    pub(super) fn new(
        pair: &Pair,
        (user, copy): (&'a str, &'a str),
        tls: bool,
        way: Way,
    ) -> Result<Self> {
        let (mut from, mut to) = (pair.from.clone(), pair.to.clone());
        let mut proxies = Vec::new();
        if let Way::Through(delay) = way {
            for server in [&mut from, &mut to] {
                let port = if tls {
                    &mut server.imaps
                } else {
                    &mut server.imap
                };
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                let proxy = DelayProxy::start(address, Duration::from_millis(delay));
                let proxy = super::plain(proxy)?;
                *port = proxy.port();
                proxies.push(proxy);
            }
        }
        Ok(Self {
            from,
            to,
            user,
            copy,
            tls,
            proxies,
        })
    }

    /// What passed on both sides since it was asked last, if it was counted.
    pub(super) fn passed(&self) -> Option<(Passed, Passed)> {
        match self.proxies.as_slice() {
            [from, to] => Some((from.passed(), to.passed())),
            _ => None,
        }
    }
}
