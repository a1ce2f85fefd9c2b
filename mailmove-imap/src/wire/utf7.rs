//! Modified UTF-7, in which mailbox names travel (RFC 3501 §5.1.3).

/// A name that is no modified UTF-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox name is not valid modified UTF-7")]
#[non_exhaustive]
pub struct Utf7Error;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Writes a name in modified UTF-7. Every name has exactly one form.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    let mut shifted = Shift::default();
    for character in name.chars() {
        if matches!(character, ' '..='~') {
            shifted.close(&mut out);
            out.push(character);
            if character == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0u16; 2];
            for unit in character.encode_utf16(&mut units) {
                shifted.push(*unit, &mut out);
            }
        }
    }
    shifted.close(&mut out);
    out
}

/// Base64 in progress: `bits` of `held` aren't written yet.
#[derive(Default)]
struct Shift {
    open: bool,
    held: u32,
    bits: u32,
}

impl Shift {
    fn push(&mut self, unit: u16, out: &mut String) {
        if !self.open {
            self.open = true;
            out.push('&');
        }
        // At most 5 bits are left over, so 21 are in use.
        self.held = (self.held << 16) | u32::from(unit);
        self.bits += 16;
        while self.bits >= 6 {
            self.bits -= 6;
            out.push(sextet(self.held >> self.bits));
        }
        self.held &= (1 << self.bits) - 1;
    }

    fn close(&mut self, out: &mut String) {
        if self.bits > 0 {
            out.push(sextet(self.held << (6 - self.bits)));
        }
        if self.open {
            out.push('-');
        }
        *self = Self::default();
    }
}

fn sextet(value: u32) -> char {
    ALPHABET
        .get((value & 63) as usize)
        .map_or('A', |byte| char::from(*byte))
}

/// Reads a name. Strict: what it accepts, [`encode`] writes back byte by byte, so a decoded name never stands for two
/// mailboxes.
///
/// # Errors
/// For 8-bit or control bytes, a shift that isn't closed, base64 or UTF-16 that isn't valid, and every second way to
/// write the same name.
pub fn decode(wire: &[u8]) -> Result<String, Utf7Error> {
    let name = decode_lenient(wire)?;
    if encode(&name).as_bytes() == wire {
        Ok(name)
    } else {
        Err(Utf7Error)
    }
}

/// Reads a name as servers really write it: as [`decode`], but also letters in base64, adjacent shifts and nonzero padding.
///
/// # Errors
/// As [`decode`], apart from these.
pub fn decode_lenient(wire: &[u8]) -> Result<String, Utf7Error> {
    let mut out = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'&' => {
                let end = memchr::memchr(b'-', rest).ok_or(Utf7Error)?;
                let (shifted, tail) = rest.split_at_checked(end).ok_or(Utf7Error)?;
                if shifted.is_empty() {
                    out.push('&');
                } else {
                    unshift(shifted, &mut out)?;
                }
                rest = tail.get(1..).unwrap_or_default();
            }
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => return Err(Utf7Error),
        }
    }
    Ok(out)
}

fn unshift(base64: &[u8], out: &mut String) -> Result<(), Utf7Error> {
    let (mut held, mut bits) = (0u32, 0u32);
    let mut units = Vec::with_capacity(base64.len() / 2);
    for byte in base64 {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b',' => 63,
            _ => return Err(Utf7Error),
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 16 {
            bits -= 16;
            units.push(u16::try_from((held >> bits) & 0xffff).map_err(|_| Utf7Error)?);
        }
        held &= (1 << bits) - 1;
    }
    // A whole sextet of padding stands for nothing.
    if bits >= 6 {
        return Err(Utf7Error);
    }
    for character in char::decode_utf16(units) {
        out.push(character.map_err(|_| Utf7Error)?);
    }
    Ok(())
}
