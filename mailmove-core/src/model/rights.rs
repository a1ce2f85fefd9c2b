//! What a folder's access rights allow.

/// What one may do with a folder, as far as its server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rights {
    /// Read its messages.
    pub read: Option<bool>,
    /// Put messages into it.
    pub insert: Option<bool>,
    /// Make folders below it.
    pub create: Option<bool>,
}

impl Rights {
    /// Nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            read: None,
            insert: None,
            create: None,
        }
    }

    /// All three are known.
    #[must_use]
    pub const fn known(read: bool, insert: bool, create: bool) -> Self {
        Self {
            read: Some(read),
            insert: Some(insert),
            create: Some(create),
        }
    }
}
