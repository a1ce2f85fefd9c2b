//! What a message's header says that Exchange is told beside the message: when it was sent, and how
//! important it is.

use mailmove_core::model::Timestamp;

/// Years that Exchange has dates of. Outlook takes 4501 for "none".
const YEARS: std::ops::Range<i64> = 1601..4501;

/// How important an item is, if that is not the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Importance {
    /// Less.
    Low,
    /// More.
    High,
}

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Said {
    /// How important it is.
    pub importance: Option<Importance>,
    /// When it was sent.
    pub sent: Option<Timestamp>,
}

impl Said {
    /// Reads the header of a message.
    #[must_use]
    pub fn read(header: &[u8]) -> Self {
        let header = Header::read(header);
        Self {
            importance: header.importance(),
            sent: header.sent,
        }
    }
}

#[derive(Debug, Default)]
struct Header {
    sent: Option<Timestamp>,
    /// As the fields say that stand for it, the one that counts most first.
    importance: [Option<Level>; 3],
}

/// Normal is what an item has anyway.
type Level = Option<Importance>;

impl Header {
    /// Looks at the fields up to the first empty line; of several of a name the first one counts.
    fn read(header: &[u8]) -> Self {
        let mut out = Self::default();
        let mut lines = header
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii_end);
        let mut line = lines.next();
        while let Some(first) = line.filter(|line| !line.is_empty()) {
            let mut value = None;
            let colon = memchr::memchr(b':', first);
            if let Some((name, rest)) = colon.and_then(|at| first.split_at_checked(at)) {
                let name = name.trim_ascii_end();
                let known = NAMES.iter().find(|known| name.eq_ignore_ascii_case(known));
                value = known.map(|known| (*known, rest.get(1..).unwrap_or_default().to_vec()));
            }
            line = lines.next();
            while let Some(more) = line.filter(|line| matches!(line.first(), Some(b' ' | b'\t'))) {
                if let Some((_, value)) = value.as_mut().filter(|(_, value)| value.len() < 1000) {
                    value.extend_from_slice(more);
                }
                line = lines.next();
            }
            if let Some((name, value)) = value {
                out.note(name, &String::from_utf8_lossy(&value));
            }
        }
        out
    }

    fn note(&mut self, name: &[u8], value: &str) {
        let value = value.trim();
        match name {
            b"Date" => {
                self.sent = self
                    .sent
                    .or_else(|| parse_date(value).filter(|at| YEARS.contains(&at.civil().0)));
            }
            b"Importance" => self.level(0, word(value)),
            b"X-Priority" => self.level(1, digit(value)),
            _ => self.level(2, word(value)),
        }
    }

    fn level(&mut self, rank: usize, level: Option<Level>) {
        if let Some(place) = self.importance.get_mut(rank) {
            *place = place.or(level);
        }
    }

    fn importance(&self) -> Level {
        self.importance.iter().flatten().next().copied().flatten()
    }
}

const NAMES: [&[u8]; 4] = [b"Date", b"Importance", b"X-Priority", b"X-MSMail-Priority"];

fn word(value: &str) -> Option<Level> {
    match value.to_ascii_lowercase().as_str() {
        "high" => Some(Some(Importance::High)),
        "low" => Some(Some(Importance::Low)),
        "normal" | "medium" => Some(None),
        _ => None,
    }
}

/// `1 (Highest)` to `5 (Lowest)`.
fn digit(value: &str) -> Option<Level> {
    match value.split(|c: char| !c.is_ascii_digit()).next()? {
        "1" | "2" => Some(Some(Importance::High)),
        "3" => Some(None),
        "4" | "5" => Some(Some(Importance::Low)),
        _ => None,
    }
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Reads a date as mail and HTTP write it (RFC 5322, with the old forms of years and zones; RFC 9110):
/// `Tue, 1 Jul 2003 10:52:37 +0200`.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let text = without_comments(text);
    let text = text
        .rsplit_once(',')
        .map_or(text.as_str(), |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace().peekable();
    // Some leave the comma out.
    words.next_if(|word| word.bytes().all(|b| b.is_ascii_alphabetic()));
    let day = u8::try_from(number(words.next()?, 1..3)?).ok()?;
    let name = words.next()?.get(..3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| *month == name)?;
    let month = u8::try_from(month + 1).ok()?;
    let year = words.next()?;
    let year = match (number(year, 2..5)?, year.len()) {
        (year, 4) => year,
        // RFC 5322 §4.3.
        (year, 2) if year < 50 => year + 2000,
        (year, _) => year + 1900,
    };
    let mut clock = words.next()?.splitn(3, ':');
    let hour = number(clock.next()?, 1..3).filter(|hour| *hour < 24)?;
    let minute = number(clock.next()?, 2..3).filter(|minute| *minute < 60)?;
    let second = clock.next().unwrap_or("0");
    let second = number(second, 1..3).filter(|second| *second < 61)?;
    let offset = zone(words.next().unwrap_or("-0000"))?;
    let midnight = Timestamp::from_date(year, month, day)?.seconds();
    let local = midnight + hour * 3600 + minute * 60 + second;
    Some(Timestamp::new(local - i64::from(offset) * 60, offset))
}

fn number(text: &str, lengths: std::ops::Range<usize>) -> Option<i64> {
    let fits = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Minutes east of UTC. What is no zone that is known is UTC (RFC 5322 §4.3).
fn zone(text: &str) -> Option<i16> {
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => {
            let hours = match text.to_ascii_uppercase().as_str() {
                "EDT" => -4,
                "EST" | "CDT" => -5,
                "CST" | "MDT" => -6,
                "MST" | "PDT" => -7,
                "PST" => -8,
                _ => 0,
            };
            return Some(hours * 60);
        }
    };
    let digits = number(text.get(1..)?, 4..5)?;
    let (hours, minutes) = (digits / 100, digits % 100);
    let minutes = (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))?;
    i16::try_from(minutes).ok()
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_usize;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_mail_and_http_are_read() {
        for (text, expected) in [
            (
                "Tue, 1 Jul 2003 10:52:37 +0200",
                "2003-07-01T10:52:37+02:00",
            ),
            (
                "1 Jul 03 10:52 EST (summer, or not)",
                "2003-07-01T10:52:00-05:00",
            ),
            ("Tue 01 July 1997 1:02:03 GMT", "1997-07-01T01:02:03+00:00"),
            ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37+00:00"),
            (
                "Thu,  3 Feb 100 04:05:06 -0330",
                "2000-02-03T04:05:06-03:30",
            ),
        ] {
            assert_eq!(parse_date(text).unwrap().to_string(), expected, "{text}");
        }
        for bad in [
            "",
            "never",
            "31 Feb 2003 10:00:00 +0000",
            "1 Jul 2003 25:00:00 +0000",
            "1 Jul 2003 10:00:00 +2460",
            "2003-07-01T10:52:37Z",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_header_says_when_and_how_important() {
        let date = "Date: Tue, 1 Jul 2003\r\n 10:52:37 +0200\r\n";
        let (high, low) = (Some(Importance::High), Some(Importance::Low));
        for (header, importance, is_sent) in [
            (date.to_owned(), None, true),
            (format!("{date}X-Priority: 1 (Highest)\r\n"), high, true),
            ("importance: Low\nX-Priority: 1\n".to_owned(), low, false),
            // The one that counts most says that there is nothing to say.
            (
                "X-MSMail-Priority: High\nImportance: normal\n".to_owned(),
                None,
                false,
            ),
            (
                "Importance: odd\nX-MSMail-Priority: High\n".to_owned(),
                high,
                false,
            ),
            (
                "Subject: x\r\n\r\nImportance: high\r\n".to_owned(),
                None,
                false,
            ),
            (
                "Date: Tue, 1 Jul 1600 10:52:37 +0000\r\n".to_owned(),
                None,
                false,
            ),
            (format!("Date: never\r\n{date}"), None, true),
        ] {
            let said = Said::read(header.as_bytes());
            assert_eq!(said.importance, importance, "{header}");
            let sent = said.sent.map(|at| at.to_string());
            let expected = is_sent.then(|| "2003-07-01T10:52:37+02:00".to_owned());
            assert_eq!(sent, expected, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_survived(header: Vec<u8>, date: String) {
            let _ = Said::read(&header);
            let _ = parse_date(&date);
        }
    }
}
