//! An item about to be made or changed, and what becomes of it in the store.

use bytes::Bytes;
use mailmove_testkit::mailbox::{
    FlagOp, FolderId, FolderInfo, InternalDate, Message, NewMessage, StoreError,
};

use crate::dates;
use crate::mailbox::Mailbox;
use crate::props::{self, COMMON, FORWARDED, Key, PUBLIC_STRINGS, Props, Value};

/// An item about to be made, or changes to one.
#[derive(Debug, Default)]
pub struct Draft {
    /// The message itself.
    pub body: Option<Bytes>,
    /// PidTagMessageFlags as the client wants them.
    pub message_flags: Option<i32>,
    /// The read flag by itself.
    pub read: Option<bool>,
    /// When it came, in seconds since 1970.
    pub received: Option<i64>,
    /// Flags of the model to set or clear.
    pub flags: Vec<(String, bool)>,
    /// Replaces all categories.
    pub categories: Option<Vec<String>>,
    /// All else.
    pub props: Props,
}

impl Draft {
    /// Takes over a property.
    pub fn extended(&mut self, key: Key, value: Value) {
        let number = value.first().parse::<i32>().unwrap_or(0);
        match (&key, value.kind.as_str()) {
            (Key::Tag(0x0E07), "Integer") => self.message_flags = Some(number),
            (Key::Tag(0x0E06), "SystemTime") => self.received = dates::parse(value.first()),
            (Key::Tag(0x1090), "Integer") => {
                self.flags.push(("\\Flagged".to_owned(), number == 2));
                self.props.complete = number == 1;
            }
            (Key::Tag(0x1081), "Integer") => {
                let answered = matches!(number, 102 | 103);
                self.flags.push(("\\Answered".to_owned(), answered));
                self.flags.push((FORWARDED.to_owned(), number == 104));
                self.props.extended.insert(key, value);
            }
            // Where both were done, the icon may say the other.
            (Key::Tag(0x1080), "Integer") => {
                let done = [(261, "\\Answered"), (262, FORWARDED)];
                let done = done.iter().find(|(icon, _)| *icon == number);
                self.flags
                    .extend(done.map(|(_, flag)| ((*flag).to_owned(), true)));
                self.props.extended.insert(key, value);
            }
            (Key::Name(set, name), "StringArray")
                if set == PUBLIC_STRINGS && name.eq_ignore_ascii_case("Keywords") =>
            {
                self.categories = Some(value.values);
            }
            (Key::Id(set, 0x8570), "Integer") if set == COMMON => {
                self.flags.push(("\\Deleted".to_owned(), number != 0));
            }
            (Key::Tag(0x001A), "String") => self.props.class = Some(value.first().to_owned()),
            (Key::Tag(0x0017), "Integer") => {
                self.props.importance = match number {
                    0 => Some("Low".to_owned()),
                    2 => Some("High".to_owned()),
                    _ => Some("Normal".to_owned()),
                };
            }
            _ => {
                self.props.extended.insert(key, value);
            }
        }
    }

    /// The flags of a new item. Without PidTagMessageFlags a message becomes a draft, for good.
    #[must_use]
    pub fn new_flags(&self, message: bool) -> Vec<String> {
        let bits = self.message_flags;
        let read = self.read.or(bits.map(|bits| bits & 1 != 0)).unwrap_or(true);
        let draft = message && bits.is_none_or(|bits| bits & 8 != 0);
        let mut flags = self.categories.clone().unwrap_or_default();
        for (name, on) in [("\\Seen", read), ("\\Draft", draft)] {
            if on {
                flags.push(name.to_owned());
            }
        }
        for (name, on) in &self.flags {
            flags.retain(|have| have != name);
            if *on {
                flags.push(name.clone());
            }
        }
        flags
    }
}

/// Stores an item with its properties, so that nobody sees it without them.
///
/// # Errors
/// As the model's append.
pub fn put(
    mailbox: &Mailbox,
    folder: &FolderInfo,
    message: NewMessage,
    props: Props,
) -> Result<Message, StoreError> {
    let mut extra = mailbox.extra();
    let landed = mailbox.account.append(folder.id, vec![message])?;
    let found = mailbox.account.fetch(folder.id, &landed.uids)?;
    let message = found.into_iter().next().ok_or(StoreError::NoSuchFolder)?;
    extra.items.insert((folder.id, message.uid), props.clone());
    extra.contents.insert(message.email_id, props);
    Ok(message)
}

/// Changes an item as a draft says that began with its properties.
///
/// # Errors
/// As the model's operations.
pub fn change(
    mailbox: &Mailbox,
    folder: FolderId,
    message: &Message,
    draft: Draft,
) -> Result<(), StoreError> {
    let (account, uid) = (&mailbox.account, message.uid);
    // What may not be changed in a read-only folder is found out before anything is.
    account.store::<&str>(folder, &[uid], FlagOp::Add, &[], None)?;
    let mut flags = draft.flags;
    flags.extend(draft.read.map(|read| ("\\Seen".to_owned(), read)));
    if let Some(categories) = draft.categories {
        let old = props::categories(&message.flags);
        flags.extend(old.into_iter().map(|name| (name, false)));
        flags.extend(categories.into_iter().map(|name| (name, true)));
    }
    for (name, on) in flags {
        let op = if on { FlagOp::Add } else { FlagOp::Remove };
        account.store(folder, &[uid], op, &[name], None)?;
    }
    let mut extra = mailbox.extra();
    let props_changed = extra.props(folder, message) != draft.props;
    extra.items.insert((folder, uid), draft.props);
    drop(extra);
    if draft.body.is_some() || draft.received.is_some() {
        let body = draft.body.unwrap_or_else(|| message.body.clone());
        account.damage(folder, uid, body, draft.received.map(InternalDate::utc))?;
        touch(mailbox, folder, uid)?;
    } else if props_changed {
        touch(mailbox, folder, uid)?;
    }
    Ok(())
}

/// Lets the model know that something changed of which it has no notion.
fn touch(mailbox: &Mailbox, folder: FolderId, uid: u32) -> Result<(), StoreError> {
    for op in [FlagOp::Add, FlagOp::Remove] {
        mailbox
            .account
            .store(folder, &[uid], op, &["$touched"], None)?;
    }
    Ok(())
}

/// Copies or moves an item within its mailbox, or into another one.
///
/// # Errors
/// As the model's operations.
pub fn carry(
    (from, folder, message): (&Mailbox, FolderId, &Message),
    (to, target): (&Mailbox, &FolderInfo),
    moves: bool,
) -> Result<Message, StoreError> {
    let account = &from.account;
    let mut extra = from.extra();
    let props = extra.props(folder, message);
    if to.account.user() != account.user() {
        drop(extra);
        let flags = message.flags.iter().map(str::to_owned);
        let new = NewMessage::new(message.body.clone()).with_flags(flags);
        let new = put(to, target, new.with_date(message.date), props)?;
        if moves {
            account.remove(folder, &[message.uid])?;
        }
        return Ok(new);
    }
    let copied = match moves {
        true => account.move_messages(folder, &[message.uid], target.id)?,
        false => account.copy(folder, &[message.uid], target.id)?,
    };
    let (_, new) = copied
        .uids
        .first()
        .copied()
        .ok_or(StoreError::NoSuchFolder)?;
    extra.items.insert((target.id, new), props);
    let found = account.fetch(target.id, &[new])?;
    found.into_iter().next().ok_or(StoreError::NoSuchFolder)
}
