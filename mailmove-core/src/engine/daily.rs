//! Bytes a day: a run goes on when the next day begins, or ends until then.

use std::time::Duration;

use super::Engine;
use crate::{
    checkpoint::{Ledger, Record},
    edge::DailyBudget,
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::Capabilities,
    observe::{Direction, Event},
    options::Options,
};

/// What both sides let through in a day.
#[derive(Debug)]
pub(super) struct Daily {
    down: DailyBudget,
    up: DailyBudget,
    waits: bool,
}

const KEYS: [(&str, Direction); 2] = [("daily/down", Direction::Down), ("daily/up", Direction::Up)];

impl Daily {
    /// As the options say, else as the adapters know; with what earlier runs used.
    pub(super) async fn open(
        options: &Options,
        from: &Capabilities,
        to: &Capabilities,
        ledger: &dyn Ledger,
    ) -> Result<Self> {
        let limit = |wanted: Option<u64>, known| match wanted {
            Some(0) => None,
            Some(bytes) => Some(bytes),
            None => known,
        };
        let daily = Self {
            down: DailyBudget::new(limit(options.daily_down, from.daily_down)),
            up: DailyBudget::new(limit(options.daily_up, to.daily_up)),
            waits: options.waits_for_next_day,
        };
        for (key, direction) in KEYS {
            if let Some(used) = ledger.meta(key).await? {
                daily.of(direction).recall(&used);
            }
        }
        Ok(daily)
    }

    fn of(&self, direction: Direction) -> &DailyBudget {
        match direction {
            Direction::Down => &self.down,
            Direction::Up => &self.up,
        }
    }

    /// What comes down is limited.
    pub(super) fn limits_down(&self) -> bool {
        self.down.limit().is_some()
    }

    /// What goes up is limited.
    pub(super) fn limits_up(&self) -> bool {
        self.up.limit().is_some()
    }

    /// What was used, so that the next run knows.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        KEYS.into_iter().filter_map(|(key, direction)| {
            let used = self.of(direction).remember()?;
            Some(Record::Meta(key.to_owned(), used))
        })
    }

    /// True if that many more bytes may come down today. Never waits.
    pub(super) fn has_room(&self, now: Duration, bytes: u64) -> bool {
        self.down.take(now, bytes).is_ok()
    }
}

impl Engine {
    /// Before each request that moves messages. Takes bytes of the day, or waits for the next one; ends the pass if it shall not wait.
    pub(super) async fn spend(&self, direction: Direction, bytes: u64) -> Result<()> {
        self.ready(direction).await?;
        loop {
            let now = self.edges.clock.now();
            let Err(until) = self.daily.of(direction).take(now, bytes) else {
                return Ok(());
            };
            // Before the wait, which may be the last that this process does.
            self.ledger.commit(self.daily.records().collect()).await?;
            let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            if !self.daily.waits {
                return Err(used_up(direction, until_ms));
            }
            self.emit(Event::DailyLimit {
                direction,
                bytes: self.daily.of(direction).limit().unwrap_or(0),
                until_ms,
            });
            self.pause(until.saturating_sub(now)).await?;
        }
    }
}

/// Codes of errors that say so.
const USED_UP: [&str; 2] = ["budget/daily-down", "budget/daily-up"];

/// True for the error that ends a pass until the next day.
pub(super) fn is_used_up(error: &Error) -> bool {
    USED_UP.contains(&error.code())
}

fn used_up(direction: Direction, until_ms: u64) -> Error {
    let [down, up] = USED_UP;
    let (message, code) = match direction {
        Direction::Down => ("the source's bytes of the day are used up", down),
        Direction::Up => ("the destination's bytes of the day are used up", up),
    };
    let until = i64::try_from(until_ms / 1000).unwrap_or(i64::MAX);
    Error::new(ErrorKind::Throttled, message)
        .with_scope(Scope::Account)
        .with_retry(Retry::Never)
        .with_code(code)
        .with_context("until", crate::model::Timestamp::new(until, 0).to_string())
        .with_remedy("Run the same command again after that time; it goes on where it ended.")
}
