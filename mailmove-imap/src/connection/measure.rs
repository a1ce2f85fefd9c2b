//! Bounds on what a server may do between two answers: say any amount, or take any time.
//!
//! Lines and responses have limits of their own, and silence has. But a server that sends small things
//! without end would fill the memory of whoever gathers them, and one that sends a byte now and then
//! is never silent.

use std::time::Duration;

use mailmove_core::error::{Error, ErrorKind, Result};

use crate::error;

/// Bytes of responses, contents not counted, that one command may be answered by. A listing is asked
/// for in pieces of a few MiB; all flags of two million messages, changed at once, would fit.
const SAID_MOST: usize = 128 << 20;

/// Slower than this in bytes a second is not getting on.
const SLOWEST: u64 = 1 << 10;

/// How many times the patience with silence one command may take beyond that pace.
const SLOW_TIMES: u32 = 10;

/// What happened since the last answer to a command.
#[derive(Debug, Default)]
pub(super) struct Measure {
    said: usize,
    /// Time that was waited, less what the bytes that came and went meanwhile may take.
    lag: Duration,
}

impl Measure {
    /// A command was answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// So many bytes of a response came.
    ///
    /// # Errors
    /// If they are too many without an answer.
    pub(super) fn said(&mut self, bytes: usize) -> Result<()> {
        self.said = self.said.saturating_add(bytes);
        if self.said <= SAID_MOST {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Protocol,
            "the server says more and more, and answers nothing",
        )
        .with_code("imap/flood"))
    }

    /// Waited for so long, and moved so many bytes in either direction.
    ///
    /// # Errors
    /// If that has been too little for too long.
    pub(super) fn waited(
        &mut self,
        time: Duration,
        bytes: usize,
        patience: Duration,
    ) -> Result<()> {
        let fair = Duration::from_millis((bytes as u64).saturating_mul(1000) / SLOWEST);
        self.lag = self.lag.saturating_add(time).saturating_sub(fair);
        let most = patience.saturating_mul(SLOW_TIMES);
        if self.lag <= most {
            return Ok(());
        }
        Err(error::silent(most).with_code("imap/too-slow"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn what_gets_on_may_take_any_time_and_what_does_not_may_not() {
        let mut measure = Measure::default();
        for _ in 0..100_000 {
            let step = measure.waited(Duration::from_secs(50), 64 << 10, PATIENCE);
            assert!(step.is_ok());
        }
        let mut steps = (0..1000).map(|_| measure.waited(Duration::from_secs(50), 20, PATIENCE));
        let end = steps.position(|step| step.is_err_and(|e| e.code() == "imap/too-slow"));
        assert_eq!(end, Some(12));
        measure.answered();
        assert!(measure.waited(PATIENCE, 0, PATIENCE).is_ok());
    }

    #[test]
    fn an_answer_ends_the_count_of_what_was_said() {
        let mut measure = Measure::default();
        assert!(measure.said(SAID_MOST).is_ok());
        measure.answered();
        assert!(measure.said(SAID_MOST).is_ok());
        let end = measure.said(1).unwrap_err();
        assert_eq!(end.code(), "imap/flood");
    }
}
