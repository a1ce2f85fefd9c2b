//! What tells an item apart that travels as an export, and so can't be marked before it is there.

use mailmove_core::identity::HeaderDigest;

use crate::date::parse_date;

/// Properties that an export keeps, as the server tells them.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "made by adapters alone")]
pub struct Facts<'a> {
    /// `PR_INTERNET_MESSAGE_ID`.
    pub message_id: Option<&'a str>,
    /// `PR_SUBJECT`.
    pub subject: Option<&'a str>,
    /// `PidLidGlobalObjectId`, of appointments.
    pub global_id: Option<&'a str>,
    /// `PidLidFileUnder`, of contacts.
    pub file_under: Option<&'a str>,
    /// `PR_CLIENT_SUBMIT_TIME`.
    pub sent: Option<&'a str>,
    /// `PR_MESSAGE_DELIVERY_TIME`.
    pub received: Option<&'a str>,
    /// `PR_START_DATE`.
    pub start: Option<&'a str>,
    /// `PR_END_DATE`.
    pub end: Option<&'a str>,
    /// `PR_MESSAGE_CLASS`.
    pub class: Option<&'a str>,
}

/// A digest of them, as if they were a header. `None` where nothing tells an item apart.
#[must_use]
pub fn digest(facts: Facts<'_>) -> Option<HeaderDigest> {
    let text = |text: Option<&str>| {
        let said = text.filter(|text| !text.trim().is_empty());
        said.map(str::to_owned)
    };
    let date = |text: Option<&str>| Some(parse_date(text?)?.seconds().to_string());
    let names = [
        ("Message-ID", text(facts.message_id)),
        ("Subject", text(facts.subject)),
        ("In-Reply-To", text(facts.global_id)),
        ("Bcc", text(facts.file_under)),
    ];
    if names.iter().all(|(_, value)| value.is_none()) {
        return None;
    }
    let more = [
        ("Date", date(facts.sent)),
        ("From", date(facts.received)),
        ("To", date(facts.start)),
        ("Cc", date(facts.end)),
        ("Content-Type", facts.class.map(str::to_owned)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_not_told_apart() {
        let facts = Facts {
            received: Some("2026-11-26T10:00:00Z"),
            class: Some("IPM.Note"),
            ..Facts::default()
        };
        assert_eq!(digest(facts), None);
        let named = |subject| Facts {
            subject: Some(subject),
            ..facts
        };
        assert_ne!(digest(named("a")), digest(named("b")));
        // However a date is written.
        let other = Facts {
            received: Some("2026-11-26T11:00:00.000+01:00"),
            ..named("a")
        };
        assert_eq!(digest(other), digest(named("a")));
    }
}
