//! Which lanes work at once.
//!
//! A lane has a turn while it reads. Where several may, the next one begins to read when all of a lane is
//! read, and not when all of it is stored: over a long way each folder would cost a wait more. What lanes
//! without a turn hold is bounded: as many as may read, with at most two batches each, or as many as are under way
//! at once where the order is relaxed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of a pass.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    reading: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Turns {
    /// So many lanes read at once.
    pub(super) fn new(most: usize) -> Self {
        let working = match most {
            // One folder after the other.
            0 | 1 => 1,
            _ => most.saturating_mul(2).min(Semaphore::MAX_PERMITS),
        };
        Self {
            reading: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            working: Arc::new(Semaphore::new(working)),
        }
    }

    /// Waits for a turn. Cancel safe.
    pub(super) async fn next(&self) -> Turn {
        let working = Arc::clone(&self.working).acquire_owned().await.ok();
        let mut turn = Turn {
            reading: Arc::clone(&self.reading),
            permit: None,
            _working: working,
        };
        turn.take().await;
        turn
    }
}

/// A lane's turn.
#[derive(Debug)]
pub(super) struct Turn {
    reading: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    _working: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Waits until it may read, if it may not. Cancel safe.
    pub(super) async fn take(&mut self) {
        if self.permit.is_none() {
            // The semaphore is never closed.
            self.permit = Arc::clone(&self.reading).acquire_owned().await.ok();
        }
    }

    /// It reads no more; the next lane may.
    pub(super) fn release(&mut self) {
        self.permit = None;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_has_read_all_lets_the_next_one_begin() {
        let turns = Turns::new(2);
        let (mut first, mut second) = (turns.next().await, turns.next().await);
        assert!(turns.next().now_or_never().is_none());
        first.release();
        let mut third = turns.next().await;
        assert!(first.take().now_or_never().is_none());
        second.release();
        first.take().await;
        third.release();
        let fourth = turns.next().await;
        // Four hold something: no more, whether they read or not.
        first.release();
        second.release();
        assert!(turns.next().now_or_never().is_none());
        drop(fourth);
        turns.next().await;
    }

    #[tokio::test]
    async fn one_folder_at_a_time_is_one() {
        let turns = Turns::new(1);
        let mut first = turns.next().await;
        first.release();
        assert!(turns.next().now_or_never().is_none());
        drop(first);
        turns.next().await;
    }
}
