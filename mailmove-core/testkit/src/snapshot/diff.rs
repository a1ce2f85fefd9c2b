//! Differences that a person can read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use mailmove_core::model::{FolderPath, Timestamp};

use super::{FolderContents, MessageState, Snapshot};

/// What is compared. Starts from everything; turn off what a server is known not to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compare {
    /// The set of folders; else only those expected are looked at.
    pub folders: bool,
    /// What folders are for.
    pub roles: bool,
    /// Subscriptions.
    pub subscriptions: bool,
    /// System flags.
    pub system_flags: bool,
    /// Keywords.
    pub keywords: bool,
    /// Received dates, to the second.
    pub received: bool,
    /// Bytes; else sizes and digests are ignored, and messages told apart by the rest.
    pub bytes: bool,
    /// The order of messages within a folder.
    pub order: bool,
    /// How many messages are `\Recent`, where both snapshots say so.
    pub recent: bool,
}

impl Compare {
    /// All but order and `\Recent`.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            folders: true,
            roles: true,
            subscriptions: true,
            system_flags: true,
            keywords: true,
            received: true,
            bytes: true,
            order: false,
            recent: false,
        }
    }

    /// Messages alone, not what folders are for or whether they are subscribed.
    #[must_use]
    pub const fn messages() -> Self {
        Self {
            roles: false,
            subscriptions: false,
            ..Self::all()
        }
    }

    /// Everything: for a mailbox that must not have changed at all.
    #[must_use]
    pub const fn untouched() -> Self {
        Self {
            order: true,
            recent: true,
            ..Self::all()
        }
    }

    /// Sets whether received dates count.
    #[must_use]
    pub const fn with_received(mut self, on: bool) -> Self {
        self.received = on;
        self
    }

    /// Sets whether keywords count.
    #[must_use]
    pub const fn with_keywords(mut self, on: bool) -> Self {
        self.keywords = on;
        self
    }

    /// Sets whether system flags count.
    #[must_use]
    pub const fn with_system_flags(mut self, on: bool) -> Self {
        self.system_flags = on;
        self
    }

    /// Sets whether bytes count.
    #[must_use]
    pub const fn with_bytes(mut self, on: bool) -> Self {
        self.bytes = on;
        self
    }

    /// Sets whether folders count that nothing is expected of.
    #[must_use]
    pub const fn with_folders(mut self, on: bool) -> Self {
        self.folders = on;
        self
    }

    /// Sets whether the order within a folder counts.
    #[must_use]
    pub const fn with_order(mut self, on: bool) -> Self {
        self.order = on;
        self
    }

    /// How `found` differs from what is expected.
    #[must_use]
    pub fn diff(&self, expected: &Snapshot, found: &Snapshot) -> Difference {
        let mut out = Difference::default();
        let nothing = FolderContents::default();
        for (path, want) in &expected.folders {
            match found.folders.get(path) {
                Some(have) => self.folder(path, want, have, &mut out),
                None => {
                    out.push(path, "folder is missing".to_owned());
                    self.messages_of(path, want, &nothing, &mut out);
                }
            }
        }
        if self.folders {
            let known: BTreeSet<&FolderPath> = expected.folders.keys().collect();
            for (path, have) in &found.folders {
                if !known.contains(path) {
                    out.push(path, "folder is surplus".to_owned());
                    self.messages_of(path, &nothing, have, &mut out);
                }
            }
        }
        out
    }

    fn folder(
        &self,
        path: &FolderPath,
        want: &FolderContents,
        have: &FolderContents,
        out: &mut Difference,
    ) {
        if self.roles && want.role != have.role {
            out.push(
                path,
                format!("role: {:?} became {:?}", want.role, have.role),
            );
        }
        if self.subscriptions && want.subscribed != have.subscribed {
            let (want, have) = (want.subscribed, have.subscribed);
            out.push(path, format!("subscribed: {want} became {have}"));
        }
        if self.recent
            && let (Some(want), Some(have)) = (want.recent, have.recent)
            && want != have
        {
            out.push(path, format!("\\Recent messages: {want} became {have}"));
        }
        let before = out.lines.len();
        self.messages_of(path, want, have, out);
        if self.order && out.lines.len() == before {
            let keys = |folder: &FolderContents| -> Vec<Key> {
                folder.messages.iter().map(|m| self.key(m)).collect()
            };
            let (want_keys, have_keys) = (keys(want), keys(have));
            if let Some(at) = want_keys.iter().zip(&have_keys).position(|(w, h)| w != h) {
                let label = |folder: &FolderContents| folder.messages[at].label.clone();
                out.push(
                    path,
                    format!(
                        "order: number {} is {}, not {}",
                        at + 1,
                        label(have),
                        label(want)
                    ),
                );
            }
        }
    }

    fn key(&self, message: &MessageState) -> Key {
        let system = message.flags.system().map(|f| f.as_str().to_owned());
        let keywords = message
            .flags
            .keywords()
            .iter()
            .map(|k| k.as_str().to_ascii_lowercase());
        Key {
            digest: self.bytes.then_some(*message.digest.as_bytes()),
            flags: system
                .filter(|_| self.system_flags)
                .chain(keywords.filter(|_| self.keywords))
                .collect(),
            received: self.received.then(|| message.received.seconds()),
        }
    }

    /// Takes equal messages away on both sides, then says how the rest differ.
    fn messages_of(
        &self,
        path: &FolderPath,
        want: &FolderContents,
        have: &FolderContents,
        out: &mut Difference,
    ) {
        let mut there: BTreeMap<Key, Vec<&MessageState>> = BTreeMap::new();
        for message in &have.messages {
            there.entry(self.key(message)).or_default().push(message);
        }
        let mut missing = Vec::new();
        for message in &want.messages {
            let equal = there.get_mut(&self.key(message));
            if equal.and_then(Vec::pop).is_none() {
                missing.push((self.key(message), message));
            }
        }
        let mut surplus: Vec<(Key, &MessageState)> = there
            .into_iter()
            .flat_map(|(key, list)| list.into_iter().map(move |m| (key.clone(), m)))
            .collect();
        for (key, message) in missing {
            // The same bytes with other flags, or the same flags and date with other bytes.
            let alike = surplus
                .iter()
                .position(|(other, _)| other.digest.is_some() && other.digest == key.digest)
                .or_else(|| {
                    surplus.iter().position(|(other, _)| {
                        key.received.is_some()
                            && (&other.flags, other.received) == (&key.flags, key.received)
                    })
                });
            match alike {
                Some(at) => {
                    let (other, found) = surplus.remove(at);
                    out.push(path, changed(message, &key, found, &other));
                }
                None => out.push(path, format!("missing: {}", described(message))),
            }
        }
        for (_, message) in surplus {
            out.push(path, format!("surplus: {}", described(message)));
        }
    }
}

/// What messages are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    digest: Option<[u8; 32]>,
    flags: BTreeSet<String>,
    received: Option<i64>,
}

fn described(message: &MessageState) -> String {
    let MessageState {
        label,
        size,
        flags,
        received,
        ..
    } = message;
    let id = message.id.as_deref().unwrap_or("-");
    format!("{label} (id {id}, {size} bytes, flags {flags}, received {received})")
}

fn changed(want: &MessageState, key: &Key, have: &MessageState, other: &Key) -> String {
    let mut parts = vec![format!("{}:", want.label)];
    if key.digest != other.digest {
        parts.push(format!(
            "bytes: {} of them became {}, found {};",
            want.size, have.size, have.label
        ));
    }
    if key.flags != other.flags {
        let list = |flags: &BTreeSet<String>| {
            let all: Vec<&str> = flags.iter().map(String::as_str).collect();
            if all.is_empty() {
                "(none)".to_owned()
            } else {
                all.join(" ")
            }
        };
        let (before, after) = (list(&key.flags), list(&other.flags));
        parts.push(format!("flags: {before} became {after};"));
    }
    if key.received != other.received {
        let show = |time: Timestamp| time.to_string();
        let (before, after) = (show(want.received), show(have.received));
        parts.push(format!("received: {before} became {after};"));
    }
    parts.join(" ").trim_end_matches(';').to_owned()
}

/// How two mailboxes differ. Displays as one line per difference, at most fifty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// One line per difference, the folder first.
    pub lines: Vec<String>,
}

impl Difference {
    fn push(&mut self, path: &FolderPath, what: String) {
        self.lines.push(format!("{}: {what}", path.escaped()));
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// `Ok` if there is none, else itself as an error.
    ///
    /// # Errors
    /// If there is a difference.
    pub fn none(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 50;
        write!(f, "{} difference(s)", self.lines.len())?;
        for line in self.lines.iter().take(MOST) {
            write!(f, "\n  {line}")?;
        }
        if self.lines.len() > MOST {
            write!(f, "\n  … and {} more", self.lines.len() - MOST)?;
        }
        Ok(())
    }
}

impl std::error::Error for Difference {}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::corpus::CorpusMessage;

    fn of(messages: &[CorpusMessage]) -> Snapshot {
        let mut snapshot = Snapshot::new();
        messages.iter().for_each(|m| snapshot.add(m));
        snapshot
    }

    fn mail(body: &'static str) -> CorpusMessage {
        CorpusMessage::new(body)
    }

    #[test]
    fn order_and_ids_do_not_matter_but_multiplicity_does() {
        let (a, b) = (mail("a"), mail("b"));
        let pair = of(&[a.clone(), a.clone(), b.clone()]);
        assert!(
            pair.diff(&of(&[b.clone(), a.clone(), a.clone()]))
                .is_empty()
        );
        let difference = pair.diff(&of(&[a.clone(), b.clone()]));
        assert_eq!(difference.lines.len(), 1, "{difference}");
        assert!(difference.lines[0].starts_with("INBOX: missing: letter"));
        let difference = of(from_ref(&a)).diff(&of(&[a.clone(), a]));
        assert!(difference.lines[0].starts_with("INBOX: surplus:"));
        assert!(difference.none().is_err());
    }

    #[test]
    fn names_what_changed_in_a_message() {
        let a = mail("a").with_flags(["\\Seen", "$Work"]);
        let later = a.clone().with_received(Timestamp::new(5, 0));
        let lines = of(from_ref(&a)).diff(&of(from_ref(&later))).lines;
        assert_eq!(
            lines,
            ["INBOX: letter: received: 2020-01-02T00:00:00+00:00 became 1970-01-01T00:00:05+00:00"]
        );
        let same = Compare::all().with_received(false);
        assert!(same.diff(&of(from_ref(&a)), &of(&[later])).is_empty());
        let plain = a.clone().with_flags(["\\Seen", "$WORK"]);
        assert!(of(from_ref(&a)).diff(&of(&[plain])).is_empty(), "case");
        let other = CorpusMessage {
            body: "bb".into(),
            ..a.clone()
        };
        let lines = of(&[a]).diff(&of(&[other])).lines;
        assert!(lines[0].contains("bytes: 1 of them became 2"), "{lines:?}");
    }

    #[test]
    fn folders_roles_order_and_recent() {
        let (a, b) = (mail("a"), mail("b"));
        let one = of(&[a.clone(), b.clone()]);
        let two = of(&[b, a]);
        let compare = Compare::untouched();
        assert!(compare.diff(&one, &two).lines[0].contains("order: number 1"));
        let mut three = one.clone();
        let inbox = three.folder_mut(&FolderPath::inbox());
        inbox.subscribed = true;
        inbox.recent = Some(1);
        three.folder_mut(&FolderPath::new(["X"]));
        assert_eq!(compare.diff(&one, &three).lines.len(), 2);
        let loose = Compare::messages().with_folders(false);
        assert!(loose.diff(&one, &three).is_empty());
        assert_eq!(one.diff(&Snapshot::new()).lines.len(), 3);
    }
}
