//! Content transfer encodings, undone as a body passes by.

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "MIME has no others")]
pub enum Encoding {
    /// Not at all, or in a way that nobody knows.
    #[default]
    Plain,
    /// `base64`.
    Base64,
    /// `quoted-printable`.
    QuotedPrintable,
}

impl Encoding {
    /// By its name in a header.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            _ => Self::Plain,
        }
    }
}

/// Undoes an encoding. Reads leniently, as mail programs do: what does not belong is passed over or kept.
#[derive(Debug, Default)]
pub struct Decoder {
    encoding: Encoding,
    // Base64: the bits of a group that is not complete, and how many.
    bits: u32,
    count: u32,
    // Quoted-printable: what was held back, since what follows says whether it counts.
    held: Vec<u8>,
    /// Base64: the padding was seen.
    padded: bool,
    damaged: bool,
}

/// Blanks that are held back: those before the end of a line are no part of it. More are passed on.
const BLANKS: usize = 512;

impl Decoder {
    /// Before the first byte of a body in that encoding.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            ..Self::default()
        }
    }

    /// The next bytes of the body; what they mean goes to the end of `out`.
    pub fn update(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Plain => out.extend_from_slice(bytes),
            Encoding::Base64 => bytes.iter().for_each(|byte| self.sextet(*byte, out)),
            Encoding::QuotedPrintable => bytes.iter().for_each(|byte| self.printable(*byte, out)),
        }
    }

    /// The body has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        // Bits of a group that should have been filled up.
        self.damaged |= self.count > 0;
        // Blanks at the very end are no part of the text either.
        if self.held.first() == Some(&b'=') {
            self.damaged |= self.held.len() > 1;
            out.append(&mut self.held);
        }
    }

    /// It holds what does not belong there: readers differ about what that means. To be asked at the end.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    fn sextet(&mut self, byte: u8, out: &mut Vec<u8>) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                // There has to be something to be filled up.
                self.damaged |= !self.padded && !matches!(self.count, 2 | 4);
                (self.bits, self.count, self.padded) = (0, 0, true);
                return;
            }
            _ => {
                self.damaged |= !byte.is_ascii_whitespace();
                return;
            }
        };
        self.damaged |= self.padded;
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 6;
        if self.count >= 8 {
            self.count -= 8;
            let whole = self.bits >> self.count;
            out.extend(whole.to_le_bytes().first());
            self.bits &= (1 << self.count) - 1;
        }
    }

    fn printable(&mut self, byte: u8, out: &mut Vec<u8>) {
        let is_blank = matches!(byte, b' ' | b'\t');
        match (self.held.as_slice(), byte) {
            ([], b'=') => self.held.push(byte),
            ([], _) if is_blank => self.held.push(byte),
            ([], _) => out.push(byte),
            ([b'='], _) if byte.is_ascii_hexdigit() || byte == b'\r' || is_blank => {
                self.held.push(byte);
            }
            // A soft line break.
            ([b'='] | [b'=', b'\r' | b' ' | b'\t', ..], b'\n') => self.held.clear(),
            ([b'=', b' ' | b'\t', ..], _) if (is_blank || byte == b'\r') && self.has_room() => {
                self.held.push(byte);
            }
            ([b'=', high], _) if high.is_ascii_hexdigit() && byte.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
                let value = digit(*high) << 4 | digit(byte);
                out.extend(value.to_le_bytes().first());
                self.held.clear();
            }
            ([b'=', ..], _) => {
                self.damaged = true;
                self.not_held(byte, out);
            }
            // Blanks: not if the line ends here.
            (_, b'\r' | b'\n') => {
                self.held.clear();
                out.push(byte);
            }
            (_, _) if is_blank && self.has_room() => self.held.push(byte),
            _ => self.not_held(byte, out),
        }
    }

    fn has_room(&self) -> bool {
        self.held.len() < BLANKS
    }

    fn not_held(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.printable(byte, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, text: &[u8], piece: usize) -> (Vec<u8>, bool) {
        let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
        for piece in text.chunks(piece) {
            decoder.update(piece, &mut out);
        }
        decoder.finish(&mut out);
        (out, decoder.damaged)
    }

    #[test]
    fn encodings_are_undone_in_any_pieces() {
        for (encoding, text, expected, damage) in [
            (Encoding::Plain, "a =3D\r\n", "a =3D\r\n", false),
            (Encoding::Base64, "aGFs\r\nbG8=", "hallo", false),
            (Encoding::Base64, "aGFsbG8", "hallo", true),
            (Encoding::Base64, "aGFsbG8=aGFsbG8=", "hallohallo", true),
            (Encoding::Base64, "aGFs!bG8=", "hallo", true),
            (Encoding::Base64, "aGFsb=", "hal", true),
            (Encoding::Base64, "aGFsbA==", "hall", false),
            (
                Encoding::QuotedPrintable,
                "a=3Db=\r\nc  \r\nd",
                "a=bc\r\nd",
                false,
            ),
            (Encoding::QuotedPrintable, "a=\nb= \t\r\nc=", "abc=", false),
            (Encoding::QuotedPrintable, "a=zz", "a=zz", true),
            (Encoding::QuotedPrintable, "a  b \t", "a  b", false),
            (Encoding::QuotedPrintable, "==41=4", "=A=4", true),
        ] {
            for piece in 1..9 {
                let (out, damaged) = decoded(encoding, text.as_bytes(), piece);
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?}");
                assert_eq!(damaged, damage, "{text:?}");
            }
        }
    }
}
