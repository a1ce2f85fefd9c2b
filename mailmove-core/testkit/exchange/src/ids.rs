//! Ids as Exchange makes them: long, opaque, base64, case-sensitive, different after a move.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_testkit::mailbox::{Account, FolderId, Message};

use crate::mailbox::Mailbox;

/// A folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The root of the mailbox.
    Root,
    /// The root of what the user sees.
    Top,
    /// One that the model has.
    Folder(FolderId),
}

/// What an id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// A folder, by the text of its place.
    Folder {
        /// Whose it is.
        account: String,
        /// See [`place`].
        place: String,
    },
    /// An item.
    Item {
        /// Whose it is.
        account: String,
        /// See [`place`].
        folder: String,
        /// UIDVALIDITY of the folder.
        validity: u32,
        /// UID there.
        uid: u32,
    },
}

const SEAL: usize = 40;

/// A text that a client hands back unread.
#[must_use]
pub fn opaque(text: &str) -> String {
    let mut bytes = vec![0; SEAL];
    blake3::Hasher::new()
        .update(text.as_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    // Readable text in an id would tempt somebody to read it.
    let body: Vec<u8> = text
        .bytes()
        .zip(bytes.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    bytes.extend(body);
    STANDARD.encode(bytes)
}

/// What [`opaque`] was given; `None` if it made no such text.
#[must_use]
pub fn unopaque(id: &str) -> Option<String> {
    let bytes = STANDARD.decode(id).ok()?;
    let (mask, body) = bytes.split_at_checked(SEAL)?;
    let body: Vec<u8> = body
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    let text = String::from_utf8(body).ok()?;
    (opaque(&text) == id).then_some(text)
}

/// The id of a folder.
#[must_use]
pub fn folder_id(account: &Account, place: Place) -> String {
    let place = match place {
        Place::Root => "root".to_owned(),
        Place::Top => "top".to_owned(),
        Place::Folder(id) => id.to_string(),
    };
    opaque(&format!("F\n{}\n{place}\n", account.user()))
}

/// The id of an item in its place.
#[must_use]
pub fn item_id(account: &Account, folder: FolderId, validity: u32, uid: u32) -> String {
    opaque(&format!(
        "I\n{}\n{folder}\n{validity}\n{uid}\n",
        account.user()
    ))
}

/// The key of this state of an item.
#[must_use]
pub fn change_key(message: &Message) -> String {
    let key = format!("CQAAABYAAAC{:012x}", message.modseq);
    STANDARD.encode(key)
}

/// What an id says; `None` if it is none.
#[must_use]
pub fn parse(id: &str) -> Option<Id> {
    let text = unopaque(id)?;
    let mut lines = text.split('\n');
    let kind = lines.next()?;
    let account = lines.next()?.to_owned();
    let place = lines.next()?.to_owned();
    match kind {
        "F" => Some(Id::Folder { account, place }),
        "I" => Some(Id::Item {
            account,
            folder: place,
            validity: lines.next()?.parse().ok()?,
            uid: lines.next()?.parse().ok()?,
        }),
        _ => None,
    }
}

/// The place that an id's text names, if it is there.
#[must_use]
pub fn place(mailbox: &Mailbox, text: &str) -> Option<Place> {
    match text {
        "root" => Some(Place::Root),
        "top" => Some(Place::Top),
        _ => mailbox
            .account
            .folders()
            .into_iter()
            .find(|folder| folder.id.to_string() == text)
            .map(|folder| Place::Folder(folder.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_opaque_and_case_sensitive() {
        let store = mailmove_testkit::mailbox::Store::new();
        let account = store.add_account("ann");
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        let id = item_id(&account, inbox, 1, 7);
        assert!(!id.contains("ann"));
        assert!(matches!(parse(&id), Some(Id::Item { uid: 7, .. })));
        assert_eq!(parse(&id.to_lowercase()), None);
        assert_eq!(parse("garbage"), None);
    }
}
