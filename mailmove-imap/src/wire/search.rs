//! Responses that hold many numbers: SEARCH, ESEARCH, VANISHED.

use super::lex::{Bad, Cursor, lossy, number_u32, number_u64};
use super::uidset::UidSet;

/// A SEARCH response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Search {
    /// Sequence numbers or UIDs, as asked for, in the server's order.
    pub ids: Vec<u32>,
    /// The highest modification sequence among them (RFC 7162).
    pub modseq: Option<u64>,
}

impl Search {
    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        let mut search = Self::default();
        loop {
            c.blanks();
            if c.is_end() {
                return Ok(search);
            }
            if c.eat(b'(') {
                c.blanks();
                let name = c.word("SEARCH: MODSEQ")?;
                if !name.eq_ignore_ascii_case(b"MODSEQ") {
                    return Err(c.bad("SEARCH: MODSEQ"));
                }
                c.blanks();
                search.modseq = Some(c.number64("SEARCH: a number")?);
                c.blanks();
                c.expect(b')', "SEARCH: the end of MODSEQ")?;
            } else {
                search.ids.push(c.number32("SEARCH: a number")?);
            }
        }
    }
}

/// An ESEARCH response (RFC 4731, RFC 9051).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Esearch {
    /// The tag of the command that it answers.
    pub tag: Option<Box<str>>,
    /// The numbers are UIDs.
    pub uid: bool,
    /// MIN
    pub min: Option<u32>,
    /// MAX
    pub max: Option<u32>,
    /// COUNT
    pub count: Option<u32>,
    /// ALL; absent means that nothing was found, if ALL was asked for.
    pub all: Option<UidSet>,
    /// MODSEQ (RFC 7162)
    pub modseq: Option<u64>,
}

impl Esearch {
    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        let mut found = Self::default();
        c.blanks();
        if c.eat(b'(') {
            c.blanks();
            c.word("ESEARCH: TAG")?;
            c.blanks();
            found.tag = Some(lossy(&c.astring("ESEARCH: a tag")?).into_boxed_str());
            c.blanks();
            c.expect(b')', "ESEARCH: the end of a tag")?;
        }
        loop {
            c.blanks();
            if c.is_end() {
                return Ok(found);
            }
            let name = c.word("ESEARCH: an item")?;
            c.blanks();
            found.item(name, c)?;
        }
    }

    fn item(&mut self, name: &[u8], c: &mut Cursor<'_>) -> Result<(), Bad> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("UID") {
            self.uid = true;
        } else if is("ALL") {
            let bad = c.bad("ESEARCH: a set");
            self.all = Some(UidSet::parse(c.token()).ok_or(bad)?);
        } else if is("MODSEQ") {
            // Some servers put the number in parentheses, as in SEARCH.
            let listed = c.eat(b'(');
            self.modseq = number_u64(c.word("ESEARCH: a number")?);
            if listed {
                c.expect(b')', "ESEARCH: the end of MODSEQ")?;
            }
        } else if is("MIN") {
            self.min = number_u32(c.word("ESEARCH: a number")?);
        } else if is("MAX") {
            self.max = number_u32(c.word("ESEARCH: a number")?);
        } else if is("COUNT") {
            self.count = number_u32(c.word("ESEARCH: a number")?);
        } else {
            c.value("ESEARCH: a value")?;
        }
        Ok(())
    }
}

/// A VANISHED response (RFC 7162 §3.2.10).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vanished {
    /// The messages went before this session's view began; sequence numbers stay as they are.
    pub earlier: bool,
    /// UIDs that don't exist (any more).
    pub uids: UidSet,
}

impl Vanished {
    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        c.blanks();
        let mut earlier = false;
        if c.eat(b'(') {
            c.blanks();
            earlier = c
                .word("VANISHED: EARLIER")?
                .eq_ignore_ascii_case(b"EARLIER");
            c.blanks();
            c.expect(b')', "VANISHED: the end of EARLIER")?;
            c.blanks();
        }
        let bad = c.bad("VANISHED: a set of UIDs");
        let text = c.token();
        c.blanks();
        if !c.is_end() {
            return Err(bad);
        }
        let uids = if text.is_empty() {
            Some(UidSet::default())
        } else {
            UidSet::parse(text)
        };
        uids.map(|uids| Self { earlier, uids }).ok_or(bad)
    }
}
