//! What tells one item from another where they travel as exports: an export has no header, and can't be marked
//! before it is there.

use mailmove_core::{identity::HeaderDigest, model::Timestamp};

/// Properties that an export keeps.
#[derive(Clone, Copy, Debug, Default)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a format: another property would make another digest"
)]
pub struct Identity<'a> {
    /// `PR_INTERNET_MESSAGE_ID`.
    pub message_id: Option<&'a str>,
    /// `PR_SUBJECT`.
    pub subject: Option<&'a str>,
    /// `PidLidGlobalObjectId`: which meeting it is.
    pub global_id: Option<&'a str>,
    /// `PidLidFileUnder`: how a contact is sorted.
    pub file_under: Option<&'a str>,
    /// `PR_CLIENT_SUBMIT_TIME`.
    pub sent: Option<Timestamp>,
    /// `PR_MESSAGE_DELIVERY_TIME`.
    pub received: Option<Timestamp>,
    /// `PR_START_DATE`.
    pub start: Option<Timestamp>,
    /// `PR_END_DATE`.
    pub end: Option<Timestamp>,
    /// `PR_MESSAGE_CLASS`.
    pub class: Option<&'a str>,
}

impl Identity<'_> {
    /// A digest of them, as if they were a header. `None` where nothing tells an item apart.
    #[must_use]
    pub fn digest(&self) -> Option<HeaderDigest> {
        let said = |text: &&str| !text.trim().is_empty();
        let text = |text: Option<&str>| text.filter(said).map(str::to_owned);
        let date = |at: Option<Timestamp>| at.map(|at| at.seconds().to_string());
        let names = [
            ("Message-ID", text(self.message_id)),
            ("Subject", text(self.subject)),
            ("In-Reply-To", text(self.global_id)),
            ("Bcc", text(self.file_under)),
        ];
        if names.iter().all(|(_, value)| value.is_none()) {
            return None;
        }
        let more = [
            ("Date", date(self.sent)),
            ("From", date(self.received)),
            ("To", date(self.start)),
            ("Cc", date(self.end)),
            ("Content-Type", self.class.map(str::to_owned)),
        ];
        let mut header = String::new();
        for (name, value) in names.into_iter().chain(more) {
            if let Some(value) = value {
                let value = value.replace(char::is_control, " ");
                header.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        Some(HeaderDigest::of(header.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_without_a_name_have_none_and_each_property_counts() {
        let at = Some(Timestamp::new(1, 0));
        let nameless = Identity {
            sent: at,
            class: Some("IPM.Note"),
            subject: Some(" "),
            ..Identity::default()
        };
        assert_eq!(nameless.digest(), None);
        let named = Identity {
            subject: Some("x"),
            ..nameless
        };
        let others = [
            Identity {
                message_id: Some("<1@x>"),
                ..named
            },
            Identity { end: at, ..named },
            Identity {
                class: Some("IPM.Task"),
                ..named
            },
        ];
        for other in others {
            assert_ne!(named.digest(), other.digest());
        }
    }
}
