//! CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, quota, NAMESPACE.

use mailmove_testkit::mailbox::FolderInfo;

use crate::parser::Parser;
use crate::reply::{Outcome, Stop, quoted};
use crate::session::Session;
use crate::{Capability, names};

/// Attributes CREATE may ask for (RFC 6154).
const SPECIAL_USES: [&str; 7] = [
    "\\All",
    "\\Archive",
    "\\Drafts",
    "\\Flagged",
    "\\Junk",
    "\\Sent",
    "\\Trash",
];

impl Session {
    pub(crate) fn namespace(&mut self, p: &Parser<'_>) -> Outcome {
        p.end()?;
        if !self.has(Capability::Namespace) {
            return Err(Stop::bad("unknown command"));
        }
        let config = &self.shared.config;
        let separator = quoted(&config.separator.to_string());
        let utf8 = self.utf8;
        let list = |prefixes: &[String]| {
            let one = |prefix: &String| format!("({} {separator})", names::on_wire(prefix, utf8));
            match prefixes.iter().map(one).collect::<String>() {
                none if none.is_empty() => "NIL".to_owned(),
                all => format!("({all})"),
            }
        };
        let own = list(std::slice::from_ref(&config.prefix));
        let (others, shared) = (list(&config.other_users), list(&config.shared));
        self.io
            .line(&format!("* NAMESPACE {own} {others} {shared}"));
        Ok(String::new())
    }

    pub(crate) fn create(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let wire = p.astring()?;
        let mut special_use = Vec::new();
        if !p.is_empty() {
            p.space()?;
            special_use = self.create_parameters(p)?;
        }
        p.end()?;
        let account = self.account()?;
        let path = self.path(&wire)?;
        if let Some((_, parent)) = path.split_last() {
            self.check_right(parent, 'k')?;
        }
        let id = account.create_special(&path, &special_use)?;
        Ok(if self.has(Capability::ObjectId) {
            format!("[MAILBOXID ({id})] mailbox created")
        } else {
            String::new()
        })
    }

    fn create_parameters(&self, p: &mut Parser<'_>) -> Result<Vec<String>, Stop> {
        if !self.has(Capability::CreateSpecialUse) {
            return Err(Stop::bad("parameters not supported"));
        }
        p.open()?;
        if p.keyword()? != "USE" {
            return Err(Stop::bad("unknown parameter"));
        }
        p.space()?;
        let uses = p.list(Parser::flag)?;
        p.close()?;
        let known = |name: &String| {
            let found = SPECIAL_USES
                .iter()
                .find(|known| known.eq_ignore_ascii_case(name));
            found.map(|known| (*known).to_owned())
        };
        let uses: Option<Vec<String>> = uses.iter().map(known).collect();
        uses.ok_or_else(|| Stop::no("[USEATTR] unknown special use"))
    }

    pub(crate) fn delete(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let wire = p.astring()?;
        p.end()?;
        self.account()?.delete(&self.path(&wire)?)?;
        Ok(String::new())
    }

    pub(crate) fn rename(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let from = p.astring()?;
        p.space()?;
        let to = p.astring()?;
        p.end()?;
        self.account()?
            .rename(&self.path(&from)?, &self.path(&to)?)?;
        Ok(String::new())
    }

    pub(crate) fn subscribe(&mut self, p: &mut Parser<'_>, on: bool) -> Outcome {
        p.space()?;
        let wire = p.astring()?;
        p.end()?;
        self.account()?.subscribe(&self.path(&wire)?, on);
        Ok(String::new())
    }

    /// The items of STATUS, in order, known and allowed.
    pub(crate) fn status_items(&self, p: &mut Parser<'_>) -> Result<Vec<String>, Stop> {
        let items = p.list(Parser::keyword)?;
        let known = |item: &String| match item.as_str() {
            "MESSAGES" | "RECENT" | "UIDNEXT" | "UIDVALIDITY" | "UNSEEN" => true,
            "HIGHESTMODSEQ" => self.has(Capability::Condstore),
            "SIZE" => self.has(Capability::StatusSize),
            "MAILBOXID" => self.has(Capability::ObjectId),
            "APPENDLIMIT" => self.has(Capability::AppendLimit),
            _ => false,
        };
        if items.is_empty() || !items.iter().all(known) {
            return Err(Stop::bad("unknown status item"));
        }
        Ok(items)
    }

    pub(crate) fn status(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let wire = p.astring()?;
        p.space()?;
        let items = self.status_items(p)?;
        p.end()?;
        let folder = self.account()?.folder(&self.path(&wire)?)?;
        self.tell_status(&folder, &items)?;
        Ok(String::new())
    }

    /// Sends `* STATUS` of a folder.
    pub(crate) fn tell_status(
        &mut self,
        folder: &FolderInfo,
        items: &[String],
    ) -> Result<(), Stop> {
        let status = self.account()?.status(folder.id)?;
        self.condstore |= items.iter().any(|item| item == "HIGHESTMODSEQ");
        let value = |item: &String| match item.as_str() {
            "MESSAGES" => {
                let messages = usize::try_from(status.messages).unwrap_or(usize::MAX);
                (messages - self.hidden(messages)).to_string()
            }
            "RECENT" => status.recent.to_string(),
            "UIDNEXT" => status.uid_next.to_string(),
            "UIDVALIDITY" => status.uid_validity.to_string(),
            "UNSEEN" => status.unseen.to_string(),
            "HIGHESTMODSEQ" => status.highest_modseq.to_string(),
            "SIZE" => status.size.to_string(),
            "MAILBOXID" => format!("({})", folder.id),
            _ if self.shared.config.folder_limits.is_empty() => self.append_limit().to_string(),
            _ => self
                .folder_limit(&folder.path)
                .map_or_else(|| "NIL".to_owned(), |limit| limit.to_string()),
        };
        let values: Vec<_> = items
            .iter()
            .map(|item| format!("{item} {}", value(item)))
            .collect();
        let name = self.wire(&folder.path);
        self.io
            .line(&format!("* STATUS {name} ({})", values.join(" ")));
        Ok(())
    }

    pub(crate) fn get_quota_root(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let wire = p.astring()?;
        p.end()?;
        self.check_quota_command()?;
        let folder = self.account()?.folder(&self.path(&wire)?)?;
        let name = self.wire(&folder.path);
        self.io.line(&format!("* QUOTAROOT {name} \"\""));
        self.tell_quota()
    }

    pub(crate) fn get_quota(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let root = p.astring()?;
        p.end()?;
        self.check_quota_command()?;
        if !root.is_empty() {
            return Err(Stop::no("[NONEXISTENT] no such quota root"));
        }
        self.tell_quota()
    }

    fn check_quota_command(&self) -> Result<(), Stop> {
        if self.has(Capability::Quota) {
            Ok(())
        } else {
            Err(Stop::bad("unknown command"))
        }
    }

    fn tell_quota(&mut self) -> Outcome {
        let account = self.account()?;
        let limits = account.limits();
        let mut resources = Vec::new();
        if let Some(limit) = limits.quota_bytes {
            let used = account.used_bytes().div_ceil(1024);
            resources.push(format!("STORAGE {used} {}", limit / 1024));
        }
        if let Some(limit) = limits.quota_messages {
            resources.push(format!("MESSAGE {} {limit}", account.used_messages()));
        }
        self.io
            .line(&format!("* QUOTA \"\" ({})", resources.join(" ")));
        Ok(String::new())
    }
}
