//! Looking at what is there.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use mailmove_core::{
    destination::{Depth, Existing, Probe},
    error::{ErrorKind, Result, Scope},
    identity::{HeaderDigest, Meaning},
    model::{FolderId, Form, MessageId},
};
use mailmove_exchange::{
    boundaries::Ending,
    sink::{Contents as _, Digest, Digested},
    stamp::Stamp,
};
use serde_json::{Value, json};

use super::{
    Inner, import, is_other_epoch,
    other::{self, Place},
    stale, sweep, update,
    walk::Walk,
};
use crate::{
    delta::{self, Changed},
    error::Doing,
    folders,
    generate::Out,
    items::{self, Meta},
    mime::Mime,
    wire::{self, Path, Property, Request, property},
};

type Pages = Out<Result<Vec<Existing>>>;

/// Messages whose headers are asked for at once.
const READ_AT_ONCE: usize = 20;
/// Messages whose flags are asked for at once.
const META_AT_ONCE: usize = 100;

pub(super) async fn run(inner: &Inner, probe: Probe, out: &Pages) -> Result<()> {
    let place = other::place_of(inner, &probe.folder).await?;
    let place = place.as_ref();
    match &probe.ids {
        Some(ids) => by_ids(inner, place, ids, &probe, out).await,
        None => enumerate(inner, place, &probe, out).await,
    }
}

async fn by_ids(
    inner: &Inner,
    place: Option<&Place>,
    ids: &[MessageId],
    probe: &Probe,
    out: &Pages,
) -> Result<()> {
    for ids in ids.chunks(META_AT_ONCE) {
        let mut found = match place {
            Some(place) => place.metas(inner, ids).await?,
            // Somebody else's, of which the header is all that is asked for: it may have none.
            None if probe.depth == Depth::Header => readable(inner, &probe.folder, ids).await?,
            None => update::metas_in(inner, &probe.folder, ids).await?,
        };
        let metas = ids.iter().filter_map(|id| found.remove(id)).collect();
        let page = deepen(inner, place, metas, probe).await?;
        out.send(Ok(page)).await;
    }
    Ok(())
}

async fn enumerate(inner: &Inner, place: Option<&Place>, probe: &Probe, out: &Pages) -> Result<()> {
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
    match place {
        Some(place) => place.count(inner).await?,
        None => folders::count(&inner.pool, folder).await?,
    };
    // What was told is told again on later pages: each message counts once, by a few bytes of its id.
    let (hasher, mut told) = (RandomState::new(), HashSet::new());
    // All that there is, is more than was asked for, and proves as much; unless what came before must not be told.
    // Of what changed, one that can't be read may be the very one that somebody is in doubt about; its id is told to
    // whom that is enough.
    let is_all = state.is_none();
    let may_be_bare = is_all || probe.depth == Depth::Ids;
    let mut walk = Walk::new(inner, folder, state, probe.exact);
    if place.is_none() && (is_all || may_be_bare && !probe.exact) {
        walk = walk.or_by_ids();
    }
    loop {
        let page = walk.next().await?;
        let mut metas = latest(page.changes);
        metas.retain(|meta| told.insert(hasher.hash_one(meta.id.as_str())));
        if place.is_none() {
            metas = completed(inner, folder, metas, may_be_bare).await?;
        }
        let found = deepen(inner, place, metas, probe).await?;
        if page.is_last {
            inner.note_state(folder, &page.state);
        }
        if !found.is_empty() {
            out.send(Ok(found)).await;
        }
        if page.is_last {
            sweep::run(inner, folder).await;
            return Ok(());
        }
    }
}

/// What is known of messages that were told by their ids alone. Of one that nobody can read that is all, if it `may_be_bare`.
///
/// # Errors
/// If that could not be asked, or one can't be read and more has to be known of it.
async fn completed(
    inner: &Inner,
    folder: &FolderId,
    told: Vec<Meta>,
    may_be_bare: bool,
) -> Result<Vec<Meta>> {
    let bare = told.iter().filter(|meta| !meta.flagged);
    let ids: Vec<MessageId> = bare.map(|meta| meta.id.clone()).collect();
    if ids.is_empty() {
        return Ok(told);
    }
    let mut found = update::Metas::with_capacity(ids.len());
    for ids in ids.chunks(META_AT_ONCE) {
        let metas = match may_be_bare {
            true => readable(inner, folder, ids).await,
            false => update::metas_in(inner, folder, ids).await,
        };
        found.extend(metas.map_err(|error| error.with_scope(Scope::Folder))?);
    }
    let mailbox = folders::open(&inner.pool).await?.mailbox;
    let mut out = Vec::with_capacity(told.len());
    for meta in told {
        let meta = match meta.flagged {
            true => Some(meta),
            false => found.remove(&meta.id),
        };
        let Some(mut meta) = meta else { continue };
        inner.note_open(folder, mailbox, &mut meta);
        out.extend(Some(meta).filter(is_whole));
    }
    Ok(out)
}

/// What is known of messages: of those that can't be read, their ids.
async fn readable(inner: &Inner, folder: &FolderId, ids: &[MessageId]) -> Result<update::Metas> {
    let mut found = update::Metas::with_capacity(ids.len());
    let mut left = vec![ids];
    while let Some(ids) = left.pop() {
        match (update::metas_in(inner, folder, ids).await, ids) {
            (Ok(metas), _) => found.extend(metas),
            (Err(error), [id]) if delta::is_poison(&error) => {
                let bare = json!({ "id": id.as_str() });
                found.insert(id.clone(), Meta::of(bare)?);
            }
            (Err(error), [_, _, ..]) if delta::is_poison(&error) => {
                let (some, others) = ids.split_at(ids.len() / 2);
                left.extend([others, some]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(found)
}

/// What is there after these changes, each once: changes are told again.
fn latest(changes: Vec<Changed>) -> Vec<Meta> {
    let mut places: HashMap<MessageId, usize> = HashMap::new();
    let mut out: Vec<Option<Meta>> = Vec::new();
    for change in changes {
        match change {
            Changed::Is(meta) => match places.get(&meta.id).copied() {
                Some(at) => {
                    if let Some(place) = out.get_mut(at) {
                        *place = Some(*meta);
                    }
                }
                None => {
                    places.insert(meta.id.clone(), out.len());
                    out.push(Some(*meta));
                }
            },
            Changed::Gone(id) => {
                let place = places.get(&id).and_then(|at| out.get_mut(*at));
                if let Some(place) = place {
                    *place = None;
                }
            }
        }
    }
    out.into_iter().flatten().filter(is_whole).collect()
}

/// What is not complete is no message: see `open`.
const fn is_whole(meta: &Meta) -> bool {
    meta.open.is_none()
}

pub(super) fn existing(meta: &Meta, probe: &Probe) -> Existing {
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
async fn deepen(
    inner: &Inner,
    place: Option<&Place>,
    metas: Vec<Meta>,
    probe: &Probe,
) -> Result<Vec<Existing>> {
    match place {
        Some(place) => place.deepen(inner, metas, probe).await,
        None => deepen_mail(inner, metas, probe).await,
    }
}

async fn deepen_mail(inner: &Inner, mut metas: Vec<Meta>, probe: &Probe) -> Result<Vec<Existing>> {
    let depth = probe.depth;
    // A note that came along with an export is about another mailbox.
    let mailbox = folders::open(&inner.pool).await?.mailbox;
    for meta in &mut metas {
        meta.stamp = meta.stamp.filter(|stamp| stamp.mailbox == mailbox);
    }
    // What we stored says itself what it was.
    let wants_header =
        |meta: &&Meta| depth >= Depth::Header && probe.form == Form::Mime && meta.stamp.is_none();
    let ids: Vec<MessageId> = metas
        .iter()
        .filter(wants_header)
        .map(|meta| meta.id.clone())
        .collect();
    let headers = headers(inner, &ids).await?;
    // Where nobody kept the header, the one that is made now has to do.
    let wants_body = |meta: &&Meta| {
        depth >= Depth::Content
            || wants_header(meta) && headers.get(&meta.id).is_none_or(Option::is_none)
    };
    let ids: Vec<MessageId> = metas
        .iter()
        .filter(wants_body)
        .map(|meta| meta.id.clone())
        .collect();
    let mut read = contents(inner, ids, depth).await?;
    let mut out = Vec::with_capacity(metas.len());
    for meta in metas {
        let mut found = existing(&meta, probe);
        if let Some(Some(header)) = headers.get(&meta.id) {
            found.header = Some(*header);
        }
        match read.remove(&meta.id) {
            Some(Read::Gone) => continue,
            Some(Read::Digested(digested)) => {
                if probe.form == Form::Mime && found.header.is_none() {
                    found.header = Some(digested.header);
                }
                if depth >= Depth::Content {
                    found.size = Some(digested.size);
                    found.digest = Some(digested.content);
                    found.body = digested.body;
                    // An export has more in it than fields, and MIME has.
                    let export = |stamp: Stamp| stamp.header == import::no_header();
                    found.meaning = match meta.as_mime || meta.stamp.is_some_and(export) {
                        true => digested.meaning,
                        false => digested.meaning.map(of_fields),
                    };
                }
            }
            // It is there, though nobody can read it.
            Some(Read::Unreadable) | None => {}
        }
        out.push(found);
    }
    Ok(out)
}

fn of_fields(meaning: Arc<Meaning>) -> Arc<Meaning> {
    Arc::new((*meaning).clone().made_of_fields())
}

/// Digests of headers as they came, where the server keeps them.
async fn headers(
    inner: &Inner,
    ids: &[MessageId],
) -> Result<HashMap<MessageId, Option<HeaderDigest>>> {
    let mut out = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(READ_AT_ONCE) {
        let requests: Vec<Request> = ids
            .iter()
            .map(|id| {
                let path = Path::new()
                    .at("messages")
                    .id(id.as_str())
                    .query("$select", "id");
                let path = path.query("$expand", &property::expand(&[property::HEADER]));
                Request::get(path, Doing::message("getHeader"))
            })
            .collect();
        let answers = inner.pool.batch(&requests, None).await;
        for (id, answer) in ids.iter().zip(answers) {
            let answer = match answer {
                Ok(answer) => answer,
                Err(failed) if items::is_gone(&failed.error) => continue,
                // Its content can't be read either, which is told of it alone.
                Err(failed) if delta::is_poison(&failed.error) => continue,
                Err(failed) => return Err(failed.error),
            };
            if items::id(&answer.json).is_none_or(|found| found != *id) {
                return Err(items::other_item());
            }
            let all = answer.json.get("singleValueExtendedProperties");
            let all: Vec<Property> = match all {
                Some(all @ Value::Array(_)) => wire::read(all.clone())?,
                _ => Vec::new(),
            };
            let header = Property::find(&all, property::HEADER).filter(|text| text.contains(':'));
            let digest = header.map(|text| HeaderDigest::of(text.as_bytes()));
            out.insert(id.clone(), digest);
        }
    }
    Ok(out)
}

enum Read {
    Digested(Digested),
    Unreadable,
    Gone,
}

async fn contents(
    inner: &Inner,
    ids: Vec<MessageId>,
    depth: Depth,
) -> Result<HashMap<MessageId, Read>> {
    let reads: Vec<BoxFuture<'_, Result<(MessageId, Read)>>> = ids
        .into_iter()
        .map(|id| -> BoxFuture<'_, Result<(MessageId, Read)>> {
            Box::pin(async move {
                let read = content(inner, &id, depth).await?;
                Ok((id, read))
            })
        })
        .collect();
    let mut reads = stream::iter(reads).buffer_unordered(inner.pool.concurrency().max(1));
    let mut out = HashMap::new();
    while let Some(read) = reads.next().await {
        let (id, read) = read?;
        out.insert(id, read);
    }
    Ok(out)
}

/// The MIME that the server makes, which is known to leave the end out now and then: it is read once more then.
async fn content(inner: &Inner, id: &MessageId, depth: Depth) -> Result<Read> {
    let first = match read(inner, id, depth).await? {
        (Read::Digested(first), true) => first,
        (read, _) => return Ok(read),
    };
    match read(inner, id, depth).await? {
        // It may never have had an end.
        (Read::Digested(again), true) if again.content != first.content => Ok(Read::Unreadable),
        (again, _) => Ok(again),
    }
}

/// Reads it once. And whether its end is missing.
async fn read(inner: &Inner, id: &MessageId, depth: Depth) -> Result<(Read, bool)> {
    let mut open = match Mime::open(&inner.pool, id).await {
        Ok(open) => open,
        Err(error) if items::is_gone(&error) => return Ok((Read::Gone, false)),
        Err(error) if error.scope() == Scope::Message && error.kind() == ErrorKind::Refused => {
            return Ok((Read::Unreadable, false));
        }
        Err(error) => return Err(error),
    };
    let renames = inner.pool.access().config.renames();
    let mut digest = Digest::new(renames, depth >= Depth::Content);
    let mut ending = Ending::default();
    while let Some(piece) = open.piece().await? {
        ending.update(&piece);
        digest.write(&piece);
    }
    match open.end(&inner.pool, id).await {
        Err(error) if items::is_gone(&error) => return Ok((Read::Gone, false)),
        whole => whole?,
    }
    Ok((Read::Digested(digest.end(true)), ending.is_cut()))
}
