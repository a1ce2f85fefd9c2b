//! Looking at what is there.

use std::collections::HashMap;

use mailmove_core::{
    destination::{Depth, Existing, Probe},
    error::{ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Form, MessageId},
};

use mailmove_exchange::sink::{Digest, Digested};

use super::{Inner, is_other_epoch, stale};
use crate::{
    error::{self, Doing},
    find::{self, Walk},
    folders,
    generate::Out,
    items::{self, Meta},
    source,
    sync::{self, Changed},
    wire::{self, Property, Shape},
};

type Pages = Out<Result<Vec<Existing>>>;

/// Messages that are read at once.
const READ_AT_ONCE: usize = 20;
/// Messages whose flags are asked for at once.
const META_AT_ONCE: usize = 100;

pub(super) async fn run(inner: &Inner, probe: Probe, out: &Pages) -> Result<()> {
    match &probe.ids {
        Some(ids) => by_ids(inner, ids, &probe, out).await,
        None => enumerate(inner, &probe, out).await,
    }
}

async fn by_ids(inner: &Inner, ids: &[MessageId], probe: &Probe, out: &Pages) -> Result<()> {
    for ids in ids.chunks(META_AT_ONCE) {
        let metas = source::metas_as(&inner.pool, ids, shape(probe)).await?;
        let unread = ids.iter().filter(|id| inner.pool.is_unread(id));
        let mut unread: Vec<MessageId> = unread.cloned().collect();
        unread.retain(|id| metas.iter().all(|meta| meta.id != *id));
        let mut page = deepen(inner, metas, probe).await?;
        // They are there, and that is all that is known of them.
        page.extend(unread.into_iter().map(Existing::new));
        out.send(Ok(page)).await;
    }
    Ok(())
}

async fn enumerate(inner: &Inner, probe: &Probe, out: &Pages) -> Result<()> {
    let folder = &probe.folder;
    let mut state = None;
    if let Some(mark) = &probe.since {
        if is_other_epoch(mark, folder) {
            return Err(stale());
        }
        // A mark without a state would be one of no time at all.
        state = Some(mark.token.as_ref().ok_or_else(stale)?.as_str().to_owned());
    }
    // An empty answer is no proof that the folder is there.
    folders::count(&inner.pool, folder).await?;
    if let Some(number) = state.as_deref().and_then(find::number) {
        return walk(inner, probe, Some(number), out).await;
    }
    let shape = shape(probe);
    loop {
        let page = sync::page(&inner.pool, folder, state.as_deref(), sync::PAGE_MAX, shape).await;
        let page = match page {
            Err(error) if sync::is_not_offered(&error) && state.is_none() => {
                return walk(inner, probe, None, out).await;
            }
            page => page?,
        };
        let created = page.changes.into_iter().filter_map(|change| match change {
            Changed::Created(meta) => Some(*meta),
            _ => None,
        });
        let mut metas: Vec<Meta> = created.collect();
        // The newest come first; a page is told with the oldest first.
        metas.reverse();
        let found = deepen(inner, metas, probe).await?;
        if page.is_last {
            inner.note_state(folder, Some(&page.state));
        }
        if !found.is_empty() {
            out.send(Ok(found)).await;
        }
        if page.is_last {
            return Ok(());
        }
        state = Some(page.state);
    }
}

/// Looks through a folder of which the server tells no changes, for what came after this number.
async fn walk(inner: &Inner, probe: &Probe, after: Option<i64>, out: &Pages) -> Result<()> {
    let mut walk = Walk::default();
    loop {
        let page = walk
            .next(&inner.pool, &probe.folder, sync::PAGE_MAX, shape(probe))
            .await?;
        // What has no number may have come at any time.
        let came = |number: Option<i64>| number.is_none() || number > after;
        let unsure = page.items.iter().any(|(_, number)| number.is_none());
        if unsure && probe.exact && after.is_some() {
            return Err(stale());
        }
        let items = page.items.into_iter();
        let metas = items.filter(|(_, number)| came(*number));
        let metas = metas.map(|(meta, _)| meta).collect();
        let found = deepen(inner, metas, probe).await?;
        if !found.is_empty() {
            out.send(Ok(found)).await;
        }
        if page.is_last {
            return Ok(());
        }
    }
}

fn shape(probe: &Probe) -> Shape {
    match (probe.depth, probe.form) {
        (Depth::Ids, _) => Shape::Ids,
        (_, Form::Mime) => Shape::Meta,
        _ => Shape::Identity,
    }
}

fn existing(meta: &Meta, probe: &Probe) -> Existing {
    let depth = probe.depth;
    let mut out = Existing::new(meta.id.clone());
    if depth >= Depth::Meta {
        out.size = meta.size;
        out.flags = meta.flags.clone();
        out.received = meta.received;
        out.given = meta.stamp.map(|stamp| stamp.content);
    }
    if depth >= Depth::Header {
        out.header = match probe.form {
            Form::Mime => meta.stamp.map(|stamp| stamp.header),
            _ => meta.identity,
        };
    }
    out
}

/// Looks as closely as is asked. What vanished meanwhile is left out.
async fn deepen(inner: &Inner, mut metas: Vec<Meta>, probe: &Probe) -> Result<Vec<Existing>> {
    let depth = probe.depth;
    // A note that came along with an export is about another mailbox.
    let mailbox = folders::open(&inner.pool).await?.mailbox;
    for meta in &mut metas {
        meta.stamp = meta.stamp.filter(|stamp| stamp.mailbox == mailbox);
    }
    let needed = |meta: &Meta| match depth {
        Depth::Ids | Depth::Meta => false,
        Depth::Header if probe.form != Form::Mime => false,
        // What we stored says itself what it was.
        Depth::Header => meta.stamp.is_none(),
        _ => true,
    };
    let ids: Vec<MessageId> = metas
        .iter()
        .filter(|meta| needed(meta))
        .map(|meta| meta.id.clone())
        .collect();
    let mut read = HashMap::new();
    for ids in ids.chunks(READ_AT_ONCE) {
        read_into(inner, ids, depth, &mut read).await?;
    }
    let mut out = Vec::with_capacity(metas.len());
    for meta in metas {
        let mut found = existing(&meta, probe);
        if needed(&meta) {
            let Some(Read { digested, header }) = read.remove(&meta.id) else {
                continue;
            };
            if probe.form == Form::Mime {
                found.header = found
                    .header
                    .or(header)
                    .or(digested.as_ref().map(|digested| digested.header));
            }
            if let Some(digested) = digested
                && depth >= Depth::Content
            {
                found.size = Some(digested.size);
                found.digest = Some(digested.content);
                found.body = digested.body;
                found.meaning = digested.meaning;
            }
        }
        out.push(found);
    }
    Ok(out)
}

struct Read {
    digested: Option<Digested>,
    /// Of the header as it came, where the server keeps it.
    header: Option<HeaderDigest>,
}

impl Read {
    /// It is there, and nobody can read it.
    const UNREADABLE: Self = Self {
        digested: None,
        header: None,
    };
}

async fn read_into(
    inner: &Inner,
    ids: &[MessageId],
    depth: Depth,
    out: &mut HashMap<MessageId, Read>,
) -> Result<()> {
    let doing = Doing::message("GetItem");
    let texts: Vec<&str> = ids.iter().map(MessageId::as_str).collect();
    let request = wire::get_items(&texts, Shape::Full);
    let renames = inner.pool.access().config.renames();
    let digest = || Digest::new(renames, depth >= Depth::Content);
    let answer = inner.pool.send(&request, digest, None).await;
    let mut answer = match answer {
        Ok(answer) => answer,
        // Too much at once: one by one.
        Err(failed) if failed.error.kind() == ErrorKind::Timeout && ids.len() > 1 => {
            let (one, other) = ids.split_at(ids.len() / 2);
            Box::pin(read_into(inner, one, depth, out)).await?;
            return Box::pin(read_into(inner, other, depth, out)).await;
        }
        Err(failed) => {
            let error = inner.pool.blame(failed.error).await;
            if error::is_halved(&error, ids.len()) {
                let (one, other) = ids.split_at(ids.len() / 2);
                Box::pin(read_into(inner, one, depth, out)).await?;
                return Box::pin(read_into(inner, other, depth, out)).await;
            }
            let [id] = ids else { return Err(error) };
            inner.pool.unread(id, error)?;
            out.insert(id.clone(), Read::UNREADABLE);
            return Ok(());
        }
    };
    let messages = std::mem::take(&mut answer.messages);
    for (at, id) in ids.iter().enumerate() {
        let message = messages.get(at).ok_or_else(error::missing)?;
        let item = match items::this_item(doing, message, id) {
            Ok(item) => item,
            Err(error) if source::is_gone(&error) => continue,
            // It is there, though nobody can read it.
            Err(error) if error.scope() == Scope::Message && error.kind() == ErrorKind::Refused => {
                out.insert(id.clone(), Read::UNREADABLE);
                continue;
            }
            Err(error) => return Err(error),
        };
        let digested = source::digested(item, |element| answer.take(element));
        if digested.as_ref().is_some_and(|digested| !digested.whole) {
            return Err(source::broken());
        }
        let header = Property::Headers.of(item).filter(|text| text.contains(':'));
        let read = Read {
            digested,
            header: header.map(|text| HeaderDigest::of(text.as_bytes())),
        };
        out.insert(id.clone(), read);
    }
    Ok(())
}
