//! Typed responses: any line gives exactly one, and what is read as something is that thing.

use mailmove_imap::wire::{
    Capabilities, FlagSet, Flags, Framer, InternalDate, Limits, MailboxName, Response, SystemFlag,
    Tag, UidSet, utf7,
};

use crate::feed::{Seen, feed};

/// Beginnings of responses, so that a fuzzer need not find them.
const BEGINNINGS: [&str; 27] = [
    "",
    "* ",
    "M1 ",
    "+ ",
    "* OK ",
    "* NO [",
    "M7 OK [APPENDUID ",
    "M7 OK [COPYUID ",
    "* BYE ",
    "* CAPABILITY ",
    "* ENABLED ",
    "* LIST ",
    "* LSUB ",
    "* STATUS ",
    "* NAMESPACE ",
    "* SEARCH ",
    "* ESEARCH ",
    "* VANISHED ",
    "* FLAGS ",
    "* ID ",
    "* QUOTA ",
    "* QUOTAROOT ",
    "* 1 ",
    "* XLIST ",
    "* METADATA ",
    "* MYRIGHTS ",
    "* 7 UIDFETCH (",
];

/// The first byte chooses how the line begins.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let mut line = BEGINNINGS[usize::from(choice) % BEGINNINGS.len()]
        .as_bytes()
        .to_vec();
    line.extend(rest.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    line.extend_from_slice(b"\r\n");
    let limits = Limits::default();
    let seen = feed(Framer::without_greeting(limits), limits, [&line[..]]);
    assert!(seen.len() <= 1, "one line, {} responses", seen.len());
    for seen in seen {
        if let Seen::Response(response) = seen {
            typed(&response);
        }
    }
    arguments(rest);
}

/// Whatever was read can be worked with.
fn typed(response: &Response) {
    match response {
        Response::List(entry) | Response::Lsub(entry) => {
            let _ = (entry.is_selectable(), entry.special_uses().count());
        }
        Response::Capability(names) | Response::Enabled(names) => capabilities(names),
        Response::Flags(flags) => {
            // What we would send of them is safe to send.
            let (set, refused) = FlagSet::from_received(flags);
            assert!(set.keywords().len() + refused.len() <= flags.others().len() + 6);
            assert!(
                !set.system().any(|flag| flag == SystemFlag::Recent),
                "\\Recent is sent"
            );
        }
        _ => {}
    }
}

fn capabilities(names: &Capabilities) {
    for name in names.iter() {
        assert!(
            names.has(&name.to_ascii_lowercase()) && names.has(name),
            "{name:?}"
        );
    }
    let _ = (
        names.literal_mode(),
        names.append_limit(),
        names.message_limit(),
    );
    let _ = (
        names.condstore(),
        names.list_status(),
        names.gmail(),
        names.login_disabled(),
    );
}

/// The readers that are used alone.
fn arguments(text: &[u8]) {
    if let Some(date) = InternalDate::parse(text) {
        let written = date.to_string();
        assert_eq!(
            InternalDate::parse(written.as_bytes()),
            Some(date),
            "{written}"
        );
    }
    if let Some(set) = UidSet::parse(text) {
        let written = set.to_string();
        assert_eq!(set.text_len(), written.len());
        assert_eq!(
            UidSet::parse(written.as_bytes()).as_ref(),
            Some(&set),
            "{written}"
        );
        let parts = set.split(40);
        let ranges: usize = parts.iter().map(|part| part.ranges().len()).sum();
        assert_eq!(ranges, set.ranges().len(), "{written}");
        assert_eq!(parts.iter().map(UidSet::count).sum::<u64>(), set.count());
    }
    let mut flags = Flags::default();
    text.split(|byte| *byte == b' ')
        .for_each(|flag| flags.push(flag));
    let _ = FlagSet::from_received(&flags);
    let _ = utf7::decode_lenient(text);
    let _ = MailboxName::new(text);
    if let Ok(text) = std::str::from_utf8(text)
        && let Some(tag) = Tag::parse(text)
    {
        assert_eq!(Tag::new(tag.number()), tag);
        assert_eq!(tag.to_string(), text, "a tag that is not ours");
    }
}

/// One of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let lines: [(u8, &str); 24] = [
        (4, "[UIDNEXT 5] x"),
        (5, "OVERQUOTA] full"),
        (6, "38505 3955:3957] done"),
        (7, "38505 304,319:320 3956:3958] done"),
        (
            9,
            "IMAP4rev1 LITERAL- AUTH=PLAIN APPENDLIMIT=35651584 QRESYNC",
        ),
        (11, "(\\HasNoChildren \\Sent) \"/\" \"Gesendet &AOQ-\""),
        (
            11,
            "(\\NonExistent) NIL INBOX (\"CHILDINFO\" (\"SUBSCRIBED\"))",
        ),
        (
            13,
            "INBOX (MESSAGES 231 UIDNEXT 44292 SIZE 12345678901 MAILBOXID (F1))",
        ),
        (14, "((\"\" \"/\")) ((\"~\" \"/\" \"X-PARAM\" (\"a\"))) NIL"),
        (15, "2 5 6 (MODSEQ 917162500)"),
        (16, "(TAG \"M4\") UID MIN 2 MAX 47 ALL 2,10:15 COUNT 25"),
        (17, "(EARLIER) 300:310,405"),
        (18, "(\\Answered \\Seen $Forwarded \\*)"),
        (19, "(\"name\" \"Dovecot\" \"version\" NIL)"),
        (20, "\"User quota\" (STORAGE 10 512 MESSAGE 1 2)"),
        (21, "INBOX \"User quota\""),
        (22, "FETCH (UID 3 FLAGS (\\Seen))"),
        (22, "EXPUNGE"),
        (
            24,
            "INBOX (/private/comment \"a note\" /shared/x ~{2}\r\n\0\0)",
        ),
        (25, "INBOX lrswipkxte"),
        (26, "FLAGS (\\Seen) MODSEQ (5))"),
        (6, "1 1] [MESSAGELIMIT 2 5"),
        (3, "Y29udGludWU="),
        (2, "17-Jul-1996 02:44:25 -0700"),
    ];
    lines
        .iter()
        .map(|(choice, text)| [&[*choice], text.as_bytes()].concat())
        .collect()
}
