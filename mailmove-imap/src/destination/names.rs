//! What names the server takes: asked, where it tells.

use mailmove_core::{
    error::Result,
    model::{FolderPath, Naming},
};

use crate::{
    naming::Names,
    session::{self, Session},
    wire::{Code, MailboxName, Status, StatusItem},
};

/// Characters that some servers refuse in names. Few: a server may count refusals and hang up.
const CANDIDATES: &str = "./~\\^%*";
/// Longest path where the server takes long ones, in bytes.
const LONGEST: usize = 800;

/// What names of new folders may be.
///
/// STATUS of a folder that does not exist is refused because of that, or because there can be none
/// of that name: where a server makes that difference, nothing has to be assumed. Nothing is made.
///
/// # Errors
/// If the connection fails.
pub(super) async fn ask(session: &mut Session, names: &Names) -> Result<Naming> {
    let mut naming = names.naming();
    let mut asked = Vec::new();
    for candidate in CANDIDATES.chars().filter(|c| Some(*c) != naming.separator) {
        let path = FolderPath::new([format!("{candidate}mailmove{candidate}x")]);
        if let Some(status) = status_of(session, names, &path).await? {
            asked.push((candidate, status));
        }
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

async fn status_of(
    session: &mut Session,
    names: &Names,
    path: &FolderPath,
) -> Result<Option<crate::wire::Tag>> {
    let name = names
        .wire(path)
        .and_then(|wire| MailboxName::new(wire).ok());
    let Some(name) = name else { return Ok(None) };
    let tag = session.connection.tag();
    let command = session
        .connection
        .encoder()
        .status(tag, &name, &[StatusItem::Messages]);
    session
        .connection
        .send(command.map_err(session::encode)?)
        .await?;
    Ok(Some(tag))
}

fn says_impossible(status: &Status) -> bool {
    status.code == Some(Code::Cannot)
}
