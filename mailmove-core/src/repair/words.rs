//! Bytes above 127 in header fields: encoded words (RFC 2047) and parameters (RFC 2231).

/// Longest encoded word.
const WORD: usize = 75;
/// Where lines are folded.
const LINE: usize = 76;

/// The parts of a value between semicolons that are not in quotes; the first is no parameter.
pub(super) fn parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' => return !quoted,
            _ => {}
        }
        false
    })
}

/// A value without the quotes around it.
pub(super) fn unquoted(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    let Some(inner) = value.strip_prefix(b"\"") else {
        // A token ends with a blank; what comes after is a comment at best.
        let token = value.split(|byte| matches!(byte, b' ' | b'\t')).next();
        return token.unwrap_or_default().to_vec();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => out.extend(bytes.next()),
            _ => out.push(*byte),
        }
    }
    out
}

/// A field (unfolded, with bytes above 127) as lines of ASCII.
pub(super) fn encode(field: &[u8]) -> Vec<Vec<u8>> {
    let colon = memchr::memchr(b':', field).map_or(0, |at| at + 1);
    let (name, value) = field.split_at_checked(colon).unwrap_or((b"", field));
    let lower = name.trim_ascii_end().to_ascii_lowercase();
    let tokens = match lower.as_slice() {
        b"content-type:" | b"content-disposition:" => of_parameters(value),
        b"from:" | b"sender:" | b"reply-to:" | b"to:" | b"cc:" | b"bcc:" | b"resent-from:"
        | b"resent-sender:" | b"resent-to:" | b"resent-cc:" | b"resent-bcc:" => of_addresses(value),
        _ => of_text(value),
    };
    write(name, &tokens)
}

/// Whether a field with bytes above 127 has to stay as it is: where it says how the message is divided
/// and encoded, or cannot be taken apart without a doubt, it would say something else otherwise.
pub(super) fn has_to_stay(field: &[u8]) -> bool {
    let colon = memchr::memchr(b':', field).map_or(0, |at| at + 1);
    let (name, value) = field.split_at_checked(colon).unwrap_or((b"", field));
    let name = name.trim_ascii_end().to_ascii_lowercase();
    let unclear = |(at, part): (usize, &[u8])| !part.is_ascii() && (at == 0 || !is_clear(part));
    match name.as_slice() {
        b"content-transfer-encoding:" => true,
        b"content-type:" => {
            let value = value.to_ascii_lowercase();
            let says = |word: &[u8]| memchr::memmem::find(&value, word).is_some();
            says(b"multipart")
                || says(b"message")
                || says(b"boundary")
                || parameters(&value).enumerate().any(unclear)
        }
        b"content-disposition:" => parameters(value).enumerate().any(unclear),
        _ => false,
    }
}

/// A parameter with one value: a token, or all of it in quotes.
fn is_clear(part: &[u8]) -> bool {
    let Some(equals) = memchr::memchr(b'=', part) else {
        return false;
    };
    let (name, value) = part.split_at_checked(equals).unwrap_or((part, b""));
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let plain = |text: &[u8]| !text.iter().any(|byte| b"\"\\".contains(byte));
    let whole = match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"").is_some_and(plain),
        None => plain(value) && !value.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'(')),
    };
    name.is_ascii() && whole
}

/// Something on a line that may be preceded by a fold, if it begins with a blank.
type Token = Vec<u8>;

fn write(name: &[u8], tokens: &[Token]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut line = name.to_vec();
    for token in tokens {
        let blank = matches!(token.first(), Some(b' ' | b'\t'));
        let says = |text: &[u8]| !text.trim_ascii().is_empty();
        if blank && says(token) && says(&line) && line.len() + token.len() > LINE {
            // A name alone on its line is no fold that everybody takes.
            if line.len() > name.len() {
                lines.push(std::mem::take(&mut line));
            }
        }
        line.extend_from_slice(token);
    }
    lines.push(line);
    lines
}

/// Words between blanks. Blanks between two that are encoded belong to what is encoded.
fn of_text(value: &[u8]) -> Vec<Token> {
    let mut runs = Runs::default();
    for (blank, word) in split(value, |_| false) {
        runs.take(&blank, &word, !word.is_ascii());
    }
    runs.finish()
}

/// Names before addresses: quoted or not.
fn of_addresses(value: &[u8]) -> Vec<Token> {
    let mut runs = Runs::default();
    let special = |byte: u8| b",;:()<>".contains(&byte);
    for (blank, word) in split(value, special) {
        if word.is_ascii() {
            runs.take(&blank, &word, false);
        } else if word.first() == Some(&b'"') {
            runs.take(&blank, &unquoted(&word), true);
        } else {
            runs.take(&blank, &word, true);
        }
    }
    runs.finish()
}

fn of_parameters(value: &[u8]) -> Vec<Token> {
    let mut out = Vec::new();
    for (at, part) in parameters(value).enumerate() {
        if at > 0
            && let Some(last) = out.last_mut()
        {
            let last: &mut Token = last;
            last.push(b';');
        }
        let equals = memchr::memchr(b'=', part).filter(|_| at > 0);
        match equals.and_then(|at| part.split_at_checked(at)) {
            _ if part.is_ascii() => out.push(part.to_vec()),
            Some((name, value)) if name.is_ascii() => {
                let value = unquoted(value.get(1..).unwrap_or_default());
                let mut token = b" ".to_vec();
                token.extend_from_slice(name.trim_ascii().trim_ascii_end());
                if token.last() != Some(&b'*') {
                    token.push(b'*');
                }
                token.push(b'=');
                token.extend(percent(&value).into_bytes());
                out.push(token);
            }
            _ => out.extend(of_text(part)),
        }
    }
    out
}

fn charset(bytes: &[u8]) -> &'static str {
    if std::str::from_utf8(bytes).is_ok() {
        "utf-8"
    } else {
        "unknown-8bit"
    }
}

fn percent(value: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = format!("{}''", charset(value));
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._".contains(byte) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Words with the blanks before them. Specials stand alone, what is in quotes or in angle brackets
/// stays together.
fn split(value: &[u8], special: impl Fn(u8) -> bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out = Vec::new();
    let mut at = 0;
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t');
    while at < value.len() {
        let rest = value.get(at..).unwrap_or_default();
        let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
        let (blank, rest) = rest.split_at_checked(blanks).unwrap_or((rest, b""));
        let len = word(rest, &special);
        out.push((blank.to_vec(), rest.get(..len).unwrap_or_default().to_vec()));
        at += blanks + len;
    }
    out
}

fn word(rest: &[u8], special: &impl Fn(u8) -> bool) -> usize {
    let until = |end: u8| {
        let mut escaped = false;
        let found = rest.iter().skip(1).position(|byte| {
            let ends = !escaped && *byte == end;
            escaped = !escaped && *byte == b'\\';
            ends
        });
        found.map_or(rest.len(), |at| at + 2)
    };
    match rest.first() {
        None => 0,
        Some(b'"') if special(b'<') => until(b'"'),
        Some(b'<') if special(b'<') => until(b'>'),
        Some(byte) if special(*byte) => 1,
        Some(_) => rest
            .iter()
            .position(|byte| {
                matches!(byte, b' ' | b'\t') || special(*byte) || (special(b'<') && *byte == b'"')
            })
            .unwrap_or(rest.len()),
    }
}

/// Collects what is encoded together.
#[derive(Default)]
struct Runs {
    tokens: Vec<Token>,
    run: Option<(Vec<u8>, Vec<u8>)>,
}

impl Runs {
    fn take(&mut self, blank: &[u8], word: &[u8], encode: bool) {
        match (&mut self.run, encode) {
            (Some((_, run)), true) => {
                run.extend_from_slice(blank);
                run.extend_from_slice(word);
            }
            (None, true) => self.run = Some((blank.to_vec(), word.to_vec())),
            (_, false) => {
                let after_run = self.run.is_some();
                self.flush();
                let mut token = blank.to_vec();
                // An encoded word ends with a blank, or before what delimits it.
                let delimits = matches!(word.first(), None | Some(b',' | b';' | b')'));
                if after_run && blank.is_empty() && !delimits {
                    token.push(b' ');
                }
                token.extend_from_slice(word);
                self.tokens.push(token);
            }
        }
    }

    fn flush(&mut self) {
        let Some((mut blank, run)) = self.run.take() else {
            return;
        };
        let opens = |token: &Token| token.last() == Some(&b'(');
        if blank.is_empty() && !self.tokens.last().is_some_and(opens) {
            blank.push(b' ');
        }
        for (at, word) in encoded_words(&run).into_iter().enumerate() {
            let mut token = if at == 0 {
                std::mem::take(&mut blank)
            } else {
                b" ".to_vec()
            };
            token.extend(word);
            self.tokens.push(token);
        }
    }

    fn finish(mut self) -> Vec<Token> {
        self.flush();
        self.tokens
    }
}

/// Encoded words of up to 75 characters, each of whole characters.
fn encoded_words(run: &[u8]) -> Vec<Vec<u8>> {
    let charset = charset(run);
    let start = format!("=?{charset}?Q?");
    let room = WORD - start.len() - 2;
    let units: Vec<&[u8]> = match std::str::from_utf8(run) {
        Ok(text) => {
            let chars = text.char_indices();
            let unit = |(at, c): (usize, char)| run.get(at..at + c.len_utf8());
            chars.filter_map(unit).collect()
        }
        Err(_) => run.chunks(1).collect(),
    };
    let mut out = Vec::new();
    let mut word = String::new();
    for unit in units {
        let mut text = String::new();
        for byte in unit {
            match byte {
                b' ' => text.push('_'),
                byte if byte.is_ascii_alphanumeric() || b"!*+-/".contains(byte) => {
                    text.push(char::from(*byte));
                }
                byte => {
                    use std::fmt::Write as _;
                    let _ = write!(text, "={byte:02X}");
                }
            }
        }
        if word.len() + text.len() > room {
            out.push(format!("{start}{}?=", std::mem::take(&mut word)).into_bytes());
        }
        word.push_str(&text);
    }
    out.push(format!("{start}{word}?=").into_bytes());
    out
}
