//! What hosted services say in words of their own: how long to wait, and what their numbers mean.
//! From public transcripts; none of them was asked by these tests.

use std::time::Duration;

use mailmove_core::error::{Error, ErrorKind, Retry, Scope};

use super::Doing;
use crate::wire::{Code, Status};

/// "Slow down" in the words of several servers.
pub(super) fn throttled(status: &Status, lower: &str) -> Option<Error> {
    let code = match &status.code {
        Some(Code::Other(code)) => code.to_ascii_uppercase(),
        _ => String::new(),
    };
    let words = [
        "throttled",
        "rate limit",
        "too many commands",
        "bandwidth limit",
        "bandwidthlimits",
        "too many requests",
    ];
    if code != "THROTTLED" && !words.iter().any(|word| lower.contains(word)) {
        return None;
    }
    let error = Error::new(ErrorKind::Throttled, "the server asks to slow down")
        .with_code("imap/throttled")
        .with_remedy("Use fewer connections or a bandwidth limit.");
    Some(match backoff(lower) {
        Some(wait) => error.with_retry(Retry::After(wait)),
        None => error,
    })
}

/// `Suggested Backoff Time: 299499 milliseconds` (Exchange Online).
fn backoff(lower: &str) -> Option<Duration> {
    let rest = lower.split_once("backoff time:")?.1.trim_start();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let number: u64 = digits.parse().ok()?;
    let unit = rest.get(digits.len()..)?.trim_start();
    // An hour is the longest that any server was seen to ask for; more is a misprint.
    let wait = if unit.starts_with("sec") {
        Duration::from_secs(number)
    } else {
        Duration::from_millis(number)
    };
    Some(wait.min(Duration::from_secs(3600)))
}

/// What a provider wants instead of this login.
pub(super) fn login(lower: &str) -> Option<Error> {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let error = |message: &'static str, code: &'static str, remedy: &'static str| {
        let error = Error::new(ErrorKind::Auth, message).with_code(code);
        Some(error.with_remedy(remedy))
    };
    if has(&[
        "application-specific password",
        "app password",
        "app-specific password",
    ]) {
        return error(
            "the provider wants an application password here",
            "imap/app-password",
            "Make an application password in the account's security settings and use that.",
        );
    }
    if has(&["web login required", "log in via your web browser"]) {
        return error(
            "the provider wants the user to log in by web browser first",
            "imap/web-login",
            "Log in to the mailbox by web browser, confirm what is asked there, then try again; or \
             use an application password or OAuth.",
        );
    }
    if has(&[
        "not enabled for imap",
        "imap access is disabled",
        "imap is disabled",
    ]) {
        return error(
            "IMAP is switched off for this mailbox",
            "imap/not-enabled",
            "Switch IMAP on in the mailbox's settings (its administrator may have to allow it).",
        );
    }
    not_connected(lower)
}

/// Exchange: the login was taken, but there is no mailbox behind it for this user. It is said after a
/// wrong password too.
fn not_connected(lower: &str) -> Option<Error> {
    if !lower.contains("authenticated but not connected") {
        return None;
    }
    let error = Error::new(
        ErrorKind::Auth,
        "the server took the login, but does not open that mailbox for it",
    );
    Some(error.with_code("imap/not-connected").with_remedy(
        "Check the password, the mailbox's name, that this user may open it, and that IMAP is switched \
         on for it. It also happens for some minutes after a mailbox was made or moved.",
    ))
}

/// The numbers and sentences of Exchange, and the like of others, as refusals of commands.
pub(super) fn by_text(doing: Doing, status: &Status, lower: &str) -> Option<Error> {
    if let Some(error) = not_connected(lower) {
        return Some(error);
    }
    if let Some(number) = lower.split_once("command argument error.") {
        let number = number.1.trim_start();
        let digits = number.split(|c: char| !c.is_ascii_digit()).next();
        return Some(argument_error(doing, status, digits.unwrap_or_default()));
    }
    if lower.contains("server unavailable. 15") {
        // The same text stands for a full mailbox and for a shortage at the server.
        let error = Error::new(ErrorKind::Unavailable, "the server has a problem");
        return Some(error.with_code("imap/unavailable-15").with_remedy(
            "Exchange says this where the mailbox is full: check its quota. Else try again later.",
        ));
    }
    None
}

/// `BAD Command Argument Error. 11`: Exchange will not take the command as it is.
fn argument_error(doing: Doing, status: &Status, number: &str) -> Error {
    let append = doing.command == "APPEND";
    let (code, remedy) = match (number, append) {
        ("11", true) => (
            "imap/argument-11",
            "Exchange says this of messages that are too large or have a line that is too long, \
             and where the mailbox is full: check the mailbox's quota and the largest message that \
             it may receive, or bring this message over by hand.",
        ),
        ("12", true) => (
            "imap/argument-12",
            "Exchange says this of messages that it cannot read: bring this one over by hand.",
        ),
        _ => (
            "imap/argument",
            "Exchange takes some folder names and arguments not: give the folder another name with \
             --map, or leave it out.",
        ),
    };
    let kind = ErrorKind::Refused;
    let scope = if append { Scope::Message } else { doing.scope };
    let error = Error::new(kind, "Exchange does not take that argument");
    let error = error.with_code(code).with_scope(scope).with_remedy(remedy);
    error.with_context("status", format!("{:?}", status.kind).to_ascii_uppercase())
}

/// What a good-bye means, beyond its being one.
pub(super) fn bye(lower: &str) -> Option<Error> {
    // Gmail, when a token's hour is over, and when a day's transfer is used up: then the next login
    // or command says so.
    if lower.contains("session expired") {
        let error = Error::new(ErrorKind::Interrupted, "the server ended the session");
        return Some(error.with_code("imap/session-expired"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{closed, refused},
        wire::StatusKind,
    };

    fn status(kind: StatusKind, code: Option<Code>, text: &str) -> Status {
        Status {
            kind,
            code,
            text: text.to_owned(),
        }
    }

    /// As services are known to word it.
    #[test]
    fn words_that_mean_slow_down() {
        let exchange = "Request is throttled. Suggested Backoff Time: 299499 milliseconds";
        let other = |code: &str| Some(Code::Other(code.to_owned()));
        for (kind, code, text) in [
            (StatusKind::Bad, None, exchange),
            (
                StatusKind::No,
                Some(Code::Limit),
                "UID FETCH Rate limit hit.",
            ),
            (
                StatusKind::No,
                other("THROTTLED"),
                "Account exceeded command limits",
            ),
            (
                StatusKind::No,
                Some(Code::OverQuota),
                "Account exceeded command or bandwidth limits. (Failure)",
            ),
            (StatusKind::Bad, other("THROTTLED"), ""),
        ] {
            let said = status(kind, code, text);
            let error = refused(Doing::message("APPEND"), &said);
            assert_eq!(error.kind(), ErrorKind::Throttled, "{said:?}");
            assert_eq!(error.scope(), Scope::Account, "{said:?}");
            let bye = Status {
                kind: StatusKind::Bye,
                ..said
            };
            assert_eq!(closed(Some(&bye)).kind(), ErrorKind::Throttled, "{bye:?}");
        }
        let said = status(StatusKind::Bye, None, exchange);
        let wait = Duration::from_millis(299_499);
        assert_eq!(closed(Some(&said)).retry(), Retry::After(wait));
    }

    #[test]
    fn a_bye_with_a_code_means_what_the_code_means() {
        for (code, text, kind, name) in [
            (
                Code::Unavailable,
                "later",
                ErrorKind::Unavailable,
                "imap/unavailable",
            ),
            (
                Code::InUse,
                "mailbox locked",
                ErrorKind::Unavailable,
                "imap/in-use",
            ),
            (Code::Limit, "enough", ErrorKind::Throttled, "imap/limit"),
        ] {
            let error = closed(Some(&status(StatusKind::Bye, Some(code), text)));
            assert_eq!((error.kind(), error.code()), (kind, name));
            assert_eq!(
                (error.scope(), error.retry()),
                (Scope::Account, Retry::Backoff)
            );
        }
        let expired = "Session expired, please login again.";
        let error = closed(Some(&status(StatusKind::Bye, None, expired)));
        assert_eq!(error.code(), "imap/session-expired");
        assert_eq!(error.retry(), Retry::Backoff);
        // A code that says nothing of the connection.
        let error = closed(Some(&status(StatusKind::Bye, Some(Code::Alert), "bye")));
        assert_eq!(error.code(), "imap/bye");
    }

    #[test]
    fn numbers_of_exchange_have_a_remedy() {
        let bad = |text: &str| status(StatusKind::Bad, None, text);
        for (command, text, code, scope) in [
            (
                "APPEND",
                "Command Argument Error. 11",
                "imap/argument-11",
                Scope::Message,
            ),
            (
                "APPEND",
                "Command Argument Error. 12",
                "imap/argument-12",
                Scope::Message,
            ),
            (
                "CREATE",
                "Command Argument Error. 12",
                "imap/argument",
                Scope::Folder,
            ),
        ] {
            let doing = match command {
                "APPEND" => Doing::message("APPEND"),
                _ => Doing::folder("CREATE"),
            };
            let error = refused(doing, &bad(text));
            assert_eq!((error.code(), error.scope()), (code, scope));
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.remedy().is_some());
        }
        let full = status(StatusKind::No, None, "Server Unavailable. 15");
        let error = refused(Doing::message("APPEND"), &full);
        assert_eq!(error.code(), "imap/unavailable-15");
        assert!(error.remedy().unwrap_or_default().contains("quota"));
        let odd = bad("User is authenticated but not connected.");
        let error = refused(Doing::folder("SELECT"), &odd);
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Auth, "imap/not-connected")
        );
    }

    #[test]
    fn the_wait_is_read_in_any_unit_and_bounded() {
        assert_eq!(backoff("backoff time: x"), None);
        assert_eq!(
            backoff("backoff time: 90 seconds"),
            Some(Duration::from_secs(90))
        );
        assert_eq!(
            backoff("backoff time: 99999999999 ms"),
            Some(Duration::from_secs(3600))
        );
    }
}
