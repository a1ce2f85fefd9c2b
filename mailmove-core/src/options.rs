//! What a migration shall do and leave out.

use std::time::Duration;

use crate::{destination::Depth, map::MapRules, model::Timestamp};

/// What a migration shall do and leave out. Start from [`Options::new`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Which folder goes where.
    pub folders: MapRules,
    /// Which messages are left out.
    pub filter: Filter,
    /// Carry flags over, and follow their changes in later passes.
    pub flags: bool,
    /// Subscribe the user to the folders that they are subscribed to at the source.
    pub subscriptions: bool,
    /// Carry over what people and programs noted about folders (IMAP METADATA). What a destination has
    /// noted under the same name stands.
    pub annotations: bool,
    /// Folders worked on at once; what the adapters allow if `None`.
    pub concurrency: Option<usize>,
    /// The order of messages within a folder.
    pub order: Order,
    /// Tries of one request before its scope fails.
    pub attempts: u32,
    /// Longest wait between two tries.
    pub longest_wait: Duration,
    /// How long a whole account may fail in a way that passes (no connection, "try later") before the
    /// pass ends; less than so much waiting is no reason to give up.
    pub outage: Duration,
    /// How long after something was sent a second time the end of a pass waits for a first copy that
    /// lands after all, to remove the surplus; as the destination's adapter knows if `None`.
    pub late: Option<Duration>,
    /// Bytes of messages fetched from the source in a day (24 hours from the first one on): as its
    /// adapter knows of the provider if `None`, without limit if 0.
    pub daily_down: Option<u64>,
    /// The same for bytes of messages sent to the destination.
    pub daily_up: Option<u64>,
    /// When the bytes of the day are used up, wait for the next one; else the pass ends.
    pub waits_for_next_day: bool,
    /// Where both sides can, items travel as Exchange's own export, which keeps all of them: mail, events, contacts,
    /// tasks. Otherwise, and where an export fails, as MIME: then mail alone.
    pub streams: bool,
    /// That also between EWS and Graph. Microsoft does not say that one takes what the other gave out, and nobody has
    /// tried it with this library, so it has to be asked for.
    pub streams_across: bool,
    /// What is done about a message that the destination refuses.
    pub repair: RepairPolicy,
    /// Take a destination that lost messages as it is now: they are not sent again, and the folder
    /// goes on (design: destination-lost).
    pub accept_lost: bool,
}

impl Options {
    /// Everything, with flags and subscriptions.
    #[must_use]
    pub fn new() -> Self {
        Self {
            folders: MapRules::new(),
            filter: Filter::default(),
            flags: true,
            subscriptions: true,
            annotations: false,
            concurrency: None,
            order: Order::Kept,
            attempts: 5,
            longest_wait: Duration::from_secs(60),
            outage: Duration::from_secs(300),
            late: None,
            daily_down: None,
            daily_up: None,
            waits_for_next_day: true,
            streams: true,
            streams_across: false,
            repair: RepairPolicy::AfterRefusal,
            accept_lost: false,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// The order in which messages of a folder arrive. Most programs sort by date, but some show a folder as it
/// was filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// As they are at the source, as far as the destination has no other.
    #[default]
    Kept,
    /// As it comes: several batches of a folder are under way at once, over as many connections as there
    /// are, where the destination says what it stored
    /// ([`returns_ids`](crate::model::Capabilities::returns_ids)). Else it is kept.
    Relaxed,
}

/// Whether messages are [repaired](crate::repair).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepairPolicy {
    /// Never: what is refused fails.
    Off,
    /// A message that was refused for itself alone is tried once more, repaired, if it has no more
    /// than [`LARGEST`](crate::repair::LARGEST) bytes. What arrives otherwise arrives as it left.
    #[default]
    AfterRefusal,
}

/// Which messages are left out. Each of them is accounted for as excluded, with the rule's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Only those received at or after this moment.
    pub since: Option<Timestamp>,
    /// Only those received before this moment.
    pub before: Option<Timestamp>,
    /// Only those of at most so many bytes.
    pub max_size: Option<u64>,
}

impl Filter {
    /// True if nothing is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rule that leaves a message out, if one does. A message without a date passes the rules
    /// about dates: what is not known to be outside stays in.
    #[must_use]
    pub fn excludes(&self, received: Option<Timestamp>, size: Option<u64>) -> Option<&'static str> {
        if let Some(received) = received {
            if self.since.is_some_and(|since| received < since) {
                return Some("rule/since");
            }
            if self.before.is_some_and(|before| received >= before) {
                return Some("rule/before");
            }
        }
        match (self.max_size, size) {
            (Some(max), Some(size)) if size > max => Some("rule/max-size"),
            _ => None,
        }
    }
}

/// What a pass that mends looks for, and what it brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mend {
    /// How closely the destination is looked at: [`Depth::Meta`] for presence, size, flags and date,
    /// [`Depth::Content`] for every byte.
    pub depth: Depth,
    /// Bring back what earlier passes found to be removed at the destination, too. Few messages that
    /// are missing are taken for what the user deleted; they are not sent again unless asked for.
    pub removed: bool,
}

impl Mend {
    /// What is missing or differs at that depth.
    #[must_use]
    pub fn new(depth: Depth) -> Self {
        Self {
            depth,
            removed: false,
        }
    }

    /// And what somebody removed at the destination.
    #[must_use]
    pub fn with_removed(mut self, removed: bool) -> Self {
        self.removed = removed;
        self
    }
}
