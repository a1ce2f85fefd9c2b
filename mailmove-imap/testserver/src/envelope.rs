//! ENVELOPE (RFC 3501 section 7.4.2).

use crate::mime;
use crate::reply::{nstring, string};

/// Writes the envelope of a message with this header.
pub(crate) fn write(out: &mut Vec<u8>, header: &[u8]) {
    let value = |name| mime::value(header, name);
    out.push(b'(');
    nstring(out, value("date").as_deref());
    out.push(b' ');
    nstring(out, value("subject").as_deref());
    let from = joined(header, "from");
    for name in ["from", "sender", "reply-to", "to", "cc", "bcc"] {
        out.push(b' ');
        let own = joined(header, name);
        // Without these the author stands in (RFC 3501 section 7.4.2).
        let stands_in = matches!(name, "sender" | "reply-to") && own.trim_ascii().is_empty();
        addresses(out, if stands_in { &from } else { &own });
    }
    for name in ["in-reply-to", "message-id"] {
        out.push(b' ');
        nstring(out, value(name).as_deref());
    }
    out.push(b')');
}

fn joined(header: &[u8], name: &str) -> Vec<u8> {
    mime::values(header, name).join(&b", "[..])
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Address {
    name: Option<Vec<u8>>,
    mailbox: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
}

fn addresses(out: &mut Vec<u8>, text: &[u8]) {
    let list = parse(text);
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list {
        out.push(b'(');
        nstring(out, address.name.as_deref());
        // The source route has been obsolete since RFC 2822.
        out.extend_from_slice(b" NIL ");
        nstring(out, address.mailbox.as_deref());
        out.push(b' ');
        nstring(out, address.host.as_deref());
        out.push(b')');
    }
    out.push(b')');
}

/// A piece of an address field.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(Vec<u8>),
    Mark(u8),
}

fn tokens(text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                let mut word = Vec::new();
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => word.extend(bytes.next()),
                        byte => word.push(byte),
                    }
                }
                tokens.push(Token::Word(word));
            }
            b'(' => {
                let mut depth = 1_usize;
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'(' => depth += 1,
                        b')' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            b'<' | b'>' | b'@' | b',' | b':' | b';' => tokens.push(Token::Mark(byte)),
            byte if byte.is_ascii_whitespace() => {}
            byte => {
                let mut word = vec![byte];
                let plain = |b: &u8| !b"\"(<>@,:;".contains(b) && !b.is_ascii_whitespace();
                while let Some(byte) = bytes.next_if(plain) {
                    word.push(byte);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    tokens
}

fn parse(text: &[u8]) -> Vec<Address> {
    let mut list = Vec::new();
    let mut phrase: Vec<Vec<u8>> = Vec::new();
    let mut spec: Option<Vec<Token>> = None;
    let mut group = false;
    for token in tokens(text) {
        match (token, &mut spec) {
            (Token::Mark(b'>'), Some(inner)) => {
                let name = (!phrase.is_empty()).then(|| phrase.join(&b' '));
                list.push(address(name, std::mem::take(inner)));
                phrase.clear();
                spec = None;
            }
            (token, Some(inner)) => inner.push(token),
            (Token::Mark(b'<'), None) => spec = Some(Vec::new()),
            (Token::Mark(b':'), None) => {
                group = true;
                list.push(Address {
                    mailbox: Some(phrase.join(&b' ')),
                    ..Address::default()
                });
                phrase.clear();
            }
            (Token::Mark(mark @ (b',' | b';')), None) => {
                bare(&mut phrase, &mut list);
                if mark == b';' && std::mem::take(&mut group) {
                    list.push(Address::default());
                }
            }
            (Token::Mark(b'@'), None) => phrase.push(b"@".to_vec()),
            (Token::Mark(_), None) => {}
            (Token::Word(word), None) => phrase.push(word),
        }
    }
    bare(&mut phrase, &mut list);
    list
}

/// An address without angle brackets.
fn bare(phrase: &mut Vec<Vec<u8>>, list: &mut Vec<Address>) {
    if phrase.is_empty() {
        return;
    }
    let words = std::mem::take(phrase);
    let token = |word: Vec<u8>| {
        if word == b"@" {
            Token::Mark(b'@')
        } else {
            Token::Word(word)
        }
    };
    list.push(address(None, words.into_iter().map(token).collect()));
}

fn address(name: Option<Vec<u8>>, spec: Vec<Token>) -> Address {
    let mut mailbox = Vec::new();
    let mut host: Option<Vec<u8>> = None;
    for token in spec {
        match (token, &mut host) {
            (Token::Word(word), None) => mailbox.extend(word),
            (Token::Word(word), Some(host)) => host.extend(word),
            (Token::Mark(b'@'), None) => host = Some(Vec::new()),
            // A source route: only what follows the colon counts.
            (Token::Mark(b':'), _) => {
                mailbox.clear();
                host = None;
            }
            (Token::Mark(_), _) => {}
        }
    }
    Address {
        name,
        mailbox: Some(mailbox),
        // NIL would mean a group; an address without host has an empty one.
        host: Some(host.unwrap_or_default()),
    }
}

/// Writes a list of strings, or NIL.
pub(crate) fn string_list(out: &mut Vec<u8>, values: &[String]) {
    match values {
        [] => out.extend_from_slice(b"NIL"),
        values => {
            out.push(b'(');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(b' ');
                }
                string(out, value.as_bytes());
            }
            out.push(b')');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut out = Vec::new();
        addresses(&mut out, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn address_forms() {
        for (text, expected) in [
            ("", "NIL"),
            ("a@b.c", r#"((NIL NIL "a" "b.c"))"#),
            ("Ann B <a@b.c>", r#"(("Ann B" NIL "a" "b.c"))"#),
            (
                r#""B, Ann" <a@b>, c@d"#,
                r#"(("B, Ann" NIL "a" "b")(NIL NIL "c" "d"))"#,
            ),
            ("a@b (Ann (x))", r#"((NIL NIL "a" "b"))"#),
            (
                "Team: a@b, c@d;",
                r#"((NIL NIL "Team" NIL)(NIL NIL "a" "b")(NIL NIL "c" "d")(NIL NIL NIL NIL))"#,
            ),
            (
                "undisclosed-recipients:;",
                r#"((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL))"#,
            ),
            ("<@route:a@b>", r#"((NIL NIL "a" "b"))"#),
            ("root", r#"((NIL NIL "root" ""))"#),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        for odd in ["<", ">", "\"", "(", "\\", "<<>>", ",,;", "@", "a@@b"] {
            shown(odd);
        }
    }
}
