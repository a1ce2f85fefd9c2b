//! Dates of IMAP and of mail headers.

use mailmove_testkit::mailbox::InternalDate;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years from March on, so that the leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// (year, month, day) of a number of days from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (year, month + 3)
    } else {
        (year + 1, month - 9)
    };
    (era * 400 + year, month, day)
}

fn month(name: &str) -> Option<i64> {
    let at = MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(name))?;
    i64::try_from(at + 1).ok()
}

fn date_days(year: &str, month_name: &str, day: &str) -> Option<i64> {
    let (year, month, day) = (number(year)?, month(month_name)?, number(day)?);
    let result = days(year, month, day);
    (civil(result) == (year, month, day)).then_some(result)
}

fn number(text: &str) -> Option<i64> {
    (text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Minutes east of UTC of `+hhmm`.
fn zone(text: &str) -> Option<i16> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = (number(digits.get(..2)?)?, number(digits.get(2..)?)?);
    let total = i16::try_from(hours * 60 + minutes).ok()?;
    (digits.len() == 4 && hours < 24 && minutes < 60).then_some(sign * total)
}

fn seconds(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hours, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
    let seconds = parts.next().map_or(Some(0), number)?;
    let valid = hours < 24 && minutes < 60 && seconds <= 60 && parts.next().is_none();
    valid.then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Reads the inside of a `date-time`: `dd-Mon-yyyy hh:mm:ss +zzzz`, the day with a leading blank or
/// zero (RFC 3501 section 9).
pub(crate) fn parse(text: &str) -> Option<InternalDate> {
    if text.len() != 26 || !text.is_ascii() {
        return None;
    }
    let (date, rest) = text.split_at_checked(11)?;
    let (time, offset) = rest.strip_prefix(' ')?.split_once(' ')?;
    let mut parts = date.split('-');
    let day = parts.next()?;
    let day = day.strip_prefix(' ').unwrap_or(day);
    let (name, year) = (parts.next()?, parts.next()?);
    let offset = zone(offset)?;
    let local = date_days(year, name, day)? * 86_400 + seconds(time)?;
    Some(InternalDate::new(local - i64::from(offset) * 60, offset))
}

/// Writes a `date-time` without its quotes.
pub(crate) fn format(date: InternalDate) -> String {
    let local = date.unix + i64::from(date.offset_minutes) * 60;
    let (year, month, day) = civil(local.div_euclid(86_400));
    let time = local.rem_euclid(86_400);
    let name = usize::try_from(month - 1)
        .ok()
        .and_then(|at| MONTHS.get(at))
        .unwrap_or(&"Jan");
    let sign = if date.offset_minutes < 0 { '-' } else { '+' };
    let zone = date.offset_minutes.unsigned_abs();
    format!(
        "{day:02}-{name}-{year:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
        time / 3600,
        time / 60 % 60,
        time % 60,
        zone / 60,
        zone % 60
    )
}

/// Reads the `date` of SEARCH (`1-Feb-1994`) as days from 1970.
pub(crate) fn search_days(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    parts
        .next()
        .is_none()
        .then(|| date_days(year, month, day))?
}

/// The day of a date as it is shown, without regard to its zone (RFC 3501 section 6.4.4).
pub(crate) fn day(date: InternalDate) -> i64 {
    (date.unix + i64::from(date.offset_minutes) * 60).div_euclid(86_400)
}

/// The day a Date header shows, as days from 1970.
pub(crate) fn header_day(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    date_days(year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive() {
        for (text, unix, offset) in [
            ("01-Jan-1970 00:00:00 +0000", 0, 0),
            ("17-Jul-1996 02:44:25 -0700", 837_596_665, -420),
            ("29-Feb-2000 23:59:59 +1345", 951_819_299, 825),
            ("31-Dec-1899 12:00:00 +0000", -2_209_032_000, 0),
        ] {
            let date = parse(text).unwrap();
            assert_eq!(date, InternalDate::new(unix, offset), "{text}");
            assert_eq!(format(date), text);
        }
        assert_eq!(
            parse(" 1-Jan-1970 00:00:00 +0000"),
            Some(InternalDate::utc(0))
        );
    }

    #[test]
    fn bad_dates_are_refused() {
        for text in [
            "1-Jan-1970 00:00:00 +0000",
            "31-Feb-2000 00:00:00 +0000",
            "01-Jan-1970 25:00:00 +0000",
            "01-Jan-1970 00:00:00 GMT  ",
            "01-Foo-1970 00:00:00 +0000",
            "",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn header_dates() {
        assert_eq!(header_day("Wed, 17 Jul 1996 02:44:25 -0700"), Some(9694));
        assert_eq!(header_day("17 Jul 1996 02:44:25 -0700"), Some(9694));
        assert_eq!(search_days("17-Jul-1996"), Some(9694));
        assert_eq!(header_day("yesterday"), None);
    }
}
