//! The date of messages that come without one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::InternalDate;

/// The system's clock, or a fixed one.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Arc<Mutex<Option<InternalDate>>>);

impl Clock {
    pub(super) fn fix(&self, now: InternalDate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    pub(super) fn now(&self) -> InternalDate {
        let fixed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fixed.unwrap_or_else(|| {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            InternalDate::utc(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
        })
    }
}
