//! FETCH: what a server says of a message is read as it was said, in any order, with bodies in one
//! piece or many, and unknown things between.

use arbitrary::{Result, Unstructured};
use mailmove_imap::wire::{
    BodyContent, Fetch, Framer, InternalDate, Limits, Response, Section, ServerDate, SystemFlag,
};

use crate::feed::{Seen, feed};

/// The first byte chooses between a FETCH made up of these bytes and one that they are themselves.
pub fn check(data: &[u8]) {
    match data.split_first() {
        Some((choice, rest)) if choice % 2 == 0 => {
            let _ = well_formed(&mut Unstructured::new(rest));
        }
        Some((_, rest)) => any_bytes(rest),
        None => {}
    }
}

/// Inline or streamed, it is the same message.
fn any_bytes(rest: &[u8]) {
    let stream = [b"* 5 FETCH (", rest].concat();
    let streamed = Limits::default();
    let inline = Limits::default().with_inline_body(1 << 20);
    let seen = feed(Framer::without_greeting(streamed), streamed, [&stream[..]]);
    let whole = feed(Framer::without_greeting(inline), inline, [&stream[..]]);
    let cut = |seen: &[Seen]| seen.iter().any(|seen| matches!(seen, Seen::Cut(..)));
    if cut(&seen) || cut(&whole) {
        return;
    }
    assert_eq!(joined(&seen), joined(&whole));
}

/// Responses with the streamed bodies put in, as if they had come inline. Bodies of a response that
/// turned out to make no sense are left out.
fn joined(seen: &[Seen]) -> Vec<Seen> {
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    let mut out = Vec::new();
    for seen in seen {
        match seen {
            Seen::Body(_, octets) => bodies.push(octets.clone()),
            Seen::Response(Response::Fetch(fetch)) => {
                let mut fetch = fetch.clone();
                let mut bodies = std::mem::take(&mut bodies).into_iter();
                for section in &mut fetch.sections {
                    if let BodyContent::Streamed(len) = section.content {
                        let octets = bodies.next().expect("a body for each streamed section");
                        assert_eq!(octets.len() as u64, len);
                        section.content = BodyContent::Inline(octets.into());
                    }
                }
                out.push(Seen::Response(Response::Fetch(fetch)));
            }
            other => {
                bodies.clear();
                out.push(other.clone());
            }
        }
    }
    out
}

/// What was said.
#[derive(Debug, Default)]
struct Said {
    uid: Option<u32>,
    size: Option<u64>,
    modseq: Option<u64>,
    date: Option<InternalDate>,
    keywords: Option<Vec<String>>,
    body: Option<Vec<u8>>,
}

fn well_formed(u: &mut Unstructured<'_>) -> Result<()> {
    let seq = u.int_in_range(1..=u32::MAX)?;
    let mut said = Said::default();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for _ in 0..u.int_in_range(1..=8)? {
        attribute(u, &mut said, &mut parts)?;
    }
    let list = parts.join(&b' ');
    let stream = [
        format!("* {seq} FETCH (").as_bytes(),
        &list,
        b")\r\n* 1 EXISTS\r\n",
    ]
    .concat();
    let step = u.int_in_range(1..=64)?;
    for inline in [0, 1 << 20] {
        let limits = Limits::default().with_inline_body(inline);
        let seen = joined(&feed(
            Framer::without_greeting(limits),
            limits,
            stream.chunks(step),
        ));
        let text = stream.escape_ascii();
        let [
            Seen::Response(Response::Fetch(fetch)),
            Seen::Response(Response::Exists(1)),
        ] = &seen[..]
        else {
            panic!("{seen:?} for {text}");
        };
        assert_eq!(fetch.seq, seq, "{text}");
        compare(fetch, &said, &text.to_string());
    }
    Ok(())
}

fn compare(fetch: &Fetch, said: &Said, text: &str) {
    assert_eq!(fetch.uid, said.uid, "{text}");
    assert_eq!(fetch.size, said.size, "{text}");
    assert_eq!(fetch.modseq, said.modseq, "{text}");
    assert_eq!(
        fetch.internal_date.as_ref().and_then(ServerDate::valid),
        said.date,
        "{text}"
    );
    let keywords = fetch.flags.as_ref().map(|flags| {
        assert!(flags.has(SystemFlag::Seen), "{text}");
        flags
            .others()
            .map(|flag| String::from_utf8_lossy(flag).into_owned())
            .collect()
    });
    assert_eq!(keywords, said.keywords, "{text}");
    let mut full = fetch
        .sections
        .iter()
        .filter(|part| part.section == Section::Full);
    let body = full.next().map(|part| &part.content);
    let expected = said
        .body
        .as_ref()
        .map(|body| BodyContent::Inline(body.clone().into()));
    assert_eq!(body, expected.as_ref(), "{text}");
}

/// Says one thing more, unless it was said already.
fn attribute(u: &mut Unstructured<'_>, said: &mut Said, parts: &mut Vec<Vec<u8>>) -> Result<()> {
    let part = match u.int_in_range(0..=8)? {
        0 if said.uid.is_none() => {
            let uid = u.int_in_range(1..=u32::MAX)?;
            said.uid = Some(uid);
            format!("UID {uid}")
        }
        1 if said.size.is_none() => {
            let size = u.arbitrary()?;
            said.size = Some(size);
            format!("RFC822.SIZE {size}")
        }
        2 if said.modseq.is_none() => {
            // 63 bits (RFC 7162 §7), and 0 is for mailboxes that keep none.
            let modseq = u.int_in_range(1..=(1_u64 << 63) - 1)?;
            said.modseq = Some(modseq);
            format!("MODSEQ ({modseq})")
        }
        3 if said.date.is_none() => {
            let Ok(date) = InternalDate::new(u.arbitrary()?, u.arbitrary()?) else {
                return Ok(());
            };
            said.date = Some(date);
            format!("INTERNALDATE \"{date}\"")
        }
        4 if said.keywords.is_none() => {
            let mut keywords = Vec::new();
            for word in u.arbitrary::<Vec<[u8; 3]>>()?.iter().take(10) {
                let word: String = word
                    .iter()
                    .map(|byte| char::from(b'a' + byte % 26))
                    .collect();
                if !keywords.contains(&word) {
                    keywords.push(word);
                }
            }
            let text = format!("FLAGS (\\Seen {})", keywords.join(" "));
            said.keywords = Some(keywords);
            text.replace(" )", ")")
        }
        5 if said.body.is_none() => {
            let body: Vec<u8> = u.arbitrary()?;
            parts.push([format!("BODY[] {{{}}}\r\n", body.len()).as_bytes(), &body].concat());
            said.body = Some(body);
            return Ok(());
        }
        6 => {
            let literal: Vec<u8> = u.arbitrary()?;
            let head = format!("X-UNKNOWN-{} {{{}}}\r\n", parts.len(), literal.len());
            parts.push([head.as_bytes(), &literal].concat());
            return Ok(());
        }
        7 => {
            let value = *u.choose(&[
                "NIL",
                "(a (b \"c)\\\"\" NIL) ())",
                "12",
                "\"x y\"",
                "(\"(\" ((1)))",
            ])?;
            format!("X-OTHER-{} {value}", parts.len())
        }
        8 => format!("BODY[HEADER.FIELDS (A \"B C\" {})] NIL", parts.len()),
        _ => return Ok(()),
    };
    parts.push(part.into_bytes());
    Ok(())
}

/// Responses as servers send them, and bytes to make up others from.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "UID 7 FLAGS (\\Seen $Junk) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] {3}\r\na\r\n)\r\n",
        "BODY[]<0> {2}\r\nab BODY[HEADER] \"x\" BODY[1.2.MIME] NIL UID 3)\r\n",
        "X-GM-LABELS (\\Inbox \"a b\" {2}\r\n&- &AOQ-) X-GM-MSGID 18446744073709551615 EMAILID (M1) THREADID NIL)\r\n",
        "ENVELOPE (NIL \"a\" ((NIL NIL \"x\" {1}\r\ny)) NIL) BINARY.SIZE[] 4 BINARY[] ~{2}\r\n\0\0 SAVEDATE NIL)\r\n",
        "RFC822 {0}\r\n RFC822.HEADER \"\" RFC822.TEXT {1}\r\nx MODSEQ (5) RFC822.SIZE 99999999999)\n",
        "BODY[] {2}\r\nabBODY[] {2}\r\ncd)\r\n* 6 FETCH (UID)\r\n",
    ]
    .iter()
    .map(|text| [b"\x01", text.as_bytes()].concat())
    .collect();
    for step in [1, 7, 31, 57] {
        let bytes = (0..200_usize).map(|n| u8::try_from(n * step % 251).unwrap_or(0));
        seeds.push([0].into_iter().chain(bytes).collect());
    }
    seeds
}
