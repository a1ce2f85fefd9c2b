//! Flags of a message: five system flags and any number of keywords.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The system flags of RFC 3501 §2.3.2 that a client may set. `\Recent` is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SystemFlag {
    /// Read.
    Seen,
    /// Replied to.
    Answered,
    /// Marked for attention.
    Flagged,
    /// Marked for deletion.
    Deleted,
    /// Not finished.
    Draft,
}

impl SystemFlag {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Seen,
        Self::Answered,
        Self::Flagged,
        Self::Deleted,
        Self::Draft,
    ];

    /// Its IMAP name, e.g. `\Seen`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "\\Seen",
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Draft => "\\Draft",
        }
    }

    /// Reads an IMAP name, whatever its case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|flag| flag.as_str().eq_ignore_ascii_case(text))
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A keyword: an IMAP atom (RFC 3501 `ATOM-CHAR`), so that it can never be read as a command.
/// Compared without regard to ASCII case, kept as written.
#[derive(Clone)]
pub struct Keyword(CompactString);

/// The text is no keyword: empty, longer than 128 bytes, or with a character that atoms lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a keyword: keywords are 1 to 128 printable ASCII characters other than ( ) {{ % * \" \\ ] and space"
)]
#[non_exhaustive]
pub struct InvalidKeyword;

impl Keyword {
    /// Checks and wraps.
    ///
    /// # Errors
    /// If the text is not an atom, or longer than 128 bytes.
    pub fn new(text: &str) -> Result<Self, InvalidKeyword> {
        let fits = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
        if (1..=128).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(CompactString::new(text)))
        } else {
            Err(InvalidKeyword)
        }
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|b| b.to_ascii_lowercase())
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Keyword {}
impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(other.folded())
    }
}
impl std::hash::Hash for Keyword {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for byte in self.folded() {
            state.write_u8(byte);
        }
        state.write_u8(0xff);
    }
}
impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

/// A set of system flags and keywords.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    system: u8,
    // Sorted, without repetition. Nearly always empty, and then it costs no allocation.
    keywords: Vec<Keyword>,
}

impl Flags {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a system flag.
    #[must_use]
    pub fn with(mut self, flag: SystemFlag) -> Self {
        self.insert(flag);
        self
    }

    /// Adds a keyword.
    #[must_use]
    pub fn with_keyword(mut self, keyword: Keyword) -> Self {
        self.insert_keyword(keyword);
        self
    }

    /// Adds a system flag in place.
    pub fn insert(&mut self, flag: SystemFlag) {
        self.system |= flag.bit();
    }

    /// Removes a system flag in place.
    pub fn remove(&mut self, flag: SystemFlag) {
        self.system &= !flag.bit();
    }

    /// Adds a keyword in place; the spelling that came first stays.
    pub fn insert_keyword(&mut self, keyword: Keyword) {
        if let Err(at) = self.keywords.binary_search(&keyword) {
            self.keywords.insert(at, keyword);
        }
    }

    /// True if the system flag is set.
    #[must_use]
    pub fn contains(&self, flag: SystemFlag) -> bool {
        self.system & flag.bit() != 0
    }

    /// True if the keyword is set.
    #[must_use]
    pub fn contains_keyword(&self, keyword: &Keyword) -> bool {
        self.keywords.binary_search(keyword).is_ok()
    }

    /// True if nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.system == 0 && self.keywords.is_empty()
    }

    /// The system flags that are set.
    pub fn system(&self) -> impl Iterator<Item = SystemFlag> + '_ {
        SystemFlag::ALL
            .into_iter()
            .filter(|flag| self.contains(*flag))
    }

    /// The keywords that are set, sorted.
    #[must_use]
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.system |= other.system;
        for keyword in &other.keywords {
            out.insert_keyword(keyword.clone());
        }
        out
    }

    /// What is in `self` but not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self {
            system: self.system & !other.system,
            keywords: self
                .keywords
                .iter()
                .filter(|keyword| !other.contains_keyword(keyword))
                .cloned()
                .collect(),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.difference(&self.difference(other))
    }

    /// Reads what [`Display`](fmt::Display) writes; words that are neither are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut out = Self::new();
        for word in text.split_ascii_whitespace() {
            if let Some(flag) = SystemFlag::parse(word) {
                out.insert(flag);
            } else if let Ok(keyword) = Keyword::new(word) {
                out.insert_keyword(keyword);
            }
        }
        out
    }
}

impl fmt::Display for Flags {
    /// IMAP names with blanks between: `\Seen \Flagged $Forwarded`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.system().map(|flag| -> &str { flag.as_str() });
        let names = names.chain(self.keywords.iter().map(Keyword::as_str));
        for (index, name) in names.enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}
impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_atoms() {
        for good in ["$Forwarded", "NonJunk", "sch&APY-n", "a+b", "x.y_z"] {
            assert!(Keyword::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a b",
            "\\Seen",
            "a)b",
            "{3+}",
            "ü",
            "a\r\nb",
            "a]",
            "*",
            &"x".repeat(129),
        ] {
            assert!(Keyword::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sets_ignore_case_and_round_trip() {
        let flags = Flags::parse("\\SEEN $Forwarded $forwarded \\Draft junk");
        assert_eq!(flags.to_string(), "\\Seen \\Draft $Forwarded junk");
        assert_eq!(Flags::parse(&flags.to_string()), flags);
        assert_eq!(
            flags.difference(&Flags::parse("\\Seen JUNK")).to_string(),
            "\\Draft $Forwarded"
        );
        assert_eq!(
            flags.intersection(&Flags::parse("\\Seen JUNK")).to_string(),
            "\\Seen junk"
        );
    }
}
