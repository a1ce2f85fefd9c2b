//! Annotations of folders (METADATA, RFC 5464). Those of the server as a whole are left alone: they are
//! its administrator's.

use std::collections::{HashMap, HashSet};

use mailmove_core::{
    error::{Error, ErrorKind, Result, Scope},
    model::{Annotation, Annotations, FolderId, LONGEST_ANNOTATION},
};

use crate::{
    distrust::Feature,
    error::{self, Doing},
    folders::key,
    ids,
    session::{self, Session},
    wire::{Code, Metadata, Response, Status, StatusKind, Tag},
};

/// Commands sent ahead of their answers.
const AHEAD: usize = 16;
/// Everything that can be noted is below one of these.
const ALL: [&str; 2] = ["/private", "/shared"];
/// What to ask for where a server does not take options: it then tells no more than it is asked for.
const USUAL: [&str; 2] = ["/private/comment", "/shared/comment"];

type Found = HashMap<Box<[u8]>, Annotations>;

/// What is noted about these folders, in their order.
///
/// # Errors
/// If the connection fails.
pub(crate) async fn ask(session: &mut Session, folders: &[FolderId]) -> Result<Vec<Annotations>> {
    let mut found = Found::new();
    let mut asked = HashSet::new();
    let each: Vec<&FolderId> = folders.iter().filter(|one| asked.insert(*one)).collect();
    // The first alone, and without options if it does not like them.
    let (first, rest) = each.split_at(each.len().min(1));
    for folders in [first, first].into_iter().chain(rest.chunks(AHEAD)) {
        let first_again = std::ptr::eq(folders, first)
            && first
                .iter()
                .any(|one| found.contains_key(&key(&ids::wire_name(one))));
        if session.offers("METADATA", Feature::Metadata) && !first_again {
            some(session, folders, &mut found).await?;
        }
    }
    let of = |folder| found.get(&key(&ids::wire_name(folder))).cloned();
    Ok(folders
        .iter()
        .map(|one| of(one).unwrap_or_default())
        .collect())
}

async fn some(session: &mut Session, folders: &[&FolderId], found: &mut Found) -> Result<()> {
    let options = !session.distrusts(Feature::MetadataOptions);
    let mut in_flight = Vec::new();
    for folder in folders {
        let Ok(name) = session::mailbox(folder) else {
            continue;
        };
        let tag = session.connection.tag();
        let encoder = session.connection.encoder();
        let command = match options {
            true => encoder.get_metadata(tag, &name, &ALL, Some(LONGEST_ANNOTATION)),
            false => encoder.get_metadata(tag, &name, &USUAL, None),
        };
        let command = command.map_err(session::encode)?;
        session.connection.send(command).await?;
        in_flight.push((tag, key(&ids::wire_name(folder))));
    }
    for (tag, folder) in in_flight {
        let note = |response| {
            if let Response::Metadata(told) = response {
                take(found, *told);
            }
        };
        let status = session.connection.complete(tag, note).await?;
        let feature = match options {
            true => Feature::MetadataOptions,
            false => Feature::Metadata,
        };
        session.server.distrust.note(feature, &status);
        // A refusal is about one folder.
        if status.kind == StatusKind::Ok {
            let all = found.entry(folder).or_default();
            all.left_out |= names_longer(&status);
        }
    }
    Ok(())
}

/// `[METADATA LONGENTRIES n]`
fn names_longer(status: &Status) -> bool {
    match &status.code {
        Some(Code::Other(code)) => code.to_ascii_uppercase().contains("LONGENTRIES"),
        _ => false,
    }
}

fn take(found: &mut Found, told: Metadata) {
    let all = found.entry(key(&told.mailbox)).or_default();
    for (name, value) in told.entries {
        all.left_out |= !is_plain(&name);
        // NIL: there is none.
        if let Some(value) = value.filter(|_| is_portable(&name)) {
            all.add(Annotation::new(name, value.into_vec()));
        }
    }
}

/// What is of use elsewhere: neither the state of the server that keeps it (Cyrus tells sizes, dates and
/// partitions so), nor the special use, which folders have already.
fn is_portable(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let Some((_, own)) = lower
        .strip_prefix('/')
        .and_then(|name| name.split_once('/'))
    else {
        return false;
    };
    let servers = ["vendor/cmu/cyrus-imapd/", "vendor/vendor.dovecot/"];
    own != "specialuse" && !servers.iter().any(|prefix| own.starts_with(prefix)) && is_plain(name)
}

/// Names are of ASCII (RFC 5464 section 3.2).
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Notes these about a folder, a command for each, so that a refusal is about one.
///
/// # Errors
/// If the connection fails, or the server asks for patience.
pub(crate) async fn note(
    session: &mut Session,
    folder: &FolderId,
    annotations: Vec<Annotation>,
) -> Result<Vec<Result<()>>> {
    let name = session::mailbox(folder)?;
    let mut results = Vec::with_capacity(annotations.len());
    let (mut first, mut rest) = (1, annotations.as_slice());
    while !rest.is_empty() {
        // The first alone: a server that does not understand it may hang up after many of them.
        let (now, later) = rest.split_at(rest.len().min(first));
        if !session.offers("METADATA", Feature::Metadata) {
            results.extend(rest.iter().map(|_| Err(none())));
            break;
        }
        (first, rest) = (AHEAD, later);
        let mut tags: Vec<Result<Tag>> = Vec::new();
        for one in now {
            let tag = session.connection.tag();
            let encoder = session.connection.encoder();
            let command = encoder.set_metadata(tag, &name, &one.name, &one.value);
            tags.push(match command {
                Ok(command) => session.connection.send(command).await.map(|_| tag),
                Err(error) => Err(session::encode(error)),
            });
        }
        for (one, tag) in now.iter().zip(tags) {
            let tag = match tag {
                Ok(tag) => tag,
                Err(error) => {
                    results.push(Err(error));
                    continue;
                }
            };
            let status = session.connection.complete(tag, |_| {}).await?;
            // Cyrus understands no binary value, and all others.
            if !one.value.contains(&0) {
                session.server.distrust.note(Feature::Metadata, &status);
            }
            results.push(match status.kind {
                StatusKind::Ok => Ok(()),
                _ => Err(error::refused(Doing::folder("SETMETADATA"), &status)),
            });
        }
    }
    // Patience is the engine's.
    let impatient = |result: &Result<()>| result.as_ref().is_err_and(Error::is_transient);
    match results.iter().position(impatient) {
        Some(at) => results.swap_remove(at).map(|()| Vec::new()),
        None => Ok(results),
    }
}

fn none() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the server keeps no annotations of folders",
    )
    .with_code("imap/no-metadata")
    .with_scope(Scope::Folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_server_stays_there() {
        for name in [
            "/private/comment",
            "/SHARED/Comment",
            "/shared/vendor/kolab/folder-type",
        ] {
            assert!(is_portable(name), "{name}");
        }
        for name in [
            "/private/specialuse",
            "/shared/vendor/cmu/cyrus-imapd/size",
            "/Shared/Vendor/CMU/cyrus-imapd/uniqueid",
            "/shared/vendor/vendor.dovecot/pvt/x",
            "/shared/caf\u{e9}",
            "comment",
            "",
        ] {
            assert!(!is_portable(name), "{name}");
        }
    }
}
