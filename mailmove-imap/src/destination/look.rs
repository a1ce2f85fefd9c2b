//! Looking at what is there: an enumeration by UID windows, never a search.

use std::{collections::BTreeMap, sync::Arc};

use mailmove_core::{
    destination::{Depth, Existing, Probe},
    error::Result,
    identity::{BodyHasher, HEADER_FIELDS, HeaderDigest},
    model::{ContentDigest, FolderId, MessageId, Timestamp},
};

use super::{Inner, binary, is_other_epoch, prepare::core_flags};
use crate::{
    connection::Incoming,
    cut,
    error::{self, Doing},
    generate, ids,
    nul::Watch,
    pool::Lease,
    session::{self, Mode, Opened},
    wire::{
        BodyContent, BodyStart, Command, Fetch, FetchItem, FetchParams, FieldName, MAX_SET,
        Response, Section, SelectParams, ServerDate, Status, Tag, UidSet,
    },
};

type Out = generate::Out<Result<Vec<Existing>>>;
/// Messages by UID.
pub(super) type Found = BTreeMap<u32, Existing>;

/// Largest set of header fields that is taken seriously; what is beyond says nothing more.
const HEADER_MAX: usize = 1 << 20;

pub(super) async fn run(inner: &Arc<Inner>, probe: Probe, out: &Out) {
    if let Err(error) = look(inner, &probe, out).await {
        out.send(Err(error)).await;
    }
}

/// Messages that one window should bring: enough to hide a round trip, few enough to keep pages
/// small.
const fn wanted(depth: Depth) -> u32 {
    match depth {
        Depth::Ids => 5000,
        Depth::Meta => 2000,
        Depth::Header => 500,
        _ => 100,
    }
}

async fn look(inner: &Arc<Inner>, probe: &Probe, out: &Out) -> Result<()> {
    let from = probe.since.as_ref().and_then(|mark| mark.next).unwrap_or(1);
    let Ok(from) = u32::try_from(from.max(1)) else {
        return Ok(());
    };
    // Nothing is sent of what cannot be said.
    session::mailbox(&probe.folder)?;
    let mut lease = inner.pool.lease(Some(&probe.folder)).await?;
    let known = probe.ids.as_ref().map(|ids| known(ids, from, probe));
    let known = known.transpose()?;
    let mut sent = None;
    if let Some(part) = known.as_ref().and_then(|known| known.parts.first()) {
        sent = Some(command(&mut lease, part, &items(probe.depth))?);
    }
    let (tag, behind) = sent.unzip();
    // Opened anew: what another connection stored just now must be seen.
    let opened = lease
        .open_folder_and(
            &probe.folder,
            Mode::Read,
            &SelectParams::Plain,
            behind.into_iter().collect(),
            |_| {},
        )
        .await;
    let numbering = known.as_ref().and_then(|known| known.validity);
    let opened = opened.and_then(|opened| check(probe, numbering, &opened).map(|()| opened));
    let opened = match (opened, tag) {
        (Err(error), Some(tag)) => {
            // Of no use: the folder is not there, or another one. If the connection fails, whoever uses it next is told.
            let _ = lease.connection.complete(tag, |_| {}).await;
            return Err(error);
        }
        (opened, _) => opened?,
    };
    let mut looking = Looking {
        inner,
        probe,
        validity: opened.validity,
        lease: Some(lease),
        sent: tag,
    };
    match known {
        Some(known) => looking.parts(&known.parts, out).await,
        None if opened.exists == 0 => Ok(()),
        None => looking.range(from, &opened, out).await,
    }
}

/// Messages whose ids are given.
struct KnownIds {
    /// The state of numbering that all ids are of, if there are any.
    validity: Option<u32>,
    /// Cut by text length and by number: a few ranges may name a whole folder.
    parts: Vec<UidSet>,
}

fn known(ids: &[MessageId], from: u32, probe: &Probe) -> Result<KnownIds> {
    let validity = ids.first().map(|id| {
        let parsed = ids::parse_message_id(id).ok_or_else(|| ids::foreign_id(id));
        parsed.map(|(validity, _)| validity)
    });
    let validity = validity.transpose()?;
    let uids = known_uids(ids, validity.unwrap_or_default(), &probe.folder)?;
    let set: UidSet = uids.into_iter().filter(|uid| *uid >= from).collect();
    let pieces = set.pieces(wanted(probe.depth)).into_iter();
    Ok(KnownIds {
        validity,
        parts: pieces.flat_map(|piece| piece.split(MAX_SET)).collect(),
    })
}

/// Whether the folder is the one that the mark was taken of, and in the numbering of the ids.
fn check(probe: &Probe, numbering: Option<u32>, opened: &Opened) -> Result<()> {
    let since = probe.since.as_ref();
    if since.is_some_and(|mark| is_other_epoch(mark, opened.validity))
        || numbering.is_some_and(|known| known != opened.validity)
    {
        return Err(session::stale(&probe.folder));
    }
    Ok(())
}

/// The UIDs in ids of this folder.
///
/// # Errors
/// If one is of another state of numbering: then none of them means anything here.
pub(super) fn known_uids<'a>(
    wanted: impl IntoIterator<Item = &'a MessageId>,
    validity: u32,
    folder: &FolderId,
) -> Result<Vec<u32>> {
    let mut uids = Vec::new();
    for id in wanted {
        let (known, uid) = ids::parse_message_id(id).ok_or_else(|| ids::foreign_id(id))?;
        if known != validity {
            return Err(session::stale(folder));
        }
        uids.push(uid);
    }
    Ok(uids)
}

struct Looking<'a> {
    inner: &'a Arc<Inner>,
    probe: &'a Probe,
    validity: u32,
    /// Given back while the reader works on a page, so that who reads can also write.
    lease: Option<Lease>,
    /// The command for the first window, if it was sent already.
    sent: Option<Tag>,
}

impl Looking<'_> {
    async fn parts(&mut self, parts: &[UidSet], out: &Out) -> Result<()> {
        for part in parts {
            self.window(part, out).await?;
        }
        Ok(())
    }

    /// Windows from a UID up to the end. How wide they are follows from how many messages the last
    /// one brought: UIDs may be far apart.
    async fn range(&mut self, from: u32, opened: &Opened, out: &Out) -> Result<()> {
        let last = opened
            .uid_next
            .map_or(u32::MAX, |next| next.saturating_sub(1));
        let lease = self.lease.as_ref();
        let aim = wanted(self.probe.depth);
        let aim = u64::from(lease.map_or(aim, |lease| lease.at_most(aim)));
        let mut width = if u64::from(opened.exists) <= aim {
            u64::from(u32::MAX)
        } else {
            aim
        };
        let mut start = from;
        while start <= last {
            let end = u64::from(start)
                .saturating_add(width - 1)
                .min(u64::from(last));
            let end = u32::try_from(end).unwrap_or(u32::MAX);
            let Some(set) = UidSet::range(start, end) else {
                break;
            };
            let found = self.window(&set, out).await?;
            if found < aim / 4 {
                width = width.saturating_mul(4);
            } else if found > aim {
                width = (width / 2).max(1);
            }
            let Some(next) = end.checked_add(1) else {
                break;
            };
            start = next;
        }
        Ok(())
    }

    /// One window; how many messages it brought.
    async fn window(&mut self, set: &UidSet, out: &Out) -> Result<u64> {
        let mut lease = match self.lease.take() {
            Some(lease) => lease,
            None => self.again().await?,
        };
        let sent = self.sent.take();
        let mut page = Page::new(self.validity, set);
        if let Err(error) = page.fetch(&mut lease, self.probe, sent).await {
            // However often a connection breaks, each message has to be read only once.
            let read = page.whole();
            if !read.is_empty() {
                out.send(Ok(read)).await;
            }
            return Err(error);
        }
        let Page {
            mut found,
            doubtful,
            ..
        } = page;
        binary::look_again(self.inner, &mut lease, &mut found, &doubtful).await?;
        let page: Vec<Existing> = found.into_values().collect();
        drop(lease);
        let count = page.len() as u64;
        if count > 0 {
            out.send(Ok(page)).await;
        }
        Ok(count)
    }

    async fn again(&self) -> Result<Lease> {
        let mut lease = self.inner.pool.lease(Some(&self.probe.folder)).await?;
        let opened = lease.enter(&self.probe.folder, Mode::Read).await?;
        if opened.validity != self.validity {
            return Err(session::stale(&self.probe.folder));
        }
        Ok(lease)
    }
}

fn items(depth: Depth) -> Vec<FetchItem> {
    let mut items = vec![FetchItem::Uid];
    if depth >= Depth::Meta {
        items.extend([FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size]);
    }
    if depth >= Depth::Header {
        let fields = HEADER_FIELDS
            .iter()
            .filter_map(|name| FieldName::new(name).ok());
        items.push(FetchItem::HeaderFields(fields.collect()));
    }
    if depth >= Depth::Content {
        items.push(FetchItem::Body);
    }
    items
}

fn command(lease: &mut Lease, set: &UidSet, items: &[FetchItem]) -> Result<(Tag, Command)> {
    let tag = lease.connection.tag();
    let encoder = lease.connection.encoder();
    let command = encoder.uid_fetch(tag, set, items, FetchParams::default());
    Ok((tag, command.map_err(session::encode)?))
}

/// What one FETCH brings, by UID: a server may tell of a message in several pieces. Where it left a
/// body out (Exchange Online has been seen to, and still said OK) the digest is missing: that message
/// is not known to be equal to any.
struct Page<'a> {
    validity: u32,
    set: &'a UidSet,
    found: Found,
    /// UIDs of those that may hold NUL.
    doubtful: Vec<u32>,
    /// UIDs of those of which all was told at once.
    whole: Vec<u32>,
    bodies: Bodies,
}

impl<'a> Page<'a> {
    fn new(validity: u32, set: &'a UidSet) -> Self {
        Self {
            validity,
            set,
            found: BTreeMap::new(),
            doubtful: Vec::new(),
            whole: Vec::new(),
            bodies: Bodies::default(),
        }
    }

    async fn fetch(
        &mut self,
        lease: &mut Lease,
        probe: &Probe,
        mut sent: Option<Tag>,
    ) -> Result<()> {
        let items = items(probe.depth);
        let mut later = vec![self.set.clone()];
        while let Some(part) = later.pop() {
            let tag = match sent.take() {
                Some(tag) => tag,
                None => {
                    let (tag, command) = command(lease, &part, &items)?;
                    lease.connection.send(command).await?;
                    tag
                }
            };
            let status = self.take(lease, tag).await?;
            let left = cut::left(&part, &status)?;
            if left.is_empty() && status.kind != crate::wire::StatusKind::Ok {
                return Err(error::refused(Doing::folder("FETCH"), &status)
                    .with_context("folder", probe.folder.as_str()));
            }
            later.extend(left);
        }
        Ok(())
    }

    /// The messages of which nothing more has to be told.
    fn whole(mut self) -> Vec<Existing> {
        let sure = self.whole.iter().filter(|uid| !self.doubtful.contains(uid));
        sure.filter_map(|uid| self.found.remove(uid)).collect()
    }

    /// Takes in what comes before this command is answered.
    async fn take(&mut self, lease: &mut Lease, tag: Tag) -> Result<Status> {
        loop {
            match lease.connection.next().await? {
                Incoming::Done(done, status) if done == tag => return Ok(status),
                Incoming::Untagged(Response::Fetch(fetch)) => self.note(&fetch),
                Incoming::BodyStart(start) => self.bodies.start(&start),
                Incoming::BodyChunk(octets) => self.bodies.chunk(&octets),
                Incoming::BodyEnd => self.bodies.end(),
                _ => {}
            }
        }
    }

    fn note(&mut self, fetch: &Fetch) {
        let mut bodies = std::mem::take(&mut self.bodies);
        bodies.inline(fetch);
        // Flags that another client changed come without a UID, or for any message.
        let Some(uid) = fetch.uid.filter(|uid| self.set.contains(*uid)) else {
            return;
        };
        let existing = self
            .found
            .entry(uid)
            .or_insert_with(|| Existing::new(ids::message_id(self.validity, uid)));
        existing.size = bodies.size.or(existing.size).or(fetch.size);
        existing.header = bodies.header.or(existing.header);
        existing.digest = bodies.digest.or(existing.digest);
        existing.body = bodies.body.or(existing.body);
        if bodies.doubtful {
            self.doubtful.push(uid);
        }
        if bodies.digest.is_some() && fetch.flags.is_some() && fetch.internal_date.is_some() {
            self.whole.push(uid);
        }
        if let Some(flags) = &fetch.flags {
            existing.flags = core_flags(flags);
        }
        if let Some(date) = fetch.internal_date.as_ref().and_then(ServerDate::valid) {
            existing.received = Some(Timestamp::new(date.unix_seconds(), date.offset_minutes()));
        }
    }
}

/// The bodies of one message as they pass by: hashed, never gathered.
#[derive(Default)]
struct Bodies {
    header: Option<HeaderDigest>,
    digest: Option<ContentDigest>,
    body: Option<ContentDigest>,
    size: Option<u64>,
    watch: Watch,
    doubtful: bool,
    now: Passing,
}

#[derive(Default)]
enum Passing {
    #[default]
    Nothing,
    Header(Vec<u8>),
    Whole(Box<Whole>),
}

/// A message as a whole.
struct Whole {
    hasher: blake3::Hasher,
    body: BodyHasher,
    len: u64,
}

impl Bodies {
    fn start(&mut self, start: &BodyStart) {
        self.begin(&start.section, start.len);
    }

    fn begin(&mut self, section: &Section, len: u64) {
        self.now = match section {
            Section::HeaderFields(_) => Passing::Header(Vec::new()),
            Section::Full => Passing::Whole(Box::new(Whole {
                hasher: blake3::Hasher::new(),
                body: BodyHasher::new(),
                len,
            })),
            _ => Passing::Nothing,
        };
    }

    /// Bodies that came as quoted strings: legal, and usual for empty ones.
    fn inline(&mut self, fetch: &Fetch) {
        for part in &fetch.sections {
            if let BodyContent::Inline(octets) = &part.content {
                self.begin(&part.section, octets.len() as u64);
                self.chunk(octets);
                self.end();
            }
        }
    }

    fn chunk(&mut self, octets: &[u8]) {
        match &mut self.now {
            Passing::Header(header) => {
                let room = HEADER_MAX.saturating_sub(header.len()).min(octets.len());
                header.extend_from_slice(octets.get(..room).unwrap_or_default());
            }
            Passing::Whole(whole) => {
                whole.hasher.update(octets);
                whole.body.update(octets);
                self.watch.note(octets);
            }
            Passing::Nothing => {}
        }
    }

    fn end(&mut self) {
        match std::mem::take(&mut self.now) {
            Passing::Header(header) => self.header = Some(HeaderDigest::of(&header)),
            Passing::Whole(whole) => {
                let digest = whole.hasher.finalize();
                self.digest = Some(ContentDigest::from_bytes(*digest.as_bytes()));
                self.body = whole.body.finish();
                self.size = Some(whole.len);
                self.doubtful |= self.watch.take();
            }
            Passing::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Event, Framer, Limits};

    fn feed(page: &mut Page<'_>, bytes: &[u8]) {
        let mut framer = Framer::without_greeting(Limits::default());
        let mut buffer = bytes::BytesMut::from(bytes);
        while let Some(event) = framer.next(&mut buffer).unwrap() {
            match event {
                Event::BodyStart(start) => page.bodies.start(&start),
                Event::BodyChunk(octets) => page.bodies.chunk(&octets),
                Event::BodyEnd => page.bodies.end(),
                Event::Response(Response::Fetch(fetch)) => page.note(&fetch),
                Event::Response(_) => {}
            }
        }
    }

    #[test]
    fn pieces_of_a_message_come_together_and_strangers_stay_out() {
        let set = UidSet::range(5, 6).unwrap();
        let mut page = Page::new(1, &set);
        feed(
            &mut page,
            b"* 1 FETCH (UID 5 FLAGS (\\Seen) RFC822.SIZE 99 BODY[HEADER.FIELDS (SUBJECT)] {14}\r\n\
              Subject: a\r\n\r\n BODY[] {3}\r\nabc)\r\n\
              * 1 FETCH (UID 5 FLAGS (\\Seen \\Flagged))\r\n\
              * 9 FETCH (UID 70 FLAGS ())\r\n",
        );
        assert!(page.doubtful.is_empty());
        let found: Vec<Existing> = page.found.into_values().collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].size, Some(3));
        assert_eq!(found[0].digest, Some(ContentDigest::of(b"abc")));
        assert_eq!(
            found[0].header,
            Some(HeaderDigest::of(b"Subject: a\r\n\r\n"))
        );
        assert_eq!(found[0].flags.to_string(), "\\Seen \\Flagged");
    }

    #[test]
    fn quoted_bodies_count_and_missing_ones_are_left_unknown() {
        let set = UidSet::range(5, 6).unwrap();
        let mut page = Page::new(1, &set);
        feed(
            &mut page,
            b"* 1 FETCH (UID 5 BODY[HEADER.FIELDS (SUBJECT)] \"\" BODY[] \"x\")\r\n\
              * 2 FETCH (UID 6 BODY[] NIL)\r\n",
        );
        assert!(page.doubtful.is_empty());
        let found: Vec<Existing> = page.found.into_values().collect();
        assert_eq!(found[0].digest, Some(ContentDigest::of(b"x")));
        assert_eq!(found[0].header, Some(HeaderDigest::of(b"")));
        assert_eq!((found[1].digest, found[1].header), (None, None));
    }
}
