//! Storing messages.
//!
//! Outcomes follow one rule: stored is what the server confirmed, not stored is what it refused or
//! what never left, and everything between is unknown.

use std::{collections::VecDeque, sync::Arc};

use mailmove_core::{
    destination::{Batch, Fence, Outcome},
    error::{Error, ErrorKind, Result, Scope},
    model::{FolderId, Mark, MessageId, Slot},
};

use super::{
    Inner,
    begin::{begin, find, gone},
    dates::{self, Dates},
    flagged, is_atomic, is_other_epoch,
    known::Utf8,
    largest_here, not_stored,
    prepare::{Ready, Rules},
    refused::{Offence, is_doubtful, late, offence},
    under_way::{Launch, Pending, Progress},
    unknown,
};
use crate::{
    connection::{Incoming, Sent},
    error::{self, Doing},
    generate, ids,
    pool::Lease,
    session,
    wire::{AppendMessage, Code, Command, MailboxName, Segment, Status, StatusKind, Tag},
};

type Out = generate::Out<(Slot, Outcome)>;

/// APPENDs sent ahead of their answers where MULTIAPPEND is missing.
const WINDOW: usize = 32;
/// Bytes sent ahead of their answers there: what a lost connection leaves unknown.
const WINDOW_BYTES: u64 = 4 << 20;
/// An answer to a sent message may take so many times the usual patience: servers scan for viruses,
/// wait for locks and for disks.
const SLOW: u32 = 5;

pub(super) async fn run(inner: &Arc<Inner>, batch: Batch, out: &Out) {
    let Batch {
        folder,
        mark,
        items,
        fence,
        ..
    } = batch;
    let slots = items.len();
    let begun = match begin(inner, &folder, &mark, &items).await {
        Ok(begun) => begun,
        Err(error) => {
            let refused = (0..slots).map(|index| (Slot::new(index), not_stored(&error)));
            return out.send_all(refused).await;
        }
    };
    let (lease, name) = begun;
    let permanent = inner.known.permanent(&folder);
    let mut rules = Rules {
        permanent: permanent.as_ref(),
        accepted: inner.known.accepted(&folder),
        harmless: match is_atomic(&lease.server) {
            true => inner.known.harmless(&folder),
            // What is refused late comes after those that were sent behind it.
            false => inner.known.accepted(&folder),
        },
        refused: inner.known.refused(&folder),
        largest: largest_here(inner, &lease.server, &folder),
        binary: lease.can().has("BINARY"),
        synchronising: inner.known.waits_for_leave(),
        flagged_after: lease.server.quirks.flagged_after_append,
        dates: Dates::new(&lease.server.quirks, &inner.known),
    };
    let quirks = Arc::clone(&lease.server.quirks);
    let utf8 = match lease.connection.is_utf8() {
        true => inner.known.utf8(),
        false => Utf8::Refused,
    };
    let mut ready = rules.prepare_all(&quirks, utf8, items, out).await;
    let mut append = Append {
        inner,
        lease,
        name,
        folder,
        mark: &mark,
        fence: &*fence,
        out,
        poisoned: false,
        is_there: false,
        again: VecDeque::new(),
        refused: Offence::default(),
        flagged: Vec::new(),
    };
    if is_atomic(&append.lease.server) {
        dates::hold_back(&mut ready);
        append.together(ready).await;
    } else {
        append.one_by_one(ready).await;
    }
    let Append {
        lease,
        folder,
        flagged,
        ..
    } = append;
    // Its place may be the only one.
    drop(lease);
    flagged::raise(inner, &folder, flagged, out).await;
}

struct Append<'a> {
    inner: &'a Inner,
    lease: Lease,
    name: MailboxName,
    folder: FolderId,
    mark: &'a Mark,
    fence: &'a dyn Fence,
    out: &'a Out,
    /// The server may be running mail as commands: whatever it still says proves nothing.
    poisoned: bool,
    /// The folder was looked for after a refusal without any explanation, and is there.
    is_there: bool,
    /// Refused for what they can do without before anything of them was sent.
    again: VecDeque<Ready>,
    /// What they were refused for; those that wait go without it too.
    refused: Offence,
    /// Stored, but for `\Flagged`.
    flagged: Vec<(Ready, Option<MessageId>)>,
}

impl Append<'_> {
    async fn report(&self, slot: Slot, outcome: Outcome) {
        self.out.send((slot, outcome)).await;
    }

    async fn report_all(
        &self,
        messages: impl IntoIterator<Item = Ready>,
        outcome: impl Fn(&Error) -> Outcome,
        error: &Error,
    ) {
        for message in messages {
            self.report(message.slot, outcome(error)).await;
        }
    }

    async fn stored(&mut self, message: Ready, id: Option<MessageId>) {
        let keywords = message.keywords().iter().cloned();
        self.inner.known.accept(&self.folder, keywords);
        if message.message.utf8 {
            self.inner.known.set_utf8(Utf8::Taken);
        }
        if message.flagged {
            self.flagged.push((message, id));
        } else {
            self.report(message.slot, Outcome::Stored(message.receipt(id)))
                .await;
        }
    }

    fn encode(&mut self, messages: &[AppendMessage]) -> Result<Command> {
        let tag = self.lease.connection.tag();
        let command = self
            .lease
            .connection
            .encoder()
            .append(tag, &self.name, messages);
        command.map_err(session::encode)
    }

    // ---- MULTIAPPEND -------------------------------------------------------------------------

    /// All messages in one command: stored together or not at all.
    async fn together(&mut self, mut messages: Vec<Ready>) {
        if messages.is_empty() {
            return;
        }
        loop {
            let arguments: Vec<AppendMessage> = messages
                .iter()
                .map(|message| message.message.clone())
                .collect();
            let command = self
                .encode(&arguments)
                .and_then(|command| self.fence.check().map(|()| command));
            drop(arguments);
            let command = match command {
                Ok(command) => command,
                Err(error) => return self.report_all(messages, not_stored, &error).await,
            };
            let (tag, at_once) = (command.tag(), self.goes_at_once(&messages));
            let sent = self.transmit(command, &messages).await;
            let waiting = sent.as_ref().ok().and_then(|sent| sent.waiting_for);
            // Only what is before the message that was waited with can have gone already.
            let before = messages.get(..waiting.unwrap_or(messages.len()));
            let early = before.is_some_and(|before| self.goes_at_once(before));
            match self.answer(tag, sent).await {
                Err(error) => return self.report_all(messages, unknown, &error).await,
                Ok((status, whole)) => {
                    let known = &self.inner.known;
                    let at = (whole, early);
                    let other_dates = dates::replace(known, &mut messages, waiting, &status, at);
                    let suspects = match waiting.and_then(|index| messages.get(index)) {
                        _ if other_dates => Offence::default(),
                        Some(asked) => offence(asked, &status, early),
                        // Which of them had the keyword, the server does not say.
                        None if whole => messages.iter().map(|one| late(one, &status)).collect(),
                        None => Offence::default(),
                    };
                    if suspects.is_empty() && !other_dates {
                        return self.settle_batch(messages, &status, whole, at_once).await;
                    }
                    suspects.note(&self.inner.known, &self.folder);
                    let messages = messages.iter_mut();
                    messages.for_each(|message| suspects.leave_out(message));
                }
            }
            // After a batch was refused midway nobody knows what the server still expects.
            if early && let Err(error) = self.lease.renew().await {
                return self.report_all(messages, not_stored, &error).await;
            }
        }
    }

    fn goes_at_once(&self, messages: &[Ready]) -> bool {
        let literals = self.lease.connection.literals();
        messages
            .iter()
            .any(|ready| !ready.message.synchronizing && literals.at_once(ready.message.len))
    }

    /// Sends a command with its bodies; stops where the server answers before it is complete.
    async fn transmit(&mut self, command: Command, messages: &[Ready]) -> Result<Progress> {
        let connection = &mut self.lease.connection;
        let tag = command.tag();
        let mut next = 0;
        connection.begin(&command);
        for segment in command.into_segments() {
            match segment {
                Segment::Message { index, .. } => {
                    if index > 0 && connection.is_answered(tag)? {
                        return Ok(Progress {
                            sent: Sent::Cut,
                            waiting_for: None,
                        });
                    }
                    if let Some(ready) = messages.get(index) {
                        connection.write_content(&ready.content).await?;
                    }
                    next = index + 1;
                }
                other => {
                    if connection.segment(tag, other).await? == Sent::Cut {
                        return Ok(Progress {
                            sent: Sent::Cut,
                            waiting_for: Some(next),
                        });
                    }
                }
            }
        }
        Ok(Progress {
            sent: Sent::Whole,
            waiting_for: None,
        })
    }

    /// Waits for the answer; true if the command had been sent whole. An answer that came before
    /// the connection failed still counts.
    async fn answer(&mut self, tag: Tag, sent: Result<Progress>) -> Result<(Status, bool)> {
        let patience = self.inner.pool.access().config.timeout();
        let connection = &mut self.lease.connection;
        let whole = match sent {
            Ok(progress) => progress.sent == Sent::Whole,
            Err(error) => {
                connection.kill();
                return match connection.is_answered(tag) {
                    Ok(true) => connection
                        .complete(tag, |_| {})
                        .await
                        .map(|status| (status, false)),
                    _ => Err(error),
                };
            }
        };
        connection.set_patience(patience * SLOW);
        let status = connection.complete(tag, |_| {}).await?;
        connection.set_patience(patience);
        Ok((status, whole))
    }

    async fn settle_batch(
        &mut self,
        messages: Vec<Ready>,
        status: &Status,
        whole: bool,
        at_once: bool,
    ) {
        if !whole && at_once {
            // The server expects the rest of a body that we won't send.
            self.lease.connection.kill();
        }
        match status.kind {
            StatusKind::Ok if whole => {
                let ids = self.ids(status, messages.len());
                for (index, message) in messages.into_iter().enumerate() {
                    self.stored(message, ids.get(index).cloned()).await;
                }
            }
            StatusKind::Ok => {
                let error = error::unexpected("the server confirmed messages before it had them");
                self.report_all(messages, unknown, &error).await;
            }
            StatusKind::Bad if at_once => {
                let error = self.misunderstood(status);
                self.report_all(messages, unknown, &error).await;
            }
            _ => {
                let error = self.refusal(status).await;
                let error = match (error.scope(), messages.as_slice()) {
                    (_, [one]) => one.explain(error),
                    // One of them is at fault; only the engine can find out which.
                    (Scope::Message, _) => error.with_code("imap/batch-refused"),
                    _ => error,
                };
                let outcome = if whole && is_doubtful(&error) {
                    unknown
                } else {
                    not_stored
                };
                self.report_all(messages, outcome, &error).await;
            }
        }
    }

    /// The new messages' ids, in order; none if the server's word doesn't fit the batch.
    fn ids(&self, status: &Status, count: usize) -> Vec<MessageId> {
        let Some(Code::AppendUid { validity, uids }) = &status.code else {
            return Vec::new();
        };
        let odd = *validity == 0 || is_other_epoch(self.mark, *validity);
        if odd || uids.count() != count as u64 {
            return Vec::new();
        }
        // What was there before the mark is no new message.
        let first = self.mark.next.unwrap_or(0);
        if uids.iter().any(|uid| u64::from(uid) < first) {
            return Vec::new();
        }
        self.inner.known.confirm(&self.folder, *validity);
        uids.iter()
            .map(|uid| ids::message_id(*validity, uid))
            .collect()
    }

    /// BAD where the body was on its way already: the server may be running the mail as commands.
    fn misunderstood(&mut self, status: &Status) -> Error {
        self.poisoned = true;
        self.lease.connection.kill();
        self.inner.known.wait_for_leave();
        error::refused(Doing::message("APPEND"), status)
            .with_code("imap/append-bad")
            .with_context("folder", self.folder.as_str())
    }

    async fn refusal(&mut self, status: &Status) -> Error {
        let error = error::refused(Doing::message("APPEND"), status);
        if error.kind() == ErrorKind::NotFound {
            // There was a folder when the mark was taken.
            return gone(self.inner, &self.folder, self.mark, None).with_source(error);
        }
        // Servers forget TRYCREATE. That the folder is gone must not cost one message after the other.
        if error.code() == "imap/no" && !self.is_there {
            let lease = &mut self.lease;
            match find(self.inner, lease, &self.folder, self.mark).await {
                Err(error) if error.scope() == Scope::Folder => return error,
                found => self.is_there = found.is_ok(),
            }
        }
        error.with_context("folder", self.folder.as_str())
    }

    // ---- one APPEND per message --------------------------------------------------------------

    /// A command for each message, sent ahead of the answers.
    async fn one_by_one(&mut self, messages: Vec<Ready>) {
        let mut waiting: VecDeque<Ready> = messages.into();
        let mut pending: VecDeque<Pending> = VecDeque::new();
        // Why nothing more is sent.
        let mut stop: Option<Error> = None;
        loop {
            let Some(mut message) = waiting.pop_front() else {
                if pending.is_empty() && self.again.is_empty() {
                    return;
                }
                if pending.is_empty() {
                    waiting.append(&mut self.again);
                } else if let Err(error) = self.take_answer(&mut pending, &mut stop).await {
                    return self.fail(pending, waiting, error).await;
                }
                continue;
            };
            if let Err(error) = self
                .make_room(&mut pending, message.message.len, &mut stop)
                .await
            {
                waiting.push_front(message);
                return self.fail(pending, waiting, error).await;
            }
            if !self.again.is_empty() {
                // What was refused goes first, so that the order stays.
                waiting.push_front(message);
                std::mem::take(&mut self.again)
                    .into_iter()
                    .rev()
                    .for_each(|one| waiting.push_front(one));
                continue;
            }
            if let Some(error) = &stop {
                self.report(message.slot, not_stored(error)).await;
                continue;
            }
            self.refused.leave_out(&mut message);
            if self.inner.known.refuses_dates() {
                message.replace_date();
            }
            match self.launch(message, &mut pending).await {
                Ok(()) => {}
                Err(Launch::NotBegun(message, error)) => {
                    self.report(message.slot, not_stored(&error)).await;
                    stop = Some(error);
                }
                Err(Launch::Broken(error)) => return self.fail(pending, waiting, error).await,
            }
        }
    }

    /// Takes the answers that are there, and waits for more until the window has room.
    async fn make_room(
        &mut self,
        pending: &mut VecDeque<Pending>,
        next: u64,
        stop: &mut Option<Error>,
    ) -> Result<()> {
        while let Some(incoming) = self.lease.connection.ready()? {
            self.settle(incoming, pending, stop).await?;
        }
        loop {
            let bytes: u64 = pending.iter().map(|one| one.message.message.len).sum();
            let full = pending.len() >= WINDOW || bytes.saturating_add(next) > WINDOW_BYTES;
            if pending.is_empty() || !full {
                return Ok(());
            }
            self.take_answer(pending, stop).await?;
        }
    }

    async fn launch(
        &mut self,
        message: Ready,
        pending: &mut VecDeque<Pending>,
    ) -> Result<(), Launch> {
        let command = self
            .encode(std::slice::from_ref(&message.message))
            .and_then(|command| self.fence.check().map(|()| command));
        let command = match command {
            Ok(command) => command,
            Err(error) => return Err(Launch::NotBegun(Box::new(message), error)),
        };
        let at_once = self.goes_at_once(std::slice::from_ref(&message));
        let tag = command.tag();
        let sent = self.transmit(command, std::slice::from_ref(&message)).await;
        let whole = matches!(&sent, Ok(progress) if progress.sent == Sent::Whole);
        pending.push_back(Pending {
            tag,
            message,
            at_once,
            whole,
        });
        sent.map(drop).map_err(Launch::Broken)
    }

    async fn take_answer(
        &mut self,
        pending: &mut VecDeque<Pending>,
        stop: &mut Option<Error>,
    ) -> Result<()> {
        let patience = self.inner.pool.access().config.timeout();
        self.lease.connection.set_patience(patience * SLOW);
        let incoming = self.lease.connection.next().await?;
        self.lease.connection.set_patience(patience);
        self.settle(incoming, pending, stop).await
    }

    async fn settle(
        &mut self,
        incoming: Incoming,
        pending: &mut VecDeque<Pending>,
        stop: &mut Option<Error>,
    ) -> Result<()> {
        let Incoming::Done(tag, status) = incoming else {
            return Ok(());
        };
        let at = pending.iter().position(|one| one.tag == tag);
        let Some(one) = at.and_then(|at| pending.remove(at)) else {
            return Ok(());
        };
        let slot = one.message.slot;
        match status.kind {
            StatusKind::Ok if one.whole => {
                let id = self.ids(&status, 1).pop();
                self.stored(one.message, id).await;
            }
            StatusKind::Ok => {
                let error = error::unexpected("the server confirmed a message before it had it");
                self.report(slot, Outcome::Unknown(error)).await;
            }
            StatusKind::Bad if one.at_once => {
                let error = self.misunderstood(&status);
                self.report(slot, unknown(&error)).await;
                return Err(error::closed(None));
            }
            _ => self.refused_one(one, &status, stop).await,
        }
        Ok(())
    }

    /// A message was refused: it goes again without what it was refused for, if that can be seen.
    async fn refused_one(&mut self, one: Pending, status: &Status, stop: &mut Option<Error>) {
        let mut refused = [one.message];
        let waiting = (!one.whole).then_some(0);
        let at = (one.whole, one.at_once);
        let other_date = dates::replace(&self.inner.known, &mut refused, waiting, status, at);
        let [mut message] = refused;
        if other_date {
            return self.again.push_back(message);
        }
        let suspects = match one.whole {
            true => late(&message, status),
            false => offence(&message, status, one.at_once),
        };
        if !suspects.is_empty() {
            suspects.note(&self.inner.known, &self.folder);
            suspects.leave_out(&mut message);
            self.refused.extend(suspects);
            return self.again.push_back(message);
        }
        let mut error = message.explain(self.refusal(status).await);
        if let Some(why) = message.odd {
            error = error.with_context("likely", why);
        }
        if error.scope() > Scope::Message && stop.is_none() {
            *stop = Some(error::again(&error));
        }
        let outcome = match one.whole && is_doubtful(&error) {
            true => Outcome::Unknown(error),
            false => Outcome::NotStored(error),
        };
        self.report(message.slot, outcome).await;
    }

    /// The connection failed: answers that came before still count, what was begun is unknown, and
    /// the rest never left.
    async fn fail(
        &mut self,
        mut pending: VecDeque<Pending>,
        waiting: VecDeque<Ready>,
        error: Error,
    ) {
        self.lease.connection.kill();
        let mut ignored = None;
        while !self.poisoned
            && let Ok(Some(incoming)) = self.lease.connection.ready()
        {
            if self
                .settle(incoming, &mut pending, &mut ignored)
                .await
                .is_err()
            {
                break;
            }
        }
        for one in pending {
            self.report(one.message.slot, unknown(&error)).await;
        }
        let again = std::mem::take(&mut self.again);
        self.report_all(waiting.into_iter().chain(again), not_stored, &error)
            .await;
    }
}
