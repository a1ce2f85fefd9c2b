//! Access rights of folders (ACL, RFC 4314; LIST-MYRIGHTS, RFC 8440).

use std::collections::{HashMap, HashSet};

use mailmove_core::{
    error::Result,
    model::{FolderId, Rights},
};

use crate::{
    distrust::Feature,
    folders::key,
    ids,
    session::{self, Session},
    wire::{ListReturn, MyRights, Response},
};

/// MYRIGHTS commands sent ahead of their answers.
const AHEAD: usize = 64;

/// What the user may do with these folders, in their order: by one LIST where that can tell it, else
/// by a command for each. Unknown where the server has no ACL, or refuses.
///
/// # Errors
/// If the connection fails.
pub(crate) async fn ask(session: &mut Session, folders: &[FolderId]) -> Result<Vec<Rights>> {
    let mut found = HashMap::new();
    if session.offers("LIST-MYRIGHTS", Feature::ListRights) && !folders.is_empty() {
        list(session, &mut found).await?;
    }
    let wire = |folder: &FolderId| key(&ids::wire_name(folder));
    let mut asked = HashSet::new();
    let missing: Vec<&FolderId> = folders
        .iter()
        .filter(|folder| !found.contains_key(&wire(folder)) && asked.insert(*folder))
        .collect();
    // The first alone: a server that does not understand it may hang up after many of them.
    let (first, rest) = missing.split_at(missing.len().min(1));
    for folders in std::iter::once(first).chain(rest.chunks(AHEAD)) {
        if session.offers("ACL", Feature::Rights) {
            each(session, folders, &mut found).await?;
        }
    }
    let rights = |folder| {
        found
            .get(&wire(folder))
            .copied()
            .unwrap_or_else(Rights::unknown)
    };
    Ok(folders.iter().map(rights).collect())
}

type Found = HashMap<Box<[u8]>, Rights>;

async fn list(session: &mut Session, found: &mut Found) -> Result<()> {
    let returns = ListReturn {
        my_rights: true,
        ..ListReturn::default()
    };
    let tag = session.connection.tag();
    let command = session
        .connection
        .encoder()
        .list(tag, b"", b"*", Some(&returns));
    let status = session
        .connection
        .run(command.map_err(session::encode)?, |response| {
            note(found, response);
        })
        .await?;
    session.server.distrust.note(Feature::ListRights, &status);
    Ok(())
}

async fn each(session: &mut Session, folders: &[&FolderId], found: &mut Found) -> Result<()> {
    let mut tags = Vec::new();
    for folder in folders {
        let Ok(name) = session::mailbox(folder) else {
            continue;
        };
        let tag = session.connection.tag();
        let command = session.connection.encoder().my_rights(tag, &name);
        session
            .connection
            .send(command.map_err(session::encode)?)
            .await?;
        tags.push(tag);
    }
    for tag in tags {
        // A refusal is about one folder, whose rights stay unknown.
        let status = session
            .connection
            .complete(tag, |response| note(found, response))
            .await?;
        session.server.distrust.note(Feature::Rights, &status);
    }
    Ok(())
}

fn note(found: &mut Found, response: Response) {
    if let Response::MyRights(told) = response {
        found.insert(key(&told.mailbox), rights(&told));
    }
}

/// `c` is what RFC 2086 had for `k`.
fn rights(told: &MyRights) -> Rights {
    let create = told.has('k') || told.has('c');
    Rights::known(told.has('r'), told.has('i'), create)
}
