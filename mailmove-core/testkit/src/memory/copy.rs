//! Copying from folder to folder.

use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    Error, ErrorKind, Result, Scope,
    destination::{Outcome, Receipt},
    model::{FolderId, MessageId},
    source::BoxStream,
};

use super::{
    MemoryMailbox, failed,
    fault::{AppendFault, Landing},
    ids::{Id, epoch},
    list::flags_of,
    source::refused,
    update::missing,
};
use crate::mailbox::{FolderInfo, NewMessage};

pub(super) fn copy(
    mailbox: MemoryMailbox,
    from: FolderId,
    ids: Vec<MessageId>,
    to: FolderId,
) -> BoxStream<(MessageId, Outcome)> {
    let run = async move {
        let begun = match mailbox.operation(|_| {}).await {
            Ok(()) if mailbox.can().copies => Ok(()),
            Ok(()) => Err(mailbox.violation("a copy that was not offered")),
            Err(error) => Err(error),
        };
        let mut broken = begun.err();
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let outcome = match &broken {
                Some(error) => Outcome::NotStored(Error::new(error.kind(), "not sent")),
                None => mailbox.copy_one(&from, &id, &to, &mut broken),
            };
            answers.push((id, outcome));
        }
        // Order means nothing.
        stream::iter(answers.into_iter().rev())
    };
    Box::pin(stream::once(run).flatten())
}

impl MemoryMailbox {
    fn copy_one(
        &self,
        from: &FolderId,
        id: &MessageId,
        to: &FolderId,
        broken: &mut Option<Error>,
    ) -> Outcome {
        let places = || -> Result<(FolderInfo, FolderInfo, u32)> {
            let (from, to) = (self.resolve(from)?, self.resolve(to)?);
            let uid = self.uid(id, &epoch(&from))?;
            Ok((from, to, uid))
        };
        let (from, to, uid) = match places() {
            Ok(places) => places,
            Err(error) => return Outcome::NotStored(error),
        };
        let fault = self.state().copy();
        match fault {
            // Copies are confirmed one by one: an id has nothing to repeat.
            None | Some(AppendFault::SameIds) => match self.copied(&from, uid, &to) {
                Ok(receipt) => Outcome::Stored(receipt),
                Err(error) => Outcome::NotStored(error),
            },
            Some(AppendFault::NoIds) => match self.copied(&from, uid, &to) {
                Ok(mut receipt) => {
                    receipt.id = None;
                    Outcome::Stored(receipt)
                }
                Err(error) => Outcome::NotStored(error),
            },
            Some(AppendFault::Refuse(kind)) => {
                let scope = Scope::Message.max(failed(kind).scope());
                Outcome::NotStored(failed(kind).with_scope(scope))
            }
            Some(
                AppendFault::Unknown(landing)
                | AppendFault::Ends(landing)
                | AppendFault::Hangs(landing),
            ) => {
                self.land_copy(landing, &from, uid, &to);
                let lost = || Error::new(ErrorKind::Interrupted, "the connection was lost");
                *broken = Some(lost());
                Outcome::Unknown(lost())
            }
        }
    }

    fn copied(&self, from: &FolderInfo, uid: u32, to: &FolderInfo) -> Result<Receipt> {
        let account = self.account();
        let original = account.fetch(from.id, &[uid]).unwrap_or_default();
        let original = original.first().ok_or_else(missing)?;
        let copied = account
            .copy(from.id, &[uid], to.id)
            .map_err(|error| refused(&error))?;
        let new = copied.uids.first().map(|(_, new)| *new);
        let id = new.map(|new| Id::write(&epoch(to), new));
        let id = id.filter(|_| self.can().returns_ids);
        Ok(Receipt::new(id).with_flags(flags_of(original).0))
    }

    /// What nobody hears of.
    fn land_copy(&self, landing: Landing, from: &FolderInfo, uid: u32, to: &FolderInfo) {
        let account = self.account();
        match landing {
            Landing::Lost => {}
            Landing::Stored => {
                let _ = account.copy(from.id, &[uid], to.id);
            }
            later => {
                let found = account.fetch(from.id, &[uid]).unwrap_or_default();
                let messages = found.into_iter().map(|message| {
                    NewMessage::new(message.body)
                        .with_flags(message.flags.iter())
                        .with_date(message.date)
                });
                let messages = messages.collect();
                self.state().send_late(later, to.id, messages);
            }
        }
    }
}
