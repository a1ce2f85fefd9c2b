//! Flags as servers send them.

use std::fmt;

/// A system flag of RFC 3501 §2.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SystemFlag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// `\Recent`: set by servers alone, never sent.
    Recent,
}

impl SystemFlag {
    /// All of them, `\Recent` last.
    pub const ALL: [Self; 6] = [
        Self::Answered,
        Self::Flagged,
        Self::Deleted,
        Self::Seen,
        Self::Draft,
        Self::Recent,
    ];

    /// The flag as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Seen => "\\Seen",
            Self::Draft => "\\Draft",
            Self::Recent => "\\Recent",
        }
    }

    /// Recognises a flag in any case.
    #[must_use]
    pub fn from_wire(flag: &[u8]) -> Option<Self> {
        if flag.first() != Some(&b'\\') {
            return None;
        }
        Self::ALL
            .into_iter()
            .find(|known| flag.eq_ignore_ascii_case(known.as_str().as_bytes()))
    }

    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

const MAY_CREATE: u8 = 1 << 7;

/// A set of flags that a server sent, each kept on its own: an odd one never costs the others.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Flags {
    bits: u8,
    others: Vec<Box<[u8]>>,
}

impl Flags {
    /// Keywords of one message that are worth being looked at: far more than servers keep. A line of a MiB
    /// may hold 250,000, and to sort them in one by one would take minutes.
    pub(crate) const MOST: usize = 1000;

    /// Adds one flag in wire form, unescaped.
    pub fn push(&mut self, flag: &[u8]) {
        if let Some(known) = SystemFlag::from_wire(flag) {
            self.bits |= known.bit();
        } else if flag == b"\\*" {
            self.bits |= MAY_CREATE;
        } else if !flag.is_empty() {
            self.others.push(flag.into());
        }
    }

    /// Whether a system flag is among them.
    #[must_use]
    pub fn has(&self, flag: SystemFlag) -> bool {
        self.bits & flag.bit() != 0
    }

    /// The system flags, `\Recent` included.
    pub fn system(&self) -> impl Iterator<Item = SystemFlag> + '_ {
        SystemFlag::ALL.into_iter().filter(|flag| self.has(*flag))
    }

    /// `\*` in PERMANENTFLAGS: new keywords may be created.
    #[must_use]
    pub fn may_create(&self) -> bool {
        self.bits & MAY_CREATE != 0
    }

    /// Takes `\*` out: only what is named may be set.
    pub fn forbid_creation(&mut self) {
        self.bits &= !MAY_CREATE;
    }

    /// Everything that is no system flag, in the server's order and bytes: keywords, unknown `\X` flags, and oddities
    /// such as Latin-1 or blanks (from a quoted flag).
    pub fn others(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.others.iter().map(|flag| &**flag)
    }

    /// No flag at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0 && self.others.is_empty()
    }

    /// Whether the server takes this flag by this list of permanent flags; keywords compare without case.
    #[must_use]
    pub fn permits(&self, flag: &[u8]) -> bool {
        match SystemFlag::from_wire(flag) {
            Some(known) => self.has(known),
            None => {
                let listed = self
                    .others
                    .iter()
                    .any(|other| other.eq_ignore_ascii_case(flag));
                listed || (self.may_create() && flag.first() != Some(&b'\\'))
            }
        }
    }
}

impl<'a> FromIterator<&'a [u8]> for Flags {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(flags: I) -> Self {
        let mut set = Self::default();
        flags.into_iter().for_each(|flag| set.push(flag));
        set
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        let mut gap = "";
        for flag in self.system() {
            write!(f, "{gap}{}", flag.as_str())?;
            gap = " ";
        }
        for flag in &self.others {
            write!(f, "{gap}{}", flag.escape_ascii())?;
            gap = " ";
        }
        if self.may_create() {
            write!(f, "{gap}\\*")?;
        }
        f.write_str(")")
    }
}
