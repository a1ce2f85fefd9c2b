//! Mailboxes filled, read and compared by raw sockets.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;

use super::Result;
use super::letters::{Letter, Mailbox};
use super::raw::Connection;
use super::replay;

/// Messages in one APPEND.
const BATCH: usize = 200;
/// Bytes in one APPEND.
const BATCH_BYTES: usize = 8 << 20;

/// Fills a mailbox; returns the bytes.
///
/// # Errors
/// If the server refuses something, or lacks LITERAL+ or MULTIAPPEND.
pub fn fill(connection: &mut Connection, mailbox: Mailbox) -> Result<u64> {
    if !connection.offers("LITERAL+") || !connection.offers("MULTIAPPEND") {
        return Err("only servers with LITERAL+ and MULTIAPPEND are filled".into());
    }
    let mut sum = 0;
    for (name, letters) in mailbox.by_folder() {
        let name = format!("\"{name}\"");
        // It may be there already; if not, the first APPEND fails.
        let _ = connection.command(format!("CREATE {name}").as_bytes());
        let mut out = Vec::new();
        let mut count = 0;
        for letter in letters {
            sum += letter.body.len() as u64;
            add(&mut out, &letter)?;
            count += 1;
            if count == BATCH || out.len() >= BATCH_BYTES {
                append(connection, &name, &mut out)?;
                count = 0;
            }
        }
        append(connection, &name, &mut out)?;
    }
    Ok(sum)
}

fn add(out: &mut Vec<u8>, letter: &Letter) -> Result<()> {
    let Letter {
        body, flags, date, ..
    } = letter;
    write!(out, " ({flags}) {date} {{{}+}}\r\n", body.len())?;
    out.extend_from_slice(body);
    Ok(())
}

fn append(connection: &mut Connection, name: &str, out: &mut Vec<u8>) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let tag = connection.next_tag();
    connection.send(&[tag.as_slice(), b"APPEND ", name.as_bytes(), out, b"\r\n"].concat())?;
    connection.finish(&tag)?;
    out.clear();
    Ok(())
}

/// What is compared of a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    /// Of its bytes. Nobody tries to deceive us here.
    hash: u64,
    size: usize,
    flags: Vec<Vec<u8>>,
    /// Seconds since 1970.
    received: i64,
}

/// All messages of a mailbox, as multisets by folder.
#[derive(Clone, Debug, Default)]
pub struct Content(BTreeMap<Vec<u8>, Vec<Seen>>);

impl Content {
    /// Reads a mailbox.
    ///
    /// # Errors
    /// If the server refuses something.
    pub fn read(connection: &mut Connection) -> Result<Self> {
        let mut all = BTreeMap::new();
        for folder in connection.folders()? {
            let mut messages = Vec::new();
            replay::fetch(connection, &folder.name, replay::ALL, |message| {
                let mut hasher = DefaultHasher::new();
                message.body.hash(&mut hasher);
                let flags = message.flags.split(|byte| *byte == b' ');
                let mut flags: Vec<Vec<u8>> = flags
                    .filter(|flag| !flag.is_empty())
                    .map(<[u8]>::to_vec)
                    .collect();
                flags.sort();
                messages.push(Seen {
                    hash: hasher.finish(),
                    size: message.body.len(),
                    flags,
                    received: seconds(&message.date).ok_or("a date that is none")?,
                });
                Ok(())
            })?;
            if !messages.is_empty() {
                all.insert(bare(&folder.name), messages);
            }
        }
        Ok(Self(all))
    }

    /// How many messages.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let all = self.0.values().flatten();
        all.map(|message| message.size as u64).sum()
    }

    /// What became of these messages at the other end.
    #[must_use]
    pub fn compare(&self, arrived: &Self) -> Differences {
        let mut found = Differences::default();
        let none = Vec::new();
        let names: std::collections::BTreeSet<&Vec<u8>> =
            self.0.keys().chain(arrived.0.keys()).collect();
        for name in names {
            let left = self.0.get(name).unwrap_or(&none);
            let there = arrived.0.get(name).unwrap_or(&none);
            found.missing += left.len().saturating_sub(there.len());
            found.extra += there.len().saturating_sub(left.len());
            let both = left.len().min(there.len());
            let changed = |key: fn(&Seen) -> Seen| both - equal(left, there, key).min(both);
            found.bytes += changed(|seen| Seen {
                flags: Vec::new(),
                received: 0,
                ..seen.clone()
            });
            found.flags += changed(|seen| Seen {
                hash: 0,
                size: 0,
                received: 0,
                flags: seen.flags.clone(),
            });
            found.dates += changed(|seen| Seen {
                hash: 0,
                size: 0,
                flags: Vec::new(),
                received: seen.received,
            });
            found.any += changed(Seen::clone);
        }
        found
    }
}

/// How many of both are equal under this key, each taken once.
fn equal(left: &[Seen], there: &[Seen], key: fn(&Seen) -> Seen) -> usize {
    let mut counts: BTreeMap<Seen, usize> = BTreeMap::new();
    for seen in there {
        *counts.entry(key(seen)).or_default() += 1;
    }
    let take = |seen: &&Seen| match counts.get_mut(&key(seen)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    left.iter().filter(take).count()
}

/// How two mailboxes differ; each number is of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Differences {
    /// Fewer in a folder than there were.
    pub missing: usize,
    /// More in a folder than there were.
    pub extra: usize,
    /// Arrived with other bytes.
    pub bytes: usize,
    /// Arrived with other flags, at least.
    pub flags: usize,
    /// Arrived with another received date, at least.
    pub dates: usize,
    /// Arrived with anything of these changed.
    pub any: usize,
}

/// A name without quotes.
fn bare(name: &[u8]) -> Vec<u8> {
    let inner = name
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    inner.unwrap_or(name).to_vec()
}

/// An INTERNALDATE, with its quotes, in seconds since 1970.
fn seconds(date: &[u8]) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let text = std::str::from_utf8(date).ok()?.trim_matches('"');
    let number = |from: usize, to: usize| text.get(from..to)?.trim().parse::<i64>().ok();
    let month = MONTHS.find(text.get(3..6)?)? as i64 / 3 + 1;
    let (day, year) = (number(0, 2)?, number(7, 11)?);
    let zone = number(22, 24)? * 3600 + number(24, 26)? * 60;
    let zone = if text.get(21..22)? == "-" {
        -zone
    } else {
        zone
    };
    // Days since 1970 of a date in the Gregorian calendar, whose year is taken to begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    Some(days * 86_400 + number(12, 14)? * 3600 + number(15, 17)? * 60 + number(18, 20)? - zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_moments() {
        assert_eq!(seconds(b"\" 1-Jan-1970 01:00:00 +0100\""), Some(0));
        assert_eq!(
            seconds(b"\"17-Jul-2023 02:44:25 -0700\""),
            Some(1_689_587_065)
        );
        assert_eq!(
            seconds(b"\"29-Feb-2024 00:00:00 +0000\""),
            Some(1_709_164_800)
        );
        assert_eq!(seconds(b"\"29-Foo-2024 00:00:00 +0000\""), None);
    }

    fn seen(hash: u64, flags: &str, received: i64) -> Seen {
        Seen {
            hash,
            size: 3,
            flags: vec![flags.as_bytes().to_vec()],
            received,
        }
    }

    #[test]
    fn differences_are_counted_by_kind() {
        let folder = |all: Vec<Seen>| Content(BTreeMap::from([(b"INBOX".to_vec(), all)]));
        let left = folder(vec![seen(1, "a", 1), seen(1, "a", 1), seen(2, "b", 2)]);
        assert_eq!(left.compare(&left), Differences::default());
        let there = folder(vec![seen(1, "a", 1), seen(9, "c", 2)]);
        let found = left.compare(&there);
        let expected = Differences {
            missing: 1,
            bytes: 1,
            flags: 1,
            any: 1,
            ..Differences::default()
        };
        assert_eq!(found, expected);
        assert_eq!(there.compare(&left).extra, 1);
        assert_eq!(folder(Vec::new()).compare(&left).extra, 3);
    }
}
