//! Storing a batch.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use mailmove_core::{
    Error, ErrorKind, Result, Scope,
    destination::{Batch, Outcome, Outgoing, Receipt},
    model::{Alteration, AlterationKind, Content, Flags, Form, ItemClass, Slot},
    source::BoxStream,
};

use super::{
    MemoryMailbox, failed,
    fault::{AppendFault, Landing},
    ids::{Id, epoch},
    source::refused,
    stale, streams,
};
use crate::mailbox::{FolderInfo, InternalDate, NewMessage};

pub(super) fn append(mailbox: MemoryMailbox, batch: Batch) -> BoxStream<(Slot, Outcome)> {
    let appending = Appending {
        running: None,
        mailbox,
        slots: (0..batch.items.len()).map(Slot::new).collect(),
        batch,
        ready: VecDeque::new(),
        ended: false,
    };
    Box::pin(stream::unfold(appending, |mut appending| async {
        let answer = appending.next().await?;
        Some((answer, appending))
    }))
}

struct Appending {
    mailbox: MemoryMailbox,
    batch: Batch,
    /// Slots that were not sent yet.
    slots: VecDeque<Slot>,
    ready: VecDeque<(Slot, Outcome)>,
    running: Option<Running>,
    ended: bool,
}

/// Counts an append as running until it is dropped.
struct Running(MemoryMailbox);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state().append_ends();
    }
}

/// A message ready to be stored, and what the receipt has to say.
struct Prepared {
    message: NewMessage,
    kept: Flags,
    altered: Vec<Alteration>,
}

impl Appending {
    async fn next(&mut self) -> Option<(Slot, Outcome)> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Some(answer);
            }
            if self.ended || self.slots.is_empty() {
                return None;
            }
            if let Err(error) = self.step().await {
                self.refuse_rest(&error);
            }
        }
    }

    /// Sends one request: the whole batch if batches are atomic, else one message.
    async fn step(&mut self) -> Result<()> {
        let mailbox = self.mailbox.clone();
        if self.running.is_none() {
            mailbox.state().append_begins();
            self.running = Some(Running(mailbox.clone()));
            mailbox.operation(|_| {}).await?;
            self.check_contract()?;
        } else {
            tokio::task::yield_now().await;
        }
        let info = mailbox.resolve(&self.batch.folder)?;
        if self.batch.mark.epoch.as_str() != epoch(&info) {
            return Err(stale(
                "the folder was numbered anew since its mark was taken",
            ));
        }
        let count = if mailbox.can().batching.atomic {
            self.slots.len()
        } else {
            1
        };
        let mut prepared = Vec::with_capacity(count);
        for slot in self.slots.iter().take(count) {
            let Some(item) = self.batch.items.get(slot.index()) else {
                continue;
            };
            match prepare(&mailbox, item).await {
                Ok(one) => prepared.push(one),
                // It costs the request that it is in.
                Err(error) if error.scope() == Scope::Message => {
                    let slots: Vec<Slot> = self.slots.drain(..count).collect();
                    self.answer(&slots, || Outcome::NotStored(damaged()));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.batch.fence.check()?;
        let slots: Vec<Slot> = self.slots.drain(..count).collect();
        self.send(&info, &slots, prepared).await;
        Ok(())
    }

    fn check_contract(&self) -> Result<()> {
        let can = self.mailbox.can();
        let items = &self.batch.items;
        let bytes: u64 = items.iter().map(|item| item.content.size()).sum();
        let fault = if items.len() > can.batching.max_items {
            format!("a batch of {} messages", items.len())
        } else if bytes > can.batching.max_bytes && items.len() > 1 {
            format!("a batch of {bytes} bytes")
        } else if items
            .iter()
            .any(|i| !can.forms.contains(&i.form) || i.class != ItemClass::Mail)
        {
            "a batch with a class or form that was not offered".to_owned()
        } else {
            return Ok(());
        };
        Err(self.mailbox.violation(fault))
    }

    async fn send(&mut self, info: &FolderInfo, slots: &[Slot], prepared: Vec<Prepared>) {
        // The first message with a fault decides for a request as a whole.
        let fault = {
            let mut state = self.mailbox.state();
            let items = slots.iter().filter_map(|s| self.batch.items.get(s.index()));
            let faults: Vec<_> = items.filter_map(|item| state.append(item)).collect();
            faults.into_iter().next()
        };
        match fault {
            None => self.store(info, slots, prepared, None),
            Some(odd @ (AppendFault::NoIds | AppendFault::SameIds)) => {
                self.store(info, slots, prepared, Some(odd));
            }
            Some(AppendFault::Refuse(kind)) => self.answer(slots, || {
                let scope = mailmove_core::Scope::Message;
                Outcome::NotStored(failed(kind).with_scope(match kind {
                    ErrorKind::Refused | ErrorKind::TooLarge => scope,
                    _ => failed(kind).scope(),
                }))
            }),
            Some(AppendFault::Unknown(landing)) => {
                self.land(landing, info, prepared);
                self.answer(slots, || Outcome::Unknown(lost("after it was sent")));
                self.refuse_rest(&lost("before the message was sent"));
            }
            Some(AppendFault::Ends(landing)) => {
                self.land(landing, info, prepared);
                self.ended = true;
            }
            Some(AppendFault::Hangs(landing)) => {
                self.land(landing, info, prepared);
                std::future::pending::<()>().await;
            }
        }
    }

    fn land(&self, landing: Landing, info: &FolderInfo, prepared: Vec<Prepared>) {
        let messages: Vec<NewMessage> = prepared.into_iter().map(|p| p.message).collect();
        match landing {
            Landing::Lost => {}
            Landing::Stored => {
                // If the server refuses it after all, nobody hears of it.
                let _ = self.mailbox.account().append(info.id, messages);
            }
            later => self.mailbox.state().send_late(later, info.id, messages),
        }
    }

    fn store(
        &mut self,
        info: &FolderInfo,
        slots: &[Slot],
        prepared: Vec<Prepared>,
        odd: Option<AppendFault>,
    ) {
        if self.mailbox.options.merges {
            return self.merge(info, slots, prepared);
        }
        let (messages, notes): (Vec<_>, Vec<_>) = prepared
            .into_iter()
            .map(|p| (p.message, (p.kept, p.altered)))
            .unzip();
        match self.mailbox.account().append(info.id, messages) {
            Err(error) => self.answer(slots, || Outcome::NotStored(refused(&error))),
            Ok(landed) => {
                let mut now = info.clone();
                now.uid_validity = landed.uid_validity;
                let first = landed.uids.first().copied().unwrap_or_default();
                let answers = slots.iter().zip(landed.uids).zip(notes);
                let answers: Vec<_> = answers
                    .map(|((slot, uid), (kept, altered))| {
                        let same = odd == Some(AppendFault::SameIds);
                        let uid = if same { first } else { uid };
                        let mut receipt = self.receipt(&now, uid, kept, altered);
                        if odd == Some(AppendFault::NoIds) {
                            receipt.id = None;
                        }
                        (*slot, Outcome::Stored(receipt))
                    })
                    .collect();
                // The last slot first: order means nothing.
                self.ready.extend(answers.into_iter().rev());
            }
        }
    }

    /// Stores what is not there yet, and says of the rest that it is.
    fn merge(&mut self, info: &FolderInfo, slots: &[Slot], prepared: Vec<Prepared>) {
        for (slot, one) in slots.iter().zip(prepared) {
            let account = self.mailbox.account();
            let there = account.messages(info.id).unwrap_or_default();
            let same = there.iter().find(|m| m.body == one.message.body);
            let outcome = match same {
                Some(same) => {
                    let merged = Alteration::new(AlterationKind::MergedByServer, "");
                    let receipt = self.receipt(info, same.uid, one.kept, vec![merged]);
                    Outcome::AlreadyThere(receipt)
                }
                None => match account.append(info.id, vec![one.message]) {
                    Err(error) => Outcome::NotStored(refused(&error)),
                    Ok(landed) => {
                        let uid = landed.uids.first().copied().unwrap_or_default();
                        Outcome::Stored(self.receipt(info, uid, one.kept, one.altered))
                    }
                },
            };
            self.ready.push_back((*slot, outcome));
        }
    }

    fn receipt(
        &self,
        info: &FolderInfo,
        uid: u32,
        kept: Flags,
        altered: Vec<Alteration>,
    ) -> Receipt {
        let ids = self.mailbox.can().returns_ids;
        let receipt = Receipt::new(ids.then(|| Id::write(&epoch(info), uid)));
        let lost = |a: &Alteration| a.kind == AlterationKind::FlagDropped;
        if altered.iter().any(lost) {
            receipt.with_flags(kept).with_altered(altered)
        } else {
            receipt.with_altered(altered)
        }
    }

    fn answer(&mut self, slots: &[Slot], outcome: impl Fn() -> Outcome) {
        self.ready
            .extend(slots.iter().rev().map(|slot| (*slot, outcome())));
    }

    /// Nothing of what is left leaves for the server.
    fn refuse_rest(&mut self, error: &Error) {
        let left: Vec<Slot> = self.slots.drain(..).collect();
        self.answer(&left, || {
            let copy = Error::new(error.kind(), error.message().to_owned())
                .with_scope(error.scope())
                .with_retry(error.retry())
                .with_code(error.code().to_owned());
            Outcome::NotStored(copy)
        });
    }
}

fn damaged() -> Error {
    let error = Error::new(ErrorKind::Refused, "the stream is not whole");
    error.with_code("memory/stream").with_scope(Scope::Message)
}

fn lost(when: &'static str) -> Error {
    Error::new(ErrorKind::Interrupted, "the connection was lost")
        .with_code("memory/fault")
        .with_context("when", when)
}

/// Reads the content, and leaves out what the server does not keep.
async fn prepare(mailbox: &MemoryMailbox, item: &Outgoing) -> Result<Prepared> {
    let body = read(&item.content).await?;
    if item.form != Form::Mime {
        // All of the message is in it.
        return Ok(Prepared {
            message: streams::decode(&body).ok_or_else(damaged)?,
            kept: item.flags.clone(),
            altered: Vec::new(),
        });
    }
    let (mut kept, lost) = mailbox.kept().split(&item.flags);
    let names = lost.to_string();
    let mut altered: Vec<Alteration> = names
        .split_ascii_whitespace()
        .map(|name| Alteration::new(AlterationKind::FlagDropped, name))
        .collect();
    let mut message = NewMessage::new(body);
    match item.received {
        Some(received) if mailbox.can().keeps_received => {
            let seconds = received.seconds() + mailbox.state().shifts_dates();
            message.date = Some(InternalDate::new(seconds, received.offset_minutes()));
        }
        Some(received) => altered.push(Alteration::new(
            AlterationKind::DateReplaced,
            format!("{received} became the time of arrival"),
        )),
        None => {}
    }
    let reported = kept.clone();
    if mailbox.state().drops_keywords() {
        let mut system = Flags::new();
        kept.system().for_each(|flag| system.insert(flag));
        kept = system;
    }
    let names = kept.to_string();
    message.flags = names.split_ascii_whitespace().map(str::to_owned).collect();
    Ok(Prepared {
        message,
        kept: reported,
        altered,
    })
}

async fn read(content: &Content) -> Result<Bytes> {
    if let Some(bytes) = content.as_bytes() {
        return Ok(bytes.clone());
    }
    let mut reader = content.reader();
    let mut all = BytesMut::with_capacity(usize::try_from(content.size()).unwrap_or(0));
    while let Some(piece) = reader.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}
