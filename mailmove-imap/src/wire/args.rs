//! Arguments of commands. Each type can only hold what is safe to send: a mail must never run as commands.
//!
//! A server that rejects an APPEND's arguments doesn't skip the literal after them, and executes the mail's lines. So
//! whatever comes from elsewhere (names, keywords, dates) has to pass through one of these types first.

use std::fmt;

use super::flags::{Flags, SystemFlag};

/// What can't be put into a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A mailbox name is empty or holds CR, LF or NUL.
    #[error("the mailbox name is empty or holds CR, LF or NUL")]
    MailboxName,
    /// A keyword isn't 1 to 128 atom characters.
    #[error("the keyword is empty, too long, or holds characters that IMAP forbids")]
    Keyword,
    /// The name of a header field, capability or mechanism isn't an atom.
    #[error("a name holds characters that IMAP forbids")]
    Atom,
    /// A text holds NUL.
    #[error("a text holds NUL, which IMAP cannot send")]
    Nul,
    /// A set of messages or list is empty.
    #[error("a command needs at least one item")]
    Empty,
    /// A message of 0 octets, which cancels a MULTIAPPEND (RFC 3502).
    #[error("an empty message cannot be appended")]
    EmptyMessage,
    /// A set of UIDs is longer than a line may be; split it.
    #[error("the set of UIDs is {0} bytes long, which is too much for one command")]
    SetTooLong(usize),
}

/// `ATOM-CHAR` of RFC 3501.
pub(super) const fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

pub(super) fn is_atom(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_atom_char(*byte))
}

/// A mailbox name in wire bytes: not empty, without CR, LF and NUL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(Box<[u8]>);

impl MailboxName {
    /// Takes wire bytes, as LIST gave them.
    ///
    /// # Errors
    /// [`EncodeError::MailboxName`]
    pub fn new(wire: impl Into<Box<[u8]>>) -> Result<Self, EncodeError> {
        let wire = wire.into();
        let forbidden = wire.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        if wire.is_empty() || forbidden {
            Err(EncodeError::MailboxName)
        } else {
            Ok(Self(wire))
        }
    }

    /// INBOX.
    #[must_use]
    pub fn inbox() -> Self {
        Self(b"INBOX".as_slice().into())
    }

    /// Encodes a name by [`utf7::encode`](super::utf7::encode).
    ///
    /// # Errors
    /// If it is empty; control characters end up in base64, where they are safe.
    pub fn from_text(name: &str) -> Result<Self, EncodeError> {
        Self::new(super::utf7::encode(name).into_bytes())
    }

    /// The wire bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A keyword: 1 to 128 atom characters, so without a leading backslash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// Longest keyword in bytes. Cyrus takes 128, Dovecot fewer.
    pub const MAX_LEN: usize = 128;

    /// Checks a keyword.
    ///
    /// # Errors
    /// [`EncodeError::Keyword`]
    pub fn new(text: &[u8]) -> Result<Self, EncodeError> {
        match std::str::from_utf8(text) {
            Ok(word) if is_atom(text) && text.len() <= Self::MAX_LEN => Ok(Self(word.into())),
            _ => Err(EncodeError::Keyword),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Only letters, digits, `$ _ . -`: what every server seen takes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_' | b'.' | b'-');
        self.0.bytes().all(plain)
    }
}

/// Flags that may be sent: the five system flags a client may set, and keywords.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FlagSet {
    bits: u8,
    keywords: Vec<Keyword>,
}

impl FlagSet {
    /// No flag.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bits: 0,
            keywords: Vec::new(),
        }
    }

    /// Adds a system flag; `\Recent`, which only servers set, is ignored.
    pub fn insert(&mut self, flag: SystemFlag) {
        if flag != SystemFlag::Recent {
            self.bits |= flag.bit();
        }
    }

    /// Adds a keyword, once.
    pub fn insert_keyword(&mut self, keyword: Keyword) {
        if !self.keywords.contains(&keyword) {
            self.keywords.push(keyword);
        }
    }

    /// Takes what may be sent of a server's flags, and gives the rest: unknown `\X` flags and no keywords at all.
    /// `\Recent` is left out without a word.
    #[must_use]
    pub fn from_received(flags: &Flags) -> (Self, Vec<Box<[u8]>>) {
        let mut set = Self::new();
        let mut refused = Vec::new();
        flags.system().for_each(|flag| set.insert(flag));
        for other in flags.others() {
            match Keyword::new(other) {
                Ok(keyword) => set.insert_keyword(keyword),
                Err(_) => refused.push(other.into()),
            }
        }
        (set, refused)
    }

    /// The system flags.
    pub fn system(&self) -> impl Iterator<Item = SystemFlag> + '_ {
        SystemFlag::ALL
            .into_iter()
            .filter(|flag| self.bits & flag.bit() != 0)
    }

    /// The keywords.
    #[must_use]
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// Keeps only the flags for which `keep` holds, given in wire form.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        for flag in SystemFlag::ALL {
            if self.bits & flag.bit() != 0 && !keep(flag.as_str()) {
                self.bits &= !flag.bit();
            }
        }
        self.keywords.retain(|keyword| keep(keyword.as_str()));
    }

    /// No flag at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0 && self.keywords.is_empty()
    }
}

/// As on the wire, with parentheses.
impl fmt::Display for FlagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        let mut gap = "";
        for flag in self.system() {
            write!(f, "{gap}{}", flag.as_str())?;
            gap = " ";
        }
        for keyword in &self.keywords {
            write!(f, "{gap}{}", keyword.as_str())?;
            gap = " ";
        }
        f.write_str(")")
    }
}

/// The name of a header field, such as `Message-ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldName(Box<str>);

impl FieldName {
    /// Checks a name: atom characters without colon.
    ///
    /// # Errors
    /// [`EncodeError::Atom`]
    pub fn new(name: &str) -> Result<Self, EncodeError> {
        let valid = is_atom(name.as_bytes()) && !name.contains([':', '[']);
        if valid {
            Ok(Self(name.into()))
        } else {
            Err(EncodeError::Atom)
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tag of a command, unique within a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(u32);

impl Tag {
    /// The tag with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Recognises a tag as a server gives it back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('M')?;
        let number = super::lex::number_u32(digits.as_bytes())?;
        // `M07` is no tag of ours.
        let own = digits == "0" || !digits.starts_with('0');
        own.then_some(Self(number))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "M{}", self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
