//! How errors are shown: what failed, where, why, and what to do.

use std::{error::Error as _, fmt::Write as _};

use mailmove_core::{Error, report::Problem};
use serde::Serialize;

use crate::output;

/// An error on the way to the user, with what this program knows beside it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The mailbox it concerns: `source imaps://ann@host:993`.
    pub(crate) place: Option<String>,
    /// A second remedy, from the URL or the command.
    pub(crate) hint: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            place: None,
            hint: None,
        }
    }
}

impl Failure {
    /// Shows it on standard error; with `json`, also as an object on standard output.
    pub(crate) fn show(&self, json: bool) {
        if json {
            output::json(&Line {
                event: "error",
                place: self.place.as_deref(),
                problem: Problem::from(&self.error),
            });
        }
        output::notice(self.text().trim_end());
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let error = &self.error;
        line(&mut out, "error", &error.to_string());
        if let Some(place) = &self.place {
            line(&mut out, "  where", place);
        }
        let mut cause = error.source();
        while let Some(error) = cause {
            line(&mut out, "  cause", &error.to_string());
            cause = error.source();
        }
        for remedy in [
            error
                .remedy()
                .or_else(|| usual_remedy(error.kind().as_str())),
            self.hint.as_deref(),
        ]
        .into_iter()
        .flatten()
        {
            line(&mut out, "  remedy", remedy);
        }
        line(&mut out, "  code", error.code());
        out
    }
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    place: Option<&'a str>,
    #[serde(flatten)]
    problem: Problem,
}

fn line(out: &mut String, name: &str, text: &str) {
    // A server may answer with several lines; one of ours stays one.
    let text = text.replace("\r\n", " ").replace(['\r', '\n'], " ");
    let _ = writeln!(out, "{name}: {}", output::clean(&text));
}

/// For errors that bring no remedy of their own. Kinds by name, since reports tell them so.
pub(crate) fn usual_remedy(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "connect" | "timeout" => "Check host and port, and that no firewall is in between.",
        "interrupted" | "unavailable" => "Run the same command again: it goes on where it stopped.",
        "throttled" | "capacity" => {
            "Wait some minutes, then run the same command again, perhaps with --connections 1."
        }
        "tls" => "Check the host name, or give --ca-file or --pin if you know that certificate.",
        "auth" => "Check the user name and the password by logging in to webmail.",
        "quota" => "Make room in the destination mailbox, then run the same command again.",
        "locked" => {
            "Wait for the other mailmove to end, or stop it; then run the same command again."
        }
        "waiting-for-user" => "Do what the provider asks for, then run the same command again.",
        "protocol" => "Check that host and port are those of an IMAP server.",
        "store" | "io" => "Check that the state directory is writable and its disk not full.",
        "cancelled" => "Run the same command again: it goes on where it stopped.",
        "bug" | "mismatch" => "This should not happen: please report it.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use mailmove_core::ErrorKind;

    use super::*;

    #[test]
    fn tells_what_where_why_and_what_to_do() {
        let failure = Failure {
            error: Error::new(ErrorKind::Connect, "cannot connect")
                .with_code("net/connect")
                .with_context("host", "h")
                .with_source(std::io::Error::other("refused\r\nby \u{1b}[2J")),
            place: Some("source imaps://a@h:1".to_owned()),
            hint: Some("Try the other port.".to_owned()),
        };
        assert_eq!(
            failure.text(),
            "error: cannot connect (host h)\n\
             \x20 where: source imaps://a@h:1\n\
             \x20 cause: refused by \u{fffd}[2J\n\
             \x20 remedy: Check host and port, and that no firewall is in between.\n\
             \x20 remedy: Try the other port.\n\
             \x20 code: net/connect\n"
        );
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        for kind in [
            ErrorKind::Connect,
            ErrorKind::Timeout,
            ErrorKind::Interrupted,
            ErrorKind::Unavailable,
            ErrorKind::Throttled,
            ErrorKind::Capacity,
            ErrorKind::Tls,
            ErrorKind::Auth,
            ErrorKind::Quota,
            ErrorKind::Locked,
            ErrorKind::WaitingForUser,
            ErrorKind::Protocol,
            ErrorKind::Store,
            ErrorKind::Io,
            ErrorKind::Cancelled,
            ErrorKind::Bug,
            ErrorKind::Mismatch,
        ] {
            assert!(usual_remedy(kind.as_str()).is_some(), "{kind:?}");
        }
    }
}
