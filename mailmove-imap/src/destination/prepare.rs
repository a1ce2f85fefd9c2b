//! From a message as the engine has it to one that is safe to send.
//!
//! Arguments come from validated types alone (five system flags, keywords that are atoms, our own
//! date format): a server that refuses an argument may run the mail's lines as commands.

use std::collections::HashSet;

use mailmove_core::{
    destination::{Outcome, Outgoing, Receipt},
    error::{Error, ErrorKind, Result},
    model::{
        Alteration, AlterationKind, Content, Flags, Form, ItemClass, Keyword, MessageId, Slot,
        SystemFlag,
    },
};

use super::dates::{self, Dates};
use super::known::Utf8;
use crate::{
    error, generate,
    quirks::{Form as Shape, Quirks},
    wire::{self, AppendMessage, FlagSet},
};

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) slot: Slot,
    pub(super) content: Content,
    pub(super) message: AppendMessage,
    /// Its flags as they are sent.
    flags: Flags,
    /// Some of its flags were left out.
    reduced: bool,
    /// Keywords that this folder never took.
    new: Vec<Keyword>,
    /// It would wait for leave without keywords too.
    synchronising: bool,
    /// `\Flagged` is to be set once it is stored.
    pub(super) flagged: bool,
    /// Its date is one that some servers refuse.
    old_date: bool,
    /// Why the server will probably refuse it.
    pub(super) odd: Option<&'static str>,
    altered: Vec<Alteration>,
}

/// What holds for all messages of a batch.
pub(super) struct Rules<'a> {
    /// PERMANENTFLAGS, if known.
    pub(super) permanent: Option<&'a wire::Flags>,
    pub(super) accepted: HashSet<Keyword>,
    /// Keywords that are sent without leave, those accepted among them.
    pub(super) harmless: HashSet<Keyword>,
    /// Keywords that the server refused before.
    pub(super) refused: HashSet<Keyword>,
    pub(super) largest: Option<u64>,
    /// The server takes `~{n}` literals.
    pub(super) binary: bool,
    /// Wait for the server's leave before each literal.
    pub(super) synchronising: bool,
    /// `\Flagged` is set after the message was stored.
    pub(super) flagged_after: bool,
    pub(super) dates: Dates,
}

/// Whether PERMANENTFLAGS must be known before this can be sent.
pub(super) fn needs_permanent(items: &[Outgoing]) -> bool {
    items.iter().any(|item| !item.flags.keywords().is_empty())
}

/// Longest header that is looked at.
const HEADER_MOST: usize = 64 << 10;

/// Whether its header holds UTF-8 beyond ASCII: where UTF8=ACCEPT is enabled that is said beforehand.
/// If it cannot be read, sending it will say so.
async fn has_utf8_header(content: &Content) -> bool {
    let Ok(start) = content.prefix(HEADER_MOST).await else {
        return false;
    };
    let end = memchr::memmem::find(&start, b"\r\n\r\n").unwrap_or(start.len());
    let header = start.get(..end).unwrap_or_default();
    !header.is_ascii() && std::str::from_utf8(header).is_ok()
}

impl Rules<'_> {
    /// Checks and converts all messages of a batch; reports those that can't be sent at all.
    pub(super) async fn prepare_all(
        &mut self,
        quirks: &Quirks,
        mut utf8: Utf8,
        items: Vec<Outgoing>,
        out: &generate::Out<(Slot, Outcome)>,
    ) -> Vec<Ready> {
        let mut ready = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let (slot, content) = (Slot::new(index), item.content.clone());
            let prepared = match objection(quirks, &content).await {
                Ok(why) => self.prepare(slot, item).map(|message| (message, why)),
                Err(error) => Err((slot, Outcome::NotStored(error))),
            };
            match prepared {
                Ok((mut message, why)) => {
                    if utf8 != Utf8::Refused && has_utf8_header(&message.content).await {
                        message.say_utf8(utf8 == Utf8::Untried);
                        utf8 = Utf8::Taken;
                    }
                    why.into_iter().for_each(|why| message.be_careful(why));
                    ready.push(message);
                }
                Err(outcome) => out.send(outcome).await,
            }
        }
        ready
    }

    /// Checks and converts a message; the outcome if it can't be sent at all.
    pub(super) fn prepare(&mut self, slot: Slot, item: Outgoing) -> Result<Ready, (Slot, Outcome)> {
        if let Some(error) = self.unsendable(&item) {
            return Err((slot, Outcome::NotStored(error)));
        }
        let mut altered = Vec::new();
        let (flags, dropped) = self.split(&item.flags);
        note_dropped(&dropped, &mut altered);
        let keywords = flags.keywords().iter();
        let new: Vec<Keyword> = keywords
            .filter(|keyword| !self.accepted.contains(keyword))
            .cloned()
            .collect();
        // A keyword that this folder never took waits for the server's leave: if it is refused, the
        // message after it was not sent yet.
        let asks = new.iter().any(|keyword| !self.harmless.contains(keyword));
        self.accepted.extend(new.iter().cloned());
        self.harmless.extend(new.iter().cloned());
        let flagged = self.flagged_after && flags.contains(SystemFlag::Flagged);
        let date = self.dates.of(item.received);
        altered.extend(
            date.replaced
                .map(|why| Alteration::new(AlterationKind::DateReplaced, why)),
        );
        let waits = asks || self.synchronising || date.doubtful;
        let mut message = AppendMessage::new(item.content.size())
            .with_flags(sent_flags(&flags, flagged))
            .with_binary(self.binary && item.content.holds_nul())
            .with_synchronizing(waits);
        message.date = date.sent;
        Ok(Ready {
            slot,
            content: item.content,
            message,
            flags,
            reduced: !dropped.is_empty(),
            new,
            synchronising: self.synchronising,
            flagged,
            old_date: date.doubtful,
            odd: None,
            altered,
        })
    }

    fn split(&self, wanted: &Flags) -> (Flags, Flags) {
        let (mut kept, mut dropped) = split(wanted, self.permanent);
        for keyword in &self.refused {
            if kept.contains_keyword(keyword) {
                dropped.insert_keyword(keyword.clone());
            }
        }
        kept = kept.difference(&dropped);
        (kept, dropped)
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

fn note_dropped(dropped: &Flags, altered: &mut Vec<Alteration>) {
    let system = dropped.system().map(|flag| flag.as_str().to_owned());
    for name in system.chain(dropped.keywords().iter().map(ToString::to_string)) {
        altered.push(Alteration::new(AlterationKind::FlagDropped, name));
    }
}

/// The flags that go with a message.
fn sent_flags(flags: &Flags, without_flagged: bool) -> FlagSet {
    let mut set = FlagSet::new();
    for flag in flags.system() {
        let held_back = without_flagged && flag == SystemFlag::Flagged;
        if let Some(flag) = wire::SystemFlag::from_wire(flag.as_str().as_bytes())
            && !held_back
        {
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

/// Flags as commands take them.
pub(super) fn wire_flags(flags: &Flags) -> FlagSet {
    sent_flags(flags, false)
}

/// Flags as a server sent them. What can be no flag elsewhere is left out.
pub(super) fn core_flags(flags: &wire::Flags) -> Flags {
    let mut out = Flags::new();
    for flag in flags.system() {
        if let Some(flag) = SystemFlag::parse(flag.as_str()) {
            out.insert(flag);
        }
    }
    for other in flags.others().take(wire::Flags::MOST) {
        let keyword = std::str::from_utf8(other)
            .ok()
            .and_then(|word| Keyword::new(word).ok());
        if let Some(keyword) = keyword {
            out.insert_keyword(keyword);
        }
    }
    out
}

impl Ready {
    /// The receipt of this message, stored under that id.
    pub(super) fn receipt(self, id: Option<MessageId>) -> Receipt {
        let receipt = Receipt::new(id).with_altered(self.altered);
        match self.reduced {
            true => receipt.with_flags(self.flags),
            false => receipt,
        }
    }

    /// Why it was refused, said better where it holds NUL and the server gave no reason of its own.
    pub(super) fn explain(&self, error: Error) -> Error {
        let bare = matches!(error.code(), "imap/no" | "imap/bad" | "imap/cannot");
        if !bare || !self.content.holds_nul() {
            return error;
        }
        let context: Vec<_> = error
            .context()
            .map(|(name, value)| (name, value.to_owned()))
            .collect();
        let better = Error::new(
            ErrorKind::Refused,
            "the server refuses this message, which holds NUL characters",
        )
        .with_code("imap/nul")
        .with_scope(error.scope())
        .with_remedy("Save this message by hand: few servers take NUL.");
        context.into_iter().fold(better, |better, (name, value)| {
            better.with_context(name, value)
        })
    }

    /// The keywords that travel with it.
    pub(super) fn keywords(&self) -> &[Keyword] {
        self.flags.keywords()
    }

    /// Which of its keywords a server may have taken offence at: of those that are new to the
    /// folder the odd ones, else all of them.
    pub(super) fn suspects(&self) -> Vec<Keyword> {
        let odd = |keyword: &&Keyword| {
            let plain = wire::Keyword::new(keyword.as_str().as_bytes());
            keyword.as_str().len() > USUAL_KEYWORD || !plain.is_ok_and(|known| known.is_plain())
        };
        let odd: Vec<Keyword> = self.new.iter().filter(odd).cloned().collect();
        if odd.is_empty() {
            self.new.clone()
        } else {
            odd
        }
    }

    /// Waits for the server's leave before it sends its bytes.
    pub(super) fn wait_for_leave(&mut self) {
        self.synchronising = true;
        self.message.synchronizing = true;
    }

    /// The server may not take its date.
    pub(super) fn has_old_date(&self) -> bool {
        self.old_date
    }

    /// Goes with the earliest date that every server keeps, if its own is earlier.
    pub(super) fn replace_date(&mut self) {
        if let Some(date) = self.message.date.filter(|_| self.old_date) {
            let (date, why) = dates::instead(date);
            self.altered
                .push(Alteration::new(AlterationKind::DateReplaced, why));
            self.message.date = date;
            self.old_date = false;
            self.message.synchronizing = self.synchronising || !self.new.is_empty();
        }
    }

    /// Sends it alone with the server's leave: it will probably be refused, for this reason.
    pub(super) fn be_careful(&mut self, why: &'static str) {
        self.odd = Some(why);
        self.wait_for_leave();
    }

    /// Says that its header holds UTF-8. `first`: whether the server understands that is not known yet,
    /// so that it waits for leave.
    fn say_utf8(&mut self, first: bool) {
        self.message.utf8 = true;
        self.synchronising |= first;
        self.message.synchronizing |= first;
    }

    /// Leaves these keywords out.
    pub(super) fn leave_out(&mut self, keywords: &[Keyword]) {
        let mut dropped = Flags::new();
        for keyword in keywords {
            if self.flags.contains_keyword(keyword) {
                dropped.insert_keyword(keyword.clone());
            }
        }
        if !dropped.is_empty() {
            self.lose(&dropped);
        }
    }

    /// Does without these flags, and says so.
    pub(super) fn lose(&mut self, dropped: &Flags) {
        note_dropped(dropped, &mut self.altered);
        self.flags = self.flags.difference(dropped);
        self.reduced = true;
        self.new
            .retain(|keyword| !dropped.contains_keyword(keyword));
        self.message.flags = sent_flags(&self.flags, self.flagged);
        self.message.synchronizing = self.synchronising || self.old_date || !self.new.is_empty();
    }
}

/// Why the server will probably refuse a message of that form.
async fn objection(quirks: &Quirks, content: &Content) -> Result<Option<&'static str>> {
    if !quirks.cares_for_form() {
        return Ok(None);
    }
    let (mut form, mut reader) = (Shape::default(), content.reader());
    while let Some(piece) = reader.next().await? {
        form.read(&piece);
    }
    Ok(quirks.objects_to(form))
}

/// Longest keyword that every server seen takes (Dovecot's limit).
const USUAL_KEYWORD: usize = 50;

#[cfg(test)]
mod tests {
    use mailmove_core::model::Timestamp;

    use super::*;

    fn rules(permanent: Option<&wire::Flags>) -> Rules<'_> {
        Rules {
            permanent,
            accepted: HashSet::new(),
            harmless: HashSet::new(),
            refused: HashSet::from([Keyword::new("bad").unwrap()]),
            largest: Some(10),
            binary: true,
            synchronising: false,
            flagged_after: false,
            dates: Dates::default(),
        }
    }

    fn item(flags: &str) -> Outgoing {
        Outgoing::new(Content::from_bytes("x"))
            .with_flags(Flags::parse(flags))
            .with_received(Some(Timestamp::new(1_577_923_200, 60)))
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
    fn refused_keywords_are_left_out_and_said() {
        let mut rules = rules(None);
        let mut ready = rules
            .prepare(Slot::new(0), item("\\Seen BAD odd/one plain"))
            .unwrap();
        assert_eq!(ready.message.flags.to_string(), "(\\Seen odd/one plain)");
        let suspects = ready.suspects();
        assert_eq!(
            suspects.iter().map(Keyword::as_str).collect::<Vec<_>>(),
            ["odd/one"]
        );
        ready.leave_out(&suspects);
        assert!(ready.message.synchronizing);
        assert_eq!(ready.suspects().len(), 1);
        ready.leave_out(&ready.suspects());
        assert!(!ready.message.synchronizing);
        let receipt = ready.receipt(None);
        assert_eq!(receipt.flags, Some(Flags::parse("\\Seen")));
        assert_eq!(receipt.altered.len(), 3);
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
    fn a_message_with_an_old_date_waits_for_leave_until_it_is_replaced() {
        let mut rules = rules(None);
        let item = item("").with_received(Some(Timestamp::new(-1, 60)));
        let mut ready = rules.prepare(Slot::new(0), item).unwrap();
        assert!(ready.has_old_date() && ready.message.synchronizing);
        ready.replace_date();
        assert!(!ready.has_old_date() && !ready.message.synchronizing);
        let date = ready.message.date.unwrap();
        assert_eq!(date.to_string(), "02-Jan-1970 00:00:00 +0000");
        let receipt = ready.receipt(None);
        assert_eq!(receipt.altered[0].kind, AlterationKind::DateReplaced);
        assert!(receipt.altered[0].detail.starts_with("1970-01-01T00:59:59"));
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
