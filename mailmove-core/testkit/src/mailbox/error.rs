//! Refusals of the model.

/// Why the store refused an operation. Nothing was changed when one is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// No folder has this path or id.
    NoSuchFolder,
    /// The target path is taken.
    AlreadyExists,
    /// The name breaks a rule of the store; the text says which.
    InvalidName(&'static str),
    /// INBOX can't be deleted.
    InboxIsFixed,
    /// The folder accepts no change.
    ReadOnly,
    /// The operation would exceed the quota.
    OverQuota,
    /// A message is larger than the store accepts (limit in bytes).
    TooBig(u64),
    /// A flag that the store neither knows nor accepts as keyword.
    BadFlag(String),
    /// The content breaks a rule of the store; the text says which.
    BadContent(&'static str),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchFolder => f.write_str("no such folder"),
            Self::AlreadyExists => f.write_str("folder exists already"),
            Self::InvalidName(why) => write!(f, "invalid folder name: {why}"),
            Self::InboxIsFixed => f.write_str("INBOX can't be deleted"),
            Self::ReadOnly => f.write_str("folder is read-only"),
            Self::OverQuota => f.write_str("quota exceeded"),
            Self::TooBig(limit) => write!(f, "message is larger than {limit} bytes"),
            Self::BadFlag(flag) => write!(f, "flag {flag} is not accepted"),
            Self::BadContent(why) => write!(f, "message refused: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
