//! The lexical level that framer and parsers share: literals at a line's end, nesting, and a cursor over tokens.

use std::borrow::Cow;

use memchr::{memchr2, memchr3};

use super::error::{Excerpt, WireError};

/// Deepest nesting of parentheses in one response. Real ones stay below ten; recursive parsers die at some hundred.
pub const MAX_DEPTH: usize = 32;

/// A literal announced at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Literal {
    /// Where the announcement (`{` or `~{`) begins in the line.
    pub(super) start: usize,
    /// Announced octets.
    pub(super) len: u64,
    /// `~{n}`: may hold NUL (RFC 3516).
    pub(super) binary: bool,
}

/// Splits the line end off; true if it was a bare LF.
pub(super) fn trim_line_end(line: &[u8]) -> (&[u8], bool) {
    match line {
        [head @ .., b'\r', b'\n'] => (head, false),
        [head @ .., b'\n'] => (head, true),
        _ => (line, false),
    }
}

/// What a pass over one structured line found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Nesting depth at the line's end.
    pub(super) depth: usize,
    /// The line ends inside a quoted string.
    pub(super) open_quote: bool,
}

/// Counts the nesting of a line outside quoted strings, beginning at `depth`.
pub(super) fn shape(line: &[u8], mut depth: usize) -> Result<Shape, WireError> {
    let mut at = 0;
    let mut after_quote = usize::MAX;
    while let Some(found) = line
        .get(at..)
        .and_then(|rest| memchr3(b'"', b'(', b')', rest))
    {
        let here = at + found;
        at = here + 1;
        match line.get(here) {
            Some(b'(') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(WireError::TooDeep { limit: MAX_DEPTH });
                }
            }
            Some(b')') => depth = depth.saturating_sub(1),
            _ if here == after_quote || starts_token(line, here) => match close_quote(line, at) {
                Some(close) => {
                    at = close + 1;
                    after_quote = at;
                }
                None => {
                    return Ok(Shape {
                        depth,
                        open_quote: true,
                    });
                }
            },
            // A quote inside an atom: wrong, but harmless.
            _ => {}
        }
    }
    Ok(Shape {
        depth,
        open_quote: false,
    })
}

/// Where the quoted string that began just before `at` closes.
fn close_quote(line: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let here = at + memchr2(b'"', b'\\', line.get(at..)?)?;
        if line.get(here) == Some(&b'"') {
            return Some(here);
        }
        at = here + 2;
    }
}

fn starts_token(line: &[u8], at: usize) -> bool {
    match at.checked_sub(1).and_then(|before| line.get(before)) {
        Some(before) => matches!(before, b' ' | b'(' | b'['),
        None => true,
    }
}

/// The literal announced at the end of `line` (given without its line end).
///
/// `anywhere`: also where no token can begin, as in `BODY[]{5}`. In a FETCH what follows may be mail, so taking it
/// for text would let a mail speak for the server.
pub(super) fn literal_at_end(line: &[u8], anywhere: bool) -> Result<Option<Literal>, WireError> {
    let [head @ .., b'}'] = line else {
        return Ok(None);
    };
    let (head, plus) = match head {
        [head @ .., b'+'] => (head, true),
        _ => (head, false),
    };
    let digits = head
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let split = head.len() - digits;
    let (before, number) = head.split_at(split);
    let [before @ .., b'{'] = before else {
        return Ok(None);
    };
    if digits == 0 {
        return Ok(None);
    }
    let (start, binary) = match before {
        [rest @ .., b'~'] => (rest.len(), true),
        _ => (before.len(), false),
    };
    if !anywhere && !starts_token(line, start) {
        return Ok(None);
    }
    let announcement = line.get(start..).unwrap_or_default();
    let bad = || WireError::BadLiteral {
        excerpt: Excerpt::new(announcement),
    };
    if plus {
        return Err(bad());
    }
    let len = number_u64(number).ok_or_else(bad)?;
    Ok(Some(Literal { start, len, binary }))
}

/// A decimal number of digits only.
pub(super) fn number_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some(value)
}

/// [`number_u64`] within 32 bits.
pub(super) fn number_u32(digits: &[u8]) -> Option<u32> {
    number_u64(digits).and_then(|value| u32::try_from(value).ok())
}

/// Octets as text: UTF-8 with the replacement character for what isn't.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a parser expected and didn't find. Carries where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

/// A position in one complete response. Literals inside are read as framed: announcement, line end, octets.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(buf: &'a [u8]) -> Self {
        Self { buf, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.buf.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_end(&self) -> bool {
        self.at >= self.buf.len()
    }

    pub(super) fn bad(&self, what: &'static str) -> Bad {
        Bad { what, at: self.at }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.buf.get(self.at).copied()
    }

    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Bad> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.bad(what))
        }
    }

    /// Skips blanks: servers send none, one or two where the grammar has one. True if there was any.
    #[inline]
    pub(super) fn blanks(&mut self) -> bool {
        let before = self.at;
        while self.eat(b' ') {}
        self.at > before
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.buf.len());
    }

    /// The octets up to the first one that `stop` names; may be empty.
    #[inline]
    pub(super) fn until(&mut self, stop: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest
            .iter()
            .position(|byte| stop(*byte))
            .unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// A run of anything but blanks, parentheses and line ends: atoms, flags, numbers as servers really send them.
    #[inline]
    pub(super) fn token(&mut self) -> &'a [u8] {
        self.until(|byte| matches!(byte, b' ' | b'(' | b')' | b'\r' | b'\n'))
    }

    pub(super) fn word(&mut self, what: &'static str) -> Result<&'a [u8], Bad> {
        let token = self.token();
        if token.is_empty() {
            Err(self.bad(what))
        } else {
            Ok(token)
        }
    }

    pub(super) fn number64(&mut self, what: &'static str) -> Result<u64, Bad> {
        let bad = self.bad(what);
        number_u64(self.token()).ok_or(bad)
    }

    pub(super) fn number32(&mut self, what: &'static str) -> Result<u32, Bad> {
        let bad = self.bad(what);
        number_u32(self.token()).ok_or(bad)
    }

    /// A quoted string, unescaped. Tolerates a backslash before any character.
    pub(super) fn quoted(&mut self, what: &'static str) -> Result<Cow<'a, [u8]>, Bad> {
        let bad = self.bad(what);
        self.expect(b'"', what)?;
        let inner = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            let from = self.at;
            let run = memchr2(b'"', b'\\', self.rest()).ok_or(bad)?;
            let plain = self.buf.get(from..from + run).unwrap_or_default();
            self.at = from + run + 1;
            if self.buf.get(from + run) == Some(&b'"') {
                return Ok(match unescaped {
                    Some(mut text) => {
                        text.extend_from_slice(plain);
                        Cow::Owned(text)
                    }
                    None => Cow::Borrowed(self.buf.get(inner..from + run).unwrap_or_default()),
                });
            }
            let text = unescaped.get_or_insert_default();
            text.extend_from_slice(plain);
            text.push(self.peek().ok_or(bad)?);
            self.at += 1;
        }
    }

    /// A literal, if one begins here.
    pub(super) fn literal(&mut self) -> Option<&'a [u8]> {
        let mut ahead = self.clone();
        ahead.eat(b'~');
        if !ahead.eat(b'{') {
            return None;
        }
        // Digits only: a search for the brace would make a line of many `{` quadratic.
        let len = number_u64(ahead.until(|byte| !byte.is_ascii_digit()))?;
        if !ahead.eat(b'}') {
            return None;
        }
        ahead.eat(b'\r');
        if !ahead.eat(b'\n') {
            return None;
        }
        let end = ahead.at.checked_add(usize::try_from(len).ok()?)?;
        let octets = ahead.buf.get(ahead.at..end)?;
        self.at = end;
        Some(octets)
    }

    /// `string` of RFC 3501: quoted or literal.
    pub(super) fn string(&mut self, what: &'static str) -> Result<Cow<'a, [u8]>, Bad> {
        match self.literal() {
            Some(octets) => Ok(Cow::Borrowed(octets)),
            None => self.quoted(what),
        }
    }

    /// `astring`: a string, or an atom taken as generously as servers write them.
    pub(super) fn astring(&mut self, what: &'static str) -> Result<Cow<'a, [u8]>, Bad> {
        match self.peek() {
            Some(b'"') => self.quoted(what),
            // `~peter` is an atom.
            Some(b'{' | b'~') => match self.literal() {
                Some(octets) => Ok(Cow::Borrowed(octets)),
                None => self.word(what).map(Cow::Borrowed),
            },
            _ => self.word(what).map(Cow::Borrowed),
        }
    }

    /// `nstring`: a string or NIL, and an atom where a server forgot the quotes.
    pub(super) fn nstring(&mut self, what: &'static str) -> Result<Option<Cow<'a, [u8]>>, Bad> {
        let quoted = matches!(self.peek(), Some(b'"' | b'{' | b'~'));
        let text = self.astring(what)?;
        Ok((quoted || !text.eq_ignore_ascii_case(b"NIL")).then_some(text))
    }

    /// Skips one value: string, atom, or a balanced list of any depth that framing let pass.
    pub(super) fn value(&mut self, what: &'static str) -> Result<(), Bad> {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b'(') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b')') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b' ') if depth > 0 => self.at += 1,
                _ => {
                    self.astring(what)?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(line: &[u8]) -> Option<(usize, u64, bool)> {
        literal_at_end(line, false)
            .expect("valid")
            .map(|l| (l.start, l.len, l.binary))
    }

    #[test]
    fn literals_are_found_only_at_the_end_of_a_line_and_start_of_a_token() {
        assert_eq!(literal(b"x {12}"), Some((2, 12, false)));
        assert_eq!(literal(b"({0}"), Some((1, 0, false)));
        assert_eq!(literal(b"x ~{7}"), Some((2, 7, true)));
        assert_eq!(
            literal(b"x {18446744073709551615}"),
            Some((2, u64::MAX, false))
        );
        for none in [
            &b"x {12} "[..],
            b"x {}",
            b"x {a}",
            b"12}",
            b"}",
            b"",
            b"name{12}",
            b"x {1 2}",
        ] {
            assert_eq!(literal(none), None, "{}", none.escape_ascii());
        }
        assert!(literal_at_end(b"BODY[]{5}", true).expect("valid").is_some());
        assert!(literal_at_end(b"x {5+}", false).is_err());
        assert!(literal_at_end(b"x {18446744073709551616}", false).is_err());
    }

    #[test]
    fn nesting_ignores_quoted_parentheses() {
        assert_eq!(
            shape(b"a (b \"((((\" (c", 0),
            Ok(Shape {
                depth: 2,
                open_quote: false
            })
        );
        assert_eq!(
            shape(b"\"a\\\"(\")", 1),
            Ok(Shape {
                depth: 0,
                open_quote: false
            })
        );
        assert_eq!(
            shape(b"a \"never", 0),
            Ok(Shape {
                depth: 0,
                open_quote: true
            })
        );
        assert_eq!(
            shape(b"an\"atom (", 0),
            Ok(Shape {
                depth: 1,
                open_quote: false
            })
        );
        assert_eq!(
            shape(b"\"a\"\"(\"", 0),
            Ok(Shape {
                depth: 0,
                open_quote: false
            })
        );
        assert!(shape(&[b'('; MAX_DEPTH], 0).is_ok());
        assert!(shape(&[b'('; MAX_DEPTH + 1], 0).is_err());
        assert!(shape(b"(", MAX_DEPTH).is_err());
    }

    #[test]
    fn strings_are_unescaped() {
        let mut cursor = Cursor::new(
            b"\"a\\\"b\\\\\" {3}\r\n\"x\" ~peter NIL \"NIL\" \"\" (a (b \")\") {1}\n)) z",
        );
        assert_eq!(&*cursor.astring("").expect("quoted"), b"a\"b\\");
        cursor.blanks();
        assert_eq!(&*cursor.astring("").expect("literal"), b"\"x\"");
        cursor.blanks();
        assert_eq!(&*cursor.astring("").expect("atom"), b"~peter");
        cursor.blanks();
        assert_eq!(cursor.nstring("").expect("nil"), None);
        cursor.blanks();
        assert_eq!(
            cursor.nstring("").expect("text").as_deref(),
            Some(&b"NIL"[..])
        );
        cursor.blanks();
        assert_eq!(cursor.nstring("").expect("text").as_deref(), Some(&b""[..]));
        cursor.blanks();
        cursor.value("").expect("balanced");
        assert_eq!(cursor.rest(), b" z");
        assert!(Cursor::new(b"\"open").quoted("").is_err());
        assert!(Cursor::new(b"\"open\\").quoted("").is_err());
        assert!(Cursor::new(b"{9}\r\nabc").literal().is_none());
        assert!(Cursor::new(b"(a").value("").is_err());
    }
}
