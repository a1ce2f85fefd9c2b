//! What some servers do otherwise than the protocol says, or than they say themselves.
//!
//! A table ([`table`]) is chosen by greeting, ID reply and capabilities once somebody is logged in,
//! and told in the log and as a note to the observer. What is asked for anyway (PERMANENTFLAGS,
//! APPENDLIMIT, what names are possible) is believed before any table. Nothing in a table makes a
//! message be left out: it changes the way, the order, or the names.

mod table;

use std::fmt;

use mailmove_core::model::{Naming, Timestamp};

use crate::wire::{Capabilities, IdField, LiteralMode};

pub use table::KnownServer;

/// What a server does otherwise than expected. [`Quirks::none`] expects the protocol; the tables of
/// [known servers](KnownServer) are found at run time, and [`ImapConfig::with_quirks`] sets others.
///
/// ```
/// use mailmove_imap::{ImapConfig, KnownServer, Quirks};
///
/// let mut quirks = Quirks::of(KnownServer::Exchange);
/// quirks.max_connections = Some(4);
/// let config = ImapConfig::new("mail.example.com").with_quirks(quirks);
/// ```
///
/// [`ImapConfig::with_quirks`]: crate::ImapConfig::with_quirks
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quirks {
    /// Whose they are, for people; empty for none.
    pub name: String,
    /// New keywords last. Where they don't, only those are sent that PERMANENTFLAGS names, even if
    /// it says `\*`.
    pub new_keywords: bool,
    /// `\Flagged` has to be set by STORE after the message was stored; given to APPEND it is shown by
    /// IMAP alone, and not by the server's other programs.
    pub flagged_after_append: bool,
    /// Top-level folder names that the server keeps for itself.
    pub reserved_names: Vec<String>,
    /// Characters that folder names cannot hold.
    pub forbidden_in_names: String,
    /// The last character that folder names can hold, in the order of code points.
    pub highest_in_names: Option<char>,
    /// Blanks at the ends of folder names, or several in a row, are refused.
    pub no_excess_blanks: bool,
    /// Folder names that differ only in case are the same folder.
    pub case_insensitive_names: bool,
    /// Refusals are counted, and after a few the server hangs up: nothing is asked that will most
    /// likely be refused.
    pub counts_refusals: bool,
    /// Connections that one user may have, all programs together.
    pub max_connections: Option<usize>,
    /// Largest message that is sent to it, in bytes; larger ones are recorded as failed. No table sets
    /// it: what a server says, or refuses, is better than a guess.
    pub max_message: Option<u64>,
    /// `LIST … RETURN (…)` works where it is offered.
    pub list_return: bool,
    /// Literals may go without waiting where the server says so (RFC 7888).
    pub literals_at_once: bool,
    /// Lines of this many bytes are mostly refused. A message with a longer one is sent with a
    /// synchronising literal, so that its refusal costs nothing but itself.
    pub max_line: Option<usize>,
    /// Messages whose last line has no end are mostly refused; sent in the same way.
    pub needs_final_newline: bool,
    /// What is told as MAILBOXID (RFC 8474) is a folder's id.
    pub mailbox_ids: bool,
    /// An inbox gets a lasting UIDVALIDITY only by being opened to write or appended to: until then
    /// each look at it tells another. An inbox of which nothing was ever deleted is opened once before
    /// it is filled.
    pub unnumbered_inbox: bool,
    /// Earliest received date that is kept, in Unix seconds. Earlier ones are replaced, and reported.
    /// Without it they are sent as they are, and replaced if the server refuses them.
    pub earliest_received: Option<i64>,
    /// Latest received date that is kept, in Unix seconds.
    pub latest_received: Option<i64>,
    /// What else there is to know.
    pub hint: Option<String>,
}

impl Quirks {
    /// A server that keeps to the protocol.
    #[must_use]
    pub fn none() -> Self {
        Self {
            name: String::new(),
            new_keywords: true,
            flagged_after_append: false,
            reserved_names: Vec::new(),
            forbidden_in_names: String::new(),
            highest_in_names: None,
            no_excess_blanks: false,
            case_insensitive_names: false,
            counts_refusals: false,
            max_connections: None,
            max_message: None,
            list_return: true,
            literals_at_once: true,
            max_line: None,
            needs_final_newline: false,
            mailbox_ids: true,
            unnumbered_inbox: false,
            earliest_received: None,
            latest_received: None,
            hint: None,
        }
    }

    /// The table of a known server.
    #[must_use]
    pub fn of(server: KnownServer) -> Self {
        table::quirks(server)
    }

    /// The table that fits what a server says of itself; none if it is not known.
    pub(crate) fn detect(greeting: &str, id: &[IdField], can: &Capabilities) -> Self {
        table::recognise(greeting, id, can).map_or_else(Self::none, Self::of)
    }

    /// Whether anything is done otherwise.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self
            == Self {
                name: self.name.clone(),
                ..Self::none()
            }
    }

    /// How literals may be sent.
    pub(crate) fn literals(&self, offered: LiteralMode) -> LiteralMode {
        match self.literals_at_once {
            true => offered,
            false => LiteralMode::Synchronizing,
        }
    }

    /// Adds what is known of names.
    pub(crate) fn limit(&self, naming: &mut Naming) {
        let separator = naming.separator;
        let new = self.forbidden_in_names.chars();
        let new = new.filter(|c| Some(*c) != separator);
        let new: String = new.filter(|c| !naming.forbidden.contains(*c)).collect();
        naming.forbidden.push_str(&new);
        if let Some(highest) = self.highest_in_names {
            naming.highest = naming.highest.min(highest);
        }
        naming.reserved.extend(self.reserved_names.iter().cloned());
        naming.case_insensitive |= self.case_insensitive_names;
        naming.trims_blanks |= self.no_excess_blanks;
        naming.squeezes_blanks |= self.no_excess_blanks;
    }

    /// Why the server will probably refuse a message of this form; see [`Form`].
    pub(crate) fn objects_to(&self, form: Form) -> Option<&'static str> {
        if self.max_line.is_some_and(|most| form.longest_line > most) {
            Some("it has a line that is longer than this server usually takes")
        } else if self.needs_final_newline && !form.ends_with_newline {
            Some("its last line has no end, which this server usually refuses")
        } else {
            None
        }
    }

    /// Whether the form of messages matters.
    pub(crate) fn cares_for_form(&self) -> bool {
        self.max_line.is_some() || self.needs_final_newline
    }
}

impl Default for Quirks {
    fn default() -> Self {
        Self::none()
    }
}

/// In words, for log and notes.
impl fmt::Display for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        let mut say = |fits: bool, text: &str| {
            if fits {
                words.push(text.to_owned());
            }
        };
        say(!self.new_keywords, "no new keywords");
        say(
            self.flagged_after_append,
            "\\Flagged is set after a message is stored",
        );
        say(self.no_excess_blanks, "no excess blanks in folder names");
        say(
            self.case_insensitive_names,
            "folder names without regard to case",
        );
        say(self.counts_refusals, "refusals are counted");
        say(!self.list_return, "LIST without RETURN");
        say(!self.literals_at_once, "literals wait for leave");
        say(self.needs_final_newline, "messages end with a line's end");
        say(!self.mailbox_ids, "no word on MAILBOXID is believed");
        say(
            self.unnumbered_inbox,
            "an inbox that was never written to has no lasting UIDVALIDITY",
        );
        if !self.reserved_names.is_empty() {
            words.push(format!(
                "reserved folder names: {}",
                self.reserved_names.join(", ")
            ));
        }
        if !self.forbidden_in_names.is_empty() {
            words.push(format!("not in folder names: {}", self.forbidden_in_names));
        }
        if let Some(highest) = self.highest_in_names {
            let highest = highest.escape_unicode();
            words.push(format!("nothing beyond {highest} in folder names"));
        }
        let date = |seconds| Timestamp::new(seconds, 0);
        if let Some(earliest) = self.earliest_received {
            words.push(format!("no dates before {}", date(earliest)));
        }
        if let Some(latest) = self.latest_received {
            words.push(format!("no dates after {}", date(latest)));
        }
        if let Some(most) = self.max_connections {
            words.push(format!("at most {most} connections"));
        }
        if let Some(most) = self.max_message {
            words.push(format!("messages of at most {most} bytes"));
        }
        if let Some(most) = self.max_line {
            words.push(format!("lines of at most {most} bytes"));
        }
        words.extend(self.hint.clone());
        f.write_str(&words.join("; "))
    }
}

/// What of a message's form some servers object to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    longest_line: usize,
    current_line: usize,
    ends_with_newline: bool,
}

impl Form {
    /// Goes on with the message's next bytes.
    pub(crate) fn read(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            // The line's end counts, but for its LF: close enough to any server's way of counting.
            self.longest_line = self.longest_line.max(self.current_line + at);
            self.current_line = 0;
            rest = rest.get(at + 1..).unwrap_or_default();
        }
        self.current_line += rest.len();
        self.longest_line = self.longest_line.max(self.current_line);
        if !piece.is_empty() {
            self.ends_with_newline = rest.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_messages_form_is_read_in_any_pieces() {
        let mail = b"Subject: x\r\n\r\nlonger line here\r\nshort";
        for size in 1..mail.len() {
            let mut form = Form::default();
            mail.chunks(size).for_each(|piece| form.read(piece));
            assert_eq!(form.longest_line, 17, "{size}");
            assert!(!form.ends_with_newline, "{size}");
        }
        let mut form = Form::default();
        form.read(b"x\r\n");
        form.read(b"");
        assert!(form.ends_with_newline);
        let mut quirks = Quirks::none();
        assert!(!quirks.cares_for_form() && quirks.objects_to(Form::default()).is_none());
        quirks.needs_final_newline = true;
        assert!(quirks.objects_to(Form::default()).is_some());
        assert_eq!(quirks.objects_to(form), None);
        quirks.max_line = Some(1);
        assert!(quirks.objects_to(form).is_some());
    }

    #[test]
    fn names_are_limited_by_what_is_known_beside_what_was_found_out() {
        let mut naming = Naming::default();
        naming.forbidden = "^%".to_owned();
        Quirks::of(KnownServer::Gmail).limit(&mut naming);
        assert_eq!(naming.forbidden, "^%\"'\\");
        assert!(naming.trims_blanks && naming.squeezes_blanks);
        let mut plain = Naming::default();
        Quirks::none().limit(&mut plain);
        assert_eq!(format!("{plain:?}"), format!("{:?}", Naming::default()));
    }
}
