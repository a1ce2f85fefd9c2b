//! How a server reads commands: written from RFC 3501 §9 alone, so that it does not repeat a mistake
//! of the client's.

use mailmove_imap::wire::{Command, Segment};

/// A piece of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Atom(Vec<u8>),
    Quoted(Vec<u8>),
    Literal { octets: Vec<u8>, binary: bool },
    Open,
    Close,
}

impl Token {
    /// The bytes of a string, however it was sent.
    pub(crate) fn string(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(bytes) | Self::Quoted(bytes) | Self::Literal { octets: bytes, .. } => {
                Some(bytes)
            }
            Self::Open | Self::Close => None,
        }
    }
}

/// What goes over the wire, and where the client waits before it goes on.
pub(crate) struct Sent {
    pub(crate) wire: Vec<u8>,
    pub(crate) waits: Vec<usize>,
}

/// Puts a command on the wire; `message` gives the octets of each message of an APPEND.
pub(crate) fn send(command: &Command, message: impl Fn(usize, u64) -> Vec<u8>) -> Sent {
    let (mut wire, mut waits) = (Vec::new(), Vec::new());
    for segment in command.segments() {
        match segment {
            Segment::Bytes(bytes) | Segment::Secret(bytes) => wire.extend_from_slice(bytes),
            Segment::AwaitContinue => waits.push(wire.len()),
            Segment::Message { index, len } => wire.extend(message(*index, *len)),
            other => panic!("a step that the fuzz targets do not know: {other:?}"),
        }
    }
    assert_eq!(
        wire.len() as u64,
        command.wire_len(),
        "another length than promised"
    );
    Sent { wire, waits }
}

/// Reads one command, its line ends included. Returns its pieces, how long it is, and where the
/// client must wait.
pub(crate) fn read(wire: &[u8]) -> Result<(Vec<Token>, usize, Vec<usize>), String> {
    let (mut tokens, mut waits) = (Vec::new(), Vec::new());
    let mut at = 0;
    loop {
        let rest = &wire[at..];
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("a line without end")?;
        let line = rest[..end]
            .strip_suffix(b"\r")
            .ok_or("a line that ends in LF alone")?;
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err("CR or NUL in a line".to_owned());
        }
        at += end + 1;
        let Some(literal) = read_line(line, &mut tokens)? else {
            return Ok((tokens, at, waits));
        };
        if literal.waits {
            waits.push(at);
        }
        let octets = wire
            .get(at..at + literal.len)
            .ok_or("a literal that is cut")?;
        at += literal.len;
        tokens.push(Token::Literal {
            octets: octets.to_vec(),
            binary: literal.binary,
        });
    }
}

struct Literal {
    len: usize,
    waits: bool,
    binary: bool,
}

/// Reads a line into pieces, up to a literal that it announces.
fn read_line(mut line: &[u8], tokens: &mut Vec<Token>) -> Result<Option<Literal>, String> {
    while let Some((&byte, tail)) = line.split_first() {
        match byte {
            b' ' => line = tail,
            b'(' => {
                tokens.push(Token::Open);
                line = tail;
            }
            b')' => {
                tokens.push(Token::Close);
                line = tail;
            }
            b'"' => {
                let (text, rest) = quoted(tail)?;
                tokens.push(Token::Quoted(text));
                line = rest;
            }
            b'{' => return announced(tail, false).map(Some),
            b'~' if tail.starts_with(b"{") => return announced(&tail[1..], true).map(Some),
            _ => {
                let (atom, rest) = atom(line)?;
                tokens.push(Token::Atom(atom));
                line = rest;
            }
        }
    }
    Ok(None)
}

fn quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut out = Vec::new();
    let mut rest = text.iter().enumerate();
    while let Some((at, &byte)) = rest.next() {
        match byte {
            b'"' => return Ok((out, &text[at + 1..])),
            b'\\' => match rest.next() {
                Some((_, &escaped @ (b'"' | b'\\'))) => out.push(escaped),
                _ => return Err("an escape of something else".to_owned()),
            },
            0x80.. => return Err("8-bit in a quoted string".to_owned()),
            byte => out.push(byte),
        }
    }
    Err("a quote that is not closed".to_owned())
}

/// An atom, a flag, a set, or a section with what is in its brackets and after.
fn atom(line: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let section = line.starts_with(b"BODY.PEEK[") || line.starts_with(b"BINARY.PEEK[");
    let mut brackets = 0_usize;
    let mut end = line.len();
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b'[' if section => brackets += 1,
            b']' if section => brackets = brackets.saturating_sub(1),
            b' ' | b'(' | b')' if brackets == 0 => {
                end = at;
                break;
            }
            b'"' | b'{' => return Err("a quote or brace in an atom".to_owned()),
            0x80.. | 0..0x20 | 0x7f => return Err("8-bit or control in an atom".to_owned()),
            _ => {}
        }
    }
    Ok((line[..end].to_vec(), &line[end..]))
}

fn announced(text: &[u8], binary: bool) -> Result<Literal, String> {
    let number = text.strip_suffix(b"}").ok_or("a brace within a line")?;
    let (number, waits) = number
        .strip_suffix(b"+")
        .map_or((number, true), |number| (number, false));
    let digits = std::str::from_utf8(number).map_err(|_| "a literal without size")?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a literal without size".to_owned());
    }
    let len = digits.parse().map_err(|_| "a literal too large")?;
    Ok(Literal { len, waits, binary })
}
