//! How much a mailbox may hold.

use serde::Serialize;

/// How much a mailbox may hold, as far as its server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Quota {
    /// Bytes; `None` if there is no limit, or none is told.
    pub bytes: Option<Usage>,
    /// Messages; `None` if there is no limit, or none is told.
    pub messages: Option<Usage>,
}

impl Quota {
    /// Nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            bytes: None,
            messages: None,
        }
    }

    /// Adds a limit on bytes; of several the one that leaves the least room counts.
    pub fn limit_bytes(&mut self, usage: Usage) {
        self.bytes = Some(self.bytes.map_or(usage, |known| known.tighter(usage)));
    }

    /// Adds a limit on messages; of several the one that leaves the least room counts.
    pub fn limit_messages(&mut self, usage: Usage) {
        self.messages = Some(self.messages.map_or(usage, |known| known.tighter(usage)));
    }
}

/// Something limited: how much is used, how much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Used already.
    pub used: u64,
    /// Allowed in all.
    pub limit: u64,
}

impl Usage {
    /// So much of so much.
    #[must_use]
    pub const fn new(used: u64, limit: u64) -> Self {
        Self { used, limit }
    }

    /// What may still be added.
    #[must_use]
    pub const fn free(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    fn tighter(self, other: Self) -> Self {
        if other.free() < self.free() {
            other
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_counts() {
        let mut quota = Quota::unknown();
        quota.limit_bytes(Usage::new(10, 100));
        quota.limit_bytes(Usage::new(190, 200));
        quota.limit_bytes(Usage::new(0, 50));
        assert_eq!(quota.bytes, Some(Usage::new(190, 200)));
        assert_eq!(quota.bytes.map(Usage::free), Some(10));
        // Over its limit: a quota may be lowered below what is there.
        assert_eq!(Usage::new(7, 3).free(), 0);
    }
}
