//! How messages at the destination compare with the rows that claim them. Reads only.

use std::collections::{HashMap, HashSet, VecDeque};

use futures_util::StreamExt as _;

use super::{Engine, meaning, settle};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Scan, Stored, TargetNo},
    destination::{Depth, Existing},
    error::Result,
    identity::Aspect,
    model::{AlterationKind, ContentDigest, FolderId, MessageId},
    source::BoxStream,
};

/// What is not as the ledger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Size,
    Content,
    Flags,
    Received,
    /// What it means, where bytes tell nothing.
    Meaning(Aspect),
}

impl What {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Content => "content",
            Self::Flags => "flags",
            Self::Received => "received",
            Self::Meaning(aspect) => aspect.as_str(),
        }
    }

    /// What the ledger calls it if the destination is known to have done it.
    pub(super) const fn alteration(self) -> AlterationKind {
        match self {
            Self::Size | Self::Content | Self::Meaning(_) => AlterationKind::ContentRewritten,
            Self::Flags => AlterationKind::FlagDropped,
            Self::Received => AlterationKind::DateReplaced,
        }
    }
}

/// One way in which a message differs.
#[derive(Clone, Debug)]
pub(super) struct Differs {
    pub(super) what: What,
    /// Expected and found, in words.
    pub(super) detail: String,
    /// The ledger knows, and a report has told.
    pub(super) known: bool,
}

/// A message at the destination beside the row that claims it.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) stored: Stored,
    pub(super) existing: Existing,
    pub(super) differs: Vec<Differs>,
    /// It was compared before, and is here for its content.
    pub(super) again: bool,
    /// Its content could not be compared: the source does not give it any more.
    pub(super) unread: bool,
}

/// Goes through a destination folder, and gives back what is claimed in it, page by page.
pub(super) struct Comparison<'a> {
    engine: &'a Engine,
    depth: Depth,
    no: TargetNo,
    place: FolderId,
    pages: Option<BoxStream<Result<Vec<Existing>>>>,
    /// Announced with another size than expected: servers guess sizes, so only the content can tell.
    guessed: VecDeque<(MessageId, Stored)>,
    /// What the messages that are claimed were made from, in eight bytes each, as they say themselves.
    made_from: HashSet<u64>,
    /// The same of those that nobody claims.
    unclaimed: Vec<(MessageId, ContentDigest)>,
    sources: &'a Sources,
}

/// The source's folders, by their number in the ledger.
pub(super) type Sources = HashMap<FolderNo, (FolderId, String)>;

/// Messages that are read together.
const READ_MOST: usize = 200;

impl<'a> Comparison<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        depth: Depth,
        (no, place): (TargetNo, FolderId),
        sources: &'a Sources,
    ) -> Self {
        let probe = engine.probe(&place, depth);
        Self {
            engine,
            depth,
            no,
            place,
            pages: Some(engine.destination.existing(probe)),
            guessed: VecDeque::new(),
            made_from: HashSet::new(),
            unclaimed: Vec::new(),
            sources,
        }
    }

    /// The next messages; `None` when all were seen.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Compared>>> {
        self.engine.check_stop()?;
        if let Some(pages) = &mut self.pages {
            if let Some(page) = pages.next().await {
                return self.page(page?).await.map(Some);
            }
            // It may hold the only connection.
            self.pages = None;
        }
        if self.guessed.is_empty() {
            return Ok(None);
        }
        self.look_closer().await.map(Some)
    }

    async fn page(&mut self, page: Vec<Existing>) -> Result<Vec<Compared>> {
        let ids = page.iter().map(|existing| existing.id.clone()).collect();
        let claims = self.engine.ledger.claims(self.no, ids).await?;
        let mut out = Vec::with_capacity(page.len());
        for (existing, claim) in page.into_iter().zip(claims) {
            let given = existing.given;
            let Some((folder, id)) = claim else {
                let ours = given.map(|given| (existing.id.clone(), given));
                self.unclaimed.extend(ours);
                continue;
            };
            self.made_from.extend(given.map(head));
            let found = self.engine.ledger.items(folder, vec![id]).await?;
            for stored in found.into_iter().flatten() {
                let existing = existing.clone();
                let mut differs = Vec::new();
                if self.is_guess(&stored.row, &existing) {
                    self.guessed
                        .push_back((existing.id.clone(), stored.clone()));
                } else {
                    differs.extend(content(self.engine, &stored.row, &existing));
                }
                differs.extend(flags_and_date(self.engine, &stored.row, &existing));
                out.push(Compared {
                    stored,
                    existing,
                    differs,
                    again: false,
                    unread: false,
                });
            }
        }
        if self.depth >= Depth::Content && !self.engine.keeps_bytes() {
            meaning::compare(self.engine, self.sources, &mut out).await?;
        }
        Ok(out)
    }

    /// Copies too many, once all was seen: they say that they were made from a message whose copy is
    /// another, and with which row that is claimed.
    pub(super) async fn doubled(&mut self) -> Result<Vec<(ItemRow, MessageId)>> {
        self.unclaimed
            .retain(|(_, given)| self.made_from.contains(&head(*given)));
        let mut out = Vec::new();
        if self.unclaimed.is_empty() {
            return Ok(out);
        }
        let mut pages = self.engine.ledger.scan(Scan::target(self.no));
        while let Some(page) = pages.next().await {
            for stored in page? {
                let same = |(_, given): &(_, ContentDigest)| stored.row.digest == Some(*given);
                while let Some(at) = self.unclaimed.iter().position(same) {
                    let (id, _) = self.unclaimed.swap_remove(at);
                    out.push((stored.row.clone(), id));
                }
            }
        }
        Ok(out)
    }

    fn is_guess(&self, row: &ItemRow, existing: &Existing) -> bool {
        let other_size = existing.size.is_some_and(|size| size != row.size);
        other_size && self.depth < Depth::Content && self.engine.keeps_bytes()
    }

    /// Reads some of the messages whose announced size is another one than expected.
    async fn look_closer(&mut self) -> Result<Vec<Compared>> {
        let many = self.guessed.len().min(READ_MOST);
        let mut guessed: HashMap<MessageId, Stored> = self.guessed.drain(..many).collect();
        let mut ids: Vec<MessageId> = guessed.keys().cloned().collect();
        ids.sort();
        let mut out = Vec::with_capacity(many);
        for existing in settle::contents_of(self.engine, &self.place, &ids).await? {
            if let Some(stored) = guessed.remove(&existing.id) {
                let differs = content(self.engine, &stored.row, &existing);
                out.push(Compared {
                    differs: differs.into_iter().collect(),
                    stored,
                    existing,
                    again: true,
                    unread: false,
                });
            }
        }
        Ok(out)
    }
}

fn head(digest: ContentDigest) -> u64 {
    let first = digest.as_bytes().first_chunk::<8>().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

fn differs(row: &ItemRow, what: What, detail: String) -> Differs {
    let known = row
        .altered
        .iter()
        .any(|note| note.kind == what.alteration());
    Differs {
        what,
        detail,
        known,
    }
}

/// Whether the content is the one that was stored, as far as the destination keeps bytes; else whether
/// it was made from that one, as far as that is noted at it.
pub(super) fn content(engine: &Engine, row: &ItemRow, existing: &Existing) -> Option<Differs> {
    if !engine.keeps_bytes() {
        let (had, given) = (row.digest?, existing.given?);
        return (had != given).then(|| {
            let detail = format!("made from {had} expected, from {given} found");
            differs(row, What::Content, detail)
        });
    }
    if let Some(size) = existing.size.filter(|size| *size != row.size) {
        let detail = format!("{} bytes expected, {size} found", row.size);
        return Some(differs(row, What::Size, detail));
    }
    let (had, has) = (row.digest?, existing.digest?);
    (had != has).then(|| {
        let detail = format!("{had} expected, {has} found");
        differs(row, What::Content, detail)
    })
}

fn flags_and_date(engine: &Engine, row: &ItemRow, existing: &Existing) -> Vec<Differs> {
    let mut out = Vec::new();
    let flags = row.accepted.as_ref().unwrap_or(&row.flags);
    if engine.options.flags && *flags != existing.flags {
        let detail = format!("({flags}) expected, ({}) found", existing.flags);
        // What the destination dropped is no longer among what it accepted.
        out.push(Differs {
            known: false,
            ..differs(row, What::Flags, detail)
        });
    }
    out.extend(date(engine, row, existing));
    out
}

/// Whether the received date is the one that was given. That of a message which was there already
/// is its own.
pub(super) fn date(engine: &Engine, row: &ItemRow, existing: &Existing) -> Option<Differs> {
    let (had, has) = (row.received?, existing.received?);
    let sent = row.state != ItemState::AlreadyThere && engine.to.keeps_received;
    (sent && had != has).then(|| {
        let detail = format!("{had} expected, {has} found");
        differs(row, What::Received, detail)
    })
}
