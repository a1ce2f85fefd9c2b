//! SRV records, which the program looks up.

use std::fmt::Debug;

use async_trait::async_trait;
use mailmove_core::error::Result;

/// A service's host and port (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SrvRecord {
    /// Lower ones first.
    pub priority: u16,
    /// Of those of the same priority higher ones are better.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host name, with or without the dot at the end.
    pub target: String,
}

impl SrvRecord {
    /// A host and its port, with the highest priority.
    #[must_use]
    pub fn new(target: impl Into<String>, port: u16) -> Self {
        Self {
            priority: 0,
            weight: 0,
            port,
            target: target.into(),
        }
    }

    /// Sets when it is tried: lower priorities first, then higher weights.
    #[must_use]
    pub fn with_order(mut self, priority: u16, weight: u16) -> Self {
        (self.priority, self.weight) = (priority, weight);
        self
    }
}

/// Looks up SRV records.
///
/// The standard library has no such thing, and a resolver of our own would be a second way to the network
/// that no policy judges. Whoever has one lends it to [`Discovery`](super::Discovery::with_srv).
#[async_trait]
pub trait SrvLookup: Debug + Send + Sync {
    /// The records of a name such as `_autodiscover._tcp.example.com`; none if there is no such name.
    ///
    /// # Errors
    /// If nobody answers.
    async fn records(&self, name: &str) -> Result<Vec<SrvRecord>>;
}

/// In the order in which they are to be tried. A single dot says that there is no such service.
pub(super) fn in_order(mut records: Vec<SrvRecord>) -> Vec<SrvRecord> {
    records.retain(|record| !record.target.trim_matches('.').is_empty());
    records.sort_by_key(|record| (record.priority, std::cmp::Reverse(record.weight)));
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_tried_by_priority_and_weight() {
        let of = |target: &str, priority, weight| {
            SrvRecord::new(target, 443).with_order(priority, weight)
        };
        let all = vec![of("c", 2, 9), of("b", 1, 1), of(".", 0, 0), of("a", 1, 5)];
        let names: Vec<_> = in_order(all).into_iter().map(|one| one.target).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
