//! What the server side remembers beside the mail: counts, armed faults, late messages.

use mailmove_core::{ErrorKind, destination::Outgoing, model::FolderPath};

use super::annotations::Notes;
use super::fault::{AppendFault, Counters, Fault, Landing, UpdateFault};
use crate::mailbox::{self, NewMessage};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) counters: Counters,
    pub(super) violations: Vec<String>,
    appends_now: u64,
    updated: u64,
    armed: Vec<Fault>,
    late: Vec<Late>,
    pub(super) notes: Notes,
    pub(super) forgot_marks: bool,
    pub(super) no_flags: bool,
}

/// A message that was sent, and is not there yet.
#[derive(Debug)]
pub(super) struct Late {
    landing: Landing,
    pub(super) folder: mailbox::FolderId,
    pub(super) message: NewMessage,
}

/// What is to happen to the message being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FetchFault {
    Fails(ErrorKind),
    Refused(ErrorKind),
    Ends,
    Vanish,
}

impl State {
    /// Counts from now on: the numbers in a fault become absolute.
    pub(super) fn arm(&mut self, fault: Fault) {
        let Counters {
            operations,
            appended,
            fetched,
            copied,
            ..
        } = self.counters;
        self.armed.push(match fault {
            Fault::Append(at, how) => Fault::Append(appended + at, how),
            Fault::Copy(at, how) => Fault::Copy(copied + at, how),
            Fault::Update(at, how) => Fault::Update(self.updated + at, how),
            Fault::FetchFails(at, kind) => Fault::FetchFails(fetched + at, kind),
            Fault::FetchRefused(at, kind) => Fault::FetchRefused(fetched + at, kind),
            Fault::FetchEnds(at) => Fault::FetchEnds(fetched + at),
            Fault::Vanish(at) => Fault::Vanish(fetched + at),
            Fault::Operation(at, kind) => Fault::Operation(operations + at, kind),
            Fault::Renumber(at, path) => Fault::Renumber(operations + at, path),
            other => other,
        });
    }

    pub(super) fn disarm(&mut self) -> usize {
        std::mem::take(&mut self.armed).len()
    }

    fn take(&mut self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let at = self.armed.iter().position(wanted)?;
        Some(self.armed.remove(at))
    }

    /// Begins an operation: which folders get new numbers, and whether it fails.
    pub(super) fn begin(&mut self) -> (Vec<FolderPath>, Option<ErrorKind>) {
        let now = self.counters.operations;
        self.counters.operations += 1;
        let mut renumber = Vec::new();
        while let Some(Fault::Renumber(_, path)) =
            self.take(|f| matches!(f, Fault::Renumber(at, _) if *at <= now))
        {
            renumber.push(path);
        }
        let failure = match self.take(|f| matches!(f, Fault::Operation(at, _) if *at <= now)) {
            Some(Fault::Operation(_, kind)) => Some(kind),
            _ => None,
        };
        (renumber, failure)
    }

    /// What happens to the next message that is appended.
    pub(super) fn append(&mut self, message: &Outgoing) -> Option<AppendFault> {
        let now = self.counters.appended;
        self.counters.appended += 1;
        if let Some(Fault::Append(_, how)) =
            self.take(|f| matches!(f, Fault::Append(at, _) if *at <= now))
        {
            return Some(how);
        }
        self.armed.iter().find_map(|fault| match fault {
            Fault::Refuse(predicate, kind) if predicate.holds(message) => {
                Some(AppendFault::Refuse(*kind))
            }
            _ => None,
        })
    }

    /// What happens to the next message that is copied.
    pub(super) fn copy(&mut self) -> Option<AppendFault> {
        let now = self.counters.copied;
        self.counters.copied += 1;
        match self.take(|f| matches!(f, Fault::Copy(at, _) if *at <= now))? {
            Fault::Copy(_, how) => Some(how),
            _ => None,
        }
    }

    /// What happens to the next message that is to be changed.
    pub(super) fn update(&mut self) -> Option<UpdateFault> {
        let now = self.updated;
        self.updated += 1;
        match self.take(|f| matches!(f, Fault::Update(at, _) if *at <= now))? {
            Fault::Update(_, how) => Some(how),
            _ => None,
        }
    }

    /// What happens to the next message that is fetched.
    pub(super) fn fetch(&mut self) -> Option<FetchFault> {
        let now = self.counters.fetched;
        self.counters.fetched += 1;
        let due = |fault: &Fault| {
            matches!(fault,
                Fault::FetchFails(at, _)
                | Fault::FetchRefused(at, _)
                | Fault::FetchEnds(at)
                | Fault::Vanish(at) if *at <= now)
        };
        match self.take(due)? {
            Fault::FetchFails(_, kind) => Some(FetchFault::Fails(kind)),
            Fault::FetchRefused(_, kind) => Some(FetchFault::Refused(kind)),
            Fault::FetchEnds(_) => Some(FetchFault::Ends),
            _ => Some(FetchFault::Vanish),
        }
    }

    /// For a listing that begins: after how many pages it ends, and with which error.
    pub(super) fn list_ends(&mut self) -> Option<(u64, Option<ErrorKind>)> {
        match self.take(|f| matches!(f, Fault::ListFails(..) | Fault::ListEnds(_)))? {
            Fault::ListFails(pages, kind) => Some((pages, Some(kind))),
            Fault::ListEnds(pages) => Some((pages, None)),
            _ => None,
        }
    }

    /// The same for an enumeration of what exists.
    pub(super) fn existing_ends(&mut self, contents: bool) -> Option<(u64, ErrorKind)> {
        if let Some(Fault::ExistingFails(pages, kind)) =
            self.take(|f| matches!(f, Fault::ExistingFails(..)))
        {
            return Some((pages, kind));
        }
        self.armed.iter().find_map(|fault| match fault {
            Fault::ReadingBreaks(pages) if contents => Some((*pages, ErrorKind::Interrupted)),
            _ => None,
        })
    }

    pub(super) fn cursor_expires(&mut self) -> bool {
        self.take(|f| matches!(f, Fault::CursorExpires)).is_some()
    }

    pub(super) fn ensure_fails(&self, path: &FolderPath) -> Option<ErrorKind> {
        self.armed.iter().find_map(|fault| match fault {
            Fault::EnsureFails(bad, kind) if bad == path => Some(*kind),
            _ => None,
        })
    }

    pub(super) fn size_hint(&self, size: u64) -> u64 {
        let shifts = self.armed.iter().filter_map(|fault| match fault {
            Fault::SizeHints(by) => Some(*by),
            _ => None,
        });
        shifts.fold(size, u64::saturating_add_signed)
    }

    pub(super) fn miscounted(&self, count: u64) -> u64 {
        let shifts = self.armed.iter().filter_map(|fault| match fault {
            Fault::Miscounts(by) => Some(*by),
            _ => None,
        });
        shifts.fold(count, u64::saturating_add_signed)
    }

    pub(super) fn drops_keywords(&self) -> bool {
        self.armed.iter().any(|f| matches!(f, Fault::DropsKeywords))
    }

    pub(super) fn moves_copy(&self) -> bool {
        self.armed.iter().any(|f| matches!(f, Fault::MovesCopy))
    }

    pub(super) fn shifts_dates(&self) -> i64 {
        let shifts = self.armed.iter().filter_map(|fault| match fault {
            Fault::ShiftsDates(by) => Some(*by),
            _ => None,
        });
        shifts.sum()
    }

    /// Sends messages on their way; those that are stored at once, or never, are no late ones.
    pub(super) fn send_late(
        &mut self,
        landing: Landing,
        folder: mailbox::FolderId,
        messages: Vec<NewMessage>,
    ) {
        let landing = match landing {
            Landing::AfterOperations(count) => {
                Landing::AfterOperations(self.counters.operations + count)
            }
            other => other,
        };
        self.late.extend(messages.into_iter().map(|message| Late {
            landing,
            folder,
            message,
        }));
    }

    pub(super) fn take_late(&mut self, due: impl Fn(&Landing) -> bool) -> Vec<Late> {
        self.late
            .extract_if(.., |late| due(&late.landing))
            .collect()
    }

    pub(super) fn late(&self) -> usize {
        self.late.len()
    }

    pub(super) fn append_begins(&mut self) {
        self.counters.batches += 1;
        self.appends_now += 1;
        self.counters.most_appends = self.counters.most_appends.max(self.appends_now);
    }

    pub(super) fn append_ends(&mut self) {
        self.appends_now = self.appends_now.saturating_sub(1);
    }
}
