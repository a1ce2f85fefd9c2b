//! Changing messages that exist.

use std::collections::VecDeque;

use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    Error, ErrorKind, Result, Scope,
    destination::{FlagChange, Outcome, Receipt, Updater},
    model::{Alteration, AlterationKind, Flags, FolderId, MessageId},
    source::BoxStream,
};

use super::{
    MemoryMailbox, UpdateFault, failed,
    ids::{Id, epoch},
    list::flags_of,
    source::refused,
};
use crate::mailbox::{FlagOp, FolderInfo};

impl Updater for MemoryMailbox {
    fn set_flags(
        &self,
        folder: &FolderId,
        changes: Vec<FlagChange>,
    ) -> BoxStream<(MessageId, Outcome)> {
        let offered = self.can().sets_flags;
        let ids = changes.iter().map(|change| change.id.clone()).collect();
        let apply = move |mailbox: &Self, info: &FolderInfo, index: usize, uid: u32| {
            let Some(change) = changes.get(index) else {
                return Err(Error::new(ErrorKind::Bug, "no such change"));
            };
            mailbox.change_flags(info, uid, &change.add, &change.remove)
        };
        update(self.clone(), folder.clone(), ids, offered, apply)
    }

    fn relocate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let offered = self.can().moves && from != to;
        let to = to.clone();
        let apply = move |mailbox: &Self, info: &FolderInfo, _, uid: u32| {
            let target = mailbox.resolve(&to)?;
            if mailbox.state().moves_copy() {
                return mailbox.move_by_copying(info, uid, &target);
            }
            let moved = mailbox
                .account()
                .move_messages(info.id, &[uid], target.id)
                .map_err(|error| refused(&error))?;
            match moved.uids.first() {
                None => Err(missing()),
                Some((_, new)) => Ok(Receipt::new(Some(Id::write(&epoch(&target), *new)))),
            }
        };
        update(self.clone(), from.clone(), ids, offered, apply)
    }

    fn remove(&self, folder: &FolderId, ids: Vec<MessageId>) -> BoxStream<(MessageId, Outcome)> {
        let offered = self.can().removes;
        let apply = |mailbox: &Self, info: &FolderInfo, _, uid: u32| {
            let account = mailbox.account();
            if info.read_only {
                return Err(refused(&crate::mailbox::StoreError::ReadOnly));
            }
            let removed = account
                .remove(info.id, &[uid])
                .map_err(|error| refused(&error))?;
            if removed.is_empty() {
                Err(missing())
            } else {
                Ok(Receipt::new(None))
            }
        };
        update(self.clone(), folder.clone(), ids, offered, apply)
    }

    fn duplicate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        super::copy::copy(self.clone(), from.clone(), ids, to.clone())
    }
}

impl MemoryMailbox {
    fn move_by_copying(&self, info: &FolderInfo, uid: u32, to: &FolderInfo) -> Result<Receipt> {
        let copied = self.account().copy(info.id, &[uid], to.id);
        let copied = copied.map_err(|error| refused(&error))?;
        let (_, new) = copied.uids.first().ok_or_else(missing)?;
        let kept = Alteration::new(AlterationKind::OldPlaceKept, "as the test asked for");
        Ok(Receipt::new(Some(Id::write(&epoch(to), *new))).with_altered(vec![kept]))
    }

    fn change_flags(
        &self,
        info: &FolderInfo,
        uid: u32,
        add: &Flags,
        remove: &Flags,
    ) -> Result<Receipt> {
        let account = self.account();
        let (kept, _) = self.kept().split(add);
        for (op, flags) in [(FlagOp::Add, &kept), (FlagOp::Remove, remove)] {
            let names = flags.to_string();
            let names: Vec<&str> = names.split_ascii_whitespace().collect();
            if names.is_empty() {
                continue;
            }
            account
                .store(info.id, &[uid], op, &names, None)
                .map_err(|error| refused(&error))?;
        }
        // Shown by the server: silence would be no proof.
        let now = account.fetch(info.id, &[uid]).unwrap_or_default();
        let now = now.first().ok_or_else(missing)?;
        let id = Id::write(&epoch(info), uid);
        Ok(Receipt::new(Some(id)).with_flags(flags_of(now).0))
    }
}

pub(super) fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "the message does not exist any more")
        .with_scope(Scope::Message)
}

/// Applies a change to one message after the other, each when it is asked for.
fn update<F>(
    mailbox: MemoryMailbox,
    folder: FolderId,
    ids: Vec<MessageId>,
    offered: bool,
    apply: F,
) -> BoxStream<(MessageId, Outcome)>
where
    F: Fn(&MemoryMailbox, &FolderInfo, usize, u32) -> Result<Receipt> + Send + Sync + 'static,
{
    let run = async move {
        let begun = match mailbox.operation(|_| {}).await {
            Ok(()) if offered => Ok(()),
            Ok(()) => Err(mailbox.violation("an update that was not offered")),
            Err(error) => Err(error),
        };
        mailbox.state().counters.updates += ids.len() as u64;
        let one = move |mailbox: &MemoryMailbox, index: usize, id: &MessageId| {
            let info = mailbox.resolve(&folder)?;
            let uid = mailbox.uid(id, &epoch(&info))?;
            apply(mailbox, &info, index, uid)
        };
        let changing = Changing {
            mailbox,
            ids: ids.into_iter().enumerate().collect(),
            broken: begun.err(),
        };
        stream::unfold(changing, move |mut changing| {
            let answer = changing.next(&one);
            std::future::ready(answer.map(|answer| (answer, changing)))
        })
    };
    Box::pin(stream::once(run).flatten())
}

/// A request under way.
struct Changing {
    mailbox: MemoryMailbox,
    ids: VecDeque<(usize, MessageId)>,
    /// Why nothing more is asked for.
    broken: Option<Error>,
}

impl Changing {
    fn next(
        &mut self,
        one: &impl Fn(&MemoryMailbox, usize, &MessageId) -> Result<Receipt>,
    ) -> Option<(MessageId, Outcome)> {
        let (index, id) = self.ids.pop_front()?;
        if let Some(error) = &self.broken {
            let copy = Error::new(error.kind(), error.message().to_owned());
            return Some((id, Outcome::NotStored(copy)));
        }
        let fault = self.mailbox.state().update();
        let outcome = match fault {
            None => one(&self.mailbox, index, &id).map_or_else(Outcome::NotStored, Outcome::Stored),
            Some(UpdateFault::Refuse(kind)) => Outcome::NotStored(failed(kind)),
            Some(UpdateFault::Unknown { done } | UpdateFault::Ends { done }) => {
                if done {
                    // Nobody hears whether it worked.
                    let _ = one(&self.mailbox, index, &id);
                }
                if matches!(fault, Some(UpdateFault::Ends { .. })) {
                    return None;
                }
                let lost = || Error::new(ErrorKind::Interrupted, "the connection was lost");
                self.broken = Some(lost());
                Outcome::Unknown(lost())
            }
        };
        Some((id, outcome))
    }
}
