//! Tokens of a command (RFC 3501 section 9). A literal stands in the command as it came:
//! `{n}` CRLF and n bytes.

use crate::reply::Stop;

/// Deepest nesting of parentheses that is followed.
const MAX_DEPTH: usize = 32;

/// Reads tokens from the start of a command.
#[derive(Debug, Clone)]
pub(crate) struct Parser<'a> {
    rest: &'a [u8],
    depth: usize,
}

type Parsed<T> = Result<T, Stop>;

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            depth: 0,
        }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn advance(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self
            .rest
            .split_at_checked(count)
            .unwrap_or((self.rest, &[]));
        self.rest = tail;
        head
    }

    /// Takes this byte if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.advance(1);
        }
        there
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(Stop::Bad(format!("expected {:?}", char::from(byte))))
        }
    }

    pub(crate) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ')
    }

    pub(crate) fn end(&self) -> Parsed<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Stop::bad("unexpected text after the arguments"))
        }
    }

    fn while_(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.rest.iter().take_while(|b| test(**b)).count();
        self.advance(count)
    }

    fn word_of(&mut self, test: impl Fn(u8) -> bool, what: &str) -> Parsed<&'a str> {
        match std::str::from_utf8(self.while_(test)) {
            Ok(word) if !word.is_empty() => Ok(word),
            _ => Err(Stop::Bad(format!("expected {what}"))),
        }
    }

    /// An atom.
    pub(crate) fn atom(&mut self) -> Parsed<&'a str> {
        self.word_of(is_atom, "an atom")
    }

    /// A tag.
    pub(crate) fn tag(&mut self) -> Parsed<&'a str> {
        self.word_of(|b| b != b'+' && (is_atom(b) || b == b']'), "a tag")
    }

    /// Everything up to the next blank or parenthesis: items such as `+FLAGS.SILENT`.
    pub(crate) fn word(&mut self) -> Parsed<&'a str> {
        self.word_of(|b| !matches!(b, b' ' | b'(' | b')'), "a word")
    }

    /// The name of a fetch item or of a section's text, which a bracket may follow.
    pub(crate) fn item_name(&mut self) -> Parsed<&'a str> {
        self.word_of(|b| b.is_ascii_alphanumeric() || b == b'.', "an item")
    }

    /// The name of a fetch item, X-GM-… among them.
    pub(crate) fn fetch_name(&mut self) -> Parsed<&'a str> {
        self.word_of(
            |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'),
            "an item",
        )
    }

    /// An atom in upper case: names of commands and items.
    pub(crate) fn keyword(&mut self) -> Parsed<String> {
        Ok(self.atom()?.to_ascii_uppercase())
    }

    /// Takes this word (any case) if it is next and ends there.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let mut ahead = self.clone();
        let same = ahead
            .atom()
            .is_ok_and(|atom| atom.eq_ignore_ascii_case(word));
        if same {
            *self = ahead;
        }
        same
    }

    pub(crate) fn number(&mut self) -> Parsed<u64> {
        let digits = self.word_of(|b| b.is_ascii_digit(), "a number")?;
        digits.parse().map_err(|_| Stop::bad("number too large"))
    }

    /// The text of a sequence set or of `$`.
    pub(crate) fn set_text(&mut self) -> Parsed<&'a str> {
        self.word_of(
            |b| b.is_ascii_digit() || matches!(b, b':' | b',' | b'*'),
            "a set",
        )
    }

    /// A quoted string or a literal.
    pub(crate) fn string(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => Err(Stop::bad("expected a string")),
        }
    }

    /// A string or a binary literal.
    pub(crate) fn value(&mut self) -> Parsed<Vec<u8>> {
        self.eat(b'~');
        self.string()
    }

    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.expect(b'"')?;
        let mut value = Vec::new();
        loop {
            match self.advance(1) {
                [b'"'] => return Ok(value),
                [b'\\'] => match self.advance(1) {
                    [byte @ (b'"' | b'\\')] => value.push(*byte),
                    _ => return Err(Stop::bad("invalid escape in a quoted string")),
                },
                [b'\r' | b'\n' | 0] | [] => return Err(Stop::bad("unfinished quoted string")),
                [byte] => value.push(*byte),
                _ => return Err(Stop::bad("invalid quoted string")),
            }
        }
    }

    fn literal(&mut self) -> Parsed<Vec<u8>> {
        let bad = || Stop::bad("invalid literal");
        self.expect(b'{')?;
        let size = usize::try_from(self.number()?).map_err(|_| bad())?;
        self.eat(b'+');
        if self.advance(3) != b"}\r\n" || self.rest.len() < size {
            return Err(bad());
        }
        Ok(self.advance(size).to_vec())
    }

    /// An atom (`]` allowed) or a string.
    pub(crate) fn astring(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => Ok(self
                .word_of(|b| is_atom(b) || b == b']', "a string")?
                .into()),
        }
    }

    /// A string of UTF-8.
    pub(crate) fn text(&mut self) -> Parsed<String> {
        String::from_utf8(self.astring()?).map_err(|_| Stop::bad("string isn't UTF-8"))
    }

    /// A pattern of LIST: like an atom with wildcards, or a string.
    pub(crate) fn pattern(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => {
                let test = |b| is_atom(b) || matches!(b, b']' | b'%' | b'*');
                Ok(self.word_of(test, "a pattern")?.into())
            }
        }
    }

    /// A flag: keyword, or backslash and atom.
    pub(crate) fn flag(&mut self) -> Parsed<String> {
        let backslash = self.eat(b'\\');
        let name = self.word_of(is_atom, "a flag")?;
        Ok(if backslash {
            format!("\\{name}")
        } else {
            name.to_owned()
        })
    }

    /// `(` items separated by blanks `)`; may be empty.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.open()?;
        let mut items = Vec::new();
        while !self.eat(b')') {
            if !items.is_empty() {
                self.space()?;
            }
            items.push(item(self)?);
        }
        self.depth -= 1;
        Ok(items)
    }

    /// Opens a parenthesis; too deep nesting is refused, so that recursion ends.
    pub(crate) fn open(&mut self) -> Parsed<()> {
        self.expect(b'(')?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::bad("nested too deeply"));
        }
        Ok(())
    }

    /// Closes a parenthesis.
    pub(crate) fn close(&mut self) -> Parsed<()> {
        self.expect(b')')?;
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// Counts one more level of nesting that has no parenthesis (`NOT NOT …`).
    pub(crate) fn nest(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::bad("nested too deeply"));
        }
        Ok(())
    }

    pub(crate) fn unnest(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}

fn is_atom(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// The literal announced at the end of a line, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) size: u64,
    pub(crate) synchronising: bool,
    /// `~{n}` of RFC 3516.
    pub(crate) binary: bool,
    /// Length of the announcement itself.
    pub(crate) length: usize,
}

/// Looks for `{n}` or `{n+}` at the end of a line.
pub(crate) fn announced(line: &[u8]) -> Option<Announced> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|b| *b == b'{')?;
    let digits = inner.get(open + 1..)?;
    let (digits, synchronising) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = std::str::from_utf8(digits)
        .ok()?
        .parse()
        .unwrap_or(u64::MAX);
    let binary = line.get(..open)?.ends_with(b"~");
    Some(Announced {
        size,
        synchronising,
        binary,
        length: line.len() - open + usize::from(binary),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_in_every_form() {
        let mut parser = Parser::new(b"atom \"a \\\"q\\\" \\\\\" {4}\r\n\r\n() {1+}\r\nx");
        assert_eq!(parser.astring().unwrap(), b"atom");
        parser.space().unwrap();
        assert_eq!(parser.astring().unwrap(), b"a \"q\" \\");
        parser.space().unwrap();
        assert_eq!(parser.astring().unwrap(), b"\r\n()");
        parser.space().unwrap();
        assert_eq!(parser.astring().unwrap(), b"x");
        assert!(parser.end().is_ok());
    }

    #[test]
    fn broken_strings_are_refused() {
        for text in [
            "\"open",
            "\"bad \\x\"",
            "{9}\r\nshort",
            "{99999999999999999999}\r\n",
            "(",
            "",
        ] {
            assert!(Parser::new(text.as_bytes()).astring().is_err(), "{text}");
        }
    }

    #[test]
    fn literals_are_seen_only_at_the_end() {
        let found = announced(b"a APPEND x {12+}").unwrap();
        assert_eq!(
            (found.size, found.synchronising, found.length),
            (12, false, 5)
        );
        assert!(announced(b"a APPEND x ~{12}").unwrap().binary);
        assert_eq!(
            announced(b"a {99999999999999999999999}").unwrap().size,
            u64::MAX
        );
        for text in ["{12} ", "{}", "{+}", "{a}", "12}", "{1 2}"] {
            assert_eq!(announced(text.as_bytes()), None, "{text}");
        }
    }
}
