//! Messages that are at the destination already: put there by another tool, by forwarding, by the
//! user, or by a run whose state was lost.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt as _;

use super::{
    Engine,
    lane::Lane,
    mend::DAMAGED,
    settle::{self, Place},
};
use crate::{
    checkpoint::{ItemRow, ItemState, Record},
    destination::{Depth, Existing, Probe},
    error::Result,
    identity::HeaderDigest,
    model::{
        Alteration, AlterationKind, ContentDigest, Flags, Form, Mark, MessageId, Role, SystemFlag,
    },
};

/// Records what came into the destination folder since it was last looked at and is not ours.
/// An empty folder costs nothing.
pub(super) async fn examine(engine: &Engine, lane: &mut Lane) -> Result<()> {
    let now = lane.mark()?;
    let examined = lane.target.examined.clone();
    let nothing_new = match &examined {
        Some(mark) => *mark == now,
        None => lane.place.messages == Some(0),
    };
    if !nothing_new {
        match examined {
            None => {
                unclaimed(engine, lane, engine.probe(&lane.place.id, Depth::Header)).await?;
            }
            Some(_) => unclaimed_since(engine, lane, examined).await?,
        }
    }
    lane.adopting = engine.ledger.meta(&marker(lane)).await?.is_some();
    lane.target.examined = Some(now);
    engine
        .ledger
        .commit(vec![Record::Target(Box::new(lane.target.clone()))])
        .await
}

/// Key that says that a destination folder once held messages that were not ours.
fn marker(lane: &Lane) -> String {
    format!("foreign/{}", lane.target.no.0)
}

/// Most of what came in is ours: ids are cheap, and only the headers of the others are read.
async fn unclaimed_since(engine: &Engine, lane: &mut Lane, since: Option<Mark>) -> Result<()> {
    let probe = engine.probe(&lane.place.id, Depth::Ids).with_since(since);
    let mut pages = engine.destination.existing(probe);
    let mut foreign = Vec::new();
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        let ids: Vec<MessageId> = page?.into_iter().map(|existing| existing.id).collect();
        let claims = engine.ledger.claims(lane.target.no, ids.clone()).await?;
        let free = ids
            .into_iter()
            .zip(claims)
            .filter(|(_, claim)| claim.is_none());
        foreign.extend(free.map(|(id, _)| id));
    }
    for ids in foreign.chunks(500) {
        let probe = engine
            .probe(&lane.place.id, Depth::Header)
            .with_ids(ids.to_vec());
        unclaimed(engine, lane, probe).await?;
    }
    Ok(())
}

async fn unclaimed(engine: &Engine, lane: &Lane, probe: Probe) -> Result<()> {
    let mut pages = engine.destination.existing(probe);
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        // The ledger itself leaves out what is claimed.
        let target = lane.target.no;
        let record = |existing| Record::Unclaimed(target, Box::new(existing));
        let mut records: Vec<Record> = page?.into_iter().map(record).collect();
        if !records.is_empty() {
            records.push(Record::Meta(marker(lane), "yes".to_owned()));
        }
        engine.ledger.commit(records).await?;
    }
    Ok(())
}

/// Messages with the header, but not the size that is looked for, that are read for one message.
const GUESSED_MOST: usize = 16;

/// Which of these messages are there, as they are now. What was recorded of them may be old.
pub(super) async fn present(
    engine: &Engine,
    lane: &Lane,
    ids: Vec<MessageId>,
) -> Result<HashMap<MessageId, Existing>> {
    let mut out = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(500) {
        let probe = engine
            .probe(&lane.place.id, Depth::Meta)
            .with_ids(ids.to_vec());
        let mut pages = engine.destination.existing(probe);
        while let Some(page) = pages.next().await {
            let page = page?.into_iter();
            out.extend(page.map(|existing| (existing.id.clone(), existing)));
        }
    }
    Ok(out)
}

/// Finds unclaimed equals of source messages. Keeps what it gave away until the ledger knows.
#[derive(Debug, Default)]
pub(super) struct Adopter {
    taken: HashSet<MessageId>,
    /// Other source folders have the same destination: a message there may be one of theirs.
    shared: bool,
    listed: HashSet<u64>,
    repeated: HashSet<u64>,
    /// Headers, with the size that comes with each, and those that come with several.
    headers: HashMap<u64, u64>,
    ambiguous: HashSet<u64>,
    /// Announced without a header.
    unknown: usize,
    /// Flags of those that are repeated.
    twins: HashMap<u64, HashSet<Flags>>,
    /// Those that were to come after their twins.
    postponed: HashSet<MessageId>,
}

/// Most messages that are looked for after their twins; each is fetched once more.
const POSTPONED_MOST: usize = 10_000;

/// What is known of a content that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    pub(super) digest: ContentDigest,
    /// Of what follows the header.
    pub(super) body: Option<ContentDigest>,
}

/// What looking for an equal message found.
#[derive(Debug)]
pub(super) enum Match {
    /// This one is equal.
    Found(Box<Existing>),
    /// There is none.
    None,
    /// There are candidates, but only the content can tell: fetch it and ask again.
    NeedsContent,
}

impl Adopter {
    pub(super) fn new(shared: bool) -> Self {
        Self {
            shared,
            ..Self::default()
        }
    }

    /// Tells of every source message that will be looked for: two with the same header and size
    /// must not be taken for each other. Some 32 bytes a message.
    pub(super) fn announce(&mut self, row: &ItemRow) {
        if let Some(header) = row.header.and_then(head)
            && *self.headers.entry(header).or_insert(row.size) != row.size
        {
            self.ambiguous.insert(header);
        }
        match key(row) {
            Some(key) if self.listed.insert(key) => {}
            Some(key) => {
                self.repeated.insert(key);
            }
            None => self.unknown += 1,
        }
    }

    /// Whether some that were announced may be twins.
    pub(super) fn has_twins(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// Tells of every source message once more, when all were announced.
    pub(super) fn announce_flags(&mut self, row: &ItemRow) {
        if let Some(key) = key(row).filter(|key| self.repeated.contains(key)) {
            let flags = self.twins.entry(key).or_default();
            flags.insert(row.flags.clone());
        }
    }

    /// Whether what was found is rather a twin's, by its flags: then it is given back, and the message is
    /// to be looked for once more when its twins were.
    pub(super) fn is_rather_a_twins(&mut self, row: &ItemRow, there: &Existing) -> bool {
        let flags = key(row).and_then(|key| self.twins.get(&key));
        let rather = there.flags != row.flags
            && flags.is_some_and(|flags| flags.contains(&there.flags))
            // Others wait for contents that have names.
            && row.content_id.is_none()
            && self.postponed.len() < POSTPONED_MOST
            && self.postponed.insert(row.id.clone());
        if rather {
            self.taken.remove(&there.id);
        }
        rather
    }

    /// How many different header and size were announced, and void ones.
    pub(super) fn announced(&self) -> usize {
        self.listed.len() + self.unknown
    }

    /// Looks for an unclaimed equal of `row`.
    ///
    /// With the digest of its content, equal content decides. Without, an equal header and the exact
    /// size do, where the destination keeps bytes and they prove enough: not for drafts and sent
    /// mail, whose header names no transmission, and not where several messages could be meant.
    pub(super) async fn find(
        &mut self,
        engine: &Engine,
        lane: &Lane,
        row: &ItemRow,
        content: Option<Sought>,
    ) -> Result<Match> {
        if content.is_none() && row.code.as_deref() == Some(DAMAGED) {
            // It is to be sent again because something else stands in its place.
            return Ok(Match::NeedsContent);
        }
        let Some(header) = row.header else {
            return Ok(if content.is_some() {
                Match::None
            } else {
                Match::NeedsContent
            });
        };
        let size = engine.keeps_bytes().then_some(row.size);
        let mut candidates = self.free(engine, lane, header, size).await?;
        let found = match content {
            Some(sought) => {
                let mut read = contents(engine, lane, candidates).await?;
                match equal_content(&read, row, sought.digest) {
                    None => {
                        let others = self.other_sizes(engine, lane, header, size).await?;
                        read.extend(contents(engine, lane, others).await?);
                        let equal = equal_content(&read, row, sought.digest);
                        let equal = equal.or_else(|| self.equal_name(engine, &read, row, header));
                        equal.or_else(|| self.equal_body(read, row, header, sought.body))
                    }
                    found => found,
                }
            }
            None if size.is_some()
                && candidates.len() == 1
                && self.is_enough(lane, row, header) =>
            {
                candidates.pop()
            }
            None if candidates.is_empty()
                && self
                    .other_sizes(engine, lane, header, size)
                    .await?
                    .is_empty() =>
            {
                None
            }
            None => return Ok(Match::NeedsContent),
        };
        Ok(match found {
            Some(existing) => {
                self.taken.insert(existing.id.clone());
                Match::Found(Box::new(existing))
            }
            None => Match::None,
        })
    }

    /// Unclaimed messages with that header, and of that size if one is given.
    async fn free(
        &self,
        engine: &Engine,
        lane: &Lane,
        header: HeaderDigest,
        size: Option<u64>,
    ) -> Result<Vec<Existing>> {
        let target = lane.target.no;
        let mut found = engine.ledger.candidates(target, header, size).await?;
        found.retain(|candidate| !self.taken.contains(&candidate.id));
        Ok(found)
    }

    /// Those of another size than was looked for: either server may have guessed it. Only a few, and
    /// none where the header tells nothing apart, since each has to be read.
    async fn other_sizes(
        &self,
        engine: &Engine,
        lane: &Lane,
        header: HeaderDigest,
        size: Option<u64>,
    ) -> Result<Vec<Existing>> {
        if size.is_none() || header.is_void() {
            return Ok(Vec::new());
        }
        let mut found = self.free(engine, lane, header, None).await?;
        found.retain(|candidate| candidate.size != size);
        found.truncate(GUESSED_MOST);
        Ok(found)
    }

    /// The message as another tool put it there: with a field more in its header, one less, or folded
    /// anew. All that tells a message from others is equal, and whatever else is looked for that has such
    /// a header is its twin: it has the same size.
    fn equal_body(
        &self,
        read: Vec<Existing>,
        row: &ItemRow,
        header: HeaderDigest,
        body: Option<ContentDigest>,
    ) -> Option<Existing> {
        let sure = head(header).is_some_and(|head| {
            self.headers.contains_key(&head) && !self.ambiguous.contains(&head)
        });
        if body.is_none() || header.is_void() || !sure || self.shared {
            return None;
        }
        let equal = |there: &Existing| there.body == body && there.header == Some(header);
        nearest(read.into_iter().filter(equal).collect(), row)
    }

    /// An item that came as an export, of which nobody can read the content there, and at which nothing is noted. All
    /// that tells it from others is equal, with size and date, and no other one is looked for, or is there, that has
    /// this.
    fn equal_name(
        &self,
        engine: &Engine,
        read: &[Existing],
        row: &ItemRow,
        header: HeaderDigest,
    ) -> Option<Existing> {
        // As it was announced: a content has another size than its listing said.
        let head = head(header).filter(|head| !self.ambiguous.contains(head))?;
        let size = *self.headers.get(&head)?;
        let twins = self.repeated.contains(&key_of(head, size));
        // What is sent again is to take the place of one that looks the same.
        let again = row.code.is_some();
        if engine.form == Form::Mime || header.is_void() || twins || again || self.shared {
            return None;
        }
        let alike = |there: &&Existing| there.header == Some(header);
        let mut all = read.iter().filter(alike);
        let (there, None) = (all.next()?, all.next()) else {
            return None;
        };
        let unread = there.digest.is_none() && there.given.is_none();
        let same = there.size == Some(size) && there.received == row.received;
        (unread && same).then(|| there.clone())
    }

    fn is_enough(&self, lane: &Lane, row: &ItemRow, header: HeaderDigest) -> bool {
        let draft = row.flags.contains(SystemFlag::Draft) || lane.row.role == Some(Role::Drafts);
        let unique =
            key(row).is_some_and(|key| self.listed.contains(&key) && !self.repeated.contains(&key));
        unique && !draft && !self.shared && header.is_traced()
    }
}

/// A header in eight bytes.
fn head(header: HeaderDigest) -> Option<u64> {
    let (head, _) = header.as_bytes().split_first_chunk::<8>()?;
    Some(u64::from_le_bytes(*head))
}

/// Header and size in eight bytes. A collision costs a needless look at contents.
fn key(row: &ItemRow) -> Option<u64> {
    Some(key_of(head(row.header?)?, row.size))
}

const fn key_of(head: u64, size: u64) -> u64 {
    head ^ size.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Adopter {
    /// Like [`find`](Self::find) for a message that was stored before, and whose content may not be
    /// at hand any more. The digest of what was stored decides, and where a whole folder was just
    /// looked at anew (`fresh`) and no other message could be meant, equal header and size.
    pub(super) async fn find_again(
        &mut self,
        engine: &Engine,
        lane: &Lane,
        row: &ItemRow,
        fresh: bool,
    ) -> Result<Match> {
        let Some(header) = row.header else {
            return Ok(Match::None);
        };
        let size = engine.keeps_bytes().then_some(row.size);
        let mut candidates = self.free(engine, lane, header, size).await?;
        if candidates.is_empty() && header.is_traced() {
            candidates = self.other_sizes(engine, lane, header, size).await?;
        }
        let repeated = key(row).is_some_and(|key| self.repeated.contains(&key));
        let ids: Vec<MessageId> = candidates.iter().map(|there| there.id.clone()).collect();
        if candidates.is_empty() {
            return Ok(Match::None);
        } else if size.is_some()
            && row.digest.is_some()
            && (!fresh || repeated || candidates.len() > 1)
        {
            candidates = settle::contents(engine, &Place::of(lane), &ids).await?;
            let equal = |there: &Existing| {
                row.digest.is_some() && [there.digest, there.given].contains(&row.digest)
            };
            // A server may have stored other bytes than it was given; then the header has to do.
            if candidates.iter().any(equal) || !header.is_traced() {
                candidates.retain(equal);
            }
        } else if !fresh {
            let now = present(engine, lane, ids).await?;
            candidates.retain(|candidate| now.contains_key(&candidate.id));
        }
        let free = nearest(candidates, row);
        Ok(match free {
            Some(existing) => {
                self.taken.insert(existing.id.clone());
                Match::Found(Box::new(existing))
            }
            None => Match::None,
        })
    }
}

/// Candidates as they are, read to the ground.
async fn contents(
    engine: &Engine,
    lane: &Lane,
    candidates: Vec<Existing>,
) -> Result<Vec<Existing>> {
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let ids: Vec<MessageId> = candidates.into_iter().map(|there| there.id).collect();
    settle::contents(engine, &Place::of(lane), &ids).await
}

fn equal_content(read: &[Existing], row: &ItemRow, content: ContentDigest) -> Option<Existing> {
    let same = |existing: &&Existing| [existing.digest, existing.given].contains(&Some(content));
    nearest(read.iter().filter(same).cloned().collect(), row)
}

/// Of several equal messages, the one with the same flags and date: so identical copies that
/// differ in these are not crossed over.
fn nearest(equal: Vec<Existing>, row: &ItemRow) -> Option<Existing> {
    equal.into_iter().min_by_key(|existing| {
        (
            existing.flags != row.flags,
            existing.received != row.received,
        )
    })
}

/// The row of a message that was found there.
pub(super) fn adopted(
    engine: &Engine,
    lane: &Lane,
    mut row: ItemRow,
    existing: &Existing,
) -> ItemRow {
    row.state = ItemState::AlreadyThere;
    row.code = None;
    row.pass = engine.pass;
    row.target = Some((lane.target.no, existing.id.clone()));
    if existing.flags != row.flags {
        row.accepted = Some(existing.flags.clone());
    }
    if engine.keeps_bytes() && existing.digest.is_some() && existing.digest != row.digest {
        let detail = "what was there differs in fields of the header that name nothing";
        let note = Alteration::new(AlterationKind::ContentRewritten, detail);
        row.altered.push(note);
    }
    row
}
