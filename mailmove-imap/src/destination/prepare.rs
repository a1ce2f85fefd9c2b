//! From a message as the engine has it to one that is safe to send.
//!
//! Arguments come from validated types alone (five system flags, keywords that are atoms, our own
//! date format): a server that refuses an argument may run the mail's lines as commands.

use std::collections::HashSet;

use mailmove_core::{
    destination::{Outcome, Outgoing, Receipt},
    error::{Error, ErrorKind},
    model::{
        Alteration, AlterationKind, Content, Flags, Form, ItemClass, Keyword, MessageId, Slot,
        SystemFlag,
    },
};

use crate::{
    error,
    wire::{self, AppendMessage, FlagSet, InternalDate},
};

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) slot: Slot,
    pub(super) content: Content,
    pub(super) message: AppendMessage,
    keywords: Vec<Keyword>,
    /// What is left of its flags, if some were left out.
    kept: Option<Flags>,
    altered: Vec<Alteration>,
}

/// What holds for all messages of a batch.
pub(super) struct Rules<'a> {
    /// PERMANENTFLAGS, if known.
    pub(super) permanent: Option<&'a wire::Flags>,
    pub(super) accepted: HashSet<Keyword>,
    pub(super) largest: Option<u64>,
    /// Wait for the server's leave before each literal.
    pub(super) synchronising: bool,
}

/// Whether PERMANENTFLAGS must be known before this can be sent.
pub(super) fn needs_permanent(items: &[Outgoing]) -> bool {
    items.iter().any(|item| !item.flags.keywords().is_empty())
}

impl Rules<'_> {
    /// Checks and converts a message; the outcome if it can't be sent at all.
    pub(super) fn prepare(&mut self, slot: Slot, item: Outgoing) -> Result<Ready, (Slot, Outcome)> {
        if let Some(error) = self.unsendable(&item) {
            return Err((slot, Outcome::NotStored(error)));
        }
        let mut altered = Vec::new();
        let (flags, kept, keywords) = self.flags(&item.flags, &mut altered);
        // A keyword that this folder never took travels alone first: if the server refuses it,
        // the message after it was not sent yet.
        let new = keywords
            .iter()
            .any(|keyword| !self.accepted.contains(keyword));
        self.accepted.extend(keywords.iter().cloned());
        let mut message = AppendMessage::new(item.content.size())
            .with_flags(flags)
            .with_synchronizing(new || self.synchronising);
        match date(&item) {
            Ok(date) => message = message.with_date(date),
            Err(detail) => {
                altered.push(Alteration::new(AlterationKind::DateReplaced, detail));
            }
        }
        Ok(Ready {
            slot,
            content: item.content,
            message,
            keywords,
            kept,
            altered,
        })
    }

    fn unsendable(&self, item: &Outgoing) -> Option<Error> {
        if item.class != ItemClass::Mail || item.form != Form::Mime {
            return Some(
                Error::new(ErrorKind::Unsupported, "IMAP holds mail alone, as MIME")
                    .with_code("imap/not-mail")
                    .with_scope(mailmove_core::Scope::Message),
            );
        }
        let size = item.content.size();
        if size == 0 {
            return Some(
                Error::new(
                    ErrorKind::Refused,
                    "an empty message cannot be stored by IMAP",
                )
                .with_code("imap/empty"),
            );
        }
        let limit = self.largest.filter(|limit| size > *limit)?;
        Some(
            error::too_large()
                .with_context("bytes", size.to_string())
                .with_context("limit", limit.to_string()),
        )
    }

    fn flags(
        &self,
        wanted: &Flags,
        altered: &mut Vec<Alteration>,
    ) -> (FlagSet, Option<Flags>, Vec<Keyword>) {
        let (kept, dropped) = split(wanted, self.permanent);
        for name in names(&dropped) {
            altered.push(Alteration::new(AlterationKind::FlagDropped, name));
        }
        let set = wire_flags(&kept);
        let keywords = kept.keywords().to_vec();
        (set, (!dropped.is_empty()).then_some(kept), keywords)
    }
}

/// What a folder with these permanent flags keeps, and what it does not.
pub(super) fn split(wanted: &Flags, permanent: Option<&wire::Flags>) -> (Flags, Flags) {
    let Some(permanent) = permanent else {
        return (wanted.clone(), Flags::new());
    };
    let mut dropped = Flags::new();
    for flag in wanted.system() {
        if !permanent.permits(flag.as_str().as_bytes()) {
            dropped.insert(flag);
        }
    }
    for keyword in wanted.keywords() {
        if !permanent.permits(keyword.as_str().as_bytes()) {
            dropped.insert_keyword(keyword.clone());
        }
    }
    (wanted.difference(&dropped), dropped)
}

fn names(flags: &Flags) -> impl Iterator<Item = String> + '_ {
    let system = flags.system().map(|flag| flag.as_str().to_owned());
    system.chain(flags.keywords().iter().map(ToString::to_string))
}

/// Flags as commands take them.
pub(super) fn wire_flags(flags: &Flags) -> FlagSet {
    let mut set = FlagSet::new();
    for flag in flags.system() {
        if let Some(flag) = wire::SystemFlag::from_wire(flag.as_str().as_bytes()) {
            set.insert(flag);
        }
    }
    for keyword in flags.keywords() {
        if let Ok(keyword) = wire::Keyword::new(keyword.as_str().as_bytes()) {
            set.insert_keyword(keyword);
        }
    }
    set
}

/// Flags as a server sent them. What can be no flag elsewhere is left out.
pub(super) fn core_flags(flags: &wire::Flags) -> Flags {
    let mut out = Flags::new();
    for flag in flags.system() {
        if let Some(flag) = SystemFlag::parse(flag.as_str()) {
            out.insert(flag);
        }
    }
    for other in flags.others() {
        let keyword = std::str::from_utf8(other)
            .ok()
            .and_then(|word| Keyword::new(word).ok());
        if let Some(keyword) = keyword {
            out.insert_keyword(keyword);
        }
    }
    out
}

/// The received date; in words, why there is none.
fn date(item: &Outgoing) -> Result<InternalDate, String> {
    let Some(received) = item.received else {
        return Err("no received date: the server's time of arrival stands".to_owned());
    };
    let whole = InternalDate::new(received.seconds(), received.offset_minutes());
    // A zone that cannot be written must not cost the moment.
    whole
        .or_else(|_| InternalDate::new(received.seconds(), 0))
        .map_err(|_| format!("{received} cannot be written in IMAP: the time of arrival stands"))
}

impl Ready {
    /// The receipt of this message, stored under that id.
    pub(super) fn receipt(self, id: Option<MessageId>) -> Receipt {
        let mut receipt = Receipt::new(id).with_altered(self.altered);
        if let Some(kept) = self.kept {
            receipt = receipt.with_flags(kept);
        }
        receipt
    }

    /// The keywords that travel with it.
    pub(super) fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }
}

#[cfg(test)]
mod tests {
    use mailmove_core::model::Timestamp;

    use super::*;

    fn rules(permanent: Option<&wire::Flags>) -> Rules<'_> {
        Rules {
            permanent,
            accepted: HashSet::new(),
            largest: Some(10),
            synchronising: false,
        }
    }

    fn item(flags: &str) -> Outgoing {
        Outgoing::new(Content::from_bytes("x"))
            .with_flags(Flags::parse(flags))
            .with_received(Some(Timestamp::new(0, 60)))
    }

    #[test]
    fn what_the_folder_does_not_keep_is_left_out_and_said() {
        let permanent: wire::Flags = [&b"\\Seen"[..], b"known"].into_iter().collect();
        let ready = rules(Some(&permanent))
            .prepare(Slot::new(0), item("\\Seen \\Flagged KNOWN other"))
            .unwrap();
        assert_eq!(ready.message.flags.to_string(), "(\\Seen KNOWN)");
        let receipt = ready.receipt(None);
        assert_eq!(receipt.flags, Some(Flags::parse("\\Seen known")));
        let dropped: Vec<&str> = receipt
            .altered
            .iter()
            .map(|one| one.detail.as_str())
            .collect();
        assert_eq!(dropped, ["\\Flagged", "other"]);
    }

    #[test]
    fn a_new_keyword_waits_for_leave_once() {
        let mut rules = rules(None);
        let mut waits = |flags: &str| {
            rules
                .prepare(Slot::new(0), item(flags))
                .unwrap()
                .message
                .synchronizing
        };
        assert!(!waits("\\Seen"));
        assert!(waits("Work"));
        assert!(!waits("WORK \\Seen"));
        assert!(waits("Work Home"));
    }

    #[test]
    fn dates_that_cannot_be_written_are_left_out_and_said() {
        let mut rules = rules(None);
        for received in [None, Some(Timestamp::new(i64::MAX, 0))] {
            let ready = rules
                .prepare(Slot::new(0), item("").with_received(received))
                .unwrap();
            assert_eq!(ready.message.date, None);
            let receipt = ready.receipt(None);
            assert_eq!(receipt.altered[0].kind, AlterationKind::DateReplaced);
        }
    }

    #[test]
    fn what_cannot_be_stored_is_not_sent() {
        let mut rules = rules(None);
        let mut code = |content: &'static str| {
            let (_, outcome) = rules
                .prepare(Slot::new(0), Outgoing::new(Content::from_bytes(content)))
                .unwrap_err();
            let Outcome::NotStored(error) = outcome else {
                panic!("{outcome:?}")
            };
            error.code().to_owned()
        };
        assert_eq!(code(""), "imap/empty");
        assert_eq!(code("more than ten"), "imap/too-large");
    }
}
