//! The tables of one ledger in memory. A commit keeps an undo log, so that one that fails in the
//! middle leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::conflict;
use crate::{
    checkpoint::{
        Count, FolderNo, FolderRow, Intent, ItemRow, Record, Scan, Stored, TargetNo, TargetRow,
    },
    destination::Existing,
    error::{Error, ErrorKind, Result},
    identity::HeaderDigest,
    model::{ContentId, MessageId},
};

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) meta: BTreeMap<String, String>,
    pub(super) folders: BTreeMap<FolderNo, FolderRow>,
    pub(super) targets: BTreeMap<TargetNo, TargetRow>,
    pub(super) intents: BTreeMap<u64, Intent>,
    rows: Vec<ItemRow>,
    /// Row numbers of each folder, rising.
    by_folder: HashMap<FolderNo, Vec<usize>>,
    numbers: HashMap<(FolderNo, MessageId), usize>,
    claims: HashMap<(TargetNo, MessageId), usize>,
    contents: HashMap<ContentId, BTreeSet<usize>>,
    /// In the order they were recorded.
    unclaimed: BTreeMap<(TargetNo, u64), Existing>,
    unclaimed_ids: HashMap<(TargetNo, MessageId), u64>,
    /// For candidates; those without a header are not in it.
    unclaimed_headers: BTreeMap<(TargetNo, HeaderDigest, u64), ()>,
    next_unclaimed: u64,
}

/// How to take a change back.
enum Undo {
    Meta(String, Option<String>),
    Folder(FolderNo, Option<FolderRow>),
    Target(TargetNo, Option<TargetRow>),
    Intent(u64, Option<Intent>),
    Row(usize, Option<Box<ItemRow>>),
    Added(TargetNo, MessageId),
    Removed(TargetNo, u64, Existing),
}

impl Tables {
    /// All records, or none.
    pub(super) fn apply(&mut self, records: Vec<Record>) -> Result<()> {
        let mut undo = Vec::with_capacity(records.len());
        let mut mentioned = Mentioned::default();
        let apply = || {
            for record in records {
                mentioned.note(&record);
                self.apply_one(record, &mut undo)?;
            }
            mentioned.check(self)
        };
        let result = apply();
        if result.is_err() {
            for change in undo.into_iter().rev() {
                self.take_back(change);
            }
        }
        result
    }

    fn apply_one(&mut self, record: Record, undo: &mut Vec<Undo>) -> Result<()> {
        match record {
            Record::Meta(key, value) => {
                let old = self.meta.insert(key.clone(), value);
                undo.push(Undo::Meta(key, old));
            }
            Record::Folder(mut row) => {
                row.exists = row.exists.map(bounded);
                let old = self.folders.insert(row.no, (*row).clone());
                undo.push(Undo::Folder(row.no, old));
            }
            Record::Target(mut row) => {
                row.messages = row.messages.map(bounded);
                let old = self.targets.insert(row.no, (*row).clone());
                undo.push(Undo::Target(row.no, old));
            }
            Record::Intent(intent) => {
                let old = self.intents.insert(intent.batch, (*intent).clone());
                undo.push(Undo::Intent(intent.batch, old));
            }
            Record::Close(batch) => {
                let old = self.intents.remove(&batch);
                undo.push(Undo::Intent(batch, old));
            }
            Record::Item(row) => self.put_item(*row, undo)?,
            Record::Gone(folder, id, gone) => {
                if let Some(number) = self.numbers.get(&(folder, id)).copied() {
                    self.change(number, undo, |row| row.gone = gone);
                }
            }
            Record::Unclaimed(target, existing) => self.add_unclaimed(target, *existing, undo),
        }
        Ok(())
    }

    fn put_item(&mut self, mut row: ItemRow, undo: &mut Vec<Undo>) -> Result<()> {
        row.size = bounded(row.size);
        let number = self.numbers.get(&(row.folder, row.id.clone())).copied();
        if let Some(claim) = &row.target {
            let holder = self.claims.get(claim).copied();
            if let Some(holder) = holder.filter(|holder| Some(*holder) != number) {
                let by = self.rows.get(holder).map_or_else(String::new, |row| {
                    format!("{} of folder {}", row.id, row.folder.0)
                });
                return Err(conflict(row.folder, &row.id, &claim.1, by));
            }
            if let Some(order) = self.unclaimed_ids.get(claim).copied() {
                self.remove_unclaimed(claim.0, order, undo);
            }
        }
        let number = number.unwrap_or(self.rows.len());
        let old = self.set_row(number, row);
        undo.push(Undo::Row(number, old.map(Box::new)));
        Ok(())
    }

    fn change(&mut self, number: usize, undo: &mut Vec<Undo>, change: impl FnOnce(&mut ItemRow)) {
        if let Some(old) = self.rows.get(number).cloned() {
            let mut row = old.clone();
            change(&mut row);
            self.set_row(number, row);
            undo.push(Undo::Row(number, Some(Box::new(old))));
        }
    }

    /// Writes a row and what follows from it. `number` is at most the number of rows.
    fn set_row(&mut self, number: usize, row: ItemRow) -> Option<ItemRow> {
        if let Some(claim) = &row.target {
            self.claims.insert(claim.clone(), number);
        }
        if let Some(place) = self.rows.get_mut(number) {
            let old = std::mem::replace(place, row);
            if old.target != place.target
                && let Some(claim) = &old.target
            {
                self.claims.remove(claim);
            }
            if old.content_id != place.content_id {
                let now = place.content_id.clone();
                self.forget_content(old.content_id.as_ref(), number);
                self.note_content(now, number);
            }
            return Some(old);
        }
        self.note_content(row.content_id.clone(), number);
        self.numbers.insert((row.folder, row.id.clone()), number);
        self.by_folder.entry(row.folder).or_default().push(number);
        self.rows.push(row);
        None
    }

    fn note_content(&mut self, id: Option<ContentId>, number: usize) {
        if let Some(id) = id {
            self.contents.entry(id).or_default().insert(number);
        }
    }

    fn forget_content(&mut self, id: Option<&ContentId>, number: usize) {
        if let Some(numbers) = id.and_then(|id| self.contents.get_mut(id)) {
            numbers.remove(&number);
        }
    }

    fn add_unclaimed(&mut self, target: TargetNo, mut existing: Existing, undo: &mut Vec<Undo>) {
        existing.size = existing.size.map(bounded);
        let key = (target, existing.id.clone());
        if self.claims.contains_key(&key) || self.unclaimed_ids.contains_key(&key) {
            return;
        }
        self.next_unclaimed += 1;
        undo.push(Undo::Added(target, existing.id.clone()));
        self.insert_unclaimed(target, self.next_unclaimed, existing);
    }

    fn insert_unclaimed(&mut self, target: TargetNo, order: u64, existing: Existing) {
        if let Some(header) = existing.header {
            self.unclaimed_headers.insert((target, header, order), ());
        }
        self.unclaimed_ids
            .insert((target, existing.id.clone()), order);
        self.unclaimed.insert((target, order), existing);
    }

    fn remove_unclaimed(&mut self, target: TargetNo, order: u64, undo: &mut Vec<Undo>) {
        if let Some(existing) = self.unclaimed.remove(&(target, order)) {
            self.unclaimed_ids.remove(&(target, existing.id.clone()));
            if let Some(header) = existing.header {
                self.unclaimed_headers.remove(&(target, header, order));
            }
            undo.push(Undo::Removed(target, order, existing));
        }
    }

    fn take_back(&mut self, change: Undo) {
        match change {
            Undo::Meta(key, old) => restore(&mut self.meta, key, old),
            Undo::Folder(no, old) => restore(&mut self.folders, no, old),
            Undo::Target(no, old) => restore(&mut self.targets, no, old),
            Undo::Intent(batch, old) => restore(&mut self.intents, batch, old),
            Undo::Row(number, Some(old)) => {
                self.set_row(number, *old);
            }
            // The log is taken back from its end, so a new row is the last one.
            Undo::Row(_, None) => self.pop_row(),
            Undo::Added(target, id) => {
                if let Some(order) = self.unclaimed_ids.get(&(target, id)).copied() {
                    self.remove_unclaimed(target, order, &mut Vec::new());
                }
            }
            Undo::Removed(target, order, existing) => {
                self.insert_unclaimed(target, order, existing);
            }
        }
    }

    fn pop_row(&mut self) {
        if let Some(row) = self.rows.pop() {
            if let Some(numbers) = self.by_folder.get_mut(&row.folder) {
                numbers.pop();
            }
            if let Some(claim) = &row.target {
                self.claims.remove(claim);
            }
            self.forget_content(row.content_id.as_ref(), self.rows.len());
            self.numbers.remove(&(row.folder, row.id));
        }
    }
}

/// As databases keep numbers; see the contract of the ledger.
fn bounded(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

fn restore<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, old: Option<V>) {
    match old {
        Some(old) => map.insert(key, old),
        None => map.remove(&key),
    };
}

/// Reading.
impl Tables {
    pub(super) fn item(&self, folder: FolderNo, id: MessageId) -> Option<Stored> {
        let number = *self.numbers.get(&(folder, id))?;
        Some(Stored::new(number as u64, self.rows.get(number)?.clone()))
    }

    pub(super) fn sharing(&self, id: &ContentId) -> Vec<Stored> {
        let numbers = self.contents.get(id).into_iter().flatten();
        let rows = numbers.filter_map(|n| Some(Stored::new(*n as u64, self.rows.get(*n)?.clone())));
        rows.collect()
    }

    pub(super) fn claim(&self, target: TargetNo, id: MessageId) -> Option<(FolderNo, MessageId)> {
        let row = self.rows.get(*self.claims.get(&(target, id))?)?;
        Some((row.folder, row.id.clone()))
    }

    pub(super) fn candidates(
        &self,
        target: TargetNo,
        header: HeaderDigest,
        size: Option<u64>,
    ) -> Vec<Existing> {
        let size = size.map(bounded);
        let range = (target, header, 0)..=(target, header, u64::MAX);
        let found = self.unclaimed_headers.range(range);
        let found = found.filter_map(|((_, _, order), ())| self.unclaimed.get(&(target, *order)));
        found
            .filter(|existing| size.is_none() || existing.size == size)
            .cloned()
            .collect()
    }

    pub(super) fn counts(&self, folder: FolderNo) -> Vec<Count> {
        let mut counts = BTreeMap::new();
        let rows = self.by_folder.get(&folder).into_iter().flatten();
        for row in rows.filter_map(|number| self.rows.get(*number)) {
            let sums: &mut (u64, u64) = counts.entry((row.state, row.pass, row.gone)).or_default();
            sums.0 += 1;
            sums.1 = sums.1.saturating_add(row.size);
        }
        let count = |((state, pass, gone), (messages, bytes))| {
            Count::new(state, pass, gone, messages, bytes)
        };
        counts.into_iter().map(count).collect()
    }

    /// Up to `limit` rows with a number above `after`.
    pub(super) fn page(&self, scan: &Scan, after: Option<u64>, limit: usize) -> Vec<Stored> {
        let start = after.map_or(0, |number| {
            usize::try_from(number).map_or(usize::MAX, |n| n.saturating_add(1))
        });
        let take = |number: usize| {
            let row = self.rows.get(number)?;
            matches(scan, row).then(|| Stored::new(number as u64, row.clone()))
        };
        match scan.folder {
            None => (start..self.rows.len())
                .filter_map(take)
                .take(limit)
                .collect(),
            Some(folder) => {
                let numbers = self.by_folder.get(&folder).map_or(&[][..], Vec::as_slice);
                let from = numbers.partition_point(|number| *number < start);
                let numbers = numbers.iter().skip(from).copied();
                numbers.filter_map(take).take(limit).collect()
            }
        }
    }
}

fn matches(scan: &Scan, row: &ItemRow) -> bool {
    scan.folder.is_none_or(|folder| row.folder == folder)
        && scan.gone.is_none_or(|gone| row.gone == gone)
        && (scan.states.is_empty() || scan.states.contains(&row.state))
        && scan
            .target
            .is_none_or(|target| row.target.as_ref().is_some_and(|claim| claim.0 == target))
}

/// Folders and targets that a commit refers to; they must exist when it ends.
#[derive(Default)]
struct Mentioned {
    folders: Vec<FolderNo>,
    targets: Vec<TargetNo>,
}

impl Mentioned {
    fn note(&mut self, record: &Record) {
        match record {
            Record::Folder(row) => self.targets.extend(row.target),
            Record::Item(row) => self.note_item(row),
            Record::Gone(folder, _, _) => self.folders.push(*folder),
            Record::Intent(intent) => {
                self.targets.push(intent.target);
                self.targets.extend(intent.moved_from);
                for row in &intent.items {
                    self.note_item(row);
                }
            }
            Record::Unclaimed(target, _) => self.targets.push(*target),
            Record::Meta(..) | Record::Target(_) | Record::Close(_) => {}
        }
    }

    fn note_item(&mut self, row: &ItemRow) {
        // Neighbours nearly always name the same folder.
        if self.folders.last() != Some(&row.folder) {
            self.folders.push(row.folder);
        }
        if let Some((target, _)) = &row.target
            && self.targets.last() != Some(target)
        {
            self.targets.push(*target);
        }
    }

    fn check(&self, tables: &Tables) -> Result<()> {
        let unknown = |what: &'static str, no: u32| {
            Error::new(ErrorKind::Bug, "a record refers to what was never recorded")
                .with_context(what, no.to_string())
        };
        let folder = self
            .folders
            .iter()
            .find(|no| !tables.folders.contains_key(no));
        let target = self
            .targets
            .iter()
            .find(|no| !tables.targets.contains_key(no));
        match (folder, target) {
            (Some(no), _) => Err(unknown("folder", no.0)),
            (None, Some(no)) => Err(unknown("target", no.0)),
            (None, None) => Ok(()),
        }
    }
}
