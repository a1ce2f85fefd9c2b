//! INTERNALDATE (`date-time` of RFC 3501 §9): read generously, written strictly.

use std::fmt;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 1 January of year 1 to 1 January 1970.
const EPOCH_DAYS: i64 = 719_162;
/// Largest zone that `+zzzz` is read or written for, in minutes: one minute short of a day.
const MAX_OFFSET: i16 = 23 * 60 + 59;

/// An instant with the zone it was written in, within the years 1 to 9999 of that zone.
///
/// Equality is of both: the same instant in another zone is another value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InternalDate {
    seconds: i64,
    offset: i16,
}

/// A date outside of what IMAP can write: the years 1 to 9999, zones below 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the date cannot be written in IMAP")]
#[non_exhaustive]
pub struct DateError;

impl InternalDate {
    /// From Unix seconds and the zone's offset east of UTC in minutes.
    ///
    /// # Errors
    /// If the local date lies outside the years 1 to 9999, or the zone is a day or more off.
    pub fn new(unix_seconds: i64, offset_minutes: i16) -> Result<Self, DateError> {
        let date = Self {
            seconds: unix_seconds,
            offset: offset_minutes,
        };
        let in_zone = (-MAX_OFFSET..=MAX_OFFSET).contains(&offset_minutes);
        let local = unix_seconds
            .checked_add(i64::from(offset_minutes) * 60)
            .ok_or(DateError)?;
        let days = local.div_euclid(SECONDS_PER_DAY) + EPOCH_DAYS;
        if in_zone && (0..days_before_year(10_000)).contains(&days) {
            Ok(date)
        } else {
            Err(DateError)
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// Minutes east of UTC.
    #[must_use]
    pub const fn offset_minutes(self) -> i16 {
        self.offset
    }

    /// Reads `17-Jul-1996 02:44:25 -0700` without its quotes.
    ///
    /// Tolerates what servers send: a day of one digit with or without a blank, doubled blanks, months in any case or
    /// in full, no zone or `GMT`/`UT`/`UTC`/`Z` (read as UTC), a leap second, no seconds.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text
            .split(|byte| *byte == b' ')
            .filter(|word| !word.is_empty());
        let (date, time, zone) = (words.next()?, words.next()?, words.next());
        if words.next().is_some() {
            return None;
        }
        let days = read_date(date)?;
        let seconds = read_time(time)?;
        let offset = zone.map_or(Some(0), read_zone)?;
        let local = (days - EPOCH_DAYS) * SECONDS_PER_DAY + seconds;
        Self::new(local - i64::from(offset) * 60, offset).ok()
    }

    fn civil(self) -> (Civil, i64) {
        let local = self.seconds + i64::from(self.offset) * 60;
        (
            civil_from_days(local.div_euclid(SECONDS_PER_DAY) + EPOCH_DAYS),
            local.rem_euclid(SECONDS_PER_DAY),
        )
    }
}

/// Writes the canonical form with two-digit day, without quotes.
impl fmt::Display for InternalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Civil { year, month, day }, seconds) = self.civil();
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let sign = if self.offset < 0 { '-' } else { '+' };
        let zone = self.offset.unsigned_abs();
        let month = MONTHS.get(month).copied().unwrap_or_default();
        let (zone_hour, zone_minute) = (zone / 60, zone % 60);
        write!(
            f,
            "{day:02}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} "
        )?;
        write!(f, "{sign}{zone_hour:02}{zone_minute:02}")
    }
}

impl fmt::Debug for InternalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A calendar day as SEARCH takes it: `17-Jul-1996`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SearchDate(InternalDate);

impl SearchDate {
    /// The UTC day that holds this instant.
    ///
    /// # Errors
    /// If it lies outside the years 1 to 9999.
    pub fn from_unix(seconds: i64) -> Result<Self, DateError> {
        InternalDate::new(seconds, 0).map(Self)
    }
}

impl fmt::Display for SearchDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Civil { year, month, day }, _) = self.0.civil();
        write!(
            f,
            "{day}-{}-{year:04}",
            MONTHS.get(month).copied().unwrap_or_default()
        )
    }
}

/// Month counts from 0, day from 1.
struct Civil {
    year: i64,
    month: usize,
    day: i64,
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1 January of year 1 to 1 January of `year`.
const fn days_before_year(year: i64) -> i64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

fn month_length(year: i64, month: usize) -> i64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

fn civil_from_days(days: i64) -> Civil {
    // 366 gives a year that is never too late; over 9999 years it falls short by at most 7.
    let mut year = (days / 366 + 1).max(1);
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let mut day = days - days_before_year(year);
    let mut month = 0;
    while month < 11 && day >= month_length(year, month) {
        day -= month_length(year, month);
        month += 1;
    }
    Civil {
        year,
        month,
        day: day + 1,
    }
}

fn digits(text: &[u8], most: usize) -> Option<i64> {
    if text.is_empty() || text.len() > most {
        return None;
    }
    text.iter().try_fold(0i64, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

fn read_date(text: &[u8]) -> Option<i64> {
    let mut parts = text.split(|byte| *byte == b'-');
    let (day, name, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let (day, year) = (digits(day, 2)?, digits(year, 4)?);
    let short = name.get(..3)?;
    if !name.iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let month = MONTHS
        .iter()
        .position(|month| short.eq_ignore_ascii_case(month.as_bytes()))?;
    if year == 0 || day == 0 || day > month_length(year, month) {
        return None;
    }
    let before: i64 = (0..month).map(|month| month_length(year, month)).sum();
    Some(days_before_year(year) + before + day - 1)
}

fn read_time(text: &[u8]) -> Option<i64> {
    let mut parts = text.split(|byte| *byte == b':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |second| digits(second, 2))?;
    let valid = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    valid.then_some(hour * 3600 + minute * 60 + second)
}

fn read_zone(text: &[u8]) -> Option<i16> {
    let (sign, number) = match text {
        [b'+', number @ ..] => (1, number),
        [b'-', number @ ..] => (-1, number),
        _ => {
            let utc = [&b"GMT"[..], b"UT", b"UTC", b"Z"];
            return utc
                .iter()
                .any(|name| text.eq_ignore_ascii_case(name))
                .then_some(0);
        }
    };
    if number.len() != 4 {
        return None;
    }
    let number = digits(number, 4)?;
    let (hours, minutes) = (number / 100, number % 100);
    let valid = hours < 24 && minutes < 60;
    valid.then(|| {
        i16::try_from(hours * 60 + minutes)
            .ok()
            .map(|offset| sign * offset)
    })?
}
