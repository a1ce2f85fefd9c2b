//! What a server's refusals, and failures on the way to it, mean to the engine.
//!
//! Every code here is part of the public interface: `imap/…` for what the protocol says, `tls/…`
//! for certificates and handshakes.

mod hosted;
mod login;

use std::{io, time::Duration};

pub(crate) use mailmove_core::error::printable;
use mailmove_core::{
    edge::tls::handshake_failed,
    error::{Error, ErrorKind, Retry, Scope},
};

use hosted::throttled;
pub(crate) use login::{
    TOKEN_REFUSED, login_disabled, login_failed, login_refused, token_refused, without,
};

use crate::wire::{Code, Status, StatusKind, WireError};

/// A handshake that failed.
pub(crate) fn handshake(failure: io::Error) -> Error {
    handshake_failed(
        failure,
        "Check the port: TLS is usually on 993, STARTTLS on 143. Servers that have too many connections do \
         this too: close other mail programs, or use fewer.",
    )
}

/// What a refusal is about: decides how far it reaches when the server does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    /// The command's name, e.g. `SELECT`.
    pub(crate) command: &'static str,
    /// How far a refusal without any explanation reaches.
    pub(crate) scope: Scope,
}

impl Doing {
    pub(crate) const fn account(command: &'static str) -> Self {
        Self {
            command,
            scope: Scope::Account,
        }
    }

    pub(crate) const fn folder(command: &'static str) -> Self {
        Self {
            command,
            scope: Scope::Folder,
        }
    }

    pub(crate) const fn message(command: &'static str) -> Self {
        Self {
            command,
            scope: Scope::Message,
        }
    }
}

/// The meaning of a NO or BAD.
pub(crate) fn refused(doing: Doing, status: &Status) -> Error {
    let lower = status.text.to_ascii_lowercase();
    let mut error = throttled(status, &lower)
        .or_else(|| by_code(doing, status))
        .or_else(|| hosted::by_text(doing, status, &lower))
        .or_else(|| by_text(doing, &lower))
        .unwrap_or_else(|| plain(doing, status));
    error = error.with_context("command", doing.command);
    match said(status) {
        text if text.is_empty() => error,
        text => error.with_context("answer", text),
    }
}

/// Code and text as the server gave them.
fn said(status: &Status) -> String {
    let text = printable(&status.text);
    match &status.code {
        Some(Code::Other(code)) => printable(&format!("[{code}] {text}")),
        Some(code) if simple(code) => {
            format!("[{}] {text}", format!("{code:?}").to_ascii_uppercase())
        }
        _ => text,
    }
}

/// Codes without arguments: their names are the variants' names.
fn simple(code: &Code) -> bool {
    !format!("{code:?}").contains(['(', '{'])
}

fn by_code(doing: Doing, status: &Status) -> Option<Error> {
    let error =
        |kind, code: &'static str, message: &'static str| Error::new(kind, message).with_code(code);
    Some(match status.code.as_ref()? {
        Code::OverQuota => over_quota(),
        Code::TooBig => too_large(),
        Code::NonExistent | Code::TryCreate => error(
            ErrorKind::NotFound,
            "imap/no-folder",
            "the folder does not exist",
        ),
        Code::NoPerm => no_permission(doing),
        Code::ReadOnly => read_only(),
        Code::AlreadyExists => {
            error(ErrorKind::Conflict, "imap/exists", "it exists already").with_scope(Scope::Folder)
        }
        Code::Unavailable | Code::ServerBug => error(
            ErrorKind::Unavailable,
            "imap/unavailable",
            "the server has a problem",
        ),
        Code::InUse => error(
            ErrorKind::Unavailable,
            "imap/in-use",
            "the folder is in use",
        )
        .with_scope(Scope::Folder),
        Code::Limit => error(
            ErrorKind::Throttled,
            "imap/limit",
            "a limit of the server is reached",
        ),
        Code::Corruption => error(
            ErrorKind::Unavailable,
            "imap/corrupt",
            "the server says its mailbox is damaged",
        )
        .with_retry(Retry::Never)
        .with_scope(Scope::Folder)
        .with_remedy("Ask the administrator to repair the mailbox."),
        Code::Cannot | Code::UseAttr => error(
            ErrorKind::Refused,
            "imap/cannot",
            "the server cannot do that",
        )
        .with_scope(doing.scope),
        Code::AuthenticationFailed | Code::AuthorizationFailed | Code::Expired => login_failed(),
        Code::PrivacyRequired => login_disabled(),
        Code::ContactAdmin => error(
            ErrorKind::Denied,
            "imap/contact-admin",
            "the server asks to call its administrator",
        ),
        _ => return None,
    })
}

/// Servers without response codes. Only words that leave no doubt.
fn by_text(doing: Doing, lower: &str) -> Option<Error> {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&[
        "quota exceeded",
        "over quota",
        "overquota",
        "quota is exceeded",
        "mailbox is full",
        "mailbox full",
    ]) {
        return Some(over_quota());
    }
    if has(&[
        "message too large",
        "message too big",
        "message size exceeds",
        "exceeds maximum message size",
        "maximum size of appendable message",
    ]) {
        return Some(too_large());
    }
    if has(TOO_MANY) {
        return Some(too_many());
    }
    // Cyrus and Courier.
    if has(&["permission denied", "access denied"]) {
        return Some(no_permission(doing));
    }
    if has(&["read-only", "read only"]) {
        return Some(read_only());
    }
    if has(&[
        "doesn't exist",
        "does not exist",
        "no such mailbox",
        "unknown mailbox",
    ]) {
        return Some(
            Error::new(ErrorKind::NotFound, "the folder does not exist")
                .with_code("imap/no-folder"),
        );
    }
    // Exchange Online says this where it means the quota, or a shortage of its own.
    if has(&[
        "server unavailable",
        "try again",
        "temporar",
        "internal error",
        "server error",
    ]) {
        return Some(
            Error::new(ErrorKind::Unavailable, "the server has a problem")
                .with_code("imap/unavailable"),
        );
    }
    None
}

const TOO_MANY: &[&str] = &[
    "too many connections",
    "too many simultaneous",
    "maximum number of connections",
    "connection limit",
    "too many sessions",
    "mail_max_userip_connections",
    "too many open connections",
];

fn plain(doing: Doing, status: &Status) -> Error {
    let error = match status.kind {
        StatusKind::Bad => {
            Error::new(ErrorKind::Refused, "the server did not understand").with_code("imap/bad")
        }
        _ => Error::new(ErrorKind::Refused, "the server refused").with_code("imap/no"),
    };
    error.with_scope(doing.scope)
}

fn no_permission(doing: Doing) -> Error {
    Error::new(ErrorKind::Denied, "the server forbids it")
        .with_code("imap/no-permission")
        .with_scope(doing.scope.max(Scope::Folder))
        .with_remedy("Ask the administrator for the right to read and write that folder.")
}

pub(crate) fn over_quota() -> Error {
    Error::new(ErrorKind::Quota, "the mailbox is full")
        .with_code("imap/overquota")
        .with_remedy("Free some space in that mailbox or raise its quota, then run again.")
}

pub(crate) fn too_large() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the message is larger than the server takes",
    )
    .with_code("imap/too-large")
}

pub(crate) fn read_only() -> Error {
    Error::new(ErrorKind::Denied, "the folder is read-only")
        .with_code("imap/read-only")
        .with_scope(Scope::Folder)
        .with_remedy("Ask the administrator for the right to write into that folder.")
}

pub(crate) fn too_many() -> Error {
    Error::new(ErrorKind::Capacity, "the server allows no more connections")
        .with_code("imap/too-many-connections")
        .with_remedy("Use fewer connections, or close other mail programs.")
}

/// The server's stream cannot be followed.
pub(crate) fn wire(error: WireError) -> Error {
    match error {
        WireError::NotImap { .. } => {
            Error::new(ErrorKind::Protocol, "what answers there is no IMAP server")
                .with_code("imap/not-imap")
                .with_remedy("Check host and port; IMAP is usually on 993 (TLS) or 143 (STARTTLS).")
                .with_source(error)
        }
        // Another connection may well work.
        error => Error::new(ErrorKind::Protocol, "the server's answers make no sense")
            .with_code("imap/protocol")
            .with_retry(Retry::Backoff)
            .with_source(error),
    }
}

/// Something well framed that the protocol does not allow at this point.
pub(crate) fn unexpected(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message)
        .with_code("imap/protocol")
        .with_retry(Retry::Backoff)
}

/// The server said good-bye or just went; `bye` is what it said.
pub(crate) fn closed(bye: Option<&Status>) -> Error {
    let Some(status) = bye else {
        return Error::new(ErrorKind::Interrupted, "the server closed the connection")
            .with_code("imap/closed");
    };
    let lower = status.text.to_ascii_lowercase();
    let error = if TOO_MANY.iter().any(|words| lower.contains(words)) {
        too_many()
    } else {
        throttled(status, &lower)
            .or_else(|| passing(status))
            .or_else(|| hosted::bye(&lower))
            .unwrap_or_else(|| {
                Error::new(ErrorKind::Interrupted, "the server ended the connection")
                    .with_code("imap/bye")
            })
    };
    match said(status) {
        text if text.is_empty() => error,
        text => error.with_context("answer", text),
    }
}

/// Codes that explain a good-bye.
fn passing(status: &Status) -> Option<Error> {
    match status.code {
        Some(Code::Unavailable | Code::ServerBug | Code::InUse | Code::Limit) => {
            by_code(Doing::account("BYE"), status).map(|error| error.with_scope(Scope::Account))
        }
        _ => None,
    }
}

/// No sign of life for so long.
pub(crate) fn silent(patience: Duration) -> Error {
    Error::new(ErrorKind::Timeout, "the server does not answer")
        .with_code("imap/timeout")
        .with_context("seconds", patience.as_secs().to_string())
}

/// Reading or writing failed. TLS errors show up here too, once the handshake is over.
pub(crate) fn io(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return closed(None).with_source(error);
    }
    Error::new(ErrorKind::Interrupted, "the connection broke")
        .with_code("imap/broken")
        .with_source(error)
}

/// An error that ends a request, told once more: for each further item of the request.
pub(crate) fn again(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message().to_owned())
        .with_code(error.code().to_owned())
        .with_scope(error.scope())
        .with_retry(error.retry());
    if let Some(remedy) = error.remedy() {
        copy = copy.with_remedy(remedy.to_owned());
    }
    // The context's values are ours and short; the names are static by construction.
    for (name, value) in error.context() {
        copy = copy.with_context(name, value);
    }
    if std::error::Error::source(error).is_some() {
        copy = copy.with_context("cause", printable(&cause(error)));
    }
    copy
}

fn cause(error: &Error) -> String {
    let chain = error.chain();
    let shown = error.to_string();
    chain
        .strip_prefix(&shown)
        .unwrap_or(&chain)
        .trim_start_matches([':', ' '])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no(code: Option<Code>, text: &str) -> Status {
        Status {
            kind: StatusKind::No,
            code,
            text: text.to_owned(),
        }
    }

    #[test]
    fn codes_decide_before_words() {
        let error = refused(
            Doing::message("APPEND"),
            &no(Some(Code::OverQuota), "try again"),
        );
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Quota, "imap/overquota")
        );
        assert!(error.remedy().is_some());
        let error = refused(
            Doing::message("APPEND"),
            &no(None, "Quota exceeded (mailbox for user is full)"),
        );
        assert_eq!(error.kind(), ErrorKind::Quota);
        for doing in [Doing::message("APPEND"), Doing::folder("EXAMINE")] {
            let error = refused(doing, &no(None, "Permission denied"));
            let found = (error.kind(), error.scope(), error.code());
            let expected = (ErrorKind::Denied, Scope::Folder, "imap/no-permission");
            assert_eq!(found, expected);
        }
        let error = refused(Doing::folder("SELECT"), &no(Some(Code::InUse), ""));
        assert_eq!(
            (error.kind(), error.scope()),
            (ErrorKind::Unavailable, Scope::Folder)
        );
    }

    #[test]
    fn an_unexplained_refusal_reaches_as_far_as_the_command() {
        for doing in [
            Doing::message("APPEND"),
            Doing::folder("SELECT"),
            Doing::account("LIST"),
        ] {
            let error = refused(doing, &no(None, "no"));
            assert_eq!(
                (error.kind(), error.scope()),
                (ErrorKind::Refused, doing.scope)
            );
            assert_eq!(error.retry(), Retry::Never);
        }
    }

    #[test]
    fn the_servers_own_backoff_is_obeyed() {
        let text = "Request is throttled. Suggested Backoff Time: 1500 milliseconds";
        let mut status = no(None, text);
        status.kind = StatusKind::Bad;
        let error = refused(Doing::account("LIST"), &status);
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert_eq!(error.retry(), Retry::After(Duration::from_millis(1500)));
    }

    #[test]
    fn no_secret_and_no_control_character_is_repeated() {
        let status = no(None, "LOGIN ann s3cret\x1b[31m failed");
        let error = login_refused(&status, "ann", &["s3cret", ""]);
        assert_eq!(error.code(), "imap/login");
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains('\x1b'),
            "{shown}"
        );
        assert!(printable(&"x".repeat(1000)).chars().count() <= 201);
    }

    #[test]
    fn too_many_connections_is_capacity() {
        let bye = no(
            Some(Code::Alert),
            "Too many simultaneous connections. (Failure)",
        );
        assert_eq!(closed(Some(&bye)).kind(), ErrorKind::Capacity);
        let status = no(
            None,
            "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
        );
        assert_eq!(
            login_refused(&status, "ann", &[]).kind(),
            ErrorKind::Capacity
        );
    }
}
