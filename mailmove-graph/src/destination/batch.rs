//! Storing a batch: each message in the way that is its own, in their order. Exports come last.

use std::sync::Arc;

use mailmove_core::{
    destination::{Batch, Fence, Outcome, Outgoing},
    error::{Error, Scope},
    model::{Alteration, AlterationKind, FolderId, Form, Slot},
};

use super::{
    Inner, append,
    drafts::{self, Turn},
    import, is_other_epoch,
    prepare::{self, Ready},
    stale,
};
use crate::{
    error, folders,
    generate::Out,
    pool::{BATCH_BYTES, BATCH_ITEMS},
};

type Stored = (Slot, Outcome);

/// Stores a batch, in as many requests as it takes.
pub(super) async fn run(inner: &Arc<Inner>, batch: Batch, out: &Out<Stored>) {
    let Batch {
        folder,
        mark,
        items,
        fence,
        ..
    } = batch;
    if is_other_epoch(&mark, &folder) {
        let all = (0..items.len()).map(|at| (Slot::new(at), Outcome::NotStored(stale())));
        return out.send_all(all).await;
    }
    *inner.fence() = Some(Arc::downgrade(&fence));
    let mailbox = match folders::open(&inner.pool).await {
        Ok(opened) => opened.mailbox,
        Err(error) => {
            let none = |at| (Slot::new(at), Outcome::NotStored(error::again(&error)));
            return out.send_all((0..items.len()).map(none)).await;
        }
    };
    let mut run = Run {
        inner,
        folder: &folder,
        mailbox,
        fence: &*fence,
        out,
        ready: Vec::new(),
        stopped: None,
    };
    let mut exports = Vec::new();
    let mut turn = Turn::new(inner, &folder, mailbox, &*fence);
    for (at, outgoing) in items.into_iter().enumerate() {
        let slot = Slot::new(at);
        if outgoing.form == Form::ExchangeStream {
            exports.push((slot, outgoing));
        } else if drafts::is_one(&outgoing, &inner.writing) {
            run.draft(&mut turn, slot, outgoing).await;
        } else {
            run.fields(slot, outgoing, None).await;
        }
    }
    run.send().await;
    turn.end().await;
    run.exports(&exports).await;
}

/// A batch on its way.
struct Run<'a> {
    inner: &'a Inner,
    folder: &'a FolderId,
    mailbox: u64,
    fence: &'a dyn Fence,
    out: &'a Out<Stored>,
    /// Those that are made of fields, and go together.
    ready: Vec<(Slot, Ready)>,
    /// What stops the account stops what was not sent.
    stopped: Option<Error>,
}

impl Run<'_> {
    /// One that is made of fields. Of a draft that should have gone as MIME the reason is noted that it did not.
    async fn fields(&mut self, slot: Slot, outgoing: Outgoing, why: Option<Error>) {
        match prepare::prepare(outgoing, &self.inner.writing, self.mailbox).await {
            Ok(mut one) => {
                let note = why.map(|why| format!("as fields ({})", why.code()));
                let note = note.map(|note| Alteration::new(AlterationKind::Converted, note));
                one.altered.extend(note);
                self.ready.push((slot, one));
            }
            Err(error) => self.out.send((slot, Outcome::NotStored(error))).await,
        }
    }

    /// One that goes as MIME, behind all that come before it.
    async fn draft(&mut self, turn: &mut Turn<'_>, slot: Slot, outgoing: Outgoing) {
        self.send().await;
        let outcome = match &self.stopped {
            Some(error) => error::outcome(error, false),
            None => match turn.store(&outgoing).await {
                Ok(outcome) => outcome,
                Err(unfit) => return self.fields(slot, outgoing, Some(unfit)).await,
            },
        };
        self.stopped = self.stopped.take().or_else(|| stops(&outcome));
        self.out.send((slot, outcome)).await;
    }

    /// Sends those that are made of fields.
    async fn send(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        let mut rest = ready.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest));
            rest = later;
            let outcomes = match &self.stopped {
                Some(error) => {
                    let all = now.iter();
                    all.map(|(slot, _)| (*slot, error::outcome(error, false)))
                        .collect()
                }
                None => append::send(self.inner, self.folder, now, self.fence).await,
            };
            let mut all = outcomes.iter();
            let stopped = self.stopped.take();
            self.stopped = stopped.or_else(|| all.find_map(|(_, outcome)| stops(outcome)));
            self.out.send_all(outcomes).await;
        }
    }

    async fn exports(&self, exports: &[(Slot, Outgoing)]) {
        let outcomes = match &self.stopped {
            Some(error) => {
                let all = exports.iter();
                all.map(|(slot, _)| (*slot, error::outcome(error, false)))
                    .collect()
            }
            None => import::run(self.inner, self.folder, self.mailbox, exports, self.fence).await,
        };
        self.out.send_all(outcomes).await;
    }
}

/// How many of these fit into a request; at least one.
fn fitting(ready: &[(Slot, Ready)]) -> usize {
    let mut bytes = 0_u64;
    let fits = ready.iter().take_while(|(_, one)| {
        bytes = bytes.saturating_add(one.bytes as u64 + 2000);
        bytes <= BATCH_BYTES
    });
    fits.count().clamp(1, BATCH_ITEMS)
}

/// What keeps others from being sent, too.
pub(super) fn stops(outcome: &Outcome) -> Option<Error> {
    match outcome {
        Outcome::NotStored(error) | Outcome::Unknown(error) if error.scope() >= Scope::Folder => {
            Some(error::again(error))
        }
        _ => None,
    }
}
