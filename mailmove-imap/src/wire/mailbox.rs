//! Responses about mailboxes: LIST, LSUB, STATUS, NAMESPACE, QUOTA.

use super::lex::{Bad, Cursor, lossy, number_u32, number_u64};

/// A special use (RFC 6154, RFC 8457).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Important`
    Important,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    const NAMES: [(&'static str, Self); 11] = [
        ("\\All", Self::All),
        ("\\Archive", Self::Archive),
        ("\\Drafts", Self::Drafts),
        ("\\Flagged", Self::Flagged),
        ("\\Important", Self::Important),
        ("\\Junk", Self::Junk),
        ("\\Sent", Self::Sent),
        ("\\Trash", Self::Trash),
        // Names from before RFC 6154.
        ("\\AllMail", Self::All),
        ("\\Spam", Self::Junk),
        ("\\Starred", Self::Flagged),
    ];

    /// The attribute as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, role)| *role == self)
            .map_or("", |(name, _)| name)
    }

    /// Recognises an attribute in any case.
    #[must_use]
    pub fn from_wire(attribute: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names
            .find(|(name, _)| name.eq_ignore_ascii_case(attribute))
            .map(|(_, role)| *role)
    }
}

/// One mailbox of a LIST or LSUB response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListEntry {
    /// Attributes such as `\Noselect`, as they came.
    pub attributes: Vec<Box<str>>,
    /// The hierarchy delimiter; none in a flat namespace.
    pub delimiter: Option<u8>,
    /// The name in wire bytes, unescaped but otherwise as the server wrote it.
    pub name: Box<[u8]>,
    /// CHILDINFO (RFC 5258): which selection options match below, such as `SUBSCRIBED`.
    pub child_info: Vec<Box<str>>,
    /// OLDNAME (RFC 5465, RFC 9051): the name before a rename.
    pub old_name: Option<Box<[u8]>>,
}

impl ListEntry {
    /// Whether an attribute is set, in any case.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes
            .iter()
            .any(|known| known.eq_ignore_ascii_case(attribute))
    }

    /// It can be selected: neither `\Noselect` nor `\NonExistent`.
    #[must_use]
    pub fn is_selectable(&self) -> bool {
        !self.has("\\Noselect") && !self.has("\\NonExistent")
    }

    /// Its special uses.
    pub fn special_uses(&self) -> impl Iterator<Item = SpecialUse> + '_ {
        self.attributes
            .iter()
            .filter_map(|attribute| SpecialUse::from_wire(attribute))
    }

    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        c.blanks();
        let attributes = words(c, "LIST: attributes")?;
        c.blanks();
        let delimiter = c
            .nstring("LIST: a delimiter")?
            .and_then(|text| text.first().copied());
        c.blanks();
        let mut entry = Self {
            attributes,
            delimiter,
            name: Box::default(),
            child_info: Vec::new(),
            old_name: None,
        };
        let quoted = matches!(c.peek(), Some(b'"' | b'{'));
        let rest = c.rest();
        entry.name = c.astring("LIST: a name")?[..].into();
        let gap = c.blanks();
        if c.is_end() {
            return Ok(entry);
        }
        let extended = if gap {
            entry.extended(c)
        } else {
            Err(c.bad("LIST: a blank"))
        };
        match extended {
            // Servers that forget the quotes: the name is all that is left.
            Err(_) if !quoted => {
                entry.name = rest.trim_ascii_end().into();
                entry.child_info.clear();
                entry.old_name = None;
                Ok(entry)
            }
            result => result.map(|()| entry),
        }
    }

    /// `("CHILDINFO" ("SUBSCRIBED") OLDNAME ("old"))` (RFC 5258).
    fn extended(&mut self, c: &mut Cursor<'_>) -> Result<(), Bad> {
        c.expect(b'(', "LIST: extended data")?;
        loop {
            c.blanks();
            if c.eat(b')') {
                break;
            }
            let tag = c.astring("LIST: the name of extended data")?;
            c.blanks();
            if tag.eq_ignore_ascii_case(b"CHILDINFO") {
                self.child_info = words(c, "LIST: CHILDINFO")?;
            } else if tag.eq_ignore_ascii_case(b"OLDNAME") {
                let listed = c.eat(b'(');
                self.old_name = Some(c.astring("LIST: OLDNAME")?[..].into());
                if listed {
                    c.expect(b')', "LIST: the end of OLDNAME")?;
                }
            } else {
                c.value("LIST: extended data")?;
            }
        }
        c.blanks();
        if c.is_end() {
            Ok(())
        } else {
            Err(c.bad("LIST: its end"))
        }
    }
}

/// `(word "word")`.
fn words(c: &mut Cursor<'_>, what: &'static str) -> Result<Vec<Box<str>>, Bad> {
    let mut words = Vec::new();
    c.expect(b'(', what)?;
    loop {
        c.blanks();
        if c.eat(b')') {
            return Ok(words);
        }
        words.push(lossy(&c.astring(what)?).into_boxed_str());
    }
}

/// STATUS of one mailbox; what the server didn't tell is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MailboxStatus {
    /// The name in wire bytes.
    pub name: Box<[u8]>,
    /// MESSAGES
    pub messages: Option<u32>,
    /// RECENT
    pub recent: Option<u32>,
    /// UNSEEN: how many, unlike the code of the same name.
    pub unseen: Option<u32>,
    /// DELETED (RFC 9208): messages marked so.
    pub deleted: Option<u32>,
    /// UIDNEXT
    pub uid_next: Option<u32>,
    /// UIDVALIDITY
    pub uid_validity: Option<u32>,
    /// HIGHESTMODSEQ (RFC 7162)
    pub highest_modseq: Option<u64>,
    /// SIZE in octets (RFC 8438)
    pub size: Option<u64>,
    /// APPENDLIMIT in octets (RFC 7889); NIL is absent.
    pub append_limit: Option<u64>,
    /// MAILBOXID (RFC 8474)
    pub mailbox_id: Option<Box<str>>,
}

impl MailboxStatus {
    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        c.blanks();
        let name = c.astring("STATUS: a name")?[..].into();
        c.blanks();
        c.expect(b'(', "STATUS: a list")?;
        let mut status = Self {
            name,
            ..Self::default()
        };
        loop {
            c.blanks();
            if c.eat(b')') {
                break;
            }
            let item = c.word("STATUS: an item")?;
            c.blanks();
            status.item(item, c)?;
        }
        c.blanks();
        if c.is_end() {
            Ok(status)
        } else {
            Err(c.bad("STATUS: its end"))
        }
    }

    fn item(&mut self, item: &[u8], c: &mut Cursor<'_>) -> Result<(), Bad> {
        let is = |name: &str| item.eq_ignore_ascii_case(name.as_bytes());
        if is("MAILBOXID") {
            let listed = c.eat(b'(');
            self.mailbox_id = Some(lossy(&c.astring("STATUS: a mailbox id")?).into_boxed_str());
            if listed {
                c.expect(b')', "STATUS: the end of a mailbox id")?;
            }
            return Ok(());
        }
        let small = [
            ("MESSAGES", &mut self.messages),
            ("RECENT", &mut self.recent),
            ("UNSEEN", &mut self.unseen),
            ("DELETED", &mut self.deleted),
            ("UIDNEXT", &mut self.uid_next),
            ("UIDVALIDITY", &mut self.uid_validity),
        ];
        if let Some((_, field)) = small.into_iter().find(|(name, _)| is(name)) {
            *field = number_u32(c.word("STATUS: a number")?);
            return Ok(());
        }
        let large = [
            ("HIGHESTMODSEQ", &mut self.highest_modseq),
            ("SIZE", &mut self.size),
            ("APPENDLIMIT", &mut self.append_limit),
        ];
        match large.into_iter().find(|(name, _)| is(name)) {
            Some((_, field)) => *field = number_u64(c.word("STATUS: a number")?),
            None => c.value("STATUS: a value")?,
        }
        Ok(())
    }
}

/// One namespace (RFC 2342).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Namespace {
    /// The prefix of its mailboxes in wire bytes; may be empty.
    pub prefix: Box<[u8]>,
    /// Its delimiter.
    pub delimiter: Option<u8>,
}

/// A NAMESPACE response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Namespaces {
    /// The user's own.
    pub personal: Vec<Namespace>,
    /// Other users'.
    pub others: Vec<Namespace>,
    /// Shared ones.
    pub shared: Vec<Namespace>,
}

impl Namespaces {
    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        let personal = namespaces(c)?;
        Ok(Self {
            personal,
            others: namespaces(c)?,
            shared: namespaces(c)?,
        })
    }
}

fn namespaces(c: &mut Cursor<'_>) -> Result<Vec<Namespace>, Bad> {
    let mut list = Vec::new();
    c.blanks();
    if !c.eat(b'(') {
        return match c.nstring("NAMESPACE: a list or NIL")? {
            None => Ok(list),
            Some(_) => Err(c.bad("NAMESPACE: a list or NIL")),
        };
    }
    loop {
        c.blanks();
        if c.eat(b')') {
            return Ok(list);
        }
        c.expect(b'(', "NAMESPACE: a namespace")?;
        c.blanks();
        let prefix = c.nstring("NAMESPACE: a prefix")?.unwrap_or_default()[..].into();
        c.blanks();
        let delimiter = c
            .nstring("NAMESPACE: a delimiter")?
            .and_then(|text| text.first().copied());
        list.push(Namespace { prefix, delimiter });
        loop {
            c.blanks();
            if c.eat(b')') {
                break;
            }
            c.value("NAMESPACE: an extension")?;
        }
    }
}

/// One resource of a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaResource {
    /// Its name in upper case: STORAGE (in units of 1024 octets), MESSAGE, MAILBOX, …
    pub name: Box<str>,
    /// Used.
    pub usage: u64,
    /// Allowed.
    pub limit: u64,
}

/// A QUOTA response (RFC 2087, RFC 9208).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// The quota root's name; often empty.
    pub root: Box<[u8]>,
    /// Its resources.
    pub resources: Vec<QuotaResource>,
}

impl Quota {
    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        c.blanks();
        let root = c.astring("QUOTA: a root")?[..].into();
        c.blanks();
        c.expect(b'(', "QUOTA: a list")?;
        let mut resources = Vec::new();
        loop {
            c.blanks();
            if c.eat(b')') {
                return Ok(Self { root, resources });
            }
            let name = lossy(c.word("QUOTA: a resource")?)
                .to_ascii_uppercase()
                .into();
            c.blanks();
            let usage = c.number64("QUOTA: a usage")?;
            c.blanks();
            resources.push(QuotaResource {
                name,
                usage,
                limit: c.number64("QUOTA: a limit")?,
            });
        }
    }
}

/// A MYRIGHTS response (RFC 4314).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MyRights {
    /// The mailbox in wire bytes.
    pub mailbox: Box<[u8]>,
    /// One letter for each right.
    pub rights: Box<str>,
}

impl MyRights {
    /// Whether the user has this right.
    #[must_use]
    pub fn has(&self, right: char) -> bool {
        self.rights.contains(right)
    }

    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        c.blanks();
        let mailbox = c.astring("MYRIGHTS: a mailbox")?[..].into();
        c.blanks();
        // Without any right some servers send nothing at all.
        let rights = if c.is_end() {
            Box::default()
        } else {
            lossy(&c.astring("MYRIGHTS: rights")?).into()
        };
        Ok(Self { mailbox, rights })
    }
}

/// A METADATA response with values (RFC 5464).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The mailbox in wire bytes; empty for the server's own.
    pub mailbox: Box<[u8]>,
    /// Names and values of entries; NIL is none.
    pub entries: Vec<MetadataEntry>,
}

/// An entry of a METADATA response: its name, and its value unless that is NIL.
pub type MetadataEntry = (Box<str>, Option<Box<[u8]>>);

impl Metadata {
    /// `None`: it names entries that changed, without values.
    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Option<Self>, Bad> {
        c.blanks();
        let mailbox = c.astring("METADATA: a mailbox")?[..].into();
        c.blanks();
        if !c.eat(b'(') {
            return Ok(None);
        }
        let mut entries = Vec::new();
        loop {
            c.blanks();
            if c.eat(b')') {
                return Ok(Some(Self { mailbox, entries }));
            }
            let name = lossy(&c.astring("METADATA: an entry")?).into();
            c.blanks();
            let value = c.nstring("METADATA: a value")?;
            entries.push((name, value.map(|value| value[..].into())));
        }
    }
}

/// A QUOTAROOT response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaRoot {
    /// The mailbox in wire bytes.
    pub mailbox: Box<[u8]>,
    /// The roots that it counts towards.
    pub roots: Vec<Box<[u8]>>,
}

impl QuotaRoot {
    pub(super) fn read(c: &mut Cursor<'_>) -> Result<Self, Bad> {
        c.blanks();
        let mailbox = c.astring("QUOTAROOT: a mailbox")?[..].into();
        let mut roots = Vec::new();
        loop {
            c.blanks();
            if c.is_end() {
                return Ok(Self { mailbox, roots });
            }
            roots.push(c.astring("QUOTAROOT: a root")?[..].into());
        }
    }
}
