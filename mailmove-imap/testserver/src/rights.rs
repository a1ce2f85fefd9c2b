//! Access rights: what MYRIGHTS tells is what holds (RFC 4314).

use mailmove_testkit::mailbox::FolderInfo;

use crate::Capability;
use crate::parser::Parser;
use crate::reply::{Outcome, Stop};
use crate::session::Session;

const ALL: &str = "lrswipkxtea";

impl Session {
    /// The rights to this folder.
    fn rights(&self, path: &[String]) -> &str {
        let rights = self.shared.config.rights.get(path);
        rights.map_or(ALL, String::as_str)
    }

    /// Refuses what the rights to this folder don't allow.
    pub(crate) fn check_right(&self, path: &[String], right: char) -> Result<(), Stop> {
        if self.rights(path).contains(right) {
            Ok(())
        } else {
            Err(Stop::no("[NOPERM] the rights to this mailbox forbid it"))
        }
    }

    pub(crate) fn my_rights(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let wire = p.astring()?;
        p.end()?;
        if !self.has(Capability::Acl) {
            return Err(Stop::bad("unknown command"));
        }
        let folder = self.account()?.folder(&self.path(&wire)?)?;
        self.tell_rights(&folder);
        Ok(String::new())
    }

    /// Sends `* MYRIGHTS` of a folder.
    pub(crate) fn tell_rights(&mut self, folder: &FolderInfo) {
        let mut rights = self.rights(&folder.path).to_owned();
        if folder.read_only {
            rights.retain(|right| "lr".contains(right));
        }
        let name = self.wire(&folder.path);
        self.io.line(&format!("* MYRIGHTS {name} {rights}"));
    }
}
