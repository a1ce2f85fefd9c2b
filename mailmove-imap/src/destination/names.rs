//! What names the server takes: asked, where it tells.

use mailmove_core::{
    error::Result,
    model::{Folder, FolderPath, Naming},
};

use crate::{
    ids,
    naming::Names,
    session::{self, Session},
    wire::{Code, MailboxName, Status, StatusItem, StatusKind, Tag},
};

/// Characters that some servers refuse in names. Few: a server may count refusals and hang up.
const CANDIDATES: &str = "./~\\^%*";
/// Longest path where the server takes long ones, in bytes.
const LONGEST: usize = 800;

/// What names of new folders may be.
///
/// STATUS of a folder that does not exist is refused because of that, or because there can be none
/// of that name: where a server makes that difference, nothing has to be assumed. Nothing is made.
/// `folders`: those that are there. One round trip.
///
/// # Errors
/// If the connection fails.
pub(super) async fn ask(
    session: &mut Session,
    names: &Names,
    folders: &[Folder],
) -> Result<Naming> {
    let mut naming = names.naming();
    let swapped = match other_case(names, folders) {
        Some(name) => Some(status(session, &name).await?),
        None => None,
    };
    let mut asked = Vec::new();
    for candidate in CANDIDATES.chars().filter(|c| Some(*c) != naming.separator) {
        let path = FolderPath::new([format!("{candidate}mailmove{candidate}x")]);
        if let Some(status) = status_of(session, names, &path).await? {
            asked.push((candidate, status));
        }
    }
    if let Some(tag) = swapped {
        let status = session.connection.complete(tag, |_| {}).await?;
        naming.case_insensitive = status.kind == StatusKind::Ok;
    }
    let mut forbidden = String::new();
    for (candidate, tag) in asked {
        let status = session.connection.complete(tag, |_| {}).await?;
        if says_impossible(&status) {
            forbidden.push(candidate);
        }
    }
    // A server that takes everything here may just not look.
    if !forbidden.is_empty() {
        naming.forbidden.retain(char::is_control);
        naming.forbidden.push_str(&forbidden);
        // Neither of these is refused where folders are directories within directories; in
        // Maildir++ a whole path is one directory's name, and one of them is its separator.
        if !forbidden.contains(['.', '/']) {
            naming.max_path = LONGEST;
        }
    }
    Ok(naming)
}

async fn status_of(session: &mut Session, names: &Names, path: &FolderPath) -> Result<Option<Tag>> {
    let name = names
        .wire(path)
        .and_then(|wire| MailboxName::new(wire).ok());
    match name {
        Some(name) => status(session, &name).await.map(Some),
        None => Ok(None),
    }
}

async fn status(session: &mut Session, name: &MailboxName) -> Result<Tag> {
    let tag = session.connection.tag();
    let command = session
        .connection
        .encoder()
        .status(tag, name, &[StatusItem::Messages]);
    session
        .connection
        .send(command.map_err(session::encode)?)
        .await?;
    Ok(tag)
}

/// The name of a folder that is there, in the other case: a name of no folder, unless the server
/// compares without case. `None` if there is no folder to ask about.
fn other_case(names: &Names, folders: &[Folder]) -> Option<MailboxName> {
    let prefix = names.prefix();
    let found: Vec<Vec<u8>> = folders
        .iter()
        .filter(|folder| folder.selectable && folder.path.names().len() == 1)
        .map(|folder| ids::wire_name(&folder.id))
        .filter(|name| name.starts_with(prefix))
        .collect();
    let swapped = found
        .iter()
        .filter_map(|name| swap_case(name, prefix.len()));
    let mut free = swapped.filter(|name| !found.contains(name));
    free.find_map(|name| MailboxName::new(name).ok())
}

/// `None` for the inbox, which is the same in any case, for what has no letters, and for modified
/// UTF-7, whose letters are not the name's.
fn swap_case(name: &[u8], prefix: usize) -> Option<Vec<u8>> {
    let (head, own) = name.split_at_checked(prefix)?;
    let letters = own.iter().any(u8::is_ascii_alphabetic);
    if own.eq_ignore_ascii_case(b"INBOX") || !letters || own.contains(&b'&') || !own.is_ascii() {
        return None;
    }
    let swap = |byte: &u8| match byte.is_ascii_uppercase() {
        true => byte.to_ascii_lowercase(),
        false => byte.to_ascii_uppercase(),
    };
    Some([head, &own.iter().map(swap).collect::<Vec<u8>>()].concat())
}

fn says_impossible(status: &Status) -> bool {
    status.code == Some(Code::Cannot)
}
