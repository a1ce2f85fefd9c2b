//! When a message was received.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in time with the zone it was written in, to the second (IMAP's INTERNALDATE).
/// Equality and order are those of the *moment*: two zones may name the same one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Timestamp {
    seconds: i64,
    offset_minutes: i16,
}

impl Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z, and minutes east of UTC (limited to ±24 hours).
    #[must_use]
    pub fn new(seconds: i64, offset_minutes: i16) -> Self {
        Self {
            seconds,
            offset_minutes: offset_minutes.clamp(-1439, 1439),
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Minutes east of UTC.
    #[must_use]
    pub fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }

    /// Year, month (1–12), day (1–31), hour, minute, second in the timestamp's own zone.
    #[must_use]
    pub fn civil(self) -> (i64, u8, u8, u8, u8, u8) {
        let local = self
            .seconds
            .saturating_add(i64::from(self.offset_minutes) * 60);
        let (days, rest) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let part = |n: i64| u8::try_from(n).unwrap_or(0);
        (
            year,
            month,
            day,
            part(rest / 3600),
            part(rest / 60 % 60),
            part(rest % 60),
        )
    }

    /// The moment of a calendar date at midnight UTC; `None` if there is no such date.
    #[must_use]
    pub fn from_date(year: i64, month: u8, day: u8) -> Option<Self> {
        if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        (civil_from_days(days) == (year, month, day)).then(|| Self::new(days * 86_400, 0))
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.seconds == other.seconds
    }
}
impl Eq for Timestamp {}
impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.seconds.cmp(&other.seconds)
    }
}
impl std::hash::Hash for Timestamp {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.seconds.hash(state);
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        let (sign, offset) = if self.offset_minutes < 0 {
            ('-', -self.offset_minutes)
        } else {
            ('+', self.offset_minutes)
        };
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{:02}:{:02}",
            offset / 60,
            offset % 60
        )
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar: years are counted from
/// March so that the leap day ends one, and 400 of them (146,097 days) repeat.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (
        year,
        u8::try_from(month).unwrap_or(1),
        u8::try_from(day).unwrap_or(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rfc_3339_in_its_own_zone() {
        assert_eq!(
            Timestamp::new(0, 0).to_string(),
            "1970-01-01T00:00:00+00:00"
        );
        assert_eq!(
            Timestamp::new(951_782_400, -90).to_string(),
            "2000-02-28T22:30:00-01:30"
        );
        assert_eq!(
            Timestamp::new(-1, 0).to_string(),
            "1969-12-31T23:59:59+00:00"
        );
    }

    #[test]
    fn the_same_moment_in_two_zones_is_equal() {
        assert_eq!(Timestamp::new(5, 60), Timestamp::new(5, -60));
    }

    #[test]
    fn refuses_dates_that_do_not_exist() {
        assert_eq!(Timestamp::from_date(2023, 2, 29), None);
        assert_eq!(
            Timestamp::from_date(2024, 2, 29).map(Timestamp::seconds),
            Some(1_709_164_800)
        );
    }

    proptest::proptest! {
        #[test]
        fn days_and_dates_are_inverse(days in -700_000_i64..2_900_000) {
            let (year, month, day) = civil_from_days(days);
            proptest::prop_assert_eq!(days_from_civil(year, month, day), days);
        }

        #[test]
        fn any_number_is_a_moment(seconds: i64, offset: i16) {
            let _ = Timestamp::new(seconds, offset).to_string();
        }
    }
}
