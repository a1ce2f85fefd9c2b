//! What a server says it can do.

use std::collections::BTreeSet;

/// How literals may be sent (RFC 7888).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LiteralMode {
    /// Only after the server's `+`.
    #[default]
    Synchronizing,
    /// LITERAL-: at once up to 4096 octets.
    Small,
    /// LITERAL+: always at once.
    Any,
}

impl LiteralMode {
    /// Whether a literal of so many octets may be sent without waiting.
    #[must_use]
    pub const fn at_once(self, octets: u64) -> bool {
        match self {
            Self::Synchronizing => false,
            Self::Small => octets <= 4096,
            Self::Any => true,
        }
    }
}

/// What an IMAP4rev2 server (RFC 9051, appendix E) can do without listing it.
const REV2: [&str; 14] = [
    "BINARY",
    "ENABLE",
    "ESEARCH",
    "IDLE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LITERAL-",
    "MOVE",
    "NAMESPACE",
    "SASL-IR",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "UIDPLUS",
    "UNSELECT",
];

/// A set of capability names. Comparison ignores case; nothing is required to be in it, not even IMAP4rev1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    names: BTreeSet<Box<str>>,
    /// STATUS can't tell MAILBOXID, whatever is listed.
    no_mailbox_ids: bool,
}

impl Capabilities {
    /// From names in any case; duplicates and empty ones vanish.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let upper = |name: &[u8]| {
            String::from_utf8_lossy(name)
                .to_ascii_uppercase()
                .into_boxed_str()
        };
        let names = names
            .into_iter()
            .filter(|name| !name.is_empty())
            .map(upper)
            .collect();
        Self {
            names,
            no_mailbox_ids: false,
        }
    }

    /// Whether folders have ids of their own (MAILBOXID, RFC 8474) that can be asked for.
    #[must_use]
    pub fn mailbox_ids(&self) -> bool {
        self.has("OBJECTID") && !self.no_mailbox_ids
    }

    /// What this server says as MAILBOXID is not to be used.
    pub(crate) fn distrust_mailbox_ids(&mut self) {
        self.no_mailbox_ids = true;
    }

    /// Whether it was listed, or comes with IMAP4rev2 on a server that offers nothing else.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let upper = name.to_ascii_uppercase();
        self.names.contains(upper.as_str())
            || (REV2.contains(&upper.as_str())
                && self.names.contains("IMAP4REV2")
                && !self.names.contains("IMAP4REV1"))
    }

    /// The names in upper case, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Nothing was listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The text after `NAME=`, for each such entry.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter_map(move |entry| {
            let (head, value) = entry.split_once('=')?;
            head.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Speaks IMAP4rev1 or IMAP4rev2. Some that do don't say so.
    #[must_use]
    pub fn is_imap4(&self) -> bool {
        self.has("IMAP4rev1") || self.has("IMAP4rev2")
    }

    /// `AUTH=mechanism`.
    #[must_use]
    pub fn auth(&self, mechanism: &str) -> bool {
        self.values("AUTH")
            .any(|listed| listed.eq_ignore_ascii_case(mechanism))
    }

    /// LOGIN is refused here, mostly until TLS is on.
    #[must_use]
    pub fn login_disabled(&self) -> bool {
        self.has("LOGINDISABLED")
    }

    /// How literals may be sent.
    #[must_use]
    pub fn literal_mode(&self) -> LiteralMode {
        if self.has("LITERAL+") {
            LiteralMode::Any
        } else if self.has("LITERAL-") {
            LiteralMode::Small
        } else {
            LiteralMode::Synchronizing
        }
    }

    /// CONDSTORE (RFC 7162), also where only QRESYNC is listed, which includes it.
    #[must_use]
    pub fn condstore(&self) -> bool {
        self.has("CONDSTORE") || self.has("QRESYNC")
    }

    /// `LIST … RETURN (STATUS (…))` may be sent.
    #[must_use]
    pub fn list_status(&self) -> bool {
        self.has("LIST-STATUS")
    }

    /// `COMPRESS DEFLATE` may be sent (RFC 4978).
    #[must_use]
    pub fn compress(&self) -> bool {
        self.values("COMPRESS")
            .any(|mechanism| mechanism.eq_ignore_ascii_case("DEFLATE"))
    }

    /// Quotas can be asked for (RFC 2087; RFC 9208 lists its resources beside it).
    #[must_use]
    pub fn quota(&self) -> bool {
        self.has("QUOTA") || self.values("QUOTA").next().is_some()
    }

    /// What is to be named to ENABLE (RFC 5161): what tells changes, if those are wanted; and without what the server
    /// shows or takes not everything.
    #[must_use]
    pub fn to_enable(&self, changes: bool) -> Vec<&'static str> {
        let wanted = [
            ("QRESYNC", changes && self.has("QRESYNC")),
            ("CONDSTORE", changes && self.condstore()),
            ("UTF8=ACCEPT", self.utf8_accept()),
            ("UIDONLY", self.hides_messages()),
        ];
        let wanted = wanted.into_iter().filter(|_| self.has("ENABLE"));
        wanted
            .filter_map(|(name, wanted)| wanted.then_some(name))
            .collect()
    }

    /// Headers in UTF-8 come and go as they are once this is enabled; until then the server may refuse them, or show
    /// something else in their place (RFC 6855 §4, RFC 9755).
    #[must_use]
    pub fn utf8_accept(&self) -> bool {
        self.has("UTF8=ACCEPT") || self.utf8_only()
    }

    /// Folders show no more than their newest messages until UIDONLY is enabled (RFC 9586): Yahoo's way, whose folders
    /// seem to end at MESSAGELIMIT. Elsewhere sequence numbers are worth having: they prove that nothing was left out.
    #[must_use]
    pub fn hides_messages(&self) -> bool {
        self.has("UIDONLY") && self.message_limit().is_some()
    }

    /// Nothing goes before `ENABLE UTF8=ACCEPT` (RFC 6855).
    #[must_use]
    pub fn utf8_only(&self) -> bool {
        self.has("UTF8=ONLY")
    }

    /// Google's X-GM-MSGID, X-GM-THRID and X-GM-LABELS.
    #[must_use]
    pub fn gmail(&self) -> bool {
        self.has("X-GM-EXT-1")
    }

    /// The largest APPEND in octets that holds for all mailboxes (`APPENDLIMIT=n`, RFC 7889).
    #[must_use]
    pub fn append_limit(&self) -> Option<u64> {
        self.values("APPENDLIMIT")
            .find_map(|limit| limit.parse().ok())
    }

    /// Each mailbox has its own largest APPEND, which STATUS tells (`APPENDLIMIT` without a number,
    /// RFC 7889).
    #[must_use]
    pub fn append_limit_by_mailbox(&self) -> bool {
        self.has("APPENDLIMIT")
    }

    /// The most messages that one command may touch (MESSAGELIMIT, RFC 9738).
    #[must_use]
    pub fn message_limit(&self) -> Option<u32> {
        self.limit("MESSAGELIMIT")
    }

    /// The most messages that one APPEND or COPY may bring (MESSAGELIMIT or SAVELIMIT, RFC 9738).
    #[must_use]
    pub fn save_limit(&self) -> Option<u32> {
        let limits = [self.message_limit(), self.limit("SAVELIMIT")];
        limits.into_iter().flatten().min()
    }

    fn limit(&self, name: &str) -> Option<u32> {
        let limits = self.values(name).filter_map(|limit| limit.parse().ok());
        limits.filter(|limit| *limit > 0).min()
    }
}

impl<'a> FromIterator<&'a str> for Capabilities {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        Self::new(names.into_iter().map(str::as_bytes))
    }
}
