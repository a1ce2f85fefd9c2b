//! Keys of SEARCH (RFC 3501 section 6.4.4).

use crate::Capability;
use crate::date;
use crate::parser::Parser;
use crate::reply::Stop;
use crate::sequence::Sequence;
use crate::session::Session;

/// A condition on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    All,
    And(Vec<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Flag(String),
    Recent,
    /// A field contains a text; an empty text only asks for the field.
    Header(String, String),
    /// The body contains a text.
    Body(String),
    /// The message contains a text.
    Text(String),
    /// Comparison of the received day.
    Received(Order, i64),
    /// Comparison of the Date header's day.
    Sent(Order, i64),
    Larger(u64),
    Smaller(u64),
    Uid(Sequence),
    Position(Sequence),
    ModSeq(u64),
    EmailId(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Before,
    On,
    Since,
}

impl Session {
    /// Keys separated by blanks, to the end: all must hold.
    pub(crate) fn search_keys(&self, p: &mut Parser<'_>) -> Result<Key, Stop> {
        let mut keys = vec![self.search_key(p)?];
        while p.eat(b' ') {
            keys.push(self.search_key(p)?);
        }
        Ok(Key::And(keys))
    }

    fn search_key(&self, p: &mut Parser<'_>) -> Result<Key, Stop> {
        match p.peek() {
            Some(b'(') => {
                p.open()?;
                let keys = self.search_keys(p)?;
                p.close()?;
                return Ok(keys);
            }
            Some(b'0'..=b'9' | b'*') => {
                return Ok(Key::Position(Sequence::parse(p.set_text()?)?));
            }
            _ => {}
        }
        let name = p.keyword()?;
        if let Some(key) = simple_key(&name) {
            return Ok(key);
        }
        match name.as_str() {
            "NOT" | "OR" => self.compound_key(p, &name),
            "MODSEQ" if self.has(Capability::Condstore) => modseq_key(p),
            "EMAILID" if self.has(Capability::ObjectId) => {
                p.space()?;
                p.text().map(Key::EmailId)
            }
            _ => key_with_argument(p, &name),
        }
    }

    fn compound_key(&self, p: &mut Parser<'_>, name: &str) -> Result<Key, Stop> {
        p.nest()?;
        p.space()?;
        let first = Box::new(self.search_key(p)?);
        let key = if name == "NOT" {
            Key::Not(first)
        } else {
            p.space()?;
            Key::Or(first, Box::new(self.search_key(p)?))
        };
        p.unnest();
        Ok(key)
    }
}

fn simple_key(name: &str) -> Option<Key> {
    let flag = |name: &str| Key::Flag(format!("\\{name}"));
    let not = |key| Key::Not(Box::new(key));
    Some(match name {
        "ALL" => Key::All,
        "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" | "SEEN" => flag(name),
        "UNANSWERED" => not(flag("Answered")),
        "UNDELETED" => not(flag("Deleted")),
        "UNDRAFT" => not(flag("Draft")),
        "UNFLAGGED" => not(flag("Flagged")),
        "UNSEEN" => not(flag("Seen")),
        "RECENT" => Key::Recent,
        "OLD" => not(Key::Recent),
        "NEW" => Key::And(vec![Key::Recent, not(flag("Seen"))]),
        _ => return None,
    })
}

/// `MODSEQ [entry type] number`; the entry is only a hint (RFC 7162 section 3.1.5).
fn modseq_key(p: &mut Parser<'_>) -> Result<Key, Stop> {
    p.space()?;
    if p.peek() == Some(b'"') {
        p.string()?;
        p.space()?;
        p.keyword()?;
        p.space()?;
    }
    p.number().map(Key::ModSeq)
}

fn key_with_argument(p: &mut Parser<'_>, name: &str) -> Result<Key, Stop> {
    let known = [
        "BCC",
        "CC",
        "FROM",
        "SUBJECT",
        "TO",
        "BODY",
        "TEXT",
        "HEADER",
        "KEYWORD",
        "UNKEYWORD",
        "BEFORE",
        "ON",
        "SINCE",
        "SENTBEFORE",
        "SENTON",
        "SENTSINCE",
        "LARGER",
        "SMALLER",
        "UID",
    ];
    if !known.contains(&name) {
        return Err(Stop::bad("unknown search key"));
    }
    p.space()?;
    Ok(match name {
        "BODY" => Key::Body(lower(p)?),
        "TEXT" => Key::Text(lower(p)?),
        "HEADER" => {
            let field = p.text()?;
            p.space()?;
            Key::Header(field, lower(p)?)
        }
        "KEYWORD" => Key::Flag(p.flag()?),
        "UNKEYWORD" => Key::Not(Box::new(Key::Flag(p.flag()?))),
        "LARGER" => Key::Larger(p.number()?),
        "SMALLER" => Key::Smaller(p.number()?),
        "UID" => Key::Uid(Sequence::parse(p.set_text()?)?),
        "BEFORE" => Key::Received(Order::Before, day(p)?),
        "ON" => Key::Received(Order::On, day(p)?),
        "SINCE" => Key::Received(Order::Since, day(p)?),
        "SENTBEFORE" => Key::Sent(Order::Before, day(p)?),
        "SENTON" => Key::Sent(Order::On, day(p)?),
        "SENTSINCE" => Key::Sent(Order::Since, day(p)?),
        field => Key::Header(field.to_owned(), lower(p)?),
    })
}

fn lower(p: &mut Parser<'_>) -> Result<String, Stop> {
    Ok(p.text()?.to_lowercase())
}

fn day(p: &mut Parser<'_>) -> Result<i64, Stop> {
    date::search_days(&p.text()?).ok_or_else(|| Stop::bad("invalid date"))
}
