//! `xs:dateTime`.

use mailmove_core::model::Timestamp;

/// Reads a date as servers write it: with a fraction of any length, and perhaps without a zone, which
/// then is UTC.
#[must_use]
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let (date, time) = text.trim().split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-');
    let year: i64 = digits(parts.next()?, 4)?;
    let month = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    let day = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    let at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at_checked(at)?;
    let clock = clock.split('.').next()?;
    let mut parts = clock.splitn(3, ':');
    let hour = digits(parts.next()?, 2).filter(|n| *n < 24)?;
    let minute = digits(parts.next()?, 2).filter(|n| *n < 60)?;
    let second = digits(parts.next()?, 2).filter(|n| *n < 61)?;
    let offset = offset(zone)?;
    let midnight = Timestamp::from_date(year, month, day)?.seconds();
    let local = midnight + hour * 3600 + minute * 60 + second;
    Some(Timestamp::new(local - i64::from(offset) * 60, offset))
}

fn digits(text: &str, most: usize) -> Option<i64> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn offset(zone: &str) -> Option<i16> {
    let sign = match zone.as_bytes().first() {
        None | Some(b'Z' | b'z') => return Some(0),
        Some(b'-') => -1,
        _ => 1,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let hours = digits(hours, 2).filter(|n| *n < 24)?;
    let minutes = digits(minutes, 2).filter(|n| *n < 60)?;
    i16::try_from(sign * (hours * 60 + minutes)).ok()
}

/// Writes a date in UTC, to the second. Years are limited to those that EWS knows.
#[must_use]
pub fn format_date(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second) = Timestamp::new(at.seconds(), 0).civil();
    let year = year.clamp(1, 9999);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_write() {
        for (text, expected) in [
            (
                "2026-11-22T21:37:46.360840000Z",
                "2026-11-22T21:37:46+00:00",
            ),
            ("2001-02-03T04:05:06Z", "2001-02-03T04:05:06+00:00"),
            ("2001-02-03T04:05:06", "2001-02-03T04:05:06+00:00"),
            (
                " 2001-02-03T04:05:06.1+01:30\n",
                "2001-02-03T04:05:06+01:30",
            ),
            ("2001-02-03T04:05:06-05:00", "2001-02-03T04:05:06-05:00"),
        ] {
            assert_eq!(parse_date(text).unwrap().to_string(), expected);
        }
        for bad in [
            "",
            "T",
            "2001-02-30T00:00:00Z",
            "2001-02-03",
            "2001-02-03T24:00:00Z",
            "x-1-1T0:0:0",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in -62_135_596_800_i64..253_402_300_799, zone: i16) {
            let at = Timestamp::new(seconds, zone);
            proptest::prop_assert_eq!(parse_date(&format_date(at)), Some(at));
        }

        #[test]
        fn any_text_is_survived(text: String) {
            let _ = parse_date(&text);
        }
    }
}
