//! What people and programs note about folders.

use std::fmt;

use bytes::Bytes;

/// Longest value that is carried over, in bytes. Comments are short; what is longer is an archive in
/// disguise.
pub const LONGEST_ANNOTATION: usize = 64 << 10;
/// Most of them that one folder may have.
pub const MOST_ANNOTATIONS: usize = 1000;

/// A note about a folder. Its value may be any bytes, and says nothing that a migration has to
/// understand.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Annotation {
    /// A path of names that are compared without case: `/private/comment` is for the user alone,
    /// `/shared/comment` for all who see the folder.
    pub name: String,
    /// The value.
    pub value: Bytes,
}

impl Annotation {
    /// A note with that name.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }

    /// Whether that is its name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The value may be private.
impl fmt::Debug for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.value.len())
    }
}

/// The notes about one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Annotations {
    /// Those that can be carried over.
    pub found: Vec<Annotation>,
    /// There are others, which are too long or too many.
    pub left_out: bool,
}

impl Annotations {
    /// None at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            found: Vec::new(),
            left_out: false,
        }
    }

    /// Adds one, within the limits. A name that is there already gets the new value.
    pub fn add(&mut self, annotation: Annotation) {
        let same = |known: &&mut Annotation| known.is_named(&annotation.name);
        if annotation.value.len() > LONGEST_ANNOTATION {
            self.left_out = true;
        } else if let Some(known) = self.found.iter_mut().find(same) {
            known.value = annotation.value;
        } else if self.found.len() < MOST_ANNOTATIONS {
            self.found.push(annotation);
        } else {
            self.left_out = true;
        }
    }

    /// The value of that name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Bytes> {
        let found = self.found.iter().find(|known| known.is_named(name));
        found.map(|known| &known.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_names_have_no_case() {
        let mut all = Annotations::none();
        all.add(Annotation::new("/private/Comment", "one"));
        all.add(Annotation::new("/PRIVATE/comment", "two"));
        assert_eq!(all.found.len(), 1);
        assert_eq!(all.value("/private/comment").unwrap(), "two");
        assert!(!all.left_out);
        all.add(Annotation::new("/shared/long", vec![0; LONGEST_ANNOTATION]));
        assert!(!all.left_out);
        let long = Annotation::new("/shared/longer", vec![0; LONGEST_ANNOTATION + 1]);
        assert_eq!(format!("{long:?}"), "/shared/longer (65537 bytes)");
        all.add(long);
        assert!(all.left_out);
        let mut many = Annotations::none();
        (0..=MOST_ANNOTATIONS).for_each(|n| many.add(Annotation::new(n.to_string(), "")));
        assert_eq!((many.found.len(), many.left_out), (MOST_ANNOTATIONS, true));
    }
}
