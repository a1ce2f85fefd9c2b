//! IDLE (RFC 2177).

use crate::Capability;
use crate::io::Line;
use crate::parser::Parser;
use crate::reply::{Outcome, Stop};
use crate::session::Session;

impl Session {
    pub(crate) async fn idle(&mut self, p: &Parser<'_>) -> Outcome {
        p.end()?;
        if !self.has(Capability::Idle) {
            return Err(Stop::bad("unknown command"));
        }
        let mut changes = self.account()?.watch();
        self.shared.counting.lock().continuations += 1;
        self.io.line("+ idling");
        self.io.settle().await?;
        loop {
            changes.mark_unchanged();
            self.sync(true).await?;
            self.io.flush().await?;
            let line = tokio::select! {
                line = self.io.read_line(self.shared.config.max_line) => line?,
                _ = changes.changed() => continue,
            };
            return match line {
                Line::Text(text) if text.eq_ignore_ascii_case(b"DONE") => Ok(String::new()),
                Line::Text(_) => Err(Stop::bad("expected DONE")),
                Line::TooLong => Err(Stop::Bye("line too long".to_owned())),
                Line::End => Err(Stop::Gone),
                Line::Stop => Err(Stop::Bye("server shutting down".to_owned())),
            };
        }
    }
}
