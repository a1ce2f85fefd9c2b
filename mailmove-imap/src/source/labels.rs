//! Gmail's labels (X-GM-EXT-1): a label is a folder, and each message says which ones it has.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use mailmove_core::model::{ContentId, Flags, Folder, FolderId, Keyword, Listed, Role};

use crate::{
    ids,
    wire::{Capabilities, Fetch, FetchItem},
};

/// The folders of the system labels, as last listed: their names differ by language.
#[derive(Debug, Default)]
pub(super) struct Labels(Mutex<HashMap<Role, FolderId>>);

impl Labels {
    /// Remembers which folder has which role.
    pub(super) fn learn(&self, folders: &[Folder]) {
        let roles = folders
            .iter()
            .filter_map(|folder| Some((folder.role?, folder.id.clone())));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = roles.collect();
    }

    fn folder(&self, label: &[u8]) -> Option<FolderId> {
        let Some(system) = label.strip_prefix(b"\\") else {
            return Some(ids::folder_id(label));
        };
        let role = match system.to_ascii_lowercase().as_slice() {
            b"inbox" => return Some(FolderId::new("INBOX")),
            b"sent" => Role::Sent,
            b"draft" | b"drafts" => Role::Drafts,
            b"trash" => Role::Trash,
            b"spam" | b"junk" => Role::Junk,
            b"starred" => Role::Flagged,
            b"important" => Role::Important,
            // `\Muted` and whatever comes: no folder shows it.
            _ => return None,
        };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&role).cloned()
    }

    /// Puts into `listed` what only some servers say: the content's name, and where else it is.
    pub(super) fn describe(&self, folder: &FolderId, listed: &mut Listed, fetch: &Fetch) {
        listed.content_id = match (fetch.gm_msgid, &fetch.email_id) {
            (Some(id), _) => Some(ContentId::format(format_args!("g:{id}"))),
            (None, Some(id)) => Some(ContentId::format(format_args!("e:{id}"))),
            (None, None) => None,
        };
        let labels = fetch.gm_labels.as_deref().unwrap_or_default();
        let folders = labels.iter().filter_map(|label| self.folder(label));
        listed.also_in = folders.collect();
        important(&mut listed.flags, fetch, self.is_important(folder));
    }

    /// Whether a folder is the view of the important messages, which do not tell of it there.
    pub(super) fn is_important(&self, folder: &FolderId) -> bool {
        self.folder(b"\\Important").as_ref() == Some(folder)
    }
}

/// What is asked of each message beside the usual.
pub(super) fn items(can: &Capabilities) -> &'static [FetchItem] {
    if can.gmail() {
        &[FetchItem::GmMsgId, FetchItem::GmLabels]
    } else if can.has("OBJECTID") {
        &[FetchItem::EmailId]
    } else {
        &[]
    }
}

/// `\Important` is a label at Gmail and a keyword elsewhere (RFC 8457). Stars are `\Flagged` already.
/// `all`: each message of the folder has it.
pub(super) fn important(flags: &mut Flags, fetch: &Fetch, all: bool) {
    let labels = fetch.gm_labels.as_deref().unwrap_or_default();
    let set = labels
        .iter()
        .any(|label| label.eq_ignore_ascii_case(b"\\Important"));
    if let (true, Ok(keyword)) = (set || all, Keyword::new("$Important")) {
        flags.insert_keyword(keyword);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use mailmove_core::model::FolderPath;

    use super::*;
    use crate::wire::{Event, Framer, Limits, Response};

    fn fetch(text: &str) -> Box<Fetch> {
        let mut framer = Framer::without_greeting(Limits::default());
        let mut buffer = BytesMut::from(text.as_bytes());
        loop {
            match framer.next(&mut buffer).unwrap().unwrap() {
                Event::Response(Response::Fetch(fetch)) => return fetch,
                Event::Response(other) => panic!("{other:?}"),
                _ => {}
            }
        }
    }

    #[test]
    fn labels_are_folders_in_every_form() {
        let labels = Labels::default();
        let mut sent = Folder::new(
            FolderId::new("[Gmail]/Gesendet"),
            FolderPath::new(["[Gmail]", "Gesendet"]),
            "",
        );
        sent.role = Some(Role::Sent);
        labels.learn(&[sent]);
        let fetch = fetch(
            "* 1 FETCH (UID 5 X-GM-MSGID 1278455344230334865 X-GM-LABELS (\"\\\\Inbox\" \\Sent \
             \"\\\\Important\" \"a \\\"b\\\" \\\\ c\" {10}\r\nM&APw-ll/x plain \"Entw&APw-rfe\" \
             \"\\\\Muted\" \"\\\\Trash\") FLAGS (\\Seen))\r\n",
        );
        let mut listed = Listed::new(ids::message_id(1, 5));
        labels.describe(&FolderId::new("x"), &mut listed, &fetch);
        let shown: Vec<&str> = listed.also_in.iter().map(FolderId::as_str).collect();
        let expected = [
            "INBOX",
            "[Gmail]/Gesendet",
            "a \"b\" \\ c",
            "M&APw-ll/x",
            "plain",
            "Entw&APw-rfe",
        ];
        assert_eq!(shown, expected);
        assert_eq!(
            listed.content_id,
            Some(ContentId::new("g:1278455344230334865"))
        );
        assert_eq!(listed.flags, Flags::parse("$Important"));
    }

    #[test]
    fn object_ids_name_contents_too() {
        let mut listed = Listed::new(ids::message_id(1, 5));
        let fetch = fetch("* 1 FETCH (UID 5 EMAILID (M6d99ac3275bb4e) FLAGS ())\r\n");
        Labels::default().describe(&FolderId::new("x"), &mut listed, &fetch);
        assert_eq!(listed.content_id, Some(ContentId::new("e:M6d99ac3275bb4e")));
        assert!(listed.also_in.is_empty() && listed.flags.is_empty());
    }
}
