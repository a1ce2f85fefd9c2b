//! MESSAGELIMIT (RFC 9738): how many messages one command touches. UIDONLY (RFC 9586): messages without
//! sequence numbers.

use crate::Capability;
use crate::reply::Stop;
use crate::search_keys::Key;
use crate::sequence::Sequence;
use crate::session::Session;

impl Session {
    /// How many messages one command may touch.
    fn message_limit(&self) -> usize {
        match self.has(Capability::MessageLimit) {
            true => self.shared.config.message_limit,
            false => usize::MAX,
        }
    }

    /// Those of `uids` (ascending) that a command does: the highest ones; and what it says if that leaves
    /// some out.
    pub(crate) fn within_limit(&self, mut uids: Vec<u32>) -> (Vec<u32>, Option<String>) {
        let limit = self.message_limit();
        let Some(cut) = uids.len().checked_sub(limit).filter(|cut| *cut > 0) else {
            return (uids, None);
        };
        let uids = uids.split_off(cut);
        let lowest = uids.first().copied().unwrap_or_default();
        let code = format!("[MESSAGELIMIT {limit} {lowest}] done in part");
        (uids, Some(code))
    }

    /// The tagged answer's text. Two codes don't fit one answer: the limit's goes before it then.
    pub(crate) fn with_limit(&mut self, code: Option<String>, text: String) -> String {
        match code {
            Some(code) if text.is_empty() => code,
            Some(code) => {
                self.io.line(&format!("* NO {code}"));
                text
            }
            None => text,
        }
    }

    /// COPY and APPEND do all or nothing.
    pub(crate) fn check_limit(&self, messages: usize) -> Result<(), Stop> {
        let limit = self.message_limit();
        if messages > limit {
            return Err(Stop::No(format!(
                "[MESSAGELIMIT {limit}] too many messages"
            )));
        }
        Ok(())
    }

    /// Of the messages that the client knows those that a search looks at: SEARCH counts these, not the
    /// ones that match.
    pub(crate) fn searched(&self, key: &Key) -> Result<(Vec<u32>, Option<String>), Stop> {
        let uids = &self.selected()?.uids;
        let largest = uids.last().copied().unwrap_or(0);
        let mut named: Vec<&Sequence> = Vec::new();
        if let Key::And(keys) = key {
            named.extend(keys.iter().filter_map(|key| match key {
                Key::Uid(set) => Some(set),
                _ => None,
            }));
        }
        let looked = uids.iter().copied();
        let looked = looked.filter(|uid| named.iter().all(|set| set.contains(*uid, largest)));
        Ok(self.within_limit(looked.collect()))
    }

    /// Commands by sequence number after `ENABLE UIDONLY`.
    pub(crate) fn check_numbers(&self, by_uid: bool) -> Result<(), Stop> {
        if self.uid_only && !by_uid {
            return Err(Stop::bad("[UIDREQUIRED] only UIDs name messages"));
        }
        Ok(())
    }

    /// How a FETCH response begins.
    pub(crate) fn fetch_head(&self, position: usize, uid: u32) -> String {
        match self.uid_only {
            true => format!("* {uid} UIDFETCH ("),
            false => format!("* {position} FETCH ("),
        }
    }

    /// Of a folder with so many messages those that are not shown: all but the newest, until UIDONLY is
    /// enabled.
    pub(crate) fn hidden(&self, messages: usize) -> usize {
        match self.shared.config.shows_newest {
            Some(newest) if !self.uid_only => messages.saturating_sub(newest),
            _ => 0,
        }
    }
}
