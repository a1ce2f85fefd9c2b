//! What stands inside the ids that the rest of the program treats as opaque. The only place that
//! reads or writes them.

use std::fmt::Write as _;

use mailmove_core::{
    error::{Error, ErrorKind},
    model::{CompactText, FolderId, MessageId},
};

/// A message: UIDVALIDITY and UID in ten digits each, so that the text sorts as the numbers do.
pub(crate) fn message_id(validity: u32, uid: u32) -> MessageId {
    MessageId::format(format_args!("{validity:010}-{uid:010}"))
}

/// Reads [`message_id`]: (UIDVALIDITY, UID).
pub(crate) fn parse_message_id(id: &MessageId) -> Option<(u32, u32)> {
    let (validity, uid) = id.as_str().split_once('-')?;
    let number = |text: &str| {
        let digits = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    Some((number(validity)?, number(uid).filter(|uid| *uid != 0)?))
}

/// For people: `UID 17`.
pub(crate) fn describe(id: &MessageId) -> String {
    parse_message_id(id).map_or_else(|| id.to_string(), |(_, uid)| format!("UID {uid}"))
}

/// An id that this adapter did not make.
pub(crate) fn foreign_id(id: &MessageId) -> Error {
    Error::new(ErrorKind::NotFound, "not a message id of an IMAP folder")
        .with_code("imap/message-id")
        .with_scope(mailmove_core::Scope::Message)
        .with_context("message", id.as_str())
}

/// A folder by its name on the wire. Names are ASCII by the book, but anything may come: `%` and
/// whatever is not printable ASCII is written `%XX`, so that the text can be read back.
pub(crate) fn folder_id(wire: &[u8]) -> FolderId {
    let mut text = String::with_capacity(wire.len());
    for byte in wire {
        if (b' '..=b'~').contains(byte) && *byte != b'%' {
            text.push(char::from(*byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    FolderId::new(text)
}

/// Reads [`folder_id`]. What was never one is taken as it stands.
pub(crate) fn wire_name(id: &FolderId) -> Vec<u8> {
    let mut name = Vec::with_capacity(id.as_str().len());
    let mut rest = id.as_str().as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                name.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => name.push(*first),
        }
    }
    name
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// A folder in a state of numbering: UIDVALIDITY with MAILBOXID (RFC 8474), or with the name where
/// the server has no such ids.
pub(crate) fn identity(validity: u32, mailbox_id: Option<&str>, folder: &FolderId) -> CompactText {
    match mailbox_id {
        Some(id) => CompactText::format(format_args!("{validity}#{id}")),
        None => CompactText::format(format_args!("{validity}={folder}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_sort_as_numbers_and_read_back() {
        let (small, large) = (message_id(7, 9), message_id(7, u32::MAX));
        assert!(small < large);
        assert_eq!(parse_message_id(&small), Some((7, 9)));
        assert_eq!(parse_message_id(&large), Some((7, u32::MAX)));
        assert_eq!(describe(&small), "UID 9");
        for foreign in [
            "",
            "7-9",
            "0000000007-0000000000",
            "+000000007-0000000009",
            "AAMk=",
        ] {
            assert_eq!(
                parse_message_id(&MessageId::new(foreign)),
                None,
                "{foreign}"
            );
        }
    }

    #[test]
    fn usual_folder_names_stay_readable() {
        assert_eq!(folder_id(b"Entw&APw-rfe/a b").as_str(), "Entw&APw-rfe/a b");
        assert_eq!(folder_id(b"50%\xfc").as_str(), "50%25%FC");
        assert_eq!(wire_name(&FolderId::new("50% off %zz%4")), b"50% off %zz%4");
    }

    proptest::proptest! {
        #[test]
        fn any_name_reads_back(name: Vec<u8>) {
            proptest::prop_assert_eq!(wire_name(&folder_id(&name)), name);
        }
    }
}
