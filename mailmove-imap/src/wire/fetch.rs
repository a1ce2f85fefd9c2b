//! FETCH responses (RFC 3501 §7.4.2), read piece by piece so that a mail's text never has to be in memory.
//!
//! A FETCH is text, interrupted by literals. [`FetchParser`] takes the text between literals as it becomes complete and
//! says what the literal after it is: a body to stream, a value to gather, or something unknown to drop.

use std::fmt;

use bytes::Bytes;

use super::date::InternalDate;
use super::flags::Flags;
use super::lex::{Bad, Cursor, lossy, number_u32, number_u64};
use super::response::FetchHead;

/// What one FETCH response says about one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Fetch {
    /// Message sequence number; 0 where the server names messages by UID alone (UIDFETCH, RFC 9586).
    pub seq: u32,
    /// UID, absent in some unsolicited responses.
    pub uid: Option<u32>,
    /// FLAGS.
    pub flags: Option<Flags>,
    /// INTERNALDATE.
    pub internal_date: Option<ServerDate>,
    /// RFC822.SIZE in octets: a hint, some servers guess it.
    pub size: Option<u64>,
    /// MODSEQ (RFC 7162).
    pub modseq: Option<u64>,
    /// X-GM-MSGID.
    pub gm_msgid: Option<u64>,
    /// X-GM-THRID.
    pub gm_thrid: Option<u64>,
    /// X-GM-LABELS: unescaped wire bytes, in modified UTF-7 unless UTF8=ACCEPT is on. System labels begin with `\`.
    pub gm_labels: Option<Vec<Box<[u8]>>>,
    /// EMAILID (RFC 8474).
    pub email_id: Option<Box<str>>,
    /// THREADID (RFC 8474); NIL is none.
    pub thread_id: Option<Box<str>>,
    /// SAVEDATE (RFC 8514).
    pub save_date: Option<ServerDate>,
    /// Sections of the body, in the server's order.
    pub sections: Vec<BodySection>,
    /// Something in it was unknown or unreadable and left out.
    pub odd: bool,
}

impl Fetch {
    /// The content of the whole message, if it came inline.
    #[must_use]
    pub fn full_body(&self) -> Option<&BodyContent> {
        self.sections
            .iter()
            .find(|part| part.section == Section::Full)
            .map(|part| &part.content)
    }
}

/// A date that a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerDate {
    /// A date that can be read.
    Valid(InternalDate),
    /// NIL.
    Nil,
    /// Not a date; the server's bytes.
    Malformed(Box<[u8]>),
}

impl ServerDate {
    /// The date, if it is one.
    #[must_use]
    pub fn valid(&self) -> Option<InternalDate> {
        match self {
            Self::Valid(date) => Some(*date),
            _ => None,
        }
    }

    fn read(text: &[u8]) -> Self {
        match InternalDate::parse(text) {
            Some(date) => Self::Valid(date),
            None => Self::Malformed(text.into()),
        }
    }
}

/// One section of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodySection {
    /// Which.
    pub section: Section,
    /// Where it begins in the section, if only a part was sent (`BODY[]<0>`).
    pub origin: Option<u64>,
    /// The server sent it as BINARY or as a `~{n}` literal: it may hold NUL.
    pub binary: bool,
    /// Its octets, or where they went.
    pub content: BodyContent,
}

/// Names a section.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Section {
    /// The whole message: `BODY[]`, `RFC822`, `BINARY[]`.
    Full,
    /// `BODY[HEADER]`, `RFC822.HEADER`.
    Header,
    /// `BODY[TEXT]`, `RFC822.TEXT`.
    Text,
    /// `BODY[HEADER.FIELDS (…)]`, with the server's list of fields as it came.
    HeaderFields(Box<[u8]>),
    /// Any other, as the server wrote it.
    Other(Box<[u8]>),
}

impl Section {
    fn read(text: &[u8]) -> Self {
        const FIELDS: &[u8] = b"HEADER.FIELDS ";
        if text.is_empty() {
            Self::Full
        } else if text.eq_ignore_ascii_case(b"HEADER") {
            Self::Header
        } else if text.eq_ignore_ascii_case(b"TEXT") {
            Self::Text
        } else {
            match text.split_at_checked(FIELDS.len()) {
                Some((name, fields)) if name.eq_ignore_ascii_case(FIELDS) => {
                    Self::HeaderFields(fields.into())
                }
                _ => Self::Other(text.into()),
            }
        }
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("[]"),
            Self::Header => f.write_str("[HEADER]"),
            Self::Text => f.write_str("[TEXT]"),
            Self::HeaderFields(fields) => write!(f, "[HEADER.FIELDS {}]", fields.escape_ascii()),
            Self::Other(text) => write!(f, "[{}]", text.escape_ascii()),
        }
    }
}

/// The octets of a section.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyContent {
    /// NIL: the server has no such section, or no such message any more.
    Nil,
    /// All of it. May share memory with the read buffer, so copy what is to be kept for long.
    Inline(Bytes),
    /// So many octets went out before as events.
    Streamed(u64),
}

impl fmt::Debug for BodyContent {
    // Never the mail itself: this ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("Nil"),
            Self::Inline(octets) => write!(f, "Inline({} octets)", octets.len()),
            Self::Streamed(len) => write!(f, "Streamed({len} octets)"),
        }
    }
}

/// What the literal is that follows the text read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LiteralUse {
    /// Content of a section.
    Body,
    /// A small value: give it to [`FetchParser::literal`].
    Gather,
    /// Of no interest.
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attr {
    Uid,
    Flags,
    InternalDate,
    Size,
    ModSeq,
    GmMsgId,
    GmThrId,
    GmLabels,
    EmailId,
    ThreadId,
    SaveDate,
    Body,
}

const ATTRS: [(&[u8], Attr); 11] = [
    (b"UID", Attr::Uid),
    (b"FLAGS", Attr::Flags),
    (b"INTERNALDATE", Attr::InternalDate),
    (b"RFC822.SIZE", Attr::Size),
    (b"MODSEQ", Attr::ModSeq),
    (b"X-GM-MSGID", Attr::GmMsgId),
    (b"X-GM-THRID", Attr::GmThrId),
    (b"X-GM-LABELS", Attr::GmLabels),
    (b"EMAILID", Attr::EmailId),
    (b"THREADID", Attr::ThreadId),
    (b"SAVEDATE", Attr::SaveDate),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between attributes.
    Item,
    /// Inside the brackets of `NAME[…]`; whether it is a body that we know.
    Section { known: bool },
    /// Before the value of an attribute.
    Value(Attr),
    /// Inside a list of flags or labels.
    List { attr: Attr, depth: usize },
    /// Inside the value of an unknown attribute.
    Skip { depth: usize },
    /// After the closing parenthesis.
    Done,
}

/// The section whose content is expected.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) section: Section,
    pub(super) origin: Option<u64>,
    pub(super) binary: bool,
}

/// Reads one FETCH response from the text between its literals.
#[derive(Debug)]
pub(super) struct FetchParser {
    pub(super) fetch: Fetch,
    state: State,
    section_text: Vec<u8>,
    pub(super) pending: Pending,
}

impl FetchParser {
    pub(super) fn new(head: FetchHead) -> Self {
        Self {
            fetch: Fetch {
                seq: if head.by_uid { 0 } else { head.number },
                uid: head.by_uid.then_some(head.number),
                ..Fetch::default()
            },
            state: State::Item,
            section_text: Vec::new(),
            pending: Pending {
                section: Section::Full,
                origin: None,
                binary: false,
            },
        }
    }

    /// Whether what failed may have been text of a mail, which no error may repeat.
    pub(super) fn in_body(&self) -> bool {
        matches!(self.state, State::Value(Attr::Body))
    }

    /// Takes the text up to the next literal (its announcement left out) or to the end of the response.
    pub(super) fn text(&mut self, text: &[u8], literal_follows: bool) -> Result<(), Bad> {
        let mut cursor = Cursor::new(text);
        let c = &mut cursor;
        loop {
            // Inside brackets blanks count; everywhere else they only separate.
            if !matches!(self.state, State::Section { .. }) {
                c.blanks();
            }
            if c.is_end() {
                return match self.state {
                    State::Done if !literal_follows => Ok(()),
                    State::Done | State::Item => Err(c.bad("FETCH: the end of the list")),
                    _ if literal_follows => Ok(()),
                    _ => Err(c.bad("FETCH: a value")),
                };
            }
            match self.state {
                State::Item => self.item(c)?,
                State::Section { known } => self.section(c, known)?,
                State::Value(attr) => self.value(c, attr)?,
                State::List { attr, depth } => self.list(c, attr, depth)?,
                State::Skip { depth } => self.skip(c, depth)?,
                State::Done => return Err(c.bad("FETCH: nothing after the list")),
            }
        }
    }

    /// What the literal after the text is.
    pub(super) fn literal_use(&self) -> LiteralUse {
        match self.state {
            State::Value(Attr::Body) => LiteralUse::Body,
            State::Skip { .. } => LiteralUse::Drop,
            _ => LiteralUse::Gather,
        }
    }

    /// Takes the octets of a gathered literal.
    pub(super) fn literal(&mut self, octets: &[u8]) -> Result<(), Bad> {
        match self.state {
            State::Value(attr) => {
                self.scalar(attr, octets, true)?;
                self.state = State::Item;
            }
            State::List { attr, .. } => self.element(attr, octets),
            State::Section { .. } => self.section_text.extend_from_slice(octets),
            State::Item | State::Skip { .. } | State::Done => {}
        }
        Ok(())
    }

    /// A dropped literal is over.
    pub(super) fn dropped(&mut self) {
        self.fetch.odd = true;
        if self.state == (State::Skip { depth: 0 }) {
            self.state = State::Item;
        }
    }

    /// The content of the pending section is known.
    pub(super) fn body(&mut self, content: BodyContent) {
        let section = std::mem::replace(&mut self.pending.section, Section::Full);
        let Pending { origin, binary, .. } = self.pending;
        self.fetch.sections.push(BodySection {
            section,
            origin,
            binary,
            content,
        });
        self.state = State::Item;
    }

    fn item(&mut self, c: &mut Cursor<'_>) -> Result<(), Bad> {
        if c.eat(b')') {
            self.state = State::Done;
            return Ok(());
        }
        let name = c.until(|byte| matches!(byte, b' ' | b'(' | b')' | b'[' | b'"' | b'\r' | b'\n'));
        if name.is_empty() {
            return Err(c.bad("FETCH: an attribute"));
        }
        self.pending = Pending {
            section: Section::Full,
            origin: None,
            binary: false,
        };
        if c.eat(b'[') {
            let binary = name.eq_ignore_ascii_case(b"BINARY");
            self.pending.binary = binary;
            self.section_text.clear();
            self.state = State::Section {
                known: binary || name.eq_ignore_ascii_case(b"BODY"),
            };
            return Ok(());
        }
        let known = ATTRS
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known));
        self.state = match known {
            Some((_, attr)) => State::Value(*attr),
            None => self.rfc822(name),
        };
        Ok(())
    }

    fn rfc822(&mut self, name: &[u8]) -> State {
        self.pending.section = if name.eq_ignore_ascii_case(b"RFC822") {
            Section::Full
        } else if name.eq_ignore_ascii_case(b"RFC822.HEADER") {
            Section::Header
        } else if name.eq_ignore_ascii_case(b"RFC822.TEXT") {
            Section::Text
        } else {
            return State::Skip { depth: 0 };
        };
        State::Value(Attr::Body)
    }

    fn section(&mut self, c: &mut Cursor<'_>, known: bool) -> Result<(), Bad> {
        self.section_text
            .extend_from_slice(c.until(|byte| matches!(byte, b']' | b'"')));
        if c.peek() == Some(b'"') {
            let quoted = c.quoted("FETCH: a header field")?;
            self.section_text.extend_from_slice(&quoted);
        } else if c.eat(b']') {
            if c.eat(b'<') {
                self.pending.origin = number_u64(c.until(|byte| !byte.is_ascii_digit()));
                c.expect(b'>', "FETCH: the end of an origin")?;
            }
            self.pending.section = Section::read(&self.section_text);
            self.state = if known {
                State::Value(Attr::Body)
            } else {
                State::Skip { depth: 0 }
            };
        }
        Ok(())
    }

    fn value(&mut self, c: &mut Cursor<'_>, attr: Attr) -> Result<(), Bad> {
        if matches!(attr, Attr::Flags | Attr::GmLabels) {
            // Named but empty is not the same as absent.
            if attr == Attr::Flags {
                self.fetch.flags.get_or_insert_default();
            } else {
                self.fetch.gm_labels.get_or_insert_default();
            }
            if c.eat(b'(') {
                self.state = State::List { attr, depth: 1 };
                return Ok(());
            }
        }
        let listed = !matches!(attr, Attr::Body) && c.eat(b'(');
        if listed {
            c.blanks();
        }
        let from = c.at();
        if c.peek() == Some(b'"') {
            let text = c.quoted("FETCH: the end of a quoted string")?;
            self.scalar(attr, &text, true)?;
        } else {
            let text = c.token();
            // `FLAGS )` has no value at all; that isn't the same as an empty one.
            if text.is_empty() {
                return Err(Bad {
                    what: "FETCH: a value",
                    at: from,
                });
            }
            self.scalar(attr, text, false)
                .map_err(|bad| Bad { at: from, ..bad })?;
        }
        if listed {
            c.blanks();
            c.expect(b')', "FETCH: the end of a value")?;
        }
        self.state = State::Item;
        Ok(())
    }

    /// One value that is no list. `string`: it was quoted or a literal, so that NIL would be text.
    fn scalar(&mut self, attr: Attr, text: &[u8], string: bool) -> Result<(), Bad> {
        let nil = !string && text.eq_ignore_ascii_case(b"NIL");
        let date = || {
            if nil {
                ServerDate::Nil
            } else {
                ServerDate::read(text)
            }
        };
        let id = || (!nil).then(|| lossy(text).into_boxed_str());
        let number = number_u64(text);
        let fetch = &mut self.fetch;
        match attr {
            Attr::Uid => {
                let uid = number_u32(text).filter(|uid| *uid != 0);
                let changed = fetch.uid.is_some() && fetch.uid != uid;
                if uid.is_none() || changed {
                    return Err(Bad {
                        what: "FETCH: one UID",
                        at: 0,
                    });
                }
                fetch.uid = uid;
            }
            Attr::Flags | Attr::GmLabels => {
                if !nil {
                    self.element(attr, text);
                }
            }
            Attr::InternalDate => fetch.internal_date = Some(date()),
            Attr::SaveDate => fetch.save_date = Some(date()),
            Attr::Size => fetch.size = number,
            Attr::ModSeq => fetch.modseq = number,
            Attr::GmMsgId => fetch.gm_msgid = number,
            Attr::GmThrId => fetch.gm_thrid = number,
            Attr::EmailId => fetch.email_id = id(),
            Attr::ThreadId => fetch.thread_id = id(),
            Attr::Body if nil => self.body(BodyContent::Nil),
            Attr::Body if string => self.body(BodyContent::Inline(Bytes::copy_from_slice(text))),
            Attr::Body => {
                return Err(Bad {
                    what: "FETCH: a string or NIL",
                    at: 0,
                });
            }
        }
        let numeric = matches!(
            attr,
            Attr::Size | Attr::ModSeq | Attr::GmMsgId | Attr::GmThrId
        );
        self.fetch.odd |= numeric && number.is_none();
        Ok(())
    }

    fn list(&mut self, c: &mut Cursor<'_>, attr: Attr, depth: usize) -> Result<(), Bad> {
        match c.peek() {
            Some(b')') => {
                c.skip(1);
                self.state = if depth == 1 {
                    State::Item
                } else {
                    State::List {
                        attr,
                        depth: depth - 1,
                    }
                };
            }
            Some(b'(') => {
                c.skip(1);
                self.fetch.odd = true;
                self.state = State::List {
                    attr,
                    depth: depth + 1,
                };
            }
            Some(b'"') => {
                let text = c.quoted("FETCH: the end of a quoted string")?;
                self.element(attr, &text);
            }
            _ => {
                let text = c.word("FETCH: a flag or label")?;
                self.element(attr, text);
            }
        }
        Ok(())
    }

    fn element(&mut self, attr: Attr, text: &[u8]) {
        match attr {
            Attr::Flags => self.fetch.flags.get_or_insert_default().push(text),
            _ => self
                .fetch
                .gm_labels
                .get_or_insert_default()
                .push(text.into()),
        }
    }

    fn skip(&mut self, c: &mut Cursor<'_>, depth: usize) -> Result<(), Bad> {
        self.fetch.odd = true;
        let depth = match c.peek() {
            Some(b'(') => {
                c.skip(1);
                depth + 1
            }
            // An attribute without a value: the parenthesis is the end of the FETCH.
            Some(b')') if depth == 0 => 0,
            Some(b')') => {
                c.skip(1);
                depth - 1
            }
            Some(b'"') => {
                c.quoted("FETCH: the end of a quoted string")?;
                depth
            }
            _ => {
                c.word("FETCH: a value")?;
                depth
            }
        };
        self.state = if depth == 0 {
            State::Item
        } else {
            State::Skip { depth }
        };
        Ok(())
    }
}
