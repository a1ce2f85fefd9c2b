//! How many requests may be under way at once: found out, since what Microsoft publishes and what servers do
//! differ. One more after many that went well, fewer as soon as the server objects.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// What is tried first.
const FIRST: usize = 3;
/// Requests that have to go well before one more is tried that was never refused.
const FEW: u32 = 20;
/// The same where the server objected before; doubles with each objection.
const MANY: u32 = 500;
const MOST: u32 = 16_000;

/// Leave for requests.
pub(super) struct Lanes {
    state: Mutex<State>,
    /// Those who wait take turns, so that one who needs several lanes gets them.
    turn: tokio::sync::Mutex<()>,
    freed: Notify,
}

struct State {
    limit: usize,
    most: usize,
    busy: usize,
    /// Requests that went well at this limit.
    well: u32,
    /// What was refused last.
    refused_at: Option<usize>,
    probe: u32,
}

/// Leave for one or several requests; given back on drop.
pub(crate) struct Lane {
    lanes: Arc<Lanes>,
    weight: usize,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({})", self.weight)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.lanes.state().busy -= self.weight;
        self.lanes.freed.notify_one();
    }
}

impl Lanes {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                limit: FIRST.min(most),
                most,
                busy: 0,
                well: 0,
                refused_at: None,
                probe: MANY,
            }),
            turn: tokio::sync::Mutex::new(()),
            freed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many may be under way now.
    pub(super) fn limit(&self) -> usize {
        self.state().limit
    }

    /// Waits for leave to have so many requests under way, or all that there are. Cancel safe.
    pub(super) async fn enter(self: &Arc<Self>, weight: usize) -> Lane {
        let _turn = self.turn.lock().await;
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                let weight = weight.min(state.limit).max(1);
                if state.busy == 0 || state.busy + weight <= state.limit {
                    state.busy += weight;
                    let lanes = Arc::clone(self);
                    return Lane { lanes, weight };
                }
            }
            freed.await;
        }
    }

    /// The same where nobody has to wait for it.
    pub(super) fn try_enter(self: &Arc<Self>, weight: usize) -> Option<Lane> {
        let _turn = self.turn.try_lock().ok()?;
        let mut state = self.state();
        let weight = weight.min(state.limit).max(1);
        if state.busy + weight > state.limit {
            return None;
        }
        state.busy += weight;
        let lanes = Arc::clone(self);
        Some(Lane { lanes, weight })
    }

    /// A request went well.
    pub(super) fn went_well(&self) {
        let mut state = self.state();
        state.well = state.well.saturating_add(1);
        let next = state.limit + 1;
        let objected = state.refused_at.is_some_and(|refused| next >= refused);
        let needed = if objected { state.probe } else { FEW };
        if state.well >= needed && next <= state.most {
            state.limit = next;
            state.well = 0;
            drop(state);
            self.freed.notify_one();
        }
    }

    /// The server objected; not for each of those that it objected to at once.
    pub(super) fn objected(&self) {
        let mut state = self.state();
        let at = state.limit;
        // The one below went well for as long as it took to try this again.
        let known = state.refused_at == Some(at);
        if state.refused_at.is_some_and(|before| at >= before) {
            state.probe = (state.probe * 2).min(MOST);
        }
        state.refused_at = Some(at);
        let less = if known { at - 1 } else { at * 3 / 4 };
        state.limit = less.max(1);
        state.well = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_grows_slowly_and_falls_at_once() {
        let lanes = Lanes::new(16);
        assert_eq!(lanes.limit(), 3);
        for _ in 0..40 {
            lanes.went_well();
        }
        assert_eq!(lanes.limit(), 5);
        lanes.objected();
        assert_eq!(lanes.limit(), 3);
        for _ in 0..20 {
            lanes.went_well();
        }
        // What was refused is tried again only after many.
        assert_eq!(lanes.limit(), 4);
        for _ in 0..499 {
            lanes.went_well();
        }
        assert_eq!(lanes.limit(), 4);
        lanes.went_well();
        assert_eq!(lanes.limit(), 5);
        // Refused a second time: the one below is known to go well.
        lanes.objected();
        assert_eq!(lanes.limit(), 4);
        for _ in 0..999 {
            lanes.went_well();
        }
        assert_eq!(lanes.limit(), 4);
        // Refused for another reason: down as before.
        lanes.objected();
        assert_eq!(lanes.limit(), 3);
    }

    #[tokio::test]
    async fn who_would_have_to_wait_gets_none() {
        let lanes = Lanes::new(4);
        let one = lanes.enter(1).await;
        assert!(lanes.try_enter(20).is_none());
        let two = lanes.try_enter(2);
        assert!(two.is_some() && lanes.try_enter(1).is_none());
        drop((one, two));
        // Whoever waits goes first.
        let turn = lanes.turn.lock().await;
        assert!(lanes.try_enter(1).is_none());
        drop(turn);
        assert_eq!(lanes.try_enter(20).map(|lane| lane.weight), Some(3));
    }

    #[tokio::test]
    async fn who_needs_several_lanes_gets_them() {
        let lanes = Lanes::new(4);
        let (a, b) = (lanes.enter(1).await, lanes.enter(1).await);
        let all = {
            let lanes = Arc::clone(&lanes);
            tokio::spawn(async move { lanes.enter(20).await })
        };
        tokio::task::yield_now().await;
        let after = {
            let lanes = Arc::clone(&lanes);
            tokio::spawn(async move { lanes.enter(1).await })
        };
        tokio::task::yield_now().await;
        assert!(!all.is_finished() && !after.is_finished());
        drop(a);
        drop(b);
        let all = all.await.unwrap();
        assert_eq!(all.weight, 3);
        tokio::task::yield_now().await;
        assert!(!after.is_finished());
        drop(all);
        after.await.unwrap();
    }
}
