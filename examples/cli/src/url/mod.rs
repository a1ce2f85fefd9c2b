//! Mailbox URLs: `imaps://user@host[:port]`, `imap://user@host[:port][?tls=off]`,
//! `ews://user@host[:port][/owa][?name=host]`, `graph://tenant/user?client=application`.
//!
//! Written by hand instead of with a URL crate: people write users as `ann@example.com@host`, and
//! no message about a URL may repeat it, since it may hold a password.

mod ews;
mod graph;
mod imap;
mod text;

use std::fmt;

use mailmove_core::{Error, ErrorKind, Result};

use self::text::{decode, is_name, short, split_host};
pub(crate) use self::{
    ews::{Ews, EwsLogin},
    graph::{Graph, GraphCloud, GraphLogin, GraphRoute},
    imap::Style,
};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, and nothing before it.
    StartTls,
    /// None, because the user asked for it.
    Off,
}

/// What the mailbox is reached by, and what only that has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Imap(Style),
    /// Exchange.
    Ews(Ews),
    /// Microsoft 365.
    Graph(Graph),
}

/// A mailbox on a server. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MailboxUrl {
    pub(crate) protection: Protection,
    pub(crate) user: String,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whose mailbox to open, if not the user's own.
    pub(crate) authorize_as: Option<String>,
    pub(crate) system: System,
}

/// What stands behind the question mark.
struct Query {
    protection: Protection,
    authorize_as: Option<String>,
    system: System,
}

const SHAPE: &str = "Write imaps://user@host, imap://user@host for STARTTLS, ews://user@host for Exchange, or \
                     graph://tenant/user?client=ID for Microsoft 365; after a host a port may follow as :993.";

fn bad(option: &'static str, what: impl Into<String>, remedy: &'static str) -> Error {
    Error::new(ErrorKind::Config, what.into())
        .with_code("config/url")
        .with_context("option", option)
        .with_remedy(remedy)
}

/// `what` may be wrong with the part between the slashes and the host.
fn no_password(option: &'static str) -> Error {
    bad(
        option,
        "a password in a URL is refused: command lines are seen by other users and kept in the \
         shell's history",
        "Take it out of the URL, and give it in MAILMOVE_FROM_PASSWORD or MAILMOVE_TO_PASSWORD, with \
         --from-password-file or --to-password-file, or at the prompt. A colon that belongs to the \
         user name is written %3A.",
    )
    .with_code("config/password-in-url")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Imaps,
    Imap,
    Ews,
}

impl MailboxUrl {
    /// Reads what the user gave for `option` (`--from`, `--to`).
    pub(crate) fn parse(option: &'static str, text: &str) -> Result<Self> {
        let bad = |what: &str, remedy| bad(option, what, remedy);
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| bad("this is not a mailbox URL", SHAPE))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "imaps" => Scheme::Imaps,
            "imap" => Scheme::Imap,
            "ews" => Scheme::Ews,
            "graph" => return graph::parse(option, authority, path, query),
            other => return Err(bad(&format!("unknown scheme {:?}", short(other)), SHAPE)),
        };
        // The last @ splits: hosts hold none, users often do.
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err(no_password(option));
        }
        let path = match scheme {
            Scheme::Ews => path.split('#').next().unwrap_or_default(),
            Scheme::Imap | Scheme::Imaps => path,
        };
        if (!path.is_empty() && scheme != Scheme::Ews)
            || authority.contains('#')
            || path.contains('#')
        {
            return Err(bad(
                "the URL has something after the host",
                "End it after host and port. Folders are chosen with --folder.",
            ));
        }
        let user = decode(user).filter(|user| is_name(user)).ok_or_else(|| {
            let what = match user {
                "" => "the URL names no user",
                _ => "the user in the URL cannot be read",
            };
            bad(what, "Write imaps://user@host. In users that hold special characters, write those as %XX.")
        })?;
        let (host, port) = split_host(host).ok_or_else(|| {
            bad(
                "the host or port in the URL cannot be read",
                "Write a host name in ASCII (xn--… for others), an IPv4 address, or an IPv6 address in \
                 brackets; then perhaps :port.",
            )
        })?;
        let (read, remedy) = match scheme {
            Scheme::Ews => (ews::read_query(query, path), ews::OPTIONS),
            _ => (
                imap::read_query(query, scheme == Scheme::Imaps),
                imap::OPTIONS,
            ),
        };
        let query = read.map_err(|what| bad(&what, remedy))?;
        let port = port.unwrap_or(match (scheme, query.protection) {
            (Scheme::Ews, Protection::Off) => 80,
            (Scheme::Ews, _) => 443,
            (Scheme::Imaps, _) => 993,
            (Scheme::Imap, _) => 143,
        });
        Ok(Self {
            protection: query.protection,
            user,
            host,
            port,
            authorize_as: query.authorize_as,
            system: query.system,
        })
    }

    /// Why the URL itself may be the reason that connecting failed.
    pub(crate) fn suspicion(&self) -> Option<&'static str> {
        if !matches!(self.system, System::Imap(_)) {
            return matches!(self.port, 143 | 993 | 110 | 995 | 25 | 465 | 587)
                .then_some("That port is for mail programs: EWS and Graph use 443.");
        }
        match (self.protection, self.port) {
            (Protection::Tls, 143) => Some(
                "Port 143 usually starts without TLS: try imap:// (STARTTLS), or imaps:// with port 993.",
            ),
            (Protection::StartTls | Protection::Off, 993) => {
                Some("Port 993 usually speaks TLS from the start: try imaps:// instead of imap://.")
            }
            (_, 25 | 465 | 587) => {
                Some("That port is for sending mail (SMTP): IMAP uses 993 or 143.")
            }
            (_, 110 | 995) => Some("That port is for POP3: IMAP uses 993 or 143."),
            (_, 80 | 443) => Some("That port is for web pages: IMAP uses 993 or 143."),
            _ => None,
        }
    }
}

impl fmt::Display for MailboxUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (&self.system, self.protection) {
            (System::Graph(graph), _) => {
                return write!(f, "graph://{}/{}", graph.tenant, self.user);
            }
            (System::Ews(_), _) => "ews",
            (System::Imap(_), Protection::Tls) => "imaps",
            (System::Imap(_), Protection::StartTls | Protection::Off) => "imap",
        };
        write!(f, "{scheme}://{}@", self.user)?;
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{}:{}", self.host, self.port)?;
        }
        match &self.authorize_as {
            Some(other) => write!(f, " (as {other})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
