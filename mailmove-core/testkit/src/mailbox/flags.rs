//! Flag sets compared without regard to case, as IMAP does.

use super::StoreError;

/// The system flags a client may set (RFC 3501 section 2.3.2), in canonical spelling.
pub const SYSTEM_FLAGS: [&str; 5] = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];

/// A set of system flags and keywords; `\seen` equals `\Seen`, `$Junk` equals `$junk`.
///
/// The first spelling of a keyword is kept for display; equality and order ignore case.
#[derive(Clone, Default)]
pub struct Flags(Vec<String>);

impl Flags {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Collects flags; system flags take their canonical spelling, duplicates fold.
    pub fn from_names<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut flags = Self::new();
        for name in names {
            flags.insert(name.as_ref());
        }
        flags
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|have| compare(have, name))
    }

    /// Adds a flag; `false` if it was there.
    pub fn insert(&mut self, name: &str) -> bool {
        match self.position(name) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, canonical(name).to_owned());
                true
            }
        }
    }

    /// Removes a flag; `false` if it wasn't there.
    pub fn remove(&mut self, name: &str) -> bool {
        match self.position(name) {
            Ok(at) => {
                self.0.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// The flags in case-insensitive order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Number of flags.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no flag is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter()).finish()
    }
}

impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Flags {}

impl PartialOrd for Flags {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flags {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        for (left, right) in self.0.iter().zip(&other.0) {
            let order = compare(left, right);
            if order.is_ne() {
                return order;
            }
        }
        self.0.len().cmp(&other.0.len())
    }
}

/// Which keywords a store accepts beside the system flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keywords {
    /// Any keyword; `PERMANENTFLAGS` shows `\*`.
    #[default]
    Any,
    /// Only these; others are dropped without a word, as RFC 3501 allows.
    Only(Vec<String>),
    /// Only these; others make the operation fail.
    OnlyStrict(Vec<String>),
}

impl Keywords {
    /// Applies the rule to flags that a client sent. `\Recent` is dropped: it belongs to the server.
    pub(super) fn admit<S: AsRef<str>>(&self, names: &[S]) -> Result<Flags, StoreError> {
        let mut flags = Flags::new();
        for name in names.iter().map(AsRef::as_ref) {
            if name.eq_ignore_ascii_case("\\Recent") {
                continue;
            }
            let known = |list: &[String]| list.iter().any(|k| k.eq_ignore_ascii_case(name));
            let system = SYSTEM_FLAGS.iter().any(|f| f.eq_ignore_ascii_case(name));
            let accepted = if system {
                true
            } else if name.starts_with('\\') || name.is_empty() {
                return Err(StoreError::BadFlag(name.to_owned()));
            } else {
                match self {
                    Self::Any => true,
                    Self::Only(list) => known(list),
                    Self::OnlyStrict(list) if known(list) => true,
                    Self::OnlyStrict(_) => return Err(StoreError::BadFlag(name.to_owned())),
                }
            };
            if accepted {
                flags.insert(name);
            }
        }
        Ok(flags)
    }
}

fn compare(left: &str, right: &str) -> std::cmp::Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    left.bytes().map(lower).cmp(right.bytes().map(lower))
}

fn canonical(name: &str) -> &str {
    SYSTEM_FLAGS
        .iter()
        .find(|f| f.eq_ignore_ascii_case(name))
        .copied()
        .unwrap_or(name)
}
