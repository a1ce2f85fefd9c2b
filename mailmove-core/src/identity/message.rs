//! The only place that reads mail with mail-parser: headers alone, never bodies, since parsing
//! nested parts of hostile mail can exhaust the stack.

use mail_parser::{HeaderName, MessageParser};

use crate::model::Timestamp;

/// When a message was received, by its own header: the topmost `Received`, else `Date`. For
/// servers that do not say.
pub(crate) fn received(header: &[u8]) -> Option<Timestamp> {
    // Cut at the first empty line, so that whatever follows is not even looked at.
    let end = memmem(header, b"\r\n\r\n").or_else(|| memmem(header, b"\n\n"));
    let header = end.and_then(|end| header.get(..end + 2)).unwrap_or(header);
    let parser = MessageParser::new()
        .header_received(HeaderName::Received)
        .header_date(HeaderName::Date);
    let message = parser.parse_headers(header)?;
    let received = message.received_all().find_map(mail_parser::Received::date);
    let date = received.or_else(|| message.date().copied())?;
    let zone = i16::from(date.tz_hour) * 60 + i16::from(date.tz_minute);
    let zone = if date.tz_before_gmt { -zone } else { zone };
    (1970..=9999)
        .contains(&date.year)
        .then(|| Timestamp::new(date.to_timestamp(), zone))
}

fn memmem(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_received_counts_then_the_date() {
        let both = b"Received: from a by b; Tue, 1 Jul 2003 10:52:37 +0200\r\n\
            Received: from c by a; Mon, 30 Jun 2003 10:00:00 +0000\r\n\
            Date: Sun, 29 Jun 2003 10:00:00 +0000\r\n\r\nbody";
        assert_eq!(
            received(both).unwrap().to_string(),
            "2003-07-01T10:52:37+02:00"
        );
        let date = b"Subject: x\nDate: Sun, 29 Jun 2003 10:00:00 -0330\n\nbody";
        assert_eq!(
            received(date).unwrap().to_string(),
            "2003-06-29T10:00:00-03:30"
        );
        for none in [
            &b""[..],
            b"Date: never\r\n\r\n",
            b"Subject: x\r\n\r\nDate: 1 Jan 2000 00:00:00 +0000",
        ] {
            assert_eq!(received(none), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = received(&bytes);
        }
    }
}
