//! What is noted at each message that is stored, in a property of our own.

use mailmove_core::{identity::HeaderDigest, model::ContentDigest};

/// The set of our properties. Its GUID was made for it.
pub const SET: &str = "6f1d7a52-3c0e-4b6b-9d5a-8e0c2f4b7a91";
/// Its name there.
pub const NAME: &str = "mailmove";

/// What a message was made from, as it is noted on the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a format; what is added has another number"
)]
pub struct Stamp {
    /// Of the content that was given.
    pub content: ContentDigest,
    /// Of its header.
    pub header: HeaderDigest,
    /// In which mailbox: an export takes the note along into another one, where it says nothing.
    pub mailbox: u64,
}

/// A mailbox in a few digits, by the id of its root.
#[must_use]
pub fn mailbox(root: &str) -> u64 {
    let digest = ContentDigest::of(root.as_bytes());
    let first = digest.as_bytes().first_chunk::<8>().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

impl Stamp {
    /// `2 c1-digest h1-digest mailbox`.
    #[must_use]
    pub fn write(&self) -> String {
        format!("2 {} {} {:016x}", self.content, self.header, self.mailbox)
    }

    /// Reads one; `None` if it is another version's.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut word = || words.next();
        let (Some("2"), Some(content), Some(header), Some(mailbox)) =
            (word(), word(), word(), word())
        else {
            return None;
        };
        let digest = |text: &str| serde_json::Value::from(text);
        Some(Self {
            content: serde_json::from_value(digest(content)).ok()?,
            header: serde_json::from_value(digest(header)).ok()?,
            mailbox: u64::from_str_radix(mailbox, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_read_back() {
        let stamp = Stamp {
            content: ContentDigest::of(b"x"),
            header: HeaderDigest::of(b"Subject: x\r\n"),
            mailbox: mailbox("root"),
        };
        assert_eq!(Stamp::read(&stamp.write()), Some(stamp));
        for bad in ["", "2", "2 x y z", "1 a b"] {
            assert_eq!(Stamp::read(bad), None);
        }
    }
}
