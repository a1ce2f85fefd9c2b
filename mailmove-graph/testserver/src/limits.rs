//! How much a mailbox serves: at a time, and in a while.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::reply::Failure;
use crate::server::Shared;

/// What happened to one mailbox.
#[derive(Debug, Default)]
struct Usage {
    busy: usize,
    requests: VecDeque<Duration>,
    uploads: VecDeque<(Duration, u64)>,
    uploaded: u64,
    /// Since when no request should come, and until when.
    back_off: (Duration, Duration),
}

/// What happened to all mailboxes.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<BTreeMap<String, Usage>>);

impl Limits {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Usage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that a request has until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    shared: Arc<Shared>,
    mailbox: String,
    since: Duration,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = self.shared.config.clock.now();
        let mut all = self.shared.limits.lock();
        if let Some(usage) = all.get_mut(&self.mailbox) {
            usage.busy = usage.busy.saturating_sub(1);
        }
        drop(all);
        self.shared.counting.lock().slot_time += now.saturating_sub(self.since);
    }
}

impl Shared {
    /// A back-off begins now.
    pub(crate) fn begin_back_off(&self, mailbox: &str, time: Option<Duration>) {
        let Some(time) = time else { return };
        let now = self.config.clock.now();
        let mut all = self.limits.lock();
        let usage = all.entry(mailbox.to_owned()).or_default();
        if usage.back_off.1 <= now {
            usage.back_off.0 = now;
        }
        usage.back_off.1 = usage.back_off.1.max(now + time);
    }

    fn throttled(&self, mailbox: &str, message: &'static str, wait: Duration) -> Failure {
        // A hint in whole seconds, never too short.
        let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        let wait = (!self.config.tells_no_wait).then_some(wait);
        self.begin_back_off(mailbox, wait);
        Failure::new(429, "ApplicationThrottled", message).wait(wait)
    }

    /// A place for a request with so many bytes, unless the mailbox has served enough. `arrived`: when it was
    /// sent, by itself or in a batch.
    pub(crate) fn enter(
        self: &Arc<Self>,
        mailbox: &str,
        bytes: u64,
        arrived: Duration,
    ) -> Result<Slot, Failure> {
        let config = &self.config;
        let now = config.clock.now();
        let mut all = self.limits.lock();
        let usage = all.entry(mailbox.to_owned()).or_default();
        // A batch that was on its way already goes on.
        let early = usage.back_off.0 <= arrived && now < usage.back_off.1;
        usage.forget(now, config.request_window, config.upload_window);
        let over = usage.busy >= config.concurrency;
        let refused = if over {
            Some((
                "Application is over its MailboxConcurrency limit.",
                config.throttle_wait,
            ))
        } else if usage.requests.len() >= config.requests_per_window {
            let first = usage.requests.front().copied().unwrap_or(now);
            let wait = (first + config.request_window).saturating_sub(now);
            Some(("Application is over its request limit.", wait))
        } else if usage.uploaded + bytes > config.upload_per_window && usage.uploaded > 0 {
            let wait = usage.room_for(bytes, config.upload_per_window, config.upload_window, now);
            Some(("Application is over its IncomingBytes limit.", wait))
        } else {
            None
        };
        if refused.is_none() {
            usage.busy += 1;
            usage.requests.push_back(now);
            usage.uploads.push_back((now, bytes));
            usage.uploaded += bytes;
        }
        let busy = usage.busy as u64;
        drop(all);
        {
            let mut counters = self.counting.lock();
            counters.during_backoff += u64::from(early);
            counters.over_concurrency += u64::from(over);
            counters.peak_slots = counters.peak_slots.max(busy);
            counters.uploaded += if refused.is_none() { bytes } else { 0 };
        }
        match refused {
            Some((message, wait)) => Err(self.throttled(mailbox, message, wait)),
            None => Ok(Slot {
                shared: Arc::clone(self),
                mailbox: mailbox.to_owned(),
                since: now,
            }),
        }
    }
}

impl Usage {
    fn forget(&mut self, now: Duration, requests: Duration, uploads: Duration) {
        while self
            .requests
            .front()
            .is_some_and(|at| *at + requests <= now)
        {
            self.requests.pop_front();
        }
        while let Some((at, bytes)) = self.uploads.front().copied()
            && at + uploads <= now
        {
            self.uploads.pop_front();
            self.uploaded -= bytes;
        }
    }

    /// How long until so many bytes fit.
    fn room_for(&self, bytes: u64, limit: u64, window: Duration, now: Duration) -> Duration {
        let mut used = self.uploaded;
        for (at, old) in &self.uploads {
            used -= old;
            if used + bytes <= limit || used == 0 {
                return (*at + window).saturating_sub(now);
            }
        }
        window
    }
}
