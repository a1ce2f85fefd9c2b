//! The folders of an account, as both sides see them.

use std::collections::{HashMap, HashSet};

use mailmove_core::{
    error::{ErrorKind, Result, Retry},
    model::{CompactText, Folder, FolderId, FolderPath, Mark, Namespace, Role, Token},
};

use crate::{
    distrust::Feature,
    error::{self, Doing},
    gmail, ids,
    naming::{self, Names},
    session::{self, Server, Session},
    wire::{
        Capabilities, ListEntry, ListReturn, MailboxStatus, Response, Status, StatusItem,
        StatusKind, Tag,
    },
};

/// STATUS commands sent ahead of their answers. Enough to hide any round trip; some servers take
/// up only a few commands at a time and leave the rest in the socket.
const AHEAD: usize = 64;
/// The first of them.
const FIRST_AHEAD: usize = 8;

/// Folders that an account may have: far more than people make, and not enough to fill the memory.
const FOLDERS_MOST: usize = 100_000;

/// All folders with how names are built; learned at once, since each needs the other.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) folders: Vec<Folder>,
    pub(crate) names: Names,
    /// Largest message for each folder that told, where the server has no limit for all.
    pub(crate) limits: Vec<(FolderId, Option<u64>)>,
}

/// What LIST and its companions said.
#[derive(Default)]
struct Found {
    entries: Vec<ListEntry>,
    statuses: HashMap<Box<[u8]>, MailboxStatus>,
    subscribed: HashSet<Box<[u8]>>,
    /// There were more than can be kept.
    overflow: bool,
}

impl Found {
    fn note(&mut self, response: Response) {
        let sizes = [
            self.entries.len(),
            self.statuses.len(),
            self.subscribed.len(),
        ];
        if sizes.iter().any(|size| *size >= FOLDERS_MOST) {
            self.overflow = true;
            return;
        }
        match response {
            Response::List(entry) => self.entries.push(entry),
            // Not subscribed to, but a folder below it is (RFC 3501 §6.3.9).
            Response::Lsub(entry) if entry.has("\\Noselect") => {}
            Response::Lsub(entry) => {
                self.subscribed.insert(key(&entry.name));
            }
            // Asked once more, since it belongs to a folder that is just being made.
            Response::MailboxStatus(status) if !is_numbered(&status) => {}
            Response::MailboxStatus(status) => {
                self.statuses.insert(key(&status.name), *status);
            }
            _ => {}
        }
    }
}

/// Names are compared as they are; the inbox alone has none but one name in any case.
pub(crate) fn key(name: &[u8]) -> Box<[u8]> {
    if name.eq_ignore_ascii_case(b"INBOX") {
        b"INBOX".as_slice().into()
    } else {
        name.into()
    }
}

/// What STATUS is asked for: all that this server can say about a folder without opening it.
pub(crate) fn status_items(can: &Capabilities) -> Vec<StatusItem> {
    let mut items = PLAIN.to_vec();
    if can.condstore() {
        items.push(StatusItem::HighestModSeq);
    }
    if can.has("STATUS=SIZE") {
        items.push(StatusItem::Size);
    }
    if can.mailbox_ids() {
        items.push(StatusItem::MailboxId);
    }
    if can.append_limit_by_mailbox() {
        items.push(StatusItem::AppendLimit);
    }
    items
}

/// What every server knows (RFC 3501).
const PLAIN: [StatusItem; 3] = [
    StatusItem::Messages,
    StatusItem::UidNext,
    StatusItem::UidValidity,
];

/// As [`status_items`], or only what RFC 3501 knows where the server does not understand the rest.
pub(crate) fn items(server: &Server) -> Vec<StatusItem> {
    if server.distrust.has(Feature::StatusItems) {
        PLAIN.into()
    } else {
        status_items(&server.capabilities)
    }
}

/// Lists the account: in one round trip where LIST can bring it all, else in two.
///
/// # Errors
/// If LIST is refused. A STATUS that is refused leaves that folder's numbers unknown.
pub(crate) async fn list(session: &mut Session) -> Result<Listing> {
    let mut found = Found::default();
    let server = std::sync::Arc::clone(&session.server);
    let can = &server.capabilities;
    let prefixes = Names::new(server.namespaces.as_ref(), None);
    let mut patterns = vec![b"*".to_vec()];
    patterns.extend(
        prefixes
            .foreign_prefixes()
            .map(|prefix| [prefix, b"*"].concat()),
    );
    let offered = can.has("LIST-EXTENDED") || can.list_status();
    let extended = offered && server.quirks.list_return && !session.distrusts(Feature::ListReturn);
    let complete = extended && list_extended(session, can, &patterns, &mut found).await?;
    if !complete {
        found = Found::default();
        list_plain(session, &patterns, &mut found).await?;
    }
    ask_statuses(session, &mut found).await?;
    let inbox = found
        .entries
        .iter()
        .find(|entry| entry.name.eq_ignore_ascii_case(b"INBOX"));
    let separator = inbox
        .or(found.entries.first())
        .and_then(|entry| entry.delimiter);
    let names = Names::new(server.namespaces.as_ref(), separator);
    let limits = match can.append_limit_by_mailbox() {
        true => limits(&found),
        false => Vec::new(),
    };
    let folders = assemble(found, &names, can);
    Ok(Listing {
        folders,
        names,
        limits,
    })
}

/// LIST … RETURN. False if the server refuses it after all (iCloud answers BAD).
async fn list_extended(
    session: &mut Session,
    can: &Capabilities,
    patterns: &[Vec<u8>],
    found: &mut Found,
) -> Result<bool> {
    let status = if can.list_status() {
        items(&session.server)
    } else {
        Vec::new()
    };
    let returns = ListReturn {
        subscribed: true,
        special_use: can.has("SPECIAL-USE"),
        status,
        ..ListReturn::default()
    };
    let mut tags = Vec::new();
    for pattern in patterns {
        let tag = session.connection.tag();
        let command = session
            .connection
            .encoder()
            .list(tag, b"", pattern, Some(&returns));
        session
            .connection
            .send(command.map_err(session::encode)?)
            .await?;
        tags.push(tag);
    }
    let statuses = finish(session, tags, found).await?;
    if let Some(status) = statuses.first() {
        heed(Doing::account("LIST"), status)?;
        session.server.distrust.note(Feature::ListReturn, status);
    }
    for entry in &found.entries {
        if entry.has("\\Subscribed") {
            found.subscribed.insert(key(&entry.name));
        }
    }
    // The first asks for the user's own folders; other people's may well be refused.
    Ok(statuses
        .first()
        .is_some_and(|status| status.kind == StatusKind::Ok))
}

/// LIST and LSUB (RFC 3501).
async fn list_plain(session: &mut Session, patterns: &[Vec<u8>], found: &mut Found) -> Result<()> {
    let mut tags = Vec::new();
    for pattern in patterns {
        let tag = session.connection.tag();
        let command = session.connection.encoder().list(tag, b"", pattern, None);
        session
            .connection
            .send(command.map_err(session::encode)?)
            .await?;
        tags.push(tag);
    }
    let tag = session.connection.tag();
    let command = session.connection.encoder().lsub(tag, b"", b"*");
    session
        .connection
        .send(command.map_err(session::encode)?)
        .await?;
    tags.push(tag);
    let statuses = finish(session, tags, found).await?;
    match statuses.first() {
        Some(status) if status.kind != StatusKind::Ok => {
            Err(error::refused(Doing::account("LIST"), status))
        }
        _ => Ok(()),
    }
}

async fn finish(session: &mut Session, tags: Vec<Tag>, found: &mut Found) -> Result<Vec<Status>> {
    let mut statuses = Vec::new();
    for tag in tags {
        let note = |response| found.note(response);
        statuses.push(session.connection.complete(tag, note).await?);
    }
    if found.overflow {
        let error = error::unexpected("the server lists more folders than can be");
        return Err(error.with_code("imap/folders").with_retry(Retry::Never));
    }
    Ok(statuses)
}

/// STATUS for each folder that LIST said nothing about, pipelined.
async fn ask_statuses(session: &mut Session, found: &mut Found) -> Result<()> {
    let wanted = |entry: &&ListEntry| {
        entry.is_selectable() && !found.statuses.contains_key(&key(&entry.name))
    };
    let missing: Vec<FolderId> = found
        .entries
        .iter()
        .filter(wanted)
        .map(|entry| ids::folder_id(&entry.name))
        .collect();
    // Few at first: if what they ask for is not understood, that must not be said too often.
    let mut ahead = FIRST_AHEAD;
    let mut left = missing.as_slice();
    while !left.is_empty() {
        let (now, later) = left.split_at(left.len().min(ahead));
        let bad = ask_some(session, now, &items(&session.server), found).await?;
        if !bad.is_empty() && !session.distrusts(Feature::StatusItems) {
            // If one of them is told when asked for less, it was not the name.
            let still = ask_some(session, &bad, &PLAIN, found).await?;
            if still.len() < bad.len() {
                session.server.distrust.add(Feature::StatusItems);
            }
        }
        (left, ahead) = (later, AHEAD);
    }
    Ok(())
}

/// Of a command whose refusal does not matter: that the server asks to slow down does.
pub(crate) fn heed(doing: Doing, status: &Status) -> Result<()> {
    if status.kind == StatusKind::Ok {
        return Ok(());
    }
    let error = error::refused(doing, status);
    match error.kind() {
        ErrorKind::Throttled => Err(error),
        _ => Ok(()),
    }
}

/// Gives the folders for which the server does not understand what was asked.
async fn ask_some(
    session: &mut Session,
    folders: &[FolderId],
    items: &[StatusItem],
    found: &mut Found,
) -> Result<Vec<FolderId>> {
    let mut sent = Vec::new();
    for folder in folders {
        let Ok(name) = session::mailbox(folder) else {
            continue;
        };
        let tag = session.connection.tag();
        let command = session.connection.encoder().status(tag, &name, items);
        session
            .connection
            .send(command.map_err(session::encode)?)
            .await?;
        sent.push((tag, folder));
    }
    let mut bad = Vec::new();
    for (tag, folder) in sent {
        let note = |response| found.note(response);
        let answer = session.connection.complete(tag, note).await;
        if answer.is_err() && !bad.is_empty() && items.len() > PLAIN.len() {
            // It hung up after those: the next connection asks for less.
            session.server.distrust.add(Feature::StatusItems);
        }
        let status = answer?;
        if status.kind == StatusKind::Bad {
            bad.push(folder.clone());
        }
        // Any other refusal says something about one folder only; its numbers stay unknown.
        heed(Doing::folder("STATUS"), &status)?;
    }
    Ok(bad)
}

/// Dovecot has been seen to tell UIDVALIDITY 0 of a folder made a moment ago, and another number
/// afterwards (RFC 3501 §2.3.1.1 knows no 0).
fn is_numbered(status: &MailboxStatus) -> bool {
    status.uid_validity.is_some_and(|validity| validity != 0)
}

/// Asks for one folder's numbers; opens it where STATUS has none.
///
/// # Errors
/// If the folder is not there.
pub(crate) async fn status(session: &mut Session, folder: &FolderId) -> Result<MailboxStatus> {
    let items = items(&session.server);
    let (mut answer, mut found) = status_once(session, folder, &items).await?;
    if answer.kind == StatusKind::Bad && items.len() > PLAIN.len() {
        (answer, found) = status_once(session, folder, &PLAIN).await?;
        if answer.kind != StatusKind::Bad {
            session.server.distrust.add(Feature::StatusItems);
        }
    }
    let place = |error: mailmove_core::Error| error.with_context("folder", folder.as_str());
    match found {
        Some(status) if answer.kind == StatusKind::Ok && is_numbered(&status) => Ok(status),
        _ if answer.kind == StatusKind::Ok => examined(session, folder).await,
        _ => Err(place(error::refused(Doing::folder("STATUS"), &answer))),
    }
}

async fn status_once(
    session: &mut Session,
    folder: &FolderId,
    items: &[StatusItem],
) -> Result<(Status, Option<MailboxStatus>)> {
    let name = session::mailbox(folder)?;
    let tag = session.connection.tag();
    let command = session.connection.encoder().status(tag, &name, items);
    let mut found = None;
    let note = |response| {
        if let Response::MailboxStatus(status) = response {
            found = Some(*status);
        }
    };
    let command = command.map_err(session::encode)?;
    let answer = session.connection.run(command, note).await?;
    Ok((answer, found))
}

/// What STATUS should have told, from opening the folder.
pub(crate) async fn examined(session: &mut Session, folder: &FolderId) -> Result<MailboxStatus> {
    let opened = session
        .open_folder(folder, session::Mode::Read, &Default::default(), |_| {})
        .await?;
    session.leave().await?;
    let status = MailboxStatus {
        messages: Some(opened.exists),
        uid_next: opened.uid_next.or((opened.exists == 0).then_some(1)),
        uid_validity: Some(opened.validity),
        highest_modseq: opened.highest_modseq,
        mailbox_id: opened.mailbox_id,
        ..MailboxStatus::default()
    };
    if is_numbered(&status) && status.uid_next.is_some() {
        Ok(status)
    } else {
        let error = error::unexpected("the server does not tell the folder's numbers");
        Err(error.with_context("folder", folder.as_str()))
    }
}

fn limits(found: &Found) -> Vec<(FolderId, Option<u64>)> {
    let statuses = found.statuses.values();
    statuses
        .map(|status| (ids::folder_id(&status.name), status.append_limit))
        .collect()
}

fn assemble(found: Found, names: &Names, can: &Capabilities) -> Vec<Folder> {
    let Found {
        mut entries,
        mut statuses,
        subscribed,
        overflow: _,
    } = found;
    // Servers list in the order of their directories, which changes. Ours is the same each time.
    // The user's own come first: where a shared folder is called the same, theirs keeps the name.
    entries.sort_by_key(|entry| {
        let foreign = names.path(&entry.name, entry.delimiter).1 != Namespace::Personal;
        (
            !entry.name.eq_ignore_ascii_case(b"INBOX"),
            foreign,
            entry.name.clone(),
        )
    });
    // Two names may decode to the same path: the one that is written as we would write it has it.
    let is_regular = |entry: &ListEntry, path: &FolderPath| {
        names.wire(path).is_some_and(|name| *name == *entry.name)
    };
    let regular: HashSet<FolderPath> = entries
        .iter()
        .map(|entry| (entry, names.path(&entry.name, entry.delimiter).0))
        .filter(|(entry, path)| is_regular(entry, path))
        .map(|(_, path)| path)
        .collect();
    let mut seen = HashSet::new();
    let mut paths = HashSet::new();
    let mut folders = Vec::with_capacity(entries.len());
    for entry in entries {
        let key = key(&entry.name);
        let (mut path, namespace) = names.path(&entry.name, entry.delimiter);
        // Listed twice (once by each pattern), gone but subscribed, or the bare root of a namespace.
        if path.names().is_empty() || entry.has("\\NonExistent") || !seen.insert(key.clone()) {
            continue;
        }
        let taken = regular.contains(&path) && !is_regular(&entry, &path);
        if taken || !paths.insert(path.clone()) {
            // The odd one is shown as it stands on the wire.
            path = FolderPath::new([ids::folder_id(&entry.name).as_str()]);
        }
        let id = ids::folder_id(&entry.name);
        let mut folder = Folder::new(id, path, "");
        folder.role = naming::role(&entry);
        folder.namespace = namespace;
        folder.selectable = entry.is_selectable();
        folder.subscribed = subscribed.contains(&key);
        folder.transparent = can.gmail() && !folder.selectable && gmail::is_container(&entry.name);
        folder.knows_others = can.gmail() && folder.role == Some(Role::All);
        if let Some(status) = statuses.remove(&key) {
            describe(&mut folder, &status, can);
        } else {
            folder.identity = CompactText::format(format_args!("?={}", folder.id));
        }
        folders.push(folder);
    }
    keep_one_per_role(&mut folders);
    folders
}

/// Puts what STATUS said into a folder.
pub(crate) fn describe(folder: &mut Folder, status: &MailboxStatus, can: &Capabilities) {
    let validity = status.uid_validity.unwrap_or_default();
    let mailbox_id = status.mailbox_id.as_deref().filter(|_| can.mailbox_ids());
    folder.identity = ids::identity(validity, mailbox_id, &folder.id);
    folder.messages = status.messages.map(u64::from);
    folder.bytes = status.size;
    let (Some(messages), Some(next)) = (status.messages, status.uid_next) else {
        return;
    };
    folder.mark = Some(mark(validity, next));
    // 0 stands for "this folder keeps none"; then flags may change without a trace.
    if let Some(modseq) = status.highest_modseq.filter(|modseq| *modseq > 0) {
        folder.token = Some(token(validity, next, modseq, messages));
    }
}

/// Equal tokens: nothing changed, flags included.
pub(crate) fn token(validity: u32, next: u32, modseq: u64, messages: u32) -> Token {
    Token::format(format_args!("{validity}/{next}/{modseq}/{messages}"))
}

/// Whatever comes in later has this UID or a higher one.
pub(crate) fn mark(validity: u32, next: u32) -> Mark {
    Mark::counted(validity.to_string(), u64::from(next))
}

/// A server may mark several folders alike, e.g. after a user made an own "Sent". The first counts.
fn keep_one_per_role(folders: &mut [Folder]) {
    let mut taken: HashSet<Role> = HashSet::new();
    for folder in folders.iter_mut() {
        if let Some(role) = folder.role
            && !taken.insert(role)
        {
            folder.role = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], attributes: &[&str]) -> ListEntry {
        ListEntry {
            attributes: attributes.iter().map(|text| (*text).into()).collect(),
            delimiter: Some(b'/'),
            name: name.into(),
            child_info: Vec::new(),
            old_name: None,
        }
    }

    fn found(entries: Vec<ListEntry>) -> Vec<Folder> {
        let found = Found {
            entries,
            ..Found::default()
        };
        assemble(
            found,
            &Names::new(None, Some(b'/')),
            &Capabilities::default(),
        )
    }

    #[test]
    fn each_folder_is_listed_once_and_has_a_place_of_its_own() {
        let folders = found(vec![
            entry(b"INBOX", &[]),
            entry(b"inbox", &[]),
            entry(b"a&AOQ-", &["\\Sent"]),
            entry("a\u{e4}".as_bytes(), &["\\Sent"]),
            entry(b"gone", &["\\NonExistent", "\\Subscribed"]),
            entry(b"root", &["\\Noselect"]),
        ]);
        let paths: Vec<String> = folders
            .iter()
            .map(|folder| folder.path.to_string())
            .collect();
        assert_eq!(paths, ["INBOX", "a\u{e4}", "a%C3%A4", "root"]);
        assert_eq!(folders[0].role, Some(Role::Inbox));
        assert_eq!(folders[1].role, Some(Role::Sent));
        assert_eq!(folders[2].role, None);
        assert!(!folders[3].selectable);
    }

    #[test]
    fn without_modification_sequences_there_is_no_token() {
        let mut folder = Folder::new(
            FolderId::new("x"),
            mailmove_core::model::FolderPath::inbox(),
            "",
        );
        let mut status = MailboxStatus {
            messages: Some(3),
            uid_next: Some(9),
            uid_validity: Some(7),
            mailbox_id: Some("M1".into()),
            ..MailboxStatus::default()
        };
        describe(&mut folder, &status, &Capabilities::default());
        assert_eq!(folder.identity.as_str(), "7=x");
        assert_eq!(
            (folder.token.clone(), folder.mark.clone()),
            (None, Some(mark(7, 9)))
        );
        status.highest_modseq = Some(0);
        describe(&mut folder, &status, &Capabilities::default());
        assert_eq!(folder.token, None);
        status.highest_modseq = Some(5);
        describe(&mut folder, &status, &["OBJECTID"].into_iter().collect());
        assert_eq!(folder.identity.as_str(), "7#M1");
        assert_eq!(
            folder.token.map(|token| token.to_string()),
            Some("7/9/5/3".to_owned())
        );
    }
}
