//! What is done about messages that were not stored.

use std::{collections::VecDeque, time::Duration};

use super::{
    decide::{Next, after_refusal},
    deliver::Sender,
    lane::Lane,
    produce::Work,
    repaired::Unrepaired,
};
use crate::{
    checkpoint::{Intent, ItemRow},
    error::{Error, ErrorKind, Result, Retry, Scope},
    observe::Event,
};

impl Sender {
    /// Decides about refused messages, each kind by itself; the error is what ends the folder. What
    /// has no end then is in the queue.
    pub(super) async fn refused(
        &mut self,
        lane: &Lane,
        intent: &mut Intent,
        refused: Vec<(Work, Error)>,
        queue: &mut VecDeque<Vec<Work>>,
        done: &mut Vec<ItemRow>,
    ) -> Result<()> {
        let len = refused.len();
        let whole = self.engine.to.batching.atomic;
        let mut groups: Vec<(Next, Error, Vec<Work>)> = Vec::new();
        let mut mended = Vec::new();
        let mut ended = Ok(());
        for (work, error) in refused {
            let next = after_refusal(&error, len, whole);
            if next == Next::Fail {
                if ended.is_err() {
                    queue.push_back(vec![work]);
                    continue;
                }
                match self.mend(lane, &work, &error).await {
                    Ok(Some(mut repaired)) => {
                        let content = work.content;
                        repaired.before = Some(Box::new(Unrepaired { content, error }));
                        mended.push(repaired);
                    }
                    Ok(None) => {
                        let error = self.too_large_to_mend(&work, error);
                        done.push(self.give_up(lane, work, &error).await);
                    }
                    Err(error) => {
                        queue.push_back(vec![work]);
                        ended = Err(error);
                    }
                }
                continue;
            }
            let same = |group: &&mut (Next, Error, Vec<Work>)| {
                group.0 == next && group.1.scope() == error.scope()
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.2.push(work),
                None => groups.push((next, error, vec![work])),
            }
        }
        if ended.is_ok() && !mended.is_empty() {
            ended = self.intend_mended(intent, &mended).await;
        }
        if ended.is_err() {
            // They were not sent repaired: what may land is what they were.
            queue.extend(mended.into_iter().map(|work| vec![work.unmended()]));
            queue.extend(groups.into_iter().map(|(.., together)| together));
            return ended;
        }
        for work in mended.into_iter().rev() {
            queue.push_front(vec![work]);
        }
        for (next, error, together) in groups {
            let result = self.refused_alike(lane, (next, error), together, queue, done);
            ended = ended.and(result.await);
        }
        ended
    }

    /// The same decision for some messages. They stay in the queue if it ends the folder.
    async fn refused_alike(
        &mut self,
        lane: &Lane,
        (next, error): (Next, Error),
        mut together: Vec<Work>,
        queue: &mut VecDeque<Vec<Work>>,
        done: &mut Vec<ItemRow>,
    ) -> Result<()> {
        match next {
            Next::StopFolder | Next::StopPass | Next::Fail => {
                queue.push_front(together);
                let scope = if next == Next::StopFolder {
                    Scope::Folder
                } else {
                    Scope::Account
                };
                let scope = error.scope().max(scope);
                Err(error.with_scope(scope))
            }
            Next::Halve => {
                let back = together.split_off(together.len() / 2);
                queue.push_front(back);
                queue.push_front(together);
                Ok(())
            }
            Next::Singles => {
                for work in together.into_iter().rev() {
                    queue.push_front(vec![work]);
                }
                Ok(())
            }
            Next::Again => match self.backoff.next(&error) {
                Some(wait) => {
                    queue.push_front(together);
                    self.retrying(lane, &error, wait);
                    self.engine.rest(&self.backoff, &error, wait).await
                }
                None if error.scope() == Scope::Message => {
                    for work in together {
                        done.push(self.give_up(lane, work, &error).await);
                    }
                    self.backoff.reset();
                    Ok(())
                }
                None => {
                    queue.push_front(together);
                    Err(error)
                }
            },
        }
    }

    /// Obeys the wait that a server named when it broke off: it is not asked before what became of
    /// its messages. What was refused with the same words need not wait again.
    pub(super) async fn slow_down(
        &mut self,
        lane: &Lane,
        slow: Option<(Duration, Error)>,
        refused: &mut [Vec<(Work, Error)>],
    ) -> Result<()> {
        let Some((wait, error)) = slow else {
            return Ok(());
        };
        self.retrying(lane, &error, wait);
        self.engine.rest(&self.backoff, &error, wait).await?;
        for (_, error) in refused.iter_mut().flatten() {
            if matches!(error.retry(), Retry::After(own) if own <= wait) {
                error.set_retry(Retry::Backoff);
            }
        }
        Ok(())
    }

    pub(super) fn retrying(&self, lane: &Lane, error: &Error, wait: Duration) {
        self.engine.emit(Event::Retrying {
            folder: Some(lane.folder.path.clone()),
            reason: error.chain(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// A message on which a server chokes must not be sent for ever, nor take its neighbours with
    /// it: in doubt twice, they go in halves, and one alone fails in the end.
    pub(super) async fn send_again(
        &self,
        lane: &Lane,
        mut again: Vec<Work>,
        queue: &mut VecDeque<Vec<Work>>,
        done: &mut Vec<ItemRow>,
    ) {
        let most = self.engine.options.attempts.max(2);
        let doubts = again.iter().map(|work| work.doubts).max().unwrap_or(0);
        match again.len() {
            0 => {}
            1 if doubts >= most => {
                let error = Error::new(ErrorKind::Interrupted, "no word on this message")
                    .with_scope(Scope::Message)
                    .with_code("destination/no-answer")
                    .with_context("attempts", doubts.to_string())
                    .with_remedy(
                        "The destination breaks off when it gets this message; ask its operator, \
                         or save the message by hand.",
                    );
                for work in again {
                    done.push(self.give_up(lane, work, &error).await);
                }
            }
            len if len > 1 && doubts >= 2 => {
                let back = again.split_off(len / 2);
                queue.push_front(back);
                queue.push_front(again);
            }
            _ => queue.push_front(again),
        }
    }
}

/// Keeps the longest wait that a server named, with its words.
pub(super) fn note_wait(slow: &mut Option<(Duration, Error)>, error: Error) {
    if let Retry::After(wait) = error.retry()
        && slow.as_ref().is_none_or(|(longest, _)| *longest < wait)
    {
        *slow = Some((wait, error));
    }
}
