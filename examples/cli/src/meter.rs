//! How far a pass is: numbers alone, no drawing.

use std::{collections::BTreeMap, time::Duration};

use mailmove_core::{Event, model::FolderPath};

use crate::output::{bytes, number};

/// Adds up what events tell.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) all: Amount,
    /// Folders that are being worked on.
    pub(crate) folders: BTreeMap<FolderPath, Amount>,
    started: Option<Duration>,
}

/// Messages and bytes, done and in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) done: u64,
    pub(crate) of: u64,
    pub(crate) done_bytes: u64,
    pub(crate) of_bytes: Option<u64>,
}

impl Amount {
    fn add(&mut self, messages: u64, bytes: u64) {
        self.done += messages;
        self.done_bytes += bytes;
        // Servers count while mail arrives: what is done was there.
        self.of = self.of.max(self.done);
    }

    /// `12,345 of 40,000 messages, 1.2 GB`.
    pub(crate) fn text(&self) -> String {
        format!(
            "{} of {} messages, {}",
            number(self.done),
            number(self.of),
            bytes(self.done_bytes)
        )
    }
}

impl Meter {
    /// Takes an event in; `now` is the time since the program started.
    pub(crate) fn take(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Mapped {
                messages, bytes, ..
            } => {
                self.all.of = *messages;
                self.all.of_bytes = *bytes;
                self.started = Some(now);
            }
            Event::FolderStarted {
                folder,
                messages,
                bytes,
            } => {
                let amount = Amount {
                    of: messages.unwrap_or(0),
                    of_bytes: *bytes,
                    ..Amount::default()
                };
                self.folders.insert(folder.clone(), amount);
            }
            Event::Progress {
                folder,
                messages,
                bytes,
                ..
            } => {
                self.all.add(*messages, *bytes);
                if let Some(amount) = self.folders.get_mut(folder) {
                    amount.add(*messages, *bytes);
                }
            }
            Event::FolderFinished { folder, .. } => {
                self.folders.remove(folder);
            }
            _ => {}
        }
    }

    /// `310 messages/s, 4.1 MB/s, 2 min left`; empty until it says something.
    pub(crate) fn pace(&self, now: Duration) -> String {
        let elapsed = self.started.map_or(0, |at| millis(now.saturating_sub(at)));
        if elapsed < 1000 || self.all.done == 0 {
            return String::new();
        }
        let per_second = |n: u64| (u128::from(n) * 1000 / u128::from(elapsed)) as u64;
        let mut out = format!(
            "{} messages/s, {}/s",
            number(per_second(self.all.done)),
            bytes(per_second(self.all.done_bytes))
        );
        if let Some(left) = self.left(elapsed) {
            out.push_str(&format!(", {} left", duration(left)));
        }
        out
    }

    /// What is left, from the bytes where they are known: sizes differ more than counts.
    fn left(&self, elapsed: u64) -> Option<Duration> {
        let all = &self.all;
        let (done, of) = match all.of_bytes {
            Some(of) if of >= all.done_bytes && all.done_bytes > 0 => (all.done_bytes, of),
            _ => (all.done, all.of),
        };
        // In the first seconds, connecting weighs more than copying.
        if elapsed < 3000 || done == 0 {
            return None;
        }
        let left = u128::from(elapsed) * u128::from(of - done.min(of)) / u128::from(done);
        Some(Duration::from_millis(
            u64::try_from(left).unwrap_or(u64::MAX),
        ))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `45 s`, `12 min`, `3 h 5 min`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", number(seconds / 3600), seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use mailmove_core::checkpoint::ItemState;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn progress(messages: u64, bytes: u64) -> Event {
        Event::Progress {
            folder: FolderPath::inbox(),
            state: ItemState::Copied,
            messages,
            bytes,
        }
    }

    fn started(bytes: Option<u64>) -> Meter {
        let mut meter = Meter::default();
        meter.take(
            &Event::Mapped {
                folders: 1,
                messages: 100,
                bytes,
            },
            at(10),
        );
        let folder = FolderPath::inbox();
        meter.take(
            &Event::FolderStarted {
                folder,
                messages: Some(100),
                bytes,
            },
            at(10),
        );
        meter
    }

    #[test]
    fn adds_up_per_folder_and_in_all() {
        let mut meter = started(None);
        meter.take(&progress(10, 5000), at(11));
        meter.take(&progress(5, 500), at(12));
        assert_eq!(meter.all.text(), "15 of 100 messages, 5.5 kB");
        assert_eq!(meter.folders[&FolderPath::inbox()], meter.all);
        meter.take(&progress(90, 0), at(13));
        assert_eq!(meter.all.of, 105, "mail that arrived meanwhile counts");
        meter.take(
            &Event::FolderFinished {
                folder: FolderPath::inbox(),
                complete: true,
            },
            at(14),
        );
        assert!(meter.folders.is_empty());
    }

    #[test]
    fn pace_comes_from_bytes_where_known() {
        let mut by_count = started(None);
        let mut by_bytes = started(Some(10_000));
        for meter in [&mut by_count, &mut by_bytes] {
            assert_eq!(meter.pace(at(20)), "");
            meter.take(&progress(50, 1000), at(12));
        }
        assert_eq!(by_count.pace(at(20)), "5 messages/s, 100 B/s, 10 s left");
        assert_eq!(by_bytes.pace(at(20)), "5 messages/s, 100 B/s, 2 min left");
        assert_eq!(by_bytes.pace(at(10)), "");
    }

    #[test]
    fn durations() {
        assert_eq!(duration(at(59)), "59 s");
        assert_eq!(duration(at(61)), "2 min");
        assert_eq!(duration(at(3600 * 30 + 60)), "30 h 1 min");
    }
}
