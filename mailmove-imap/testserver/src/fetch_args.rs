//! Arguments of FETCH (RFC 3501 section 6.4.5, RFC 7162 section 3.1.4).

use crate::Capability;
use crate::parser::Parser;
use crate::reply::Stop;
use crate::session::Session;

/// Which part of a message's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    All,
    Header,
    /// Only these fields, or all but these.
    Fields {
        names: Vec<String>,
        not: bool,
    },
    Content,
    Mime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) peek: bool,
    pub(crate) part: Vec<u32>,
    pub(crate) text: Text,
    /// Offset and length.
    pub(crate) partial: Option<(u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Uid,
    Flags,
    InternalDate,
    Size,
    Rfc822,
    Rfc822Header,
    Rfc822Text,
    Body(Section),
    /// The whole message, its transfer encoding undone (RFC 3516).
    Binary {
        peek: bool,
    },
    ModSeq,
    EmailId,
    ThreadId,
    GmMsgId,
    GmThrId,
    GmLabels,
    Envelope,
    Structure {
        extended: bool,
    },
}

#[derive(Debug, Default)]
pub(crate) struct FetchArguments {
    pub(crate) items: Vec<Item>,
    pub(crate) changed_since: Option<u64>,
    pub(crate) vanished: bool,
}

impl Item {
    /// Whether it is the whole message.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Rfc822 | Self::Binary { .. } => true,
            Self::Body(section) => section.part.is_empty() && section.text == Text::All,
            _ => false,
        }
    }

    /// Whether fetching it marks the message as read.
    pub(crate) fn reads(&self) -> bool {
        match self {
            Self::Rfc822 | Self::Rfc822Text => true,
            Self::Body(section) => !section.peek,
            Self::Binary { peek } => !peek,
            _ => false,
        }
    }
}

impl Session {
    pub(crate) fn fetch_arguments(
        &self,
        p: &mut Parser<'_>,
        by_uid: bool,
    ) -> Result<FetchArguments, Stop> {
        let mut arguments = FetchArguments::default();
        if p.peek() == Some(b'(') {
            arguments.items = p.list(|p| self.fetch_item(p))?;
            if arguments.items.is_empty() {
                return Err(Stop::bad("nothing to fetch"));
            }
        } else if let Some(items) = macro_items(p) {
            arguments.items = items;
        } else {
            arguments.items = vec![self.fetch_item(p)?];
        }
        if !p.is_empty() {
            p.space()?;
            self.fetch_modifiers(p, by_uid, &mut arguments)?;
        }
        p.end()?;
        if by_uid && !arguments.items.contains(&Item::Uid) {
            arguments.items.insert(0, Item::Uid);
        }
        if arguments.changed_since.is_some() && !arguments.items.contains(&Item::ModSeq) {
            arguments.items.push(Item::ModSeq);
        }
        Ok(arguments)
    }

    fn fetch_modifiers(
        &self,
        p: &mut Parser<'_>,
        by_uid: bool,
        arguments: &mut FetchArguments,
    ) -> Result<(), Stop> {
        let bad = || Stop::bad("unknown modifier");
        if !self.has(Capability::Condstore) {
            return Err(bad());
        }
        p.list(|p| {
            match p.keyword()?.as_str() {
                "CHANGEDSINCE" => {
                    p.space()?;
                    arguments.changed_since = Some(p.number()?);
                }
                "VANISHED" if by_uid && self.qresync => arguments.vanished = true,
                _ => return Err(bad()),
            }
            Ok(())
        })?;
        if arguments.vanished && arguments.changed_since.is_none() {
            return Err(Stop::bad("VANISHED needs CHANGEDSINCE"));
        }
        Ok(())
    }

    fn fetch_item(&self, p: &mut Parser<'_>) -> Result<Item, Stop> {
        let name = p.fetch_name()?.to_ascii_uppercase();
        match name.as_str() {
            "UID" => Ok(Item::Uid),
            "FLAGS" => Ok(Item::Flags),
            "INTERNALDATE" => Ok(Item::InternalDate),
            "RFC822.SIZE" => Ok(Item::Size),
            "RFC822" => Ok(Item::Rfc822),
            "RFC822.HEADER" => Ok(Item::Rfc822Header),
            "RFC822.TEXT" => Ok(Item::Rfc822Text),
            "ENVELOPE" => Ok(Item::Envelope),
            "BODYSTRUCTURE" => Ok(Item::Structure { extended: true }),
            "BODY" if p.peek() != Some(b'[') => Ok(Item::Structure { extended: false }),
            "BODY" | "BODY.PEEK" => section(p, name == "BODY.PEEK").map(Item::Body),
            "BINARY" | "BINARY.PEEK" if self.has(Capability::Binary) => {
                let section = section(p, false)?;
                if !section.part.is_empty()
                    || section.text != Text::All
                    || section.partial.is_some()
                {
                    return Err(Stop::no("[UNKNOWN-CTE] only whole messages"));
                }
                Ok(Item::Binary {
                    peek: name == "BINARY.PEEK",
                })
            }
            "MODSEQ" if self.has(Capability::Condstore) => Ok(Item::ModSeq),
            "EMAILID" if self.has(Capability::ObjectId) => Ok(Item::EmailId),
            "X-GM-MSGID" if self.is_gmail() => Ok(Item::GmMsgId),
            "X-GM-THRID" if self.is_gmail() => Ok(Item::GmThrId),
            "X-GM-LABELS" if self.is_gmail() => Ok(Item::GmLabels),
            "THREADID" if self.has(Capability::ObjectId) => Ok(Item::ThreadId),
            _ => Err(Stop::bad("unknown fetch item")),
        }
    }
}

fn macro_items(p: &mut Parser<'_>) -> Option<Vec<Item>> {
    let fast = [Item::Flags, Item::InternalDate, Item::Size];
    let more: &[Item] = if p.eat_word("FAST") {
        &[]
    } else if p.eat_word("ALL") {
        &[Item::Envelope]
    } else if p.eat_word("FULL") {
        &[Item::Envelope, Item::Structure { extended: false }]
    } else {
        return None;
    };
    Some(fast.iter().chain(more).cloned().collect())
}

/// `[` part and text `]` and perhaps `<offset.length>`.
fn section(p: &mut Parser<'_>, peek: bool) -> Result<Section, Stop> {
    let bad = || Stop::bad("invalid section");
    p.expect(b'[')?;
    let mut part = Vec::new();
    while p.peek().is_some_and(|b| b.is_ascii_digit()) {
        let number = u32::try_from(p.number()?).ok().filter(|number| *number > 0);
        part.push(number.ok_or_else(bad)?);
        if !p.eat(b'.') {
            break;
        }
        // A dot must be followed by another part or a text.
        if p.peek() == Some(b']') {
            return Err(bad());
        }
    }
    let text = if p.peek() == Some(b']') {
        Text::All
    } else {
        section_text(p)?
    };
    if text == Text::Mime && part.is_empty() {
        return Err(bad());
    }
    p.expect(b']')?;
    let mut partial = None;
    if p.eat(b'<') {
        let offset = p.number()?;
        p.expect(b'.')?;
        let length = p.number()?;
        p.expect(b'>')?;
        if length == 0 {
            return Err(bad());
        }
        partial = Some((offset, length));
    }
    Ok(Section {
        peek,
        part,
        text,
        partial,
    })
}

fn section_text(p: &mut Parser<'_>) -> Result<Text, Stop> {
    let name = p.item_name()?.to_ascii_uppercase();
    let not = match name.as_str() {
        "HEADER" => return Ok(Text::Header),
        "TEXT" => return Ok(Text::Content),
        "MIME" => return Ok(Text::Mime),
        "HEADER.FIELDS" => false,
        "HEADER.FIELDS.NOT" => true,
        _ => return Err(Stop::bad("invalid section")),
    };
    p.space()?;
    let names = p.list(Parser::text)?;
    if names.is_empty() {
        return Err(Stop::bad("no header fields named"));
    }
    Ok(Text::Fields { names, not })
}
