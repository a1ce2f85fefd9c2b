//! SELECT, EXAMINE, CLOSE, UNSELECT.

use std::collections::BTreeMap;

use mailmove_testkit::mailbox::{Account, FolderInfo, Keywords, Message};

use crate::Capability;
use crate::parser::Parser;
use crate::reply::{Outcome, Stop};
use crate::sequence::{Sequence, compress};
use crate::session::Session;
use crate::view::{Selected, flag_list};

/// What a client remembers of a mailbox (RFC 7162 section 3.2.5).
struct Resync {
    uid_validity: u64,
    modseq: u64,
    known: Option<Sequence>,
}

#[derive(Default)]
struct Parameters {
    condstore: bool,
    resync: Option<Resync>,
}

impl Session {
    fn select_parameters(&self, p: &mut Parser<'_>) -> Result<Parameters, Stop> {
        let mut parameters = Parameters::default();
        if p.is_empty() {
            return Ok(parameters);
        }
        p.space()?;
        let items = p.list(|p| match p.keyword()?.as_str() {
            "CONDSTORE" if self.has(Capability::Condstore) => Ok(None),
            "QRESYNC" if self.qresync => {
                p.space()?;
                Self::resync(p).map(Some)
            }
            _ => Err(Stop::bad("unknown parameter")),
        })?;
        p.end()?;
        parameters.condstore = true;
        parameters.resync = items.into_iter().flatten().next();
        Ok(parameters)
    }

    fn resync(p: &mut Parser<'_>) -> Result<Resync, Stop> {
        p.open()?;
        let uid_validity = p.number()?;
        p.space()?;
        let modseq = p.number()?;
        let mut known = None;
        if p.eat(b' ') {
            if p.peek() != Some(b'(') {
                known = Some(Sequence::parse(p.set_text()?)?);
            }
            if known.is_none() || p.eat(b' ') {
                // Sample of numbers and UIDs: only spares the server work.
                p.open()?;
                Sequence::parse(p.set_text()?)?;
                p.space()?;
                Sequence::parse(p.set_text()?)?;
                p.close()?;
            }
        }
        p.close()?;
        Ok(Resync {
            uid_validity,
            modseq,
            known,
        })
    }

    pub(crate) async fn select(&mut self, p: &mut Parser<'_>, examine: bool) -> Outcome {
        p.space()?;
        let wire = p.astring()?;
        let parameters = self.select_parameters(p)?;
        let account = self.account()?;
        if self.selected.take().is_some() && self.qresync {
            self.io.line("* OK [CLOSED] previous mailbox closed");
        }
        let folder = account.folder(&self.path(&wire)?)?;
        self.check_right(&folder.path, 'r')?;
        self.condstore |= parameters.condstore;
        let read_only = examine || folder.read_only;
        let mut messages = account.messages(folder.id)?;
        messages.drain(..self.hidden(messages.len()));
        let selected = Selected {
            id: folder.id,
            read_only,
            uids: messages.iter().map(|m| m.uid).collect(),
            modseq: folder.highest_modseq,
            uid_validity: folder.uid_validity,
            first_recent: account.recent(folder.id, !read_only)?,
            last_uid: folder.uid_next.saturating_sub(1),
            keywords: folder.keywords.len(),
            gone: Vec::new(),
            quiet: BTreeMap::new(),
        };
        self.describe(&account, &folder, &selected, &messages);
        self.selected = Some(selected);
        if let Some(resync) = &parameters.resync {
            self.catch_up(&account, &folder, resync).await?;
        }
        let access = if read_only {
            "[READ-ONLY]"
        } else {
            "[READ-WRITE]"
        };
        Ok(format!("{access} mailbox selected"))
    }

    fn describe(
        &mut self,
        account: &Account,
        folder: &FolderInfo,
        selected: &Selected,
        messages: &[Message],
    ) {
        let flags = flag_list(&folder.keywords);
        let permanent = match (selected.read_only, account.limits().keywords) {
            (true, _) => String::new(),
            (false, Keywords::Any) => format!("{flags} \\*"),
            (false, Keywords::Only(list) | Keywords::OnlyStrict(list)) => flag_list(&list),
            (false, _) => flag_list(&[]),
        };
        self.io.line(&format!("* FLAGS ({flags})"));
        self.io
            .line(&format!("* OK [PERMANENTFLAGS ({permanent})] flags"));
        self.io.line(&format!("* {} EXISTS", messages.len()));
        self.io.line(&format!("* {} RECENT", selected.recent()));
        let unseen = messages.iter().position(|m| !m.flags.contains("\\Seen"));
        if let Some(at) = unseen.filter(|_| !self.uid_only) {
            self.io
                .line(&format!("* OK [UNSEEN {}] first unseen", at + 1));
        }
        self.io.line(&format!(
            "* OK [UIDVALIDITY {}] UIDs valid",
            folder.uid_validity
        ));
        self.io
            .line(&format!("* OK [UIDNEXT {}] next UID", folder.uid_next));
        if self.has(Capability::Condstore) {
            self.io.line(&format!(
                "* OK [HIGHESTMODSEQ {}] highest",
                folder.highest_modseq
            ));
        }
        if self.has(Capability::ObjectId) {
            self.io
                .line(&format!("* OK [MAILBOXID ({})] id", folder.id));
        }
    }

    /// Tells what happened since the client was here last.
    async fn catch_up(
        &mut self,
        account: &Account,
        folder: &FolderInfo,
        resync: &Resync,
    ) -> Result<(), Stop> {
        if resync.uid_validity != u64::from(folder.uid_validity) {
            return Ok(());
        }
        let changes = account.changes(folder.id, resync.modseq)?;
        let largest = folder.uid_next.saturating_sub(1);
        let known = |uid: u32| {
            resync
                .known
                .as_ref()
                .is_none_or(|k| k.contains(uid, largest))
        };
        let vanished: Vec<u32> = changes
            .vanished
            .into_iter()
            .filter(|uid| known(*uid))
            .collect();
        if !vanished.is_empty() {
            self.io
                .line(&format!("* VANISHED (EARLIER) {}", compress(&vanished)));
        }
        for message in changes.changed.iter().filter(|m| known(m.uid)) {
            let selected = self.selected()?;
            if let Some(position) = selected.position(message.uid) {
                let flags = selected.flags(message);
                self.tell_flags(position, message, &flags, true);
                self.io.relieve().await?;
            }
        }
        Ok(())
    }

    pub(crate) fn close_mailbox(&mut self, p: &Parser<'_>, expunge: bool) -> Outcome {
        p.end()?;
        if !expunge && !self.has(Capability::Unselect) {
            return Err(Stop::bad("unknown command"));
        }
        let account = self.account()?;
        if let Some(selected) = self.selected.take()
            && expunge
            && !selected.read_only
        {
            account.expunge(selected.id, None)?;
        }
        Ok(String::new())
    }
}
