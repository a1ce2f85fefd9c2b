//! One folder: its messages, counters and history.

use bytes::Bytes;

use super::{
    Changes, EmailId, FlagOp, Flags, FolderId, FolderInfo, FolderStatus, InternalDate, Message,
    SYSTEM_FLAGS, Stored,
};

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) id: FolderId,
    pub(super) path: Vec<String>,
    pub(super) special_use: Vec<String>,
    pub(super) read_only: bool,
    pub(super) uid_validity: u32,
    uid_next: u32,
    highest_modseq: u64,
    first_recent: u32,
    keywords: Flags,
    /// In order of UID.
    messages: Vec<Message>,
    /// (modification sequence of the removal, UID), in order of both.
    removed: Vec<(u64, u32)>,
}

impl Folder {
    pub(super) fn new(id: FolderId, path: Vec<String>, uid_validity: u32) -> Self {
        Self {
            id,
            path,
            special_use: Vec::new(),
            read_only: false,
            uid_validity,
            uid_next: 1,
            highest_modseq: 1,
            first_recent: 1,
            keywords: Flags::new(),
            messages: Vec::new(),
            removed: Vec::new(),
        }
    }

    pub(super) fn info(&self, subscribed: bool) -> FolderInfo {
        FolderInfo {
            id: self.id,
            path: self.path.clone(),
            special_use: self.special_use.clone(),
            subscribed,
            read_only: self.read_only,
            keywords: self.keywords.iter().map(str::to_owned).collect(),
            uid_validity: self.uid_validity,
            uid_next: self.uid_next,
            highest_modseq: self.highest_modseq,
        }
    }

    pub(super) fn status(&self) -> FolderStatus {
        let count = |test: &dyn Fn(&Message) -> bool| {
            u32::try_from(self.messages.iter().filter(|m| test(m)).count()).unwrap_or(u32::MAX)
        };
        FolderStatus {
            messages: count(&|_| true),
            unseen: count(&|m| !m.flags.contains("\\Seen")),
            deleted: count(&|m| m.flags.contains("\\Deleted")),
            recent: count(&|m| m.uid >= self.first_recent),
            size: self.size(),
            uid_validity: self.uid_validity,
            uid_next: self.uid_next,
            highest_modseq: self.highest_modseq,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.messages.iter().map(|m| m.body.len() as u64).sum()
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(super) fn uids(&self) -> Vec<u32> {
        self.messages.iter().map(|m| m.uid).collect()
    }

    pub(super) fn get(&self, uid: u32) -> Option<&Message> {
        let at = self.messages.binary_search_by_key(&uid, |m| m.uid).ok()?;
        self.messages.get(at)
    }

    /// Those that exist of `uids`, in the order asked.
    pub(super) fn select(&self, uids: &[u32]) -> Vec<Message> {
        uids.iter()
            .filter_map(|uid| self.get(*uid))
            .cloned()
            .collect()
    }

    pub(super) fn claim_recent(&mut self) -> u32 {
        std::mem::replace(&mut self.first_recent, self.uid_next)
    }

    pub(super) fn first_recent(&self) -> u32 {
        self.first_recent
    }

    /// Whether `count` more UIDs exist below 2^32.
    pub(super) fn has_room(&self, count: usize) -> bool {
        (u32::MAX - self.uid_next) as usize >= count
    }

    /// Starts a change: everything it touches gets this modification sequence.
    pub(super) fn next_modseq(&mut self) -> u64 {
        self.highest_modseq += 1;
        self.highest_modseq
    }

    pub(super) fn push(
        &mut self,
        modseq: u64,
        email_id: EmailId,
        flags: Flags,
        date: InternalDate,
        body: Bytes,
    ) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.learn(&flags);
        self.messages.push(Message {
            uid,
            modseq,
            flags,
            date,
            body,
            email_id,
        });
        uid
    }

    fn learn(&mut self, flags: &Flags) {
        for flag in flags.iter() {
            if !SYSTEM_FLAGS.contains(&flag) {
                self.keywords.insert(flag);
            }
        }
    }

    pub(super) fn store(
        &mut self,
        uids: &[u32],
        op: FlagOp,
        flags: &Flags,
        unchanged_since: Option<u64>,
    ) -> Stored {
        if op != FlagOp::Remove {
            self.learn(flags);
        }
        let mut outcome = Stored::default();
        let mut modseq = None;
        for &uid in uids {
            let Ok(at) = self.messages.binary_search_by_key(&uid, |m| m.uid) else {
                continue;
            };
            let Some(message) = self.messages.get_mut(at) else {
                continue;
            };
            // A message named twice in one command was changed by this command: that is no conflict.
            let own = modseq == Some(message.modseq);
            if !own && unchanged_since.is_some_and(|since| message.modseq > since) {
                outcome.modified.push(uid);
                continue;
            }
            if apply(&mut message.flags, op, flags) {
                let next = *modseq.get_or_insert_with(|| {
                    self.highest_modseq += 1;
                    self.highest_modseq
                });
                message.modseq = next;
            }
            outcome.done.push(uid);
        }
        outcome
    }

    /// Removes those that exist of `uids`; returns them in order of UID.
    pub(super) fn expunge(&mut self, uids: &[u32], only_deleted: bool) -> Vec<Message> {
        let mut wanted = uids.to_vec();
        wanted.sort_unstable();
        let gone = |m: &Message| {
            wanted.binary_search(&m.uid).is_ok() && (!only_deleted || m.flags.contains("\\Deleted"))
        };
        let removed: Vec<Message> = self.messages.extract_if(.., |m| gone(m)).collect();
        if !removed.is_empty() {
            let modseq = self.next_modseq();
            self.removed.extend(removed.iter().map(|m| (modseq, m.uid)));
        }
        removed
    }

    pub(super) fn changes(&self, since: u64) -> Changes {
        let quiet = since >= self.highest_modseq;
        let changed = if quiet {
            Vec::new()
        } else {
            self.messages
                .iter()
                .filter(|m| m.modseq > since)
                .cloned()
                .collect()
        };
        Changes {
            uid_validity: self.uid_validity,
            highest_modseq: self.highest_modseq,
            changed,
            vanished: self.vanished(since),
        }
    }

    pub(super) fn vanished(&self, since: u64) -> Vec<u32> {
        let from = self.removed.partition_point(|(modseq, _)| *modseq <= since);
        let mut uids: Vec<u32> = self
            .removed
            .get(from..)
            .unwrap_or_default()
            .iter()
            .map(|(_, uid)| *uid)
            .collect();
        uids.sort_unstable();
        uids
    }

    /// Numbers all messages anew, as a server does whose index was lost.
    pub(super) fn renumber(&mut self, uid_validity: u32) {
        self.uid_validity = uid_validity;
        self.highest_modseq = 1;
        self.removed.clear();
        self.uid_next = 1;
        for message in &mut self.messages {
            message.uid = self.uid_next;
            message.modseq = 1;
            self.uid_next += 1;
        }
        self.first_recent = 1;
    }

    /// Other bytes under the same number.
    pub(super) fn damage(&mut self, uid: u32, body: Bytes, date: Option<InternalDate>) {
        if let Ok(at) = self.messages.binary_search_by_key(&uid, |m| m.uid)
            && let Some(message) = self.messages.get_mut(at)
        {
            message.body = body;
            message.date = date.unwrap_or(message.date);
        }
    }

    /// Moves the UID counter on, as if messages had come and gone.
    pub(super) fn skip_uids(&mut self, next: u32) {
        self.uid_next = self.uid_next.max(next);
    }
}

fn apply(have: &mut Flags, op: FlagOp, flags: &Flags) -> bool {
    let mut changed = false;
    match op {
        FlagOp::Add => {
            for flag in flags.iter() {
                changed |= have.insert(flag);
            }
        }
        FlagOp::Remove => {
            for flag in flags.iter() {
                changed |= have.remove(flag);
            }
        }
        FlagOp::Set if have != flags => {
            *have = flags.clone();
            changed = true;
        }
        FlagOp::Set => {}
    }
    changed
}
