//! Dates as XML Schema writes them.

/// Seconds since 1970 of `2001-02-03T04:05:06Z`, with or without fraction, `Z` or offset (UTC without).
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, time) = text.split_once('T')?;
    let (negative, date) = match date.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, date),
    };
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() < 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let year: i64 = year.parse().ok()?;
    let year = if negative { -year } else { year };
    let (month, day): (i64, i64) = (month.parse().ok()?, day.parse().ok()?);
    let (clock, offset) = split_zone(time)?;
    let clock = clock.split('.').next()?;
    let mut parts = clock.split(':');
    let (hour, minute, second): (i64, i64, i64) = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    );
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..61).contains(&second);
    (fits && parts.next().is_none())
        .then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// The time of day, and the zone's seconds east of UTC.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else {
        return Some((time, 0));
    };
    let (clock, zone) = time.split_at(at);
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    Some((clock, sign * seconds))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
#[must_use]
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of days since 1970-01-01.
#[must_use]
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// In UTC, with so many digits after the second.
#[must_use]
pub fn format(unix: i64, digits: usize) -> String {
    let (year, month, day) = civil(unix.div_euclid(86_400));
    let second = unix.rem_euclid(86_400);
    let fraction = match digits {
        0 => String::new(),
        _ => format!(".{}", "0".repeat(digits)),
    };
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Seconds since 1970 of a mail's `Date`.
#[must_use]
pub fn parse_mail(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?.get(..3)?.to_ascii_lowercase();
    let month = i64::try_from(MONTHS.iter().position(|m| *m == name)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':');
    let hour: i64 = clock.next()?.parse().ok()?;
    let minute: i64 = clock.next()?.parse().ok()?;
    let second: i64 = clock.next().unwrap_or("0").parse().ok()?;
    let zone = words.next().unwrap_or("+0000");
    let offset = match zone.get(1..).and_then(|d| d.parse::<i64>().ok()) {
        Some(digits) if zone.starts_with('-') => -(digits / 100 * 3600 + digits % 100 * 60),
        Some(digits) => digits / 100 * 3600 + digits % 100 * 60,
        None => 0,
    };
    let fits = (1..=31).contains(&day) && (0..24).contains(&hour) && (1600..10_000).contains(&year);
    fits.then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// As a mail's `Date` in UTC.
#[must_use]
pub fn format_mail(unix: i64) -> String {
    let days = unix.div_euclid(86_400);
    let (year, month, day) = civil(days);
    let second = unix.rem_euclid(86_400);
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let weekday = names.get(usize::try_from(days.rem_euclid(7)).unwrap_or(0));
    let name = MONTHS
        .get(usize::try_from(month - 1).unwrap_or(0))
        .map(|m| m.get(..1).unwrap_or_default().to_uppercase() + m.get(1..).unwrap_or_default());
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} +0000",
        weekday.unwrap_or(&"Thu"),
        name.unwrap_or_default(),
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_there_and_back() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2001-02-03T04:05:06Z", 981_173_106),
            ("1969-12-31T23:59:59Z", -1),
            ("2024-02-29T12:00:00Z", 1_709_208_000),
        ] {
            assert_eq!(parse(text), Some(unix), "{text}");
            assert_eq!(format(unix, 0), text);
            assert_eq!(parse_mail(&format_mail(unix)), Some(unix));
        }
        assert_eq!(parse("2001-02-03T05:05:06.5+01:00"), Some(981_173_106));
        assert_eq!(parse_mail("3 Feb 2001 05:05:06 +0100"), Some(981_173_106));
        assert_eq!(format(0, 9), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(format_mail(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        for bad in ["", "2001-02-03", "2001-13-03T00:00:00Z", "x"] {
            assert_eq!(parse(bad), None);
        }
    }
}
