//! Status responses (OK, NO, BAD, PREAUTH, BYE) and the response codes in them.

use super::capability::Capabilities;
use super::flags::Flags;
use super::lex::{Bad, Cursor, lossy};
use super::uidset::UidSet;

/// The kind of a status response (RFC 3501 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusKind {
    /// Done, or information.
    Ok,
    /// Refused.
    No,
    /// Not understood.
    Bad,
    /// A greeting: already authenticated.
    PreAuth,
    /// The server closes the connection.
    Bye,
}

impl StatusKind {
    pub(super) fn read(word: &[u8]) -> Option<Self> {
        const WORDS: [(&[u8], StatusKind); 5] = [
            (b"OK", StatusKind::Ok),
            (b"NO", StatusKind::No),
            (b"BAD", StatusKind::Bad),
            (b"PREAUTH", StatusKind::PreAuth),
            (b"BYE", StatusKind::Bye),
        ];
        WORDS
            .iter()
            .find(|(known, _)| word.eq_ignore_ascii_case(known))
            .map(|(_, kind)| *kind)
    }
}

/// A status response without its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// OK, NO, …
    pub kind: StatusKind,
    /// The code in brackets, if there is one.
    pub code: Option<Code>,
    /// The text for humans after it. It comes from the server as it is: escape it before it meets a terminal.
    pub text: String,
}

/// Declares the codes without arguments once for enum, reader and name.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A response code (RFC 3501 §7.1, RFC 5530 and the extensions' own).
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $variant,)*
            /// CAPABILITY
            Capability(Capabilities),
            /// PERMANENTFLAGS: the flags that last, `\*` if new keywords may be created.
            PermanentFlags(Flags),
            /// UIDNEXT
            UidNext(u32),
            /// UIDVALIDITY
            UidValidity(u32),
            /// UNSEEN: the first unseen message's sequence number.
            Unseen(u32),
            /// HIGHESTMODSEQ (RFC 7162)
            HighestModSeq(u64),
            /// MODIFIED: what STORE with UNCHANGEDSINCE left alone (RFC 7162).
            Modified(UidSet),
            /// APPENDUID (RFC 4315); after MULTIAPPEND one UID per message, in order.
            AppendUid {
                /// UIDVALIDITY of the mailbox.
                validity: u32,
                /// The new UIDs.
                uids: UidSet,
            },
            /// COPYUID (RFC 4315): both sets in the same order.
            CopyUid {
                /// UIDVALIDITY of the destination.
                validity: u32,
                /// UIDs copied.
                source: UidSet,
                /// UIDs they got.
                destination: UidSet,
            },
            /// MAILBOXID (RFC 8474)
            MailboxId(Box<str>),
            /// MESSAGELIMIT: the most messages that one command may touch, and the lowest UID that this one did if it
            /// left out those below (RFC 9738).
            MessageLimit {
                /// Messages.
                limit: u32,
                /// UID.
                lowest: Option<u32>,
            },
            /// BADCHARSET, with those that would do.
            BadCharset(Vec<Box<str>>),
            /// Any other, and known ones with arguments that can't be read: as it came, without brackets.
            Other(String),
        }

        fn simple(name: &[u8]) -> Option<Code> {
            $(if name.eq_ignore_ascii_case($name) {
                return Some(Code::$variant);
            })*
            None
        }
    };
}

codes! {
    /// ALERT: the text must be shown to the user.
    Alert = b"ALERT",
    /// PARSE: the server can't read a message's header.
    Parse = b"PARSE",
    /// READ-ONLY
    ReadOnly = b"READ-ONLY",
    /// READ-WRITE
    ReadWrite = b"READ-WRITE",
    /// TRYCREATE: the mailbox doesn't exist but could be created.
    TryCreate = b"TRYCREATE",
    /// NOMODSEQ: no modification sequences here (RFC 7162).
    NoModSeq = b"NOMODSEQ",
    /// CLOSED: what follows belongs to the newly selected mailbox (RFC 7162).
    Closed = b"CLOSED",
    /// ALREADYEXISTS
    AlreadyExists = b"ALREADYEXISTS",
    /// NONEXISTENT
    NonExistent = b"NONEXISTENT",
    /// OVERQUOTA
    OverQuota = b"OVERQUOTA",
    /// TOOBIG (RFC 4469, 7889)
    TooBig = b"TOOBIG",
    /// LIMIT: some limit of the implementation.
    Limit = b"LIMIT",
    /// UNAVAILABLE: try again later.
    Unavailable = b"UNAVAILABLE",
    /// SERVERBUG
    ServerBug = b"SERVERBUG",
    /// CLIENTBUG
    ClientBug = b"CLIENTBUG",
    /// CANNOT: never possible here.
    Cannot = b"CANNOT",
    /// INUSE: someone else holds the mailbox.
    InUse = b"INUSE",
    /// AUTHENTICATIONFAILED
    AuthenticationFailed = b"AUTHENTICATIONFAILED",
    /// AUTHORIZATIONFAILED: the password is right, acting for that user isn't allowed.
    AuthorizationFailed = b"AUTHORIZATIONFAILED",
    /// EXPIRED: the password is too old.
    Expired = b"EXPIRED",
    /// PRIVACYREQUIRED: TLS first.
    PrivacyRequired = b"PRIVACYREQUIRED",
    /// CONTACTADMIN
    ContactAdmin = b"CONTACTADMIN",
    /// NOPERM: the access rights don't allow it.
    NoPerm = b"NOPERM",
    /// CORRUPTION
    Corruption = b"CORRUPTION",
    /// EXPUNGEISSUED: someone else expunged messages.
    ExpungeIssued = b"EXPUNGEISSUED",
    /// USEATTR: that special use can't be given (RFC 6154).
    UseAttr = b"USEATTR",
    /// NOTSAVED (RFC 5182)
    NotSaved = b"NOTSAVED",
    /// UIDNOTSTICKY: UIDs change with every session (RFC 4315).
    UidNotSticky = b"UIDNOTSTICKY",
    /// UNKNOWN-CTE: the server can't decode that part (RFC 3516).
    UnknownCte = b"UNKNOWN-CTE",
    /// HASCHILDREN: the mailbox can't be deleted.
    HasChildren = b"HASCHILDREN",
}

/// Reads what follows OK, NO, … on the line: an optional code, and text that may be anything.
pub(super) fn read(kind: StatusKind, rest: &[u8]) -> Status {
    let mut rest = Cursor::new(rest);
    rest.blanks();
    let bracketed = Cursor::clone(&rest)
        .eat(b'[')
        .then(|| split_code(rest.rest()))
        .flatten();
    let (code, text) = match bracketed {
        Some((code, text)) => (Some(code), text),
        None => (None, rest.rest()),
    };
    Status {
        kind,
        code,
        text: lossy(text.strip_prefix(b" ").unwrap_or(text)),
    }
}

/// Reads `[CODE …]` and gives what comes after it; `None` if the bracket never closes.
fn split_code(text: &[u8]) -> Option<(Code, &[u8])> {
    let mut c = Cursor::new(text);
    c.skip(1);
    let name = c.until(|byte| matches!(byte, b' ' | b']'));
    let close = || memchr::memchr(b']', text);
    if let Some(code) = simple(name) {
        // Arguments that aren't specified don't change what the code means.
        return Some((code, text.get(close()? + 1..)?));
    }
    if let Ok(Some(code)) = known(name, &mut c) {
        c.blanks();
        if c.eat(b']') {
            return Some((code, c.rest()));
        }
    }
    let raw = text.get(1..close()?)?;
    Some((Code::Other(lossy(raw)), text.get(close()? + 1..)?))
}

/// A code with its arguments; the cursor stands after the name.
fn known(name: &[u8], c: &mut Cursor<'_>) -> Result<Option<Code>, Bad> {
    let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
    c.blanks();
    let code = if is("CAPABILITY") {
        let names = c.until(|byte| byte == b']');
        Code::Capability(Capabilities::new(names.split(|byte| *byte == b' ')))
    } else if is("PERMANENTFLAGS") {
        Code::PermanentFlags(flag_list(c)?)
    } else if is("UIDNEXT") {
        Code::UidNext(number32(c)?)
    } else if is("UIDVALIDITY") {
        Code::UidValidity(number32(c)?)
    } else if is("UNSEEN") {
        Code::Unseen(number32(c)?)
    } else if is("HIGHESTMODSEQ") {
        Code::HighestModSeq(number64(c)?)
    } else if is("MODIFIED") {
        Code::Modified(set(c)?)
    } else if is("APPENDUID") {
        Code::AppendUid {
            validity: number32(c)?,
            uids: set(c)?,
        }
    } else if is("COPYUID") {
        Code::CopyUid {
            validity: number32(c)?,
            source: set(c)?,
            destination: set(c)?,
        }
    } else if is("MAILBOXID") {
        c.expect(b'(', "a mailbox id")?;
        let id = lossy(argument(c)).into_boxed_str();
        c.expect(b')', "the end of a mailbox id")?;
        Code::MailboxId(id)
    } else if is("MESSAGELIMIT") {
        let limit = number32(c)?;
        c.blanks();
        let lowest = match c.peek() {
            Some(b']') => None,
            _ => Some(number32(c)?),
        };
        Code::MessageLimit { limit, lowest }
    } else if is("BADCHARSET") {
        Code::BadCharset(charsets(c)?)
    } else {
        return Ok(None);
    };
    Ok(Some(code))
}

/// A word inside a code.
fn argument<'a>(c: &mut Cursor<'a>) -> &'a [u8] {
    c.blanks();
    c.until(|byte| matches!(byte, b' ' | b']' | b'(' | b')'))
}

fn number64(c: &mut Cursor<'_>) -> Result<u64, Bad> {
    let bad = c.bad("a number");
    super::lex::number_u64(argument(c)).ok_or(bad)
}

fn number32(c: &mut Cursor<'_>) -> Result<u32, Bad> {
    let bad = c.bad("a number");
    super::lex::number_u32(argument(c)).ok_or(bad)
}

fn set(c: &mut Cursor<'_>) -> Result<UidSet, Bad> {
    let bad = c.bad("a set of UIDs");
    UidSet::parse(argument(c)).ok_or(bad)
}

fn charsets(c: &mut Cursor<'_>) -> Result<Vec<Box<str>>, Bad> {
    let mut names = Vec::new();
    if c.eat(b'(') {
        loop {
            c.blanks();
            if c.eat(b')') {
                break;
            }
            names.push(lossy(&c.astring("a charset")?).into_boxed_str());
        }
    }
    Ok(names)
}

/// `(\Seen keyword "odd")`.
pub(super) fn flag_list(c: &mut Cursor<'_>) -> Result<Flags, Bad> {
    let mut flags = Flags::default();
    c.blanks();
    c.expect(b'(', "a list of flags")?;
    loop {
        c.blanks();
        if c.eat(b')') {
            return Ok(flags);
        }
        let flag = match c.peek() {
            Some(b'"' | b'{') => c.string("a flag")?,
            _ => c.word("a flag")?.into(),
        };
        flags.push(&flag);
    }
}
