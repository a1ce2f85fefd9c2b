//! STORE, COPY, MOVE, EXPUNGE.

use mailmove_testkit::mailbox::{FlagOp, FolderId};

use crate::Capability;
use crate::gmail;
use crate::parser::Parser;
use crate::reply::{Outcome, Stop};
use crate::sequence::{Sequence, compress};
use crate::session::Session;

impl Session {
    pub(crate) async fn store_flags(&mut self, p: &mut Parser<'_>, by_uid: bool) -> Outcome {
        p.space()?;
        let set = p.set_text()?;
        p.space()?;
        let unchanged_since = self.store_modifier(p)?;
        let item = p.word()?.to_ascii_uppercase();
        p.space()?;
        if let (true, Some(on)) = (self.is_gmail(), labels_item(&item)) {
            let uids = self.resolve(set, by_uid)?;
            return self.store_labels(p, &uids, on);
        }
        let flags = if p.peek() == Some(b'(') {
            p.list(Parser::flag)?
        } else {
            let mut flags = vec![p.flag()?];
            while p.eat(b' ') {
                flags.push(p.flag()?);
            }
            flags
        };
        p.end()?;
        let (item, silent) = match item.strip_suffix(".SILENT") {
            Some(item) => (item, true),
            None => (item.as_str(), false),
        };
        let op = match item {
            "FLAGS" => FlagOp::Set,
            "+FLAGS" => FlagOp::Add,
            "-FLAGS" => FlagOp::Remove,
            _ => return Err(Stop::bad("expected FLAGS")),
        };
        if flags
            .iter()
            .any(|flag| flag.eq_ignore_ascii_case("\\Recent"))
        {
            return Err(Stop::bad("\\Recent can't be set"));
        }
        self.condstore |= unchanged_since.is_some();
        let (uids, cut) = self.within_limit(self.resolve(set, by_uid)?);
        let id = self.selected_writable()?.id;
        let account = self.account()?;
        let stored = account.store(id, &uids, op, &flags, unchanged_since)?;
        if self.is_gmail() {
            gmail::spread(&account, id, &stored.done, op, &flags)?;
        }
        self.tell_stored(id, &stored.done, silent, by_uid).await?;
        if stored.modified.is_empty() {
            return Ok(self.with_limit(cut, String::new()));
        }
        let modified = compress(&self.numbers(&stored.modified, by_uid)?);
        let text = format!("[MODIFIED {modified}] some messages were changed meanwhile");
        Ok(self.with_limit(cut, text))
    }

    fn store_modifier(&self, p: &mut Parser<'_>) -> Result<Option<u64>, Stop> {
        if p.peek() != Some(b'(') {
            return Ok(None);
        }
        p.open()?;
        if !self.has(Capability::Condstore) || p.keyword()? != "UNCHANGEDSINCE" {
            return Err(Stop::bad("unknown modifier"));
        }
        p.space()?;
        let modseq = p.number()?;
        p.close()?;
        p.space()?;
        Ok(Some(modseq))
    }

    /// UIDs as the client numbers messages in this command.
    fn numbers(&self, uids: &[u32], by_uid: bool) -> Result<Vec<u32>, Stop> {
        if by_uid {
            return Ok(uids.to_vec());
        }
        let selected = self.selected()?;
        let position = |uid: &u32| u32::try_from(selected.position(*uid)?).ok();
        Ok(uids.iter().filter_map(position).collect())
    }

    async fn tell_stored(
        &mut self,
        id: FolderId,
        uids: &[u32],
        silent: bool,
        by_uid: bool,
    ) -> Result<(), Stop> {
        let messages = self.account()?.fetch(id, uids)?;
        for message in &messages {
            let selected = self.selected()?;
            let Some(position) = selected.position(message.uid) else {
                continue;
            };
            let flags = selected.flags(message);
            if !silent {
                self.tell_flags(position, message, &flags, by_uid || self.qresync);
            } else if self.condstore {
                let uid = match self.uid_only {
                    true => String::new(),
                    false => format!("UID {} ", message.uid),
                };
                let head = self.fetch_head(position, message.uid);
                self.io
                    .line(&format!("{head}{uid}MODSEQ ({}))", message.modseq));
            }
            self.io.relieve().await?;
        }
        if let Some(selected) = &mut self.selected {
            selected.hush(&messages);
        }
        Ok(())
    }

    /// Set, blank, mailbox.
    fn transfer_arguments(
        &self,
        p: &mut Parser<'_>,
        by_uid: bool,
    ) -> Result<(Vec<u32>, FolderId), Stop> {
        p.space()?;
        let set = p.set_text()?;
        p.space()?;
        let wire = p.astring()?;
        p.end()?;
        let uids = self.resolve(set, by_uid)?;
        let target = self
            .account()?
            .folder(&self.path(&wire)?)
            .map_err(Stop::for_target)?;
        Ok((uids, target.id))
    }

    pub(crate) fn copy(&mut self, p: &mut Parser<'_>, by_uid: bool) -> Outcome {
        let (uids, target) = self.transfer_arguments(p, by_uid)?;
        self.check_limit(uids.len())?;
        if self.is_gmail() {
            let (validity, pairs) = self.copy_labels(&uids, target)?;
            return Ok(self.copy_code(validity, &pairs).unwrap_or_default());
        }
        let source = self.selected()?.id;
        let copied = self.account()?.copy(source, &uids, target)?;
        let code = self.copy_code(copied.uid_validity, &copied.uids);
        Ok(code.unwrap_or_default())
    }

    pub(crate) fn move_messages(&mut self, p: &mut Parser<'_>, by_uid: bool) -> Outcome {
        if !self.has(Capability::Move) {
            return Err(Stop::bad("unknown command"));
        }
        let (uids, target) = self.transfer_arguments(p, by_uid)?;
        let (uids, cut) = self.within_limit(uids);
        let source = self.selected_writable()?.id;
        let moved = self.account()?.move_messages(source, &uids, target)?;
        if let Some(code) = self.copy_code(moved.uid_validity, &moved.uids) {
            self.io.line(&format!("* OK {code}"));
        }
        Ok(self.with_limit(cut, String::new()))
    }

    fn copy_code(&self, validity: u32, pairs: &[(u32, u32)]) -> Option<String> {
        if pairs.is_empty() || !self.has(Capability::UidPlus) {
            return None;
        }
        let (from, to): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let (from, to) = (compress(&from), compress(&to));
        Some(format!("[COPYUID {validity} {from} {to}] copied"))
    }

    pub(crate) fn expunge(&mut self, p: &mut Parser<'_>, by_uid: bool) -> Outcome {
        let mut named = None;
        if by_uid {
            if !self.has(Capability::UidPlus) {
                return Err(Stop::bad("unknown command"));
            }
            p.space()?;
            named = Some(Sequence::parse(p.set_text()?)?);
        }
        p.end()?;
        let selected = self.selected_writable()?;
        let uids = named.map(|set| set.uids(&selected.uids));
        let (account, id) = (self.account()?, selected.id);
        let mut cut = None;
        let uids = match uids {
            Some(uids) => {
                let mut deleted = account.fetch(id, &uids)?;
                deleted.retain(|message| message.flags.contains("\\Deleted"));
                let (uids, code) = self.within_limit(deleted.iter().map(|m| m.uid).collect());
                cut = code;
                Some(uids)
            }
            None => None,
        };
        account.expunge(id, uids.as_deref())?;
        // A client that keeps a copy needs to know how far it got (RFC 7162 section 3.2.7).
        if !self.qresync {
            return Ok(self.with_limit(cut, String::new()));
        }
        let modseq = account.folder_by_id(id)?.highest_modseq;
        Ok(self.with_limit(cut, format!("[HIGHESTMODSEQ {modseq}] expunged")))
    }
}

/// Whether labels are to be given or taken away.
fn labels_item(item: &str) -> Option<bool> {
    match item.strip_suffix(".SILENT").unwrap_or(item) {
        "+X-GM-LABELS" => Some(true),
        "-X-GM-LABELS" => Some(false),
        _ => None,
    }
}
