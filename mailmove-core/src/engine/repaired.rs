//! A message that was refused is tried once more, repaired.

use futures_util::StreamExt as _;

use super::{
    Engine,
    deliver::Sender,
    dispatch::put,
    fetch::{HEADER_MOST, converted},
    lane::Lane,
    produce::Work,
};
use crate::{
    checkpoint::{Intent, ItemRow, ItemState, Original, Record},
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Alteration, AlterationKind, Content, Form},
    options::RepairPolicy,
    repair,
    report::{MOST_LISTED, RepairedMessage},
    source::{FetchRequest, Fetched},
};

/// A message before it was repaired, and what the destination said to it.
#[derive(Debug)]
pub(super) struct Unrepaired {
    pub(super) content: Content,
    pub(super) error: Error,
}

impl Work {
    /// It as it came.
    pub(super) fn unmended(mut self) -> Self {
        if let Some(before) = self.before.take() {
            self.row.restore();
            self.content = before.content;
        }
        self
    }
}

impl Engine {
    pub(super) fn repairs(&self) -> bool {
        self.options.repair == RepairPolicy::AfterRefusal
    }

    /// The repaired form of a message, and its row: digests and size are those of what is sent.
    /// `None` if nothing can be repaired.
    pub(super) async fn mended(
        &self,
        row: &ItemRow,
        content: &Content,
        why: &str,
    ) -> Result<Option<(ItemRow, Content)>> {
        if content.size() > repair::LARGEST {
            return Ok(None);
        }
        let _turn = self.repairing.lock().await;
        let mut bytes = Vec::with_capacity(usize::try_from(content.size()).unwrap_or(0));
        let mut reader = content.reader();
        while let Some(piece) = reader.next().await? {
            bytes.extend_from_slice(&piece);
        }
        let repaired = tokio::task::spawn_blocking(move || repair::repair(&bytes)).await;
        let repaired = repaired.map_err(|error| {
            Error::new(ErrorKind::Bug, "repairing a message failed").with_source(error)
        })?;
        let Some(repaired) = repaired else {
            return Ok(None);
        };
        let size = repaired.bytes.len() as u64;
        if self.to.max_message.is_some_and(|most| size > most) {
            return Ok(None);
        }
        let mut writer = self.edges.spool.writer(size)?;
        writer.write(&repaired.bytes)?;
        let now = writer.finish();
        let mut row = row.clone();
        row.restore();
        row.original = Some(Original::new(content.digest(), content.size(), row.header));
        row.size = now.size();
        row.digest = Some(now.digest());
        row.header = Some(HeaderDigest::of(&now.prefix(HEADER_MOST).await?));
        let detail = format!("{}{why}", repaired.describe());
        let note = Alteration::new(AlterationKind::ContentRepaired, detail);
        row.altered.push(note);
        Ok(Some((row, now)))
    }

    /// The same for one of an earlier run, which could not tell of it any more.
    pub(super) fn arrived_repaired(&self, folder: &crate::model::FolderPath, row: &ItemRow) {
        if row.state.is_final() {
            self.tell_repaired(folder, std::slice::from_ref(row));
            self.note(row.folder, |notes| {
                *notes
                    .altered
                    .entry(AlterationKind::ContentRepaired)
                    .or_default() += 1;
            });
        }
    }

    /// Has the report tell of messages that arrived repaired.
    pub(super) fn tell_repaired(&self, folder: &crate::model::FolderPath, rows: &[ItemRow]) {
        let arrived = rows.iter().filter(|row| {
            matches!(
                row.state,
                ItemState::Copied | ItemState::AlreadyThere | ItemState::Unnamed
            )
        });
        for row in arrived {
            let Some(original) = row.original else {
                continue;
            };
            let of_repair = |note: &&Alteration| note.kind == AlterationKind::ContentRepaired;
            let what = row.altered.iter().find(of_repair);
            // Else it went in another form.
            if what.is_none() {
                continue;
            }
            let told = RepairedMessage {
                folder: folder.clone(),
                message: self.source.describe(&row.id),
                what: what.map(|note| note.detail.clone()).unwrap_or_default(),
                original: original.digest,
                sent: row.digest,
            };
            let mut notes = self.notes();
            if notes.repaired.len() < MOST_LISTED && !notes.repaired.contains(&told) {
                notes.repaired.push(told);
            }
        }
    }
}

impl Sender {
    /// A message that was refused for itself, as it was.
    fn is_to_be_mended(&self, work: &Work, error: &Error) -> bool {
        self.engine.repairs()
            && work.content.form() == Form::Mime
            && error.kind() == ErrorKind::Refused
            && error.scope() == Scope::Message
            && work.before.is_none()
    }

    /// Says so, if a message was refused that might have been repaired if it were smaller.
    pub(super) fn too_large_to_mend(&self, work: &Work, error: Error) -> Error {
        if work.content.size() <= repair::LARGEST || !self.is_to_be_mended(work, &error) {
            return error;
        }
        let most = repair::LARGEST >> 20;
        let ours =
            format!("Messages of more than {most} MiB are not repaired: save this one by hand.");
        let remedy = match error.remedy() {
            Some(own) => format!("{own} {ours}"),
            None => ours,
        };
        error
            .with_context("not repaired", format!("it has more than {most} MiB"))
            .with_remedy(remedy)
    }

    /// The repaired form of a message that was refused for itself.
    pub(super) async fn mend(
        &self,
        lane: &Lane,
        work: &Work,
        error: &Error,
    ) -> Result<Option<Work>> {
        if work.content.form() != Form::Mime {
            return self.as_mime(lane, work, error).await;
        }
        if !self.is_to_be_mended(work, error) {
            return Ok(None);
        }
        let why = format!(" (refused as it was: {})", error.code());
        let mended = self.engine.mended(&work.row, &work.content, &why).await?;
        Ok(mended.map(|(row, content)| Work {
            row,
            content,
            doubts: 0,
            before: None,
        }))
    }

    /// An item as MIME, whose export was refused.
    async fn as_mime(&self, lane: &Lane, work: &Work, error: &Error) -> Result<Option<Work>> {
        if error.scope() > Scope::Message {
            return Ok(None);
        }
        let folder = lane.folder.id.clone();
        let identity = lane.folder.identity.as_str();
        let request = FetchRequest::new(folder, identity, vec![work.row.id.clone()]);
        let Some((_, Fetched::Content(content))) = self.engine.source.fetch(request).next().await
        else {
            return Ok(None);
        };
        let mut row = work.row.clone();
        row.restore();
        let given = &work.content;
        row.original = Some(Original::new(given.digest(), given.size(), row.header));
        row.size = content.size();
        row.digest = Some(content.digest());
        row.altered.push(converted(error.code()));
        Ok(Some(Work {
            row,
            content,
            doubts: 0,
            before: None,
        }))
    }

    /// Before repaired messages are sent: what may appear at the destination from now on are these; of
    /// the originals it is proven that they were not stored.
    pub(super) async fn intend_mended(&self, intent: &mut Intent, mended: &[Work]) -> Result<()> {
        for work in mended {
            put(&mut intent.items, &work.row);
        }
        let record = Record::Intent(Box::new(intent.clone()));
        self.engine.ledger.commit(vec![record]).await
    }

    /// Records a message as failed: as it came, whatever was tried.
    pub(super) async fn give_up(&self, lane: &Lane, work: Work, error: &Error) -> ItemRow {
        let mut row = work.row;
        match work.before {
            None => {
                let content = Some(&work.content);
                self.engine.give_up(lane, &mut row, error, content).await;
            }
            Some(before) => {
                let Unrepaired {
                    content,
                    error: first,
                } = *before;
                let error = first.with_context("repaired", error.chain());
                // An export is of no use to anybody but Exchange.
                let kept = match content.form() {
                    Form::Mime => &content,
                    _ => &work.content,
                };
                self.engine
                    .give_up(lane, &mut row, &error, Some(kept))
                    .await;
            }
        }
        row
    }
}
