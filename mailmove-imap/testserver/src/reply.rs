//! How a command ends, and how values are written.

use std::io;

use mailmove_testkit::mailbox::StoreError;

/// What stops a command.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Answered NO; a response code may lead the text.
    No(String),
    /// Answered BAD.
    Bad(String),
    /// `* BYE`, then closed.
    Bye(String),
    /// Closed without a word.
    Gone,
}

/// Text after OK, or why not.
pub(crate) type Outcome = Result<String, Stop>;

impl Stop {
    pub(crate) fn no(text: &str) -> Self {
        Self::No(text.to_owned())
    }

    pub(crate) fn bad(text: &str) -> Self {
        Self::Bad(text.to_owned())
    }

    /// A refusal of the store; a missing target folder says TRYCREATE.
    pub(crate) fn for_target(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchFolder => Self::no("[TRYCREATE] no such mailbox"),
            other => other.into(),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NoSuchFolder => "[NONEXISTENT] ",
            StoreError::AlreadyExists => "[ALREADYEXISTS] ",
            StoreError::InvalidName(_) | StoreError::InboxIsFixed => "[CANNOT] ",
            StoreError::ReadOnly => "[NOPERM] ",
            StoreError::OverQuota => "[OVERQUOTA] ",
            StoreError::TooBig(_) => "[TOOBIG] ",
            StoreError::BadFlag(flag) if flag.starts_with('\\') => {
                return Self::Bad(error.to_string());
            }
            _ => "",
        };
        Self::No(format!("{code}{error}"))
    }
}

/// Writes a string as quoted, or as a literal if it can't be quoted.
pub(crate) fn string(out: &mut Vec<u8>, value: &[u8]) {
    let plain = |b: &u8| matches!(b, 0x20..=0x7e);
    if value.len() > 1000 || !value.iter().all(plain) {
        out.extend_from_slice(format!("{{{}}}\r\n", value.len()).as_bytes());
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Writes a string or NIL.
pub(crate) fn nstring(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => string(out, value),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// A string that needs no literal, quoted.
pub(crate) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
