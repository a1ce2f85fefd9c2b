//! Builds messages.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mailmove_core::model::Timestamp;

use super::rng::Rng;

/// A message being built: header lines, then a body.
#[derive(Clone, Debug, Default)]
pub(super) struct Mail {
    header: Vec<u8>,
    body: Vec<u8>,
}

impl Mail {
    /// Adds a header field.
    pub(super) fn field(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.header.extend_from_slice(name.as_bytes());
        self.header.extend_from_slice(b": ");
        self.header.extend_from_slice(value.as_ref());
        self.header.extend_from_slice(b"\r\n");
        self
    }

    /// Adds raw bytes to the header.
    pub(super) fn raw(&mut self, line: &[u8]) -> &mut Self {
        self.header.extend_from_slice(line);
        self
    }

    /// Adds to the body.
    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.body.extend_from_slice(text.as_ref());
        self
    }

    /// The whole message.
    pub(super) fn build(self) -> Bytes {
        let mut out = self.header;
        out.reserve_exact(self.body.len() + 2);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out.into()
    }

    /// The header alone, without the empty line.
    pub(super) fn header_alone(self) -> Bytes {
        self.header.into()
    }

    /// Adds MIME fields and opens a multipart.
    pub(super) fn multipart(&mut self, kind: &str, boundary: &str) -> &mut Self {
        let value = format!("multipart/{kind}; boundary=\"{boundary}\"");
        self.field("MIME-Version", "1.0")
            .field("Content-Type", value)
    }

    /// Adds a part with these header lines (each with its CRLF).
    pub(super) fn part(
        &mut self,
        boundary: &str,
        header: &str,
        content: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.text(format!("--{boundary}\r\n{header}\r\n"))
            .text(content)
            .text("\r\n")
    }

    /// Closes the multipart.
    pub(super) fn close(&mut self, boundary: &str) -> &mut Self {
        self.text(format!("--{boundary}--\r\n"))
    }
}

/// A boundary that no text of the corpus holds.
pub(super) fn boundary(rng: &mut Rng) -> String {
    format!("=_{:016x}", rng.next())
}

/// Base64 in lines of 76 characters.
pub(super) fn base64_lines(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 4 / 3 + bytes.len() / 28 + 8);
    for line in bytes.chunks(57) {
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Quoted-printable (RFC 2045 §6.7).
pub(super) fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 5 / 4);
    let mut column = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            column = 0;
            at += 2;
            continue;
        }
        let byte = bytes[at];
        let ends_line = bytes[at + 1..].starts_with(b"\r\n") || at + 1 == bytes.len();
        let plain = match byte {
            b'=' => false,
            b' ' | b'\t' => !ends_line,
            _ => byte.is_ascii_graphic(),
        };
        if column >= 73 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if plain {
            out.push(byte);
            column += 1;
        } else {
            out.extend_from_slice(format!("={byte:02X}").as_bytes());
            column += 3;
        }
        at += 1;
    }
    out
}

/// A date as RFC 5322 writes it.
pub(super) fn rfc5322(time: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let offset = i64::from(time.offset_minutes());
    let local_days = (time.seconds() + offset * 60).div_euclid(86_400);
    let weekday = usize::try_from(local_days.rem_euclid(7)).unwrap_or(0);
    let (year, month, day, hour, minute, second) = time.civil();
    let month = usize::from(month.saturating_sub(1)).min(11);
    let sign = if offset < 0 { '-' } else { '+' };
    let (zone_hours, zone_minutes) = (offset.abs() / 60, offset.abs() % 60);
    format!(
        "{}, {day} {} {year:04} {hour:02}:{minute:02}:{second:02} {sign}{zone_hours:02}{zone_minutes:02}",
        DAYS[weekday], MONTHS[month]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_name_the_right_day() {
        assert_eq!(
            rfc5322(Timestamp::new(0, 0)),
            "Thu, 1 Jan 1970 00:00:00 +0000"
        );
        assert_eq!(
            rfc5322(Timestamp::new(-1, -570)),
            "Wed, 31 Dec 1969 14:29:59 -0930"
        );
    }

    #[test]
    fn quoted_printable_keeps_lines_short_and_blanks_safe() {
        let out = quoted_printable("a \r\nüb=c ".as_bytes());
        assert_eq!(out, b"a=20\r\n=C3=BCb=3Dc=20");
        let long = quoted_printable(&[b'x'; 500]);
        assert!(long.split(|b| *b == b'\n').all(|line| line.len() <= 77));
    }
}
