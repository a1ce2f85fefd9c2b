//! Versions of the schema.

/// The schema that a request is written in. The server answers in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Version {
    /// Exchange 2007 SP1.
    Exchange2007Sp1,
    /// Exchange 2010.
    Exchange2010,
    /// Exchange 2010 SP2.
    Exchange2010Sp2,
    /// Exchange 2013.
    Exchange2013,
    /// Exchange 2013 SP1, which has all that is used, and which 2016, 2019 and SE know.
    #[default]
    Exchange2013Sp1,
}

impl Version {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exchange2007Sp1 => "Exchange2007_SP1",
            Self::Exchange2010 => "Exchange2010",
            Self::Exchange2010Sp2 => "Exchange2010_SP2",
            Self::Exchange2013 => "Exchange2013",
            Self::Exchange2013Sp1 => "Exchange2013_SP1",
        }
    }

    /// The one before.
    #[must_use]
    pub const fn older(self) -> Option<Self> {
        match self {
            Self::Exchange2007Sp1 => None,
            Self::Exchange2010 => Some(Self::Exchange2007Sp1),
            Self::Exchange2010Sp2 => Some(Self::Exchange2010),
            Self::Exchange2013 => Some(Self::Exchange2010Sp2),
            Self::Exchange2013Sp1 => Some(Self::Exchange2013),
        }
    }
}
