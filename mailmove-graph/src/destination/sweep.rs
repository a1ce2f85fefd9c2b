//! Removes what is left of messages that were made and not completed.

use std::{sync::Weak, time::Duration};

use mailmove_core::{
    destination::Fence,
    error::Result,
    model::{FolderId, Timestamp},
};

use super::{
    Inner, SETTLE,
    open::{Left, Rest},
    update,
};

/// How old one has to be that may be another process's, if nothing waits for it to go: large attachments may take hours
/// to arrive.
const ABANDONED: Duration = Duration::from_secs(86_400);

/// What became of a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is gone, or no rest any more: whoever completed it got no answer, or people put it elsewhere.
    Done,
    /// It may be another process's that is at work on it, for so long.
    Early(Duration),
}

/// Removes one that is not complete. It may be by now: then it is somebody's message, and stays. One that may be another
/// process's has to be as old as `patience`.
///
/// # Errors
/// If it may still be there.
pub(super) async fn remove(
    inner: &Inner,
    folder: &FolderId,
    left: &Left,
    patience: Duration,
    fence: &dyn Fence,
) -> Result<Removal> {
    fence.check()?;
    let Some((meta, now)) = update::look_at(inner, &left.id).await? else {
        return Ok(Removal::Done);
    };
    if meta.open.is_none() || !update::is_in(inner, folder, &meta).await? {
        return Ok(Removal::Done);
    }
    if let (None, Some(created)) = (left.since, meta.created) {
        let own = || inner.now().as_secs().cast_signed();
        let now = now.map_or_else(own, Timestamp::seconds);
        let age = u64::try_from(now.saturating_sub(created.seconds())).unwrap_or_default();
        let rest = patience.saturating_sub(Duration::from_secs(age));
        if !rest.is_zero() {
            return Ok(Removal::Early(rest));
        }
    }
    let removed = update::remove_one(inner, &left.id, Some(fence)).await;
    removed.map_err(|failed| failed.error)?;
    Ok(Removal::Done)
}

/// Whether what is not complete is where it was made.
///
/// # Errors
/// If that could not be asked.
pub(super) async fn is_there(inner: &Inner, folder: &FolderId, left: &Left) -> Result<bool> {
    match update::look_at(inner, &left.id).await? {
        Some((meta, _)) => Ok(meta.open.is_some() && update::is_in(inner, folder, &meta).await?),
        None => Ok(false),
    }
}

/// After a look at a folder: removes what showed up too late for whoever sent the message again. Only in a run that
/// stores something, and while it owns the job.
pub(super) async fn run(inner: &Inner, folder: &FolderId) {
    let Some(fence) = inner.fence().as_ref().and_then(Weak::upgrade) else {
        return;
    };
    let rests = inner.incomplete.rests(folder);
    if rests.is_empty() {
        return;
    }
    let clock = inner.clock();
    let maker = inner
        .incomplete
        .make(folder, std::iter::empty(), move || clock.now());
    for rest in rests {
        if is_due(inner, &rest) && inner.incomplete.claim(&maker, &rest) {
            one(inner, folder, rest, &maker, &*fence).await;
        }
    }
    maker.over();
}

/// What this process left may be completed yet by what it sent last.
fn is_due(inner: &Inner, rest: &Rest) -> bool {
    let over = |since: Duration| since.saturating_add(SETTLE) <= inner.now();
    rest.left.since.is_none_or(over)
}

async fn one(
    inner: &Inner,
    folder: &FolderId,
    rest: Rest,
    maker: &super::open::Maker<'_>,
    fence: &dyn Fence,
) {
    // Its message is stored, and nobody else's is known to be of that content here.
    let since = rest.left.since.or(rest.is_stored.then_some(Duration::ZERO));
    let left = Left {
        since,
        ..rest.left.clone()
    };
    match remove(inner, folder, &left, ABANDONED, fence).await {
        Ok(Removal::Done) => inner.incomplete.end(&left.id),
        Ok(Removal::Early(_)) => maker.put_back(rest.content, rest.left),
        Err(error) => {
            tracing::debug!(%error, "what is left of a message could not be removed");
            maker.put_back(rest.content, rest.left);
        }
    }
}
