//! Enumerating what exists.

use std::{collections::VecDeque, sync::Arc};

use futures_util::stream;
use mailmove_core::{
    ErrorKind, Result,
    destination::{Depth, Existing, Probe},
    identity::{BodyHasher, HeaderDigest, MeaningReader},
    model::ContentDigest,
    source::BoxStream,
};

use super::{
    MemoryMailbox, failed,
    ids::{Id, epoch, marked},
    list::{flags_of, received_of},
    stale,
};
use crate::mailbox::{FolderId, Message};

struct Looking {
    mailbox: MemoryMailbox,
    probe: Probe,
    plan: Option<Plan>,
    done: bool,
}

struct Plan {
    folder: FolderId,
    epoch: String,
    uids: VecDeque<u32>,
    pages: u64,
    fails_after: Option<(u64, ErrorKind)>,
}

pub(super) fn existing(mailbox: MemoryMailbox, probe: Probe) -> BoxStream<Result<Vec<Existing>>> {
    let looking = Looking {
        mailbox,
        probe,
        plan: None,
        done: false,
    };
    Box::pin(stream::unfold(looking, |mut looking| async {
        if looking.done {
            return None;
        }
        let page = looking.page().await;
        looking.done |= page.is_err();
        Some((page, looking))
    }))
}

impl Looking {
    async fn page(&mut self) -> Result<Vec<Existing>> {
        let mut plan = match self.plan.take() {
            Some(plan) => {
                tokio::task::yield_now().await;
                plan
            }
            None => self.begin().await?,
        };
        if let Some((pages, kind)) = plan.fails_after
            && plan.pages >= pages
        {
            return Err(failed(kind));
        }
        plan.pages += 1;
        let account = self.mailbox.account();
        let now = account.folder_by_id(plan.folder);
        if !now.is_ok_and(|now| epoch(&now) == plan.epoch) {
            return Err(stale("the folder was renumbered while it was looked at"));
        }
        let size = self.mailbox.options.page.min(plan.uids.len());
        let uids: Vec<u32> = plan.uids.drain(..size).collect();
        let found = account
            .fetch(plan.folder, &uids)
            .map_err(|_| stale("the folder was removed"))?;
        let depth = self.probe.depth;
        let mut page: Vec<Existing> = found.iter().map(|m| seen(&plan.epoch, m, depth)).collect();
        if depth >= Depth::Content && !self.mailbox.options.capabilities.keeps_bytes {
            for (existing, message) in page.iter_mut().zip(&found) {
                let mut reader = MeaningReader::new();
                reader.update(&message.body);
                existing.meaning = Some(Arc::new(reader.finish()));
            }
        }
        if depth < Depth::Content {
            for existing in &mut page {
                existing.size = existing
                    .size
                    .map(|size| self.mailbox.state().size_hint(size));
            }
        }
        self.done = plan.uids.is_empty();
        self.plan = Some(plan);
        Ok(page)
    }

    async fn begin(&self) -> Result<Plan> {
        let mailbox = &self.mailbox;
        let probe = &self.probe;
        let contents = probe.depth >= Depth::Content;
        let count = if contents {
            |count: &mut super::Counters| {
                count.existing += 1;
                count.existing_contents += 1;
            }
        } else {
            |count: &mut super::Counters| count.existing += 1
        };
        mailbox.operation(count).await?;
        mailbox.merge_late();
        let info = mailbox.resolve(&probe.folder)?;
        let epoch = epoch(&info);
        let mut uids = mailbox
            .account()
            .uids(info.id)
            .map_err(|_| stale("the folder was removed"))?;
        if let Some(mark) = &probe.since {
            if mark.epoch.as_str() != epoch {
                return Err(stale("the mark is of another folder or numbering"));
            }
            let next = marked(mark)
                .ok_or_else(|| mailbox.violation(format!("{mark:?} is no mark of this adapter")))?;
            match (mailbox.state().forgot_marks, probe.exact) {
                (true, true) => return Err(stale("nobody knows any more since when that is")),
                (true, false) => {}
                (false, _) => uids.retain(|uid| *uid >= next),
            }
        }
        if let Some(ids) = &probe.ids {
            let wanted = ids
                .iter()
                .map(|id| mailbox.uid(id, &epoch))
                .collect::<Result<std::collections::BTreeSet<u32>>>()?;
            uids.retain(|uid| wanted.contains(uid));
        }
        Ok(Plan {
            folder: info.id,
            epoch,
            uids: uids.into(),
            pages: 0,
            fails_after: mailbox.state().existing_ends(contents),
        })
    }
}

/// As much of a message as that depth shows.
fn seen(epoch: &str, message: &Message, depth: Depth) -> Existing {
    let mut out = Existing::new(Id::write(epoch, message.uid));
    if depth >= Depth::Meta {
        out.size = Some(message.body.len() as u64);
        out.flags = flags_of(message).0;
        out.received = Some(received_of(message));
    }
    if depth >= Depth::Header {
        out.header = Some(HeaderDigest::of(&message.body));
    }
    if depth >= Depth::Content {
        out.digest = Some(ContentDigest::of(&message.body));
        let mut hasher = BodyHasher::new();
        hasher.update(&message.body);
        out.body = hasher.finish();
    }
    out
}
