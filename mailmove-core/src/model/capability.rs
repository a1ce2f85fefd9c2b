//! What an adapter can do, known after login.

use std::{fmt, time::Duration};

use super::{Form, ItemClass};

/// Which mailbox an adapter stands for. Known before any connection; part of the job's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Endpoint {
    /// `imap`, `ews`, `graph`, …
    pub scheme: String,
    /// Canonical host (lower case) or tenant.
    pub host: String,
    /// Port, where it matters.
    pub port: Option<u16>,
    /// Whose mailbox: the authorization identity if there is one, else the login name.
    pub user: String,
}

impl Endpoint {
    /// A mailbox of `user` at `host`; the host is lower-cased.
    #[must_use]
    pub fn new(
        scheme: impl Into<String>,
        host: &str,
        port: Option<u16>,
        user: impl Into<String>,
    ) -> Self {
        Self {
            scheme: scheme.into(),
            host: host.to_ascii_lowercase(),
            port,
            user: user.into(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}@{}", self.scheme, self.user, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// What an adapter can do. Start from [`Capabilities::new`] and set what differs; the conformance
/// suite runs every trial that the capabilities claim.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// Who answers, for people: `IMAP (Dovecot)`.
    pub system: String,
    /// What the user should know of this system, such as quirks that the adapter works around.
    pub notes: Vec<String>,
    /// Folders that may be worked on at once.
    pub concurrency: usize,
    /// Item classes it can list or take.
    pub classes: Vec<ItemClass>,
    /// Content forms it can fetch or take.
    pub forms: Vec<Form>,
    /// MIME arrives with the same bytes. The engine measures it all the same.
    pub keeps_bytes: bool,
    /// The received date is kept, to the second.
    pub keeps_received: bool,
    /// Keywords are kept where the folder says so.
    pub keeps_keywords: bool,
    /// An append says the new message's id.
    pub returns_ids: bool,
    /// A folder's token tells whether anything changed in it, flags included.
    pub change_tokens: bool,
    /// `list` with a cursor names just what changed, instead of listing everything.
    pub deltas: bool,
    /// Listings tell the size of what would be fetched. Else it is another number, such as that of the
    /// server's own form, and says nothing about equal messages.
    pub exact_sizes: bool,
    /// Listings name the content of each message ([`Listed::content_id`](super::Listed::content_id)).
    pub content_ids: bool,
    /// There is an updater that can set flags.
    pub sets_flags: bool,
    /// There is an updater that can move messages, and says their new ids.
    pub moves: bool,
    /// There is an updater that can remove single messages, and nothing beside them.
    pub removes: bool,
    /// There is an updater that can copy messages from folder to folder.
    pub copies: bool,
    /// It may fold identical messages of a folder into one, even after it confirmed both.
    pub merges: bool,
    /// Bytes of messages a day that the provider lets out, where it is known to count them.
    pub daily_down: Option<u64>,
    /// The same for bytes of messages that it takes in.
    pub daily_up: Option<u64>,
    /// How appends are grouped.
    pub batching: Batching,
    /// Largest message it takes, if it says.
    pub max_message: Option<u64>,
    /// What its folder names may be, as far as is known without asking; see
    /// [`Destination::naming`](crate::destination::Destination::naming).
    pub naming: Naming,
    /// How long after a lost append its message usually appears. Absence is believed only then.
    pub settle: Duration,
    /// How long after a lost append its message may still appear at worst: a pass that sent something
    /// twice ends no earlier, and removes what landed twice.
    pub late: Duration,
}

impl Capabilities {
    /// Plain mail as MIME, one folder at a time, nothing promised.
    #[must_use]
    pub fn new(system: impl Into<String>) -> Self {
        Self {
            system: system.into(),
            notes: Vec::new(),
            concurrency: 1,
            classes: vec![ItemClass::Mail],
            forms: vec![Form::Mime],
            keeps_bytes: false,
            keeps_received: false,
            keeps_keywords: false,
            returns_ids: false,
            change_tokens: false,
            deltas: false,
            exact_sizes: true,
            content_ids: false,
            sets_flags: false,
            moves: false,
            removes: false,
            copies: false,
            merges: false,
            daily_down: None,
            daily_up: None,
            batching: Batching::default(),
            max_message: None,
            naming: Naming::default(),
            settle: Duration::from_secs(10),
            late: Duration::from_secs(100),
        }
    }
}

/// How appends are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batching {
    /// Most items in one batch.
    pub max_items: usize,
    /// Bytes after which a batch is closed; one larger item travels alone.
    pub max_bytes: u64,
    /// A batch is stored whole or not at all (IMAP MULTIAPPEND).
    pub atomic: bool,
}

impl Batching {
    /// Batches of up to so many items and bytes.
    #[must_use]
    pub const fn new(max_items: usize, max_bytes: u64, atomic: bool) -> Self {
        Self {
            max_items,
            max_bytes,
            atomic,
        }
    }
}

impl Default for Batching {
    fn default() -> Self {
        Self::new(32, 1 << 20, false)
    }
}

/// What a destination's folder names may be. Names that don't fit are rewritten by the
/// [`FolderMap`](crate::map::FolderMap), never skipped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Naming {
    /// Hierarchy separator: may not stand within a name. `None`: no hierarchy at all.
    pub separator: Option<char>,
    /// Other characters that may not stand within a name.
    pub forbidden: String,
    /// The highest character that may stand within a name.
    pub highest: char,
    /// Names that differ only in case are the same folder.
    pub case_insensitive: bool,
    /// Blanks at either end are refused, or lost.
    pub trims_blanks: bool,
    /// Several blanks in a row are refused, or become one.
    pub squeezes_blanks: bool,
    /// Top-level names that the server keeps for itself, compared without case.
    pub reserved: Vec<String>,
    /// Most levels.
    pub max_depth: usize,
    /// Longest single name, measured by `length_of`.
    pub max_name: usize,
    /// Longest whole path with separators, measured by `length_of`.
    pub max_path: usize,
    /// Length of a name on the wire, in bytes.
    pub length_of: fn(&str) -> usize,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            separator: Some('/'),
            forbidden: String::new(),
            highest: char::MAX,
            case_insensitive: false,
            trims_blanks: false,
            squeezes_blanks: false,
            reserved: Vec::new(),
            max_depth: 32,
            max_name: 200,
            max_path: 800,
            length_of: str::len,
        }
    }
}
