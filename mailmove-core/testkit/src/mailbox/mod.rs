//! A strict model of the mailboxes that a mail server keeps.
//!
//! Plain synchronous code behind a lock: what an IMAP server does with folders, UIDs, modification
//! sequences, flags, quota and names (RFC 3501, 4315, 6154, 7162, 8474), without the protocol. The
//! in-memory adapters and the loopback servers stand on it, and tests look into it through
//! [`Account::snapshot`].
//!
//! ```
//! use mailmove_testkit::mailbox::{InternalDate, NewMessage, Store};
//!
//! let store = Store::new();
//! let account = store.add_account("ann");
//! let folder = account.create(&["Archive", "2024"])?;
//! let message = NewMessage::new("Subject: hi\r\n\r\nhi\r\n")
//!     .with_flags(["\\Seen", "$Junk"])
//!     .with_date(InternalDate::utc(1_700_000_000));
//! let landed = account.append(folder, vec![message])?;
//! assert_eq!(landed.uids, [1]);
//! assert_eq!(account.snapshot().messages(), 1);
//! # Ok::<(), mailmove_testkit::mailbox::StoreError>(())
//! ```

mod account;
mod clock;
mod error;
mod flags;
mod folder;
mod limits;
mod message;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Clock;

pub use account::Account;
pub use error::StoreError;
pub use flags::{Flags, Keywords, SYSTEM_FLAGS};
pub use limits::Limits;
pub use message::{
    Appended, Changes, Copied, EmailId, FlagOp, FolderId, FolderInfo, FolderStatus, InternalDate,
    Message, NewMessage, Stored,
};
pub use snapshot::{FolderSnapshot, MessageSnapshot, Snapshot};

/// The accounts of a server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Store {
    accounts: Arc<Mutex<BTreeMap<String, Account>>>,
    limits: Limits,
    clock: Clock,
}

impl Store {
    /// A store without accounts that accepts everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store whose new accounts have these rules.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of this user; made with an empty INBOX if there was none.
    pub fn add_account(&self, user: &str) -> Account {
        self.lock()
            .entry(user.to_owned())
            .or_insert_with(|| Account::new(user, self.limits.clone(), self.clock.clone()))
            .clone()
    }

    /// The account of this user.
    #[must_use]
    pub fn account(&self, user: &str) -> Option<Account> {
        self.lock().get(user).cloned()
    }

    /// All users, sorted.
    #[must_use]
    pub fn users(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Fixes the date of messages that come without one, so that a test can compare it.
    pub fn fix_clock(&self, now: InternalDate) {
        self.clock.fix(now);
    }
}
