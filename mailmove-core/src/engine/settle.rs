//! What is in doubt is settled at the destination before anything is sent again.
//!
//! Presence is believed at once. Absence is believed only when the settle time is over, and only
//! from an enumeration of everything that came in since the intent's mark: each message there is
//! claimed by another row, or was read and differs.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures_util::StreamExt as _;

use super::{Engine, fold, lane::Lane, retry::Backoff};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Record, Scan, TargetNo},
    destination::{Depth, Existing},
    error::{ErrorKind, Result},
    identity::HeaderDigest,
    model::{
        Alteration, AlterationKind, ContentDigest, FolderId, FolderPath, Form, Mark, MessageId,
    },
    observe::{Direction, Event},
};

/// A destination folder in which something is looked for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) no: TargetNo,
    pub(super) id: FolderId,
    pub(super) path: FolderPath,
}

impl Place {
    pub(super) fn of(lane: &Lane) -> Self {
        Self {
            no: lane.target.no,
            id: lane.place.id.clone(),
            path: lane.place.path.clone(),
        }
    }
}

/// What became of a message in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is there; its row says where.
    Found,
    /// Proven: it is not there.
    Absent,
    /// It was not found, but that proves nothing.
    Unproven,
}

/// Messages in doubt.
#[derive(Debug)]
pub(super) struct Doubt<'a> {
    pub(super) rows: Vec<ItemRow>,
    /// Whatever became of them came in after this; anything in the folder if `None`.
    pub(super) mark: Option<&'a Mark>,
    /// When the doubt began, in milliseconds since 1970.
    pub(super) since: u64,
    /// Messages there that are spoken for, though the ledger does not know yet.
    pub(super) taken: HashSet<MessageId>,
}

/// Settles messages that were, or may have been, stored in a folder. The answer is in the order of
/// the rows, and has each of them.
pub(super) async fn settle(
    engine: &Engine,
    place: &Place,
    doubt: Doubt<'_>,
) -> Result<Vec<(ItemRow, Verdict)>> {
    let until = doubt.since + u64::try_from(engine.to.settle.as_millis()).unwrap_or(0);
    let mut looking = Looking {
        engine,
        place,
        mark: doubt.mark,
        taken: doubt.taken,
        out: doubt.rows.iter().map(|_| None).collect(),
        open: doubt.rows.into_iter().map(Some).collect(),
    };
    // First only what has a likely size is read.
    let mut saw = looking.look(true).await?;
    let missing = looking.open.iter().flatten().count() as u64;
    if missing > 0 {
        let wait_ms = until.saturating_sub(engine.now_ms());
        engine.emit(Event::Settling {
            folder: place.path.clone(),
            messages: missing,
            wait_ms,
        });
        if wait_ms > 0 {
            engine.pause(Duration::from_millis(wait_ms)).await?;
        }
        if wait_ms > 0 || saw == Saw::Part {
            saw = looking.look(false).await?;
        }
    }
    let verdict = match saw {
        Saw::All => Verdict::Absent,
        Saw::Part | Saw::Nothing => Verdict::Unproven,
    };
    let settled = looking.open.into_iter().zip(looking.out);
    Ok(settled
        .filter_map(|(open, found)| {
            let found = found.map(|row| (row, Verdict::Found));
            found.or(open.map(|row| (row, verdict)))
        })
        .collect())
}

/// How much a look saw of what may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saw {
    /// Each message is claimed, or was read.
    All,
    /// Some were passed over because the server says they have another size.
    Part,
    /// The folder was renumbered: what was stored under the old numbers cannot be told any more.
    Nothing,
}

/// How a message at the destination fits a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// Equal content, date and flags.
    Exact,
    /// Equal content and date.
    SameDate,
    /// Equal content.
    Equal,
    /// Other bytes under an equal header that leaves no doubt.
    Rewritten,
}

impl Fit {
    const BEST_FIRST: [Self; 4] = [Self::Exact, Self::SameDate, Self::Equal, Self::Rewritten];
}

struct Looking<'a> {
    engine: &'a Engine,
    place: &'a Place,
    mark: Option<&'a Mark>,
    taken: HashSet<MessageId>,
    open: Vec<Option<ItemRow>>,
    out: Vec<Option<ItemRow>>,
}

impl Looking<'_> {
    /// One look: moves what is found from `open` to `out`.
    async fn look(&mut self, narrow: bool) -> Result<Saw> {
        let engine = self.engine;
        let mut backoff = Backoff::on(engine, Direction::Up);
        loop {
            match self.once(narrow).await {
                Err(error) if error.kind() == ErrorKind::Stale => return Ok(Saw::Nothing),
                Err(error) => match backoff.next(&error) {
                    Some(wait) => engine.rest(&backoff, &error, wait).await?,
                    None => return Err(error),
                },
                Ok(saw) => return Ok(saw),
            }
        }
    }

    async fn once(&mut self, narrow: bool) -> Result<Saw> {
        let rows: Vec<ItemRow> = self.open.iter().flatten().cloned().collect();
        let search = Search {
            place: self.place,
            mark: self.mark,
            exact: false,
            sizes: (narrow && self.engine.keeps_bytes())
                .then(|| rows.iter().map(|row| row.size).collect()),
        };
        let (ids, passed_over) = search.unclaimed(self.engine, &self.taken).await?;
        let mut equal = Vec::new();
        for ids in ids.chunks(200) {
            let found = contents(self.engine, self.place, ids).await?;
            let rows = &rows;
            let wanted = |existing: &Existing| {
                rows.iter()
                    .any(|row| is_equal(self.engine, row, existing) || is_alike(row, existing))
            };
            equal.extend(found.into_iter().filter(wanted));
        }
        let unclear = unclear(&rows);
        let others = others_contents(self.engine, &rows, &equal).await?;
        equal.retain(|existing| existing.digest.is_none_or(|of| !others.contains(&of)));
        // Whose it is, nobody can tell: it counts as perhaps one of them.
        let (unclear, mut equal): (Vec<_>, Vec<_>) = equal.into_iter().partition(|existing| {
            let header = existing.header.filter(|_| existing.given.is_none());
            self.engine.form != Form::Mime && header.is_some_and(|header| unclear.contains(&header))
        });
        // Equal bytes come before what may be a changed form of the message.
        let is_own = |existing: &Existing| {
            let mut digests = [existing.given, existing.digest].into_iter().flatten();
            digests.any(|digest| rows.iter().any(|row| row.digest == Some(digest)))
        };
        equal.sort_by_cached_key(|existing| !is_own(existing));
        // Identical copies are told apart by date and flags, as far as they differ: what fits best is
        // given first.
        for fit in Fit::BEST_FIRST {
            equal.retain(|existing| !self.assign(existing, fit));
        }
        let open = |test: &dyn Fn(&ItemRow) -> bool| self.open.iter().flatten().any(test);
        // Perhaps one of them, changed as it was stored.
        let perhaps = equal
            .iter()
            .any(|existing| open(&|row| is_alike(row, existing)))
            || unclear
                .iter()
                .any(|existing| open(&|row| is_alike(row, existing)));
        Ok(if passed_over || perhaps {
            Saw::Part
        } else {
            Saw::All
        })
    }

    /// Gives a message to the row that it fits.
    fn assign(&mut self, existing: &Existing, fit: Fit) -> bool {
        let open = self.open.iter().enumerate();
        let fitting = open.filter_map(|(at, row)| {
            let row = row.as_ref()?;
            let (date, flags) = (
                row.received == existing.received,
                row.flags == existing.flags,
            );
            let equal = is_equal(self.engine, row, existing);
            let fits = match fit {
                Fit::Exact => equal && date && flags,
                Fit::SameDate => equal && date,
                Fit::Equal => equal,
                Fit::Rewritten => is_rewritten(row, existing),
            };
            fits.then_some((row.digest != existing.digest, !date, !flags, at))
        });
        let Some((.., at)) = fitting.min() else {
            return false;
        };
        let Some(mut row) = self.open.get_mut(at).and_then(Option::take) else {
            return false;
        };
        self.taken.insert(existing.id.clone());
        // With another date it may be one that was there already: equal, and so as good.
        let dated = row.received.is_some() && self.engine.to.keeps_received;
        row.state = if dated && row.received != existing.received {
            ItemState::AlreadyThere
        } else {
            ItemState::Copied
        };
        row.code = None;
        row.pass = self.engine.pass;
        row.accepted = (existing.flags != row.flags).then(|| existing.flags.clone());
        row.target = Some((self.place.no, existing.id.clone()));
        note_differences(&mut row, existing);
        if self.engine.keeps_bytes() && row.digest != existing.digest {
            let detail = "the destination stored other bytes than it was given";
            let note = Alteration::new(AlterationKind::ContentRewritten, detail);
            row.altered.push(note);
        }
        if let Some(place) = self.out.get_mut(at) {
            *place = Some(row);
        }
        true
    }
}

/// What the server did not keep shows by what is there: no receipt has told of it.
fn note_differences(row: &mut ItemRow, existing: &Existing) {
    let known = |row: &ItemRow, kind| row.altered.iter().any(|note| note.kind == kind);
    let lost = row.flags.difference(&existing.flags);
    if !lost.is_empty() && !known(row, AlterationKind::FlagDropped) {
        let note = Alteration::new(AlterationKind::FlagDropped, lost.to_string());
        row.altered.push(note);
    }
    if let (Some(sent), Some(kept)) = (row.received, existing.received)
        && sent.seconds() != kept.seconds()
        && !known(row, AlterationKind::DateReplaced)
    {
        let detail = format!("{sent} became {kept}");
        row.altered
            .push(Alteration::new(AlterationKind::DateReplaced, detail));
    }
}

/// Headers that several items in doubt have, which are not the same.
fn unclear(rows: &[ItemRow]) -> HashSet<HeaderDigest> {
    let mut contents: BTreeMap<HeaderDigest, Option<ContentDigest>> = BTreeMap::new();
    let mut unclear = HashSet::new();
    for row in rows {
        let Some(header) = row.header else { continue };
        if *contents.entry(header).or_insert(row.digest) != row.digest {
            unclear.insert(header);
        }
    }
    unclear
}

/// The contents among `found` that the ledger knows of other messages than `rows`: their copies, and not
/// one of these that was changed as it was stored. Looked for only where such a copy has an equal header.
async fn others_contents(
    engine: &Engine,
    rows: &[ItemRow],
    found: &[Existing],
) -> Result<HashSet<ContentDigest>> {
    let own: HashSet<ContentDigest> = rows.iter().filter_map(|row| row.digest).collect();
    let found = found.iter().filter_map(|existing| existing.digest);
    let others: HashSet<ContentDigest> = found.filter(|digest| !own.contains(digest)).collect();
    let mut known = HashSet::new();
    if others.is_empty() {
        return Ok(known);
    }
    let is_other = |digest: &ContentDigest| others.contains(digest);
    for intent in engine.ledger.intents().await? {
        let digests = intent.items.iter().filter_map(|item| item.digest);
        known.extend(digests.filter(is_other));
    }
    engine
        .each_page(Scan::all(), |page| {
            let digests = page.iter().filter_map(|stored| stored.row.digest);
            known.extend(digests.filter(is_other));
            Ok(Vec::new())
        })
        .await?;
    Ok(known)
}

/// Equal bytes. Where the destination rebuilds messages, an equal header that says something; where
/// that is not measured yet, one that names a transmission.
pub(super) fn is_equal(engine: &Engine, row: &ItemRow, existing: &Existing) -> bool {
    if row.digest.is_some() && (row.digest == existing.digest || row.digest == existing.given) {
        return true;
    }
    // It says itself that it was made from another.
    if row.digest.is_some() && existing.given.is_some() {
        return false;
    }
    let Some(header) = row.header.filter(|header| Some(*header) == existing.header) else {
        return false;
    };
    match engine.measured_bytes() {
        Some(true) => false,
        Some(false) => !header.is_void(),
        None if engine.to.keeps_bytes => header.is_traced(),
        None => !header.is_void(),
    }
}

/// Other bytes under an equal header: perhaps the row's message, changed as it was stored (Dovecot
/// makes CR CR LF to CR LF, Cyrus writes X for 8-bit octets in headers).
fn is_alike(row: &ItemRow, existing: &Existing) -> bool {
    let is_others = row.digest.is_some()
        && existing
            .given
            .is_some_and(|given| Some(given) != row.digest);
    // Nothing tells them apart where both have nothing: an export without a name, that could not be marked.
    let nameless = row.header.is_none() && existing.header.is_none();
    let same = row
        .header
        .is_some_and(|header| !header.is_void() && Some(header) == existing.header);
    !is_others && (nameless || same)
}

/// An equal header, in a message that came in since the row's was sent, leaves no doubt if the server
/// said that it stored this one, or the header names that one transmission.
fn is_rewritten(row: &ItemRow, existing: &Existing) -> bool {
    let sure = row.state == ItemState::Unnamed || row.header.is_some_and(|h| h.is_traced());
    sure && is_alike(row, existing)
}

/// Which messages of a folder may be those in doubt.
struct Search<'a> {
    place: &'a Place,
    mark: Option<&'a Mark>,
    /// Nothing from before the mark.
    exact: bool,
    /// Only those that the server says have one of these sizes.
    sizes: Option<HashSet<u64>>,
}

impl Search<'_> {
    /// Ids of unclaimed messages, and whether some were passed over for their size.
    async fn unclaimed(
        &self,
        engine: &Engine,
        taken: &HashSet<MessageId>,
    ) -> Result<(Vec<MessageId>, bool)> {
        let probe = engine.probe(&self.place.id, Depth::Meta);
        let mut probe = probe.with_since(self.mark.cloned());
        probe.exact = self.exact;
        let mut pages = engine.destination.existing(probe);
        let (mut ids, mut passed_over) = (Vec::new(), false);
        while let Some(page) = pages.next().await {
            let page = page?;
            let all = page.iter().map(|existing| existing.id.clone()).collect();
            let claims = engine.ledger.claims(self.place.no, all).await?;
            for (existing, claim) in page.into_iter().zip(claims) {
                if claim.is_some() || taken.contains(&existing.id) {
                    continue;
                }
                let sizes = self.sizes.as_ref().zip(existing.size);
                if sizes.is_none_or(|(sizes, size)| sizes.contains(&size)) {
                    ids.push(existing.id);
                } else {
                    passed_over = true;
                }
            }
        }
        Ok((ids, passed_over))
    }
}

/// Whether a folder holds messages that nobody claims.
async fn any_unclaimed(engine: &Engine, place: &Place, taken: &HashSet<MessageId>) -> Result<bool> {
    let search = Search {
        place,
        mark: None,
        exact: false,
        sizes: None,
    };
    Ok(!search.unclaimed(engine, taken).await?.0.is_empty())
}

/// Reads messages of a folder to the ground.
pub(super) async fn contents(
    engine: &Engine,
    place: &Place,
    ids: &[MessageId],
) -> Result<Vec<Existing>> {
    contents_of(engine, &place.id, ids).await
}

/// The same, by the folder's id. If the connection breaks, what was read already is not asked for again: otherwise as
/// much as breaks each connection would never be read.
pub(super) async fn contents_of(
    engine: &Engine,
    place: &FolderId,
    ids: &[MessageId],
) -> Result<Vec<Existing>> {
    let mut backoff = Backoff::within(engine, Direction::Up);
    let mut missing = ids.to_vec();
    let mut found = Vec::with_capacity(ids.len());
    loop {
        let had = found.len();
        let Err(error) = read(engine, place, &missing, &mut found).await else {
            return Ok(found);
        };
        let asked = missing.len();
        let new = found.get(had..).unwrap_or_default().iter();
        let new: HashSet<&MessageId> = new.map(|existing| &existing.id).collect();
        missing.retain(|id| !new.contains(id));
        match missing.len() {
            0 => return Ok(found),
            left if left < asked => backoff.reset(),
            // What was told instead of what was asked for is told again.
            _ => found.truncate(had),
        }
        match backoff.next(&error) {
            Some(wait) => engine.rest(&backoff, &error, wait).await?,
            None => return Err(error),
        }
    }
}

async fn read(
    engine: &Engine,
    place: &FolderId,
    ids: &[MessageId],
    found: &mut Vec<Existing>,
) -> Result<()> {
    let probe = engine.probe(place, Depth::Content).with_ids(ids.to_vec());
    let mut pages = engine.destination.existing(probe);
    while let Some(page) = pages.next().await {
        found.extend(page?);
    }
    Ok(())
}

/// Unclaimed messages since `mark` that equal one of the rows, and how many more there are that may
/// have been one when they were sent.
pub(super) async fn unclaimed_equals(
    engine: &Engine,
    place: &Place,
    mark: Option<&Mark>,
    rows: &[ItemRow],
) -> Result<(Vec<Existing>, u64)> {
    equals_among(engine, place, Since { mark, exact: false }, rows).await
}

/// Since when messages came in that are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since<'a> {
    /// After this; ever without.
    pub(super) mark: Option<&'a Mark>,
    /// None of them may have come in before.
    pub(super) exact: bool,
}

/// The same; fails with [`Stale`](ErrorKind::Stale) where it has to be exact and cannot be.
pub(super) async fn equals_among(
    engine: &Engine,
    place: &Place,
    since: Since<'_>,
    rows: &[ItemRow],
) -> Result<(Vec<Existing>, u64)> {
    // Servers guess sizes, and change them.
    let search = Search {
        place,
        mark: since.mark,
        exact: since.exact,
        sizes: None,
    };
    let (ids, _) = search.unclaimed(engine, &HashSet::new()).await?;
    let (mut equal, mut others) = (Vec::new(), 0);
    for ids in ids.chunks(200) {
        let found = contents(engine, place, ids).await?;
        let ours = |existing: &Existing| rows.iter().any(|row| is_equal(engine, row, existing));
        let (found, rest): (Vec<Existing>, Vec<Existing>) = found.into_iter().partition(ours);
        equal.extend(found);
        let alike = |existing: &&Existing| rows.iter().any(|row| is_alike(row, existing));
        others += rest.iter().filter(alike).count() as u64;
    }
    Ok((equal, others))
}

/// The ledger's rows of these messages, in their order.
pub(super) async fn known_rows(engine: &Engine, items: &[ItemRow]) -> Result<Vec<Option<ItemRow>>> {
    let mut by_folder: BTreeMap<FolderNo, Vec<usize>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        by_folder.entry(item.folder).or_default().push(at);
    }
    let mut out = vec![None; items.len()];
    for (folder, places) in by_folder {
        let ids = places.iter().filter_map(|at| items.get(*at));
        let ids = ids.map(|item| item.id.clone()).collect();
        let found = engine.ledger.items(folder, ids).await?;
        for (at, found) in places.into_iter().zip(found) {
            if let Some(place) = out.get_mut(at) {
                *place = found.map(|stored| stored.row);
            }
        }
    }
    Ok(out)
}

/// Looks up the ids of messages that the server confirmed without one. All of them came in after
/// `mark`; without one, an earlier pass stored them, and what is not there any more was removed.
pub(super) async fn unnamed(
    engine: &Engine,
    place: &Place,
    folder: FolderNo,
    mark: Option<&Mark>,
) -> Result<()> {
    let mut rows = Vec::new();
    let scan = Scan::folder(folder).with_states(&[ItemState::Unnamed]);
    engine
        .each_page(scan, |page| {
            rows.extend(page.into_iter().map(|stored| stored.row));
            Ok(Vec::new())
        })
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let doubt = Doubt {
        rows,
        mark,
        since: if mark.is_some() {
            engine.now_ms()
        } else {
            engine.begun
        },
        taken: HashSet::new(),
    };
    let mut settled = settle(engine, place, doubt).await?;
    if mark.is_some() || engine.to.merges {
        fold::in_sight(engine, place, folder, &mut settled).await?;
    }
    let taken = settled.iter().filter_map(|(row, _)| row.target.as_ref());
    let taken = taken.map(|(_, id)| id.clone()).collect();
    // Where nothing shows that bytes are kept, a message that nobody claims may be one of them,
    // changed beyond recognition.
    let removed = mark.is_none()
        && (engine.measured_bytes() == Some(true) || !any_unclaimed(engine, place, &taken).await?);
    let mut records = Vec::new();
    for (mut row, verdict) in settled {
        // What was folded is absent, too, but not removed.
        if verdict == Verdict::Absent && removed && row.state == ItemState::Unnamed {
            row.state = ItemState::RemovedThere;
            row.pass = engine.pass;
        }
        if row.state != ItemState::Unnamed {
            records.push(Record::Item(Box::new(row)));
        }
    }
    if mark.is_none() {
        engine.note(folder, |notes| notes.settled += records.len() as u64);
    }
    engine.ledger.commit(records).await
}
