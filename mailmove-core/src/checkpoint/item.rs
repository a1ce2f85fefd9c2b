//! What the ledger keeps of a message.

use serde::{Deserialize, Serialize};

use super::{FolderNo, ItemState, TargetNo};
use crate::{
    identity::HeaderDigest,
    model::{Alteration, AlterationKind, ContentDigest, ContentId, Flags, MessageId, Timestamp},
};

/// A message in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ItemRow {
    /// The source folder.
    pub folder: FolderNo,
    /// Its id there.
    pub id: MessageId,
    /// What became of it.
    pub state: ItemState,
    /// Why: an error's code, or the rule that excludes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Exact size once fetched, the server's word before; of what was sent, if it was repaired.
    pub size: u64,
    /// When the source received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// The source's flags that were last dealt with.
    pub flags: Flags,
    /// The flags that the destination accepted, where they differ from `flags`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Flags>,
    /// Digest of its content, once fetched; of what was sent, if it was repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<ContentDigest>,
    /// Digest of its header, once computed; of what was sent, if it was repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderDigest>,
    /// What the source holds, where something else was sent: a repaired form of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Original>,
    /// Its content's name, if the source has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<ContentId>,
    /// The destination message that it claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<(TargetNo, MessageId)>,
    /// The pass in which it got its state.
    pub pass: u32,
    /// Failed attempts so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// It no longer exists at the source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// It was sent again although its first append was never proven absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resent: bool,
    /// What did not arrive as it left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub altered: Vec<Alteration>,
    /// Where its [dead letter](crate::dead_letter) is kept, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A message as the source holds it, where the destination was given a repaired form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Original {
    /// Digest of its content.
    pub digest: ContentDigest,
    /// Its size in bytes.
    pub size: u64,
    /// Digest of its header.
    pub header: Option<HeaderDigest>,
}

impl Original {
    /// A message with these digests and that size.
    #[must_use]
    pub fn new(digest: ContentDigest, size: u64, header: Option<HeaderDigest>) -> Self {
        Self {
            digest,
            size,
            header,
        }
    }
}

impl ItemRow {
    /// A message that nothing was done with yet.
    #[must_use]
    pub fn new(folder: FolderNo, id: MessageId) -> Self {
        Self {
            folder,
            id,
            state: ItemState::Pending,
            code: None,
            size: 0,
            received: None,
            flags: Flags::new(),
            accepted: None,
            digest: None,
            header: None,
            original: None,
            content_id: None,
            target: None,
            pass: 0,
            attempts: 0,
            gone: false,
            resent: false,
            altered: Vec::new(),
            dead_letter: None,
        }
    }

    /// Digest of the content as the source holds it, once fetched.
    #[must_use]
    pub fn source_digest(&self) -> Option<ContentDigest> {
        self.original.map_or(self.digest, |one| Some(one.digest))
    }

    /// Digest of the header as the source holds it, once computed.
    #[must_use]
    pub fn source_header(&self) -> Option<HeaderDigest> {
        self.original.map_or(self.header, |one| one.header)
    }

    /// Its size at the source.
    #[must_use]
    pub fn source_size(&self) -> u64 {
        self.original.map_or(self.size, |one| one.size)
    }

    /// Forgets that it was repaired, or went in another form: it is what the source holds.
    pub fn restore(&mut self) {
        if let Some(original) = self.original.take() {
            self.digest = Some(original.digest);
            self.size = original.size;
            self.header = original.header;
        }
        self.altered.retain(|note| {
            !matches!(
                note.kind,
                AlterationKind::ContentRepaired | AlterationKind::Converted
            )
        });
    }

    /// True if the destination folded it into an equal message that another row claims.
    #[must_use]
    pub fn merged(&self) -> bool {
        let merged = |note: &Alteration| note.kind == AlterationKind::MergedByServer;
        self.altered.iter().any(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repaired_row_knows_what_the_source_holds() {
        let (was, is) = (ContentDigest::of(b"was"), ContentDigest::of(b"is"));
        let header = HeaderDigest::of(b"Subject: was");
        let mut row = ItemRow::new(FolderNo(0), MessageId::new("1"));
        (row.digest, row.size) = (Some(is), 2);
        let at_the_source = |row: &ItemRow| {
            let (digest, header) = (row.source_digest(), row.source_header());
            (digest, header, row.source_size())
        };
        assert_eq!(at_the_source(&row), (Some(is), None, 2));
        row.original = Some(Original::new(was, 3, Some(header)));
        let others = [AlterationKind::MergedByServer, AlterationKind::DateReplaced];
        let kinds = [AlterationKind::ContentRepaired].into_iter().chain(others);
        row.altered = kinds.map(|kind| Alteration::new(kind, "")).collect();
        assert_eq!(at_the_source(&row), (Some(was), Some(header), 3));
        assert!(row.merged());
        row.restore();
        assert_eq!(
            (row.digest, row.header, row.size),
            (Some(was), Some(header), 3)
        );
        assert_eq!(row.original, None);
        let left: Vec<_> = row.altered.iter().map(|note| note.kind).collect();
        assert_eq!(left, others);
        row.altered.remove(0);
        assert!(!row.merged());
    }

    #[test]
    fn what_is_as_in_a_new_row_is_not_written() {
        let mut row = ItemRow::new(FolderNo(3), MessageId::new("1"));
        let text = r#"{"folder":3,"id":"1","state":"pending","size":0,"flags":"","pass":0}"#;
        let written = |row: &ItemRow| serde_json::to_string(row).unwrap();
        let read = |text: &str| serde_json::from_str::<ItemRow>(text).unwrap();
        assert_eq!((written(&row).as_str(), read(text)), (text, row.clone()));
        (row.gone, row.resent, row.attempts) = (true, true, 2);
        row.target = Some((TargetNo(1), MessageId::new("2")));
        row.altered = vec![Alteration::new(AlterationKind::DateReplaced, "x")];
        assert_eq!(read(&written(&row)), row);
    }
}
