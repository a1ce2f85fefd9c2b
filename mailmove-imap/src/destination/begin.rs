//! What has to be known before an append.

use std::sync::Arc;

use mailmove_core::{
    destination::Outgoing,
    error::{Error, ErrorKind, Result},
    model::{FolderId, Mark},
};

use super::{BATCH_ITEMS, Inner, is_other_epoch, prepare::needs_permanent};
use crate::{error, folders, pool::Lease, session, wire::MailboxName};

/// What has to be known before anything is sent. Whatever fails here, nothing was stored.
pub(super) async fn begin(
    inner: &Arc<Inner>,
    folder: &FolderId,
    mark: &Mark,
    items: &[Outgoing],
) -> Result<(Lease, MailboxName)> {
    if items.len() > BATCH_ITEMS {
        return Err(Error::new(
            ErrorKind::Bug,
            "a batch has more messages than were offered to take",
        )
        .with_context("messages", items.len().to_string()));
    }
    let name = session::mailbox(folder)?;
    let looking = inner.known.looking(folder).await;
    let mut lease = inner.pool.lease(None).await?;
    let keywords = needs_permanent(items);
    if keywords {
        inner.known.expect_keywords();
    }
    let opens = keywords && inner.known.permanent(folder).is_none();
    if opens {
        learn_flags(inner, &mut lease, folder, mark).await?;
    }
    let sure = opens || mark.epoch.as_str().is_empty() || inner.known.is_confirmed(folder, mark);
    let limited = lease.can().append_limit_by_mailbox() && inner.known.limit(folder).is_none();
    if !sure || limited {
        find(inner, &mut lease, folder, mark).await?;
    }
    drop(looking);
    lease.stop_reading().await?;
    Ok((lease, name))
}

/// Does ahead what an append would begin with: a connection, and a look at whether the folder is the
/// mark's. What is not as it should be the append finds out, too.
pub(super) async fn expect(inner: &Arc<Inner>, folder: &FolderId, mark: &Mark) {
    let _looking = inner.known.looking(folder).await;
    let Ok(mut lease) = inner.pool.lease(None).await else {
        return;
    };
    if inner.known.expects_keywords() && inner.known.permanent(folder).is_none() {
        if let Ok(validity) = learn_flags(inner, &mut lease, folder, mark).await {
            inner.known.confirm(folder, validity);
        }
        return;
    }
    if mark.epoch.as_str().is_empty() || inner.known.is_confirmed(folder, mark) {
        return;
    }
    if let Ok(Some(validity)) = find(inner, &mut lease, folder, mark).await {
        inner.known.confirm(folder, validity);
    }
}

/// Opens the folder to see which flags it keeps. Gives its UIDVALIDITY.
async fn learn_flags(
    inner: &Arc<Inner>,
    lease: &mut Lease,
    folder: &FolderId,
    mark: &Mark,
) -> Result<u32> {
    let opened = lease.glance(folder).await?;
    if opened.read_only {
        return Err(error::read_only().with_context("folder", folder.as_str()));
    }
    if let Some(permanent) = &opened.permanent {
        inner.known.set_permanent(folder, permanent);
    }
    if is_other_epoch(mark, opened.validity) {
        return Err(gone(inner, folder, mark, Some(opened.validity)));
    }
    Ok(opened.validity)
}

/// Makes sure that the folder of the mark is there, and learns how large a message it takes. Gives its
/// UIDVALIDITY, if the server tells it.
///
/// # Errors
/// [`ErrorKind::Stale`] if it is not.
pub(super) async fn find(
    inner: &Inner,
    lease: &mut Lease,
    folder: &FolderId,
    mark: &Mark,
) -> Result<Option<u32>> {
    let status = match folders::status(lease, folder).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(gone(inner, folder, mark, None).with_source(error));
        }
        other => other?,
    };
    let now = status.uid_validity;
    if now.is_some_and(|now| is_other_epoch(mark, now)) {
        return Err(gone(inner, folder, mark, now));
    }
    inner.known.set_limit(folder, status.append_limit);
    Ok(now)
}

/// The folder of the mark is not there any more; `now`: the UIDVALIDITY of the one that is.
pub(super) fn gone(inner: &Inner, folder: &FolderId, mark: &Mark, now: Option<u32>) -> Error {
    inner.known.forget(folder);
    let now = now.map_or_else(|| "none".to_owned(), |now| now.to_string());
    session::stale(folder)
        .with_context("was", mark.epoch.as_str())
        .with_context("is", now)
}
