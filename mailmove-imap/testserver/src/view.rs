//! What a client knows of the selected mailbox, and telling it what changed.

use std::collections::BTreeMap;

use mailmove_testkit::mailbox::{Changes, FolderId, Message, SYSTEM_FLAGS};

use crate::names;
use crate::reply::Stop;
use crate::sequence::compress;
use crate::session::Session;

/// The selected mailbox as the client knows it; sequence numbers are positions in `uids`.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) id: FolderId,
    pub(crate) read_only: bool,
    /// Messages the client knows, ascending.
    pub(crate) uids: Vec<u32>,
    /// The modification sequence the client was told about.
    pub(crate) modseq: u64,
    pub(crate) uid_validity: u32,
    pub(crate) first_recent: u32,
    /// Largest UID the client was ever told about.
    pub(crate) last_uid: u32,
    pub(crate) keywords: usize,
    /// Removed, but the client couldn't be told yet.
    pub(crate) gone: Vec<u32>,
    /// Changes the client was told about or asked not to be: UID and modification sequence.
    pub(crate) quiet: BTreeMap<u32, u64>,
}

impl Selected {
    /// Sequence number of a message the client knows.
    pub(crate) fn position(&self, uid: u32) -> Option<usize> {
        self.uids.binary_search(&uid).ok().map(|at| at + 1)
    }

    pub(crate) fn recent(&self) -> usize {
        self.uids
            .iter()
            .filter(|uid| **uid >= self.first_recent)
            .count()
    }

    /// Flags as they are sent, with `\Recent`.
    pub(crate) fn flags(&self, message: &Message) -> String {
        let mut names: Vec<&str> = message.flags.iter().collect();
        if message.uid >= self.first_recent {
            names.push("\\Recent");
        }
        format!("({})", names.join(" "))
    }

    /// Doesn't tell the client about these changes again.
    pub(crate) fn hush(&mut self, messages: &[Message]) {
        self.quiet
            .extend(messages.iter().map(|m| (m.uid, m.modseq)));
    }

    fn take_quiet(&mut self, message: &Message) -> bool {
        self.quiet.remove(&message.uid) == Some(message.modseq)
    }
}

/// The FLAGS list of a mailbox.
pub(crate) fn flag_list(keywords: &[String]) -> String {
    let system = SYSTEM_FLAGS.iter().map(|f| (*f).to_owned());
    let all: Vec<String> = system.chain(keywords.iter().cloned()).collect();
    all.join(" ")
}

impl Session {
    /// Sends what happened in the selected mailbox since the client was last told.
    pub(crate) async fn sync(&mut self, expunge: bool) -> Result<(), Stop> {
        let (Some(account), Some(selected)) = (self.account.clone(), &mut self.selected) else {
            return Ok(());
        };
        let changes = account.changes(selected.id, selected.modseq);
        let Ok(changes) = changes else {
            return Err(Stop::Bye("the selected mailbox was deleted".to_owned()));
        };
        if changes.uid_validity != selected.uid_validity {
            return Err(Stop::Bye("the selected mailbox was rebuilt".to_owned()));
        }
        selected.modseq = changes.highest_modseq;
        let known = |uid: &u32| selected.uids.binary_search(uid).is_ok();
        let gone: Vec<u32> = changes.vanished.iter().copied().filter(known).collect();
        selected.gone.extend(gone);
        if expunge {
            self.tell_expunged();
        }
        if !changes.changed.is_empty() {
            if let Some(selected) = &self.selected
                && let Ok(folder) = account.folder_by_id(selected.id)
            {
                self.tell_keywords(&folder.keywords);
            }
            self.tell_changed(&changes);
            self.tell_new(&changes);
        }
        if let Some(selected) = &mut self.selected {
            selected.quiet.clear();
        }
        self.io.relieve().await?;
        Ok(())
    }

    fn tell_expunged(&mut self) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        let mut gone = std::mem::take(&mut selected.gone);
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        if self.qresync || self.uid_only {
            selected.uids.retain(|uid| gone.binary_search(uid).is_err());
            self.io.line(&format!("* VANISHED {}", compress(&gone)));
            return;
        }
        // From the end, so that earlier numbers stay as the client knows them.
        for uid in gone.iter().rev() {
            if let Ok(at) = selected.uids.binary_search(uid) {
                selected.uids.remove(at);
                self.io.line(&format!("* {} EXPUNGE", at + 1));
            }
        }
    }

    fn tell_keywords(&mut self, keywords: &[String]) {
        if let Some(selected) = &mut self.selected
            && selected.keywords != keywords.len()
        {
            selected.keywords = keywords.len();
            self.io.line(&format!("* FLAGS ({})", flag_list(keywords)));
        }
    }

    fn tell_changed(&mut self, changes: &Changes) {
        for message in &changes.changed {
            let Some(selected) = &mut self.selected else {
                return;
            };
            if selected.take_quiet(message) {
                continue;
            }
            if let Some(position) = selected.position(message.uid) {
                let flags = selected.flags(message);
                self.tell_flags(position, message, &flags, self.qresync);
            }
        }
    }

    /// An untagged FETCH with flags; MODSEQ if the client asked for such.
    pub(crate) fn tell_flags(
        &mut self,
        position: usize,
        message: &Message,
        flags: &str,
        with_uid: bool,
    ) {
        let head = self.fetch_head(position, message.uid);
        let uid = if with_uid && !self.uid_only {
            format!("UID {} ", message.uid)
        } else {
            String::new()
        };
        let modseq = if self.condstore {
            format!(" MODSEQ ({})", message.modseq)
        } else {
            String::new()
        };
        self.io.line(&format!("{head}{uid}FLAGS {flags}{modseq})"));
    }

    fn tell_new(&mut self, changes: &Changes) {
        let (Some(account), Some(selected)) = (&self.account, &mut self.selected) else {
            return;
        };
        let last = selected.last_uid;
        let new: Vec<u32> = changes
            .changed
            .iter()
            .map(|m| m.uid)
            .filter(|u| *u > last)
            .collect();
        let Some(newest) = new.last().copied() else {
            return;
        };
        selected.last_uid = newest;
        selected.uids.extend(new);
        if !selected.read_only {
            // The folder exists: its changes were just read.
            let _ = account.recent(selected.id, true);
        }
        let (exists, recent) = (selected.uids.len(), selected.recent());
        self.io.line(&format!("* {exists} EXISTS"));
        self.io.line(&format!("* {recent} RECENT"));
    }

    /// The folder a mailbox argument means.
    pub(crate) fn path(&self, wire: &[u8]) -> Result<Vec<String>, Stop> {
        names::path(&self.shared.config, wire, self.utf8)
    }

    pub(crate) fn selected(&self) -> Result<&Selected, Stop> {
        self.selected
            .as_ref()
            .ok_or_else(|| Stop::bad("no mailbox is selected"))
    }

    /// The selected mailbox, if it may be changed.
    pub(crate) fn selected_writable(&self) -> Result<&Selected, Stop> {
        let selected = self.selected()?;
        if selected.read_only {
            return Err(Stop::no("[READ-ONLY] the mailbox was opened by EXAMINE"));
        }
        Ok(selected)
    }

    /// The UIDs a set names, by UID or by position.
    pub(crate) fn resolve(&self, text: &str, by_uid: bool) -> Result<Vec<u32>, Stop> {
        let set = crate::sequence::Sequence::parse(text)?;
        let selected = self.selected()?;
        if by_uid {
            return Ok(set.uids(&selected.uids));
        }
        set.positions(&selected.uids)
            .ok_or_else(|| Stop::bad("no such message number"))
    }
}
