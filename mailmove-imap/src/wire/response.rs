//! Typed responses, read from complete lines.

use super::capability::Capabilities;
use super::error::Excerpt;
use super::fetch::Fetch;
use super::flags::Flags;
use super::lex::{Bad, Cursor, lossy, number_u32};
use super::mailbox::{ListEntry, MailboxStatus, Metadata, MyRights, Namespaces, Quota, QuotaRoot};
use super::proto;
use super::search::{Esearch, Search, Vanished};
use super::status::{self, Status, StatusKind};

/// One response of a server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Response {
    /// The completion of a command.
    Tagged {
        /// The tag as the server wrote it.
        tag: Box<str>,
        /// OK, NO or BAD.
        status: Status,
    },
    /// Untagged OK, NO, BAD, PREAUTH, BYE; the greeting is the first of a connection.
    Status(Status),
    /// `+`: go on with a literal or an authentication exchange.
    Continue(Box<str>),
    /// CAPABILITY
    Capability(Capabilities),
    /// ENABLED
    Enabled(Capabilities),
    /// LIST
    List(ListEntry),
    /// LSUB
    Lsub(ListEntry),
    /// STATUS
    MailboxStatus(Box<MailboxStatus>),
    /// NAMESPACE
    Namespace(Namespaces),
    /// SEARCH
    Search(Search),
    /// ESEARCH
    Esearch(Box<Esearch>),
    /// EXISTS
    Exists(u32),
    /// RECENT
    Recent(u32),
    /// EXPUNGE, by sequence number
    Expunge(u32),
    /// VANISHED
    Vanished(Vanished),
    /// FLAGS
    Flags(Flags),
    /// FETCH
    Fetch(Box<Fetch>),
    /// ID: names and values, in order; none for NIL.
    Id(Vec<IdField>),
    /// QUOTA
    Quota(Quota),
    /// QUOTAROOT
    QuotaRoot(QuotaRoot),
    /// MYRIGHTS
    MyRights(MyRights),
    /// METADATA, with values
    Metadata(Box<Metadata>),
    /// A kind of response that isn't known here.
    Unknown {
        /// Its first words.
        excerpt: Excerpt,
    },
    /// A known kind that makes no sense. The stream is intact: whether that matters depends on what was asked for.
    Malformed(Malformed),
}

/// A field of an ID response (RFC 2971): its name, and its value unless that is NIL.
pub type IdField = (Box<str>, Option<Box<str>>);

/// A response that is framed but can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("expected {what} at {excerpt}")]
#[non_exhaustive]
pub struct Malformed {
    /// The kind of response and what was expected.
    pub what: &'static str,
    /// Of a FETCH: the message's sequence number.
    pub seq: Option<u32>,
    /// Of a FETCH: its UID, if that came before.
    pub uid: Option<u32>,
    /// The words where it went wrong; never of a mail's body.
    pub excerpt: Excerpt,
}

impl Response {
    /// Whether a connection may begin with it.
    #[must_use]
    pub fn is_greeting(&self) -> bool {
        let kinds = [StatusKind::Ok, StatusKind::PreAuth, StatusKind::Bye];
        matches!(self, Self::Status(status) if kinds.contains(&status.kind))
    }
}

/// How the framer has to treat a response, by its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Untagged status or continuation: free text, no literals.
    Status,
    /// Anything tagged: likewise.
    Tagged,
    /// Structured data with literals that are gathered.
    Data,
    /// FETCH or UIDFETCH (RFC 9586).
    Fetch(FetchHead),
}

/// How a FETCH begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FetchHead {
    /// Names the message: by its UID in UIDFETCH, else by its sequence number.
    pub(super) number: u32,
    pub(super) by_uid: bool,
    /// Bytes before its list.
    pub(super) skip: usize,
}

/// Tells a response's kind from its first line, without its end.
pub(super) fn classify(line: &[u8]) -> Kind {
    let mut c = Cursor::new(line);
    if c.peek() == Some(b'+') {
        return Kind::Status;
    }
    if !c.eat(b'*') || !c.blanks() {
        return Kind::Tagged;
    }
    let word = c.token();
    if StatusKind::read(word).is_some() {
        return Kind::Status;
    }
    let Some(number) = number_u32(word) else {
        return Kind::Data;
    };
    c.blanks();
    let name = c.token();
    let by_uid = name.eq_ignore_ascii_case(b"UIDFETCH");
    let fetch = by_uid || name.eq_ignore_ascii_case(b"FETCH");
    c.blanks();
    if fetch && c.eat(b'(') {
        Kind::Fetch(FetchHead {
            number,
            by_uid,
            skip: c.at(),
        })
    } else {
        Kind::Data
    }
}

/// Whether the response that begins here may have lines as long as a folder has messages.
pub(super) fn has_long_lines(start: &[u8]) -> bool {
    let Some(rest) = start.strip_prefix(b"* ") else {
        return false;
    };
    let words: [&[u8]; 4] = [b"SEARCH ", b"ESEARCH ", b"SORT ", b"VANISHED "];
    let begins = |word: &&[u8]| {
        rest.get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    words.iter().any(begins)
}

/// Reads a complete response other than FETCH, without its last line end. `None`: it is no IMAP response at all.
pub(super) fn parse(text: &[u8]) -> Option<Response> {
    match text.first()? {
        b'+' => {
            let words = text.get(1..)?;
            let words = if words.is_empty() {
                words
            } else {
                words.strip_prefix(b" ")?
            };
            Some(Response::Continue(lossy(words).into()))
        }
        b'*' => {
            let mut c = Cursor::new(text.get(1..)?);
            if !c.blanks() {
                return None;
            }
            Some(match untagged(text, &mut c) {
                Ok(response) => response,
                Err(bad) => Response::Malformed(Malformed {
                    what: bad.what,
                    excerpt: Excerpt::new(text),
                    ..Malformed::default()
                }),
            })
        }
        _ => tagged(text),
    }
}

fn tagged(text: &[u8]) -> Option<Response> {
    let mut c = Cursor::new(text);
    let tag = c.token();
    let printable = !tag.is_empty() && tag.iter().all(u8::is_ascii_graphic);
    if !printable || !c.blanks() {
        return None;
    }
    let kind = StatusKind::read(c.token())?;
    if matches!(kind, StatusKind::PreAuth | StatusKind::Bye) {
        return None;
    }
    Some(Response::Tagged {
        tag: lossy(tag).into(),
        status: status::read(kind, c.rest()),
    })
}

fn untagged(text: &[u8], c: &mut Cursor<'_>) -> Result<Response, Bad> {
    let word = c.word("a response")?;
    if let Some(kind) = StatusKind::read(word) {
        return Ok(Response::Status(status::read(kind, c.rest())));
    }
    let unknown = || Response::Unknown {
        excerpt: Excerpt::new(text),
    };
    if word.iter().all(u8::is_ascii_digit) {
        return numbered(number_u32(word), c).map(|known| known.unwrap_or_else(unknown));
    }
    match proto::parse(text) {
        Some(response) => Ok(response),
        None => Ok(named(word, c)?.unwrap_or_else(unknown)),
    }
}

/// Our own readers, by a response's name; `None` if it isn't known.
pub(super) fn named(word: &[u8], c: &mut Cursor<'_>) -> Result<Option<Response>, Bad> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    Ok(Some(if is("CAPABILITY") {
        Response::Capability(Capabilities::new(c.rest().split(|byte| *byte == b' ')))
    } else if is("ENABLED") {
        Response::Enabled(Capabilities::new(c.rest().split(|byte| *byte == b' ')))
    } else if is("LIST") {
        Response::List(ListEntry::read(c)?)
    } else if is("LSUB") {
        Response::Lsub(ListEntry::read(c)?)
    } else if is("STATUS") {
        Response::MailboxStatus(Box::new(MailboxStatus::read(c)?))
    } else if is("NAMESPACE") {
        Response::Namespace(Namespaces::read(c)?)
    } else if is("SEARCH") {
        Response::Search(Search::read(c)?)
    } else if is("ESEARCH") {
        Response::Esearch(Box::new(Esearch::read(c)?))
    } else if is("VANISHED") {
        Response::Vanished(Vanished::read(c)?)
    } else if is("FLAGS") {
        Response::Flags(status::flag_list(c)?)
    } else if is("ID") {
        Response::Id(id(c)?)
    } else if is("QUOTA") {
        Response::Quota(Quota::read(c)?)
    } else if is("QUOTAROOT") {
        Response::QuotaRoot(QuotaRoot::read(c)?)
    } else if is("MYRIGHTS") {
        Response::MyRights(MyRights::read(c)?)
    } else if is("METADATA") {
        match Metadata::read(c)? {
            Some(metadata) => Response::Metadata(Box::new(metadata)),
            None => return Ok(None),
        }
    } else {
        return Ok(None);
    }))
}

/// What follows a number; `None` if it isn't known.
fn numbered(number: Option<u32>, c: &mut Cursor<'_>) -> Result<Option<Response>, Bad> {
    c.blanks();
    let word = c.token();
    let bad = c.bad("a 32-bit number");
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let kind = if is("EXISTS") {
        Response::Exists
    } else if is("RECENT") {
        Response::Recent
    } else if is("EXPUNGE") {
        Response::Expunge
    } else if is("FETCH") {
        // A FETCH with a number and a list doesn't come here.
        return Err(c.bad("FETCH: a list"));
    } else {
        return Ok(None);
    };
    number.map(|number| Some(kind(number))).ok_or(bad)
}

fn id(c: &mut Cursor<'_>) -> Result<Vec<IdField>, Bad> {
    let mut pairs = Vec::new();
    c.blanks();
    if !c.eat(b'(') {
        return match c.nstring("ID: a list or NIL")? {
            None => Ok(pairs),
            Some(_) => Err(c.bad("ID: a list or NIL")),
        };
    }
    loop {
        c.blanks();
        if c.eat(b')') {
            return Ok(pairs);
        }
        let name = lossy(&c.astring("ID: a name")?).into_boxed_str();
        c.blanks();
        let value = c
            .nstring("ID: a value")?
            .map(|value| lossy(&value).into_boxed_str());
        pairs.push((name, value));
    }
}
