//! Base64 in pieces of any size.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Bytes that are decoded together.
const PIECE: usize = 6 * 1024;

/// Reads Base64 as servers write it: with line ends anywhere, and perhaps without the padding.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Characters that are not decoded yet.
    pending: Vec<u8>,
    ended: bool,
    broken: bool,
}

impl Decoder {
    /// Decodes what is complete.
    pub fn push(&mut self, text: &[u8], mut out: impl FnMut(&[u8])) {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        for line in text.split(blank) {
            let end = memchr::memchr(b'=', line);
            let (mut data, tail) = line.split_at(end.unwrap_or(line.len()));
            // What comes after the end is none of it, however it is cut.
            if self.ended && !data.is_empty() {
                self.broken = true;
                data = &[];
            }
            self.broken |= tail.iter().any(|byte| *byte != b'=');
            self.ended |= end.is_some();
            while !data.is_empty() {
                let room = PIECE.saturating_sub(self.pending.len()).min(data.len());
                let (now, later) = data.split_at(room);
                self.pending.extend_from_slice(now);
                if self.pending.len() >= PIECE {
                    self.flush(&mut out);
                }
                data = later;
            }
        }
    }

    fn flush(&mut self, out: &mut impl FnMut(&[u8])) {
        let mut bytes = [0; PIECE];
        match STANDARD.decode_slice(&self.pending, &mut bytes) {
            Ok(len) => out(bytes.get(..len).unwrap_or_default()),
            Err(_) => self.broken = true,
        }
        self.pending.clear();
    }

    /// Decodes the rest, and is ready for the next. False if there was anything that is no Base64.
    pub fn finish(&mut self, mut out: impl FnMut(&[u8])) -> bool {
        // One character alone is not even a byte.
        let cut = self.pending.len() % 4 == 1;
        while self.pending.len() % 4 > 1 {
            self.pending.push(b'=');
        }
        if !cut && !self.pending.is_empty() {
            // Bits that stand for nothing may be set: some encoders do that.
            let last = self.pending.split_off(self.pending.len() - 4);
            if !self.pending.is_empty() {
                self.flush(&mut out);
            }
            match LENIENT.decode(&last) {
                Ok(bytes) => out(&bytes),
                Err(_) => self.broken = true,
            }
        }
        let whole = !cut && !self.broken;
        *self = Self::default();
        whole
    }
}

const LENIENT: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Writes Base64 without line ends, from pieces of any size.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Up to two bytes that do not fill a group yet.
    rest: Vec<u8>,
}

impl Encoder {
    /// Encodes what is complete.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut String) {
        if !self.rest.is_empty() {
            let want = (3 - self.rest.len()).min(bytes.len());
            let (head, tail) = bytes.split_at(want);
            self.rest.extend_from_slice(head);
            bytes = tail;
            if self.rest.len() == 3 {
                STANDARD.encode_string(&self.rest, out);
                self.rest.clear();
            }
        }
        let (groups, rest) = bytes.split_at(bytes.len() - bytes.len() % 3);
        STANDARD.encode_string(groups, out);
        self.rest.extend_from_slice(rest);
    }

    /// Encodes the rest.
    pub fn finish(&mut self, out: &mut String) {
        STANDARD.encode_string(&self.rest, out);
        self.rest.clear();
    }
}

/// How long so many bytes become.
pub const fn encoded_len(bytes: u64) -> u64 {
    bytes.div_ceil(3).saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str, piece: usize) -> Option<Vec<u8>> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            decoder.push(piece, |bytes| out.extend_from_slice(bytes));
        }
        let whole = decoder.finish(|bytes| out.extend_from_slice(bytes));
        whole.then_some(out)
    }

    #[test]
    fn lines_and_missing_padding_are_read_and_damage_is_told() {
        for (text, expected) in [
            ("aGVsbG8=", Some("hello")),
            ("aGVs\r\n bG8", Some("hello")),
            ("aGVsbG8==", Some("hello")),
            ("aGVsbG9", Some("hello")),
            ("", Some("")),
            ("aGVsb", None),
            ("aGV$bG8=", None),
            ("aGVsbG8=aGVs", None),
        ] {
            for piece in 1..5 {
                let found = decode(text, piece);
                assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
            }
        }
    }

    #[test]
    fn what_comes_after_the_end_is_left_out_however_it_is_cut() {
        for piece in 1..9 {
            let mut decoder = Decoder::default();
            let mut out = Vec::new();
            for piece in b"aGk=aGk".chunks(piece) {
                decoder.push(piece, |bytes| out.extend_from_slice(bytes));
            }
            assert!(!decoder.finish(|bytes| out.extend_from_slice(bytes)));
            assert_eq!(out, b"hi", "{piece}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(0_u8.., 0..20_000), piece in 1_usize..7000) {
            let mut encoder = Encoder::default();
            let mut text = String::new();
            for piece in bytes.chunks(piece) {
                encoder.push(piece, &mut text);
            }
            encoder.finish(&mut text);
            proptest::prop_assert_eq!(text.len() as u64, encoded_len(bytes.len() as u64));
            proptest::prop_assert_eq!(decode(&text, piece), Some(bytes));
        }
    }
}
