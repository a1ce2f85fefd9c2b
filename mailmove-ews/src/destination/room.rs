//! How much the mailbox may hold, as far as the server tells.
//!
//! All of it are hints: what is not told, or refused, is not known. That a mailbox is full for sure is
//! found out by storing.

use mailmove_core::{
    error::{Error, Result},
    model::{Quota, Usage},
};

use super::Inner;
use crate::{
    error, folders,
    wire::{self, Property, SoapError},
};

/// Asks what a mailbox may hold: the limit of its store, and whether mail to it would be sent back.
pub(super) async fn quota(inner: &Inner) -> Result<Quota> {
    let limit = limit(inner).await?;
    let full = is_full(inner).await?;
    let mut quota = Quota::unknown();
    if limit.is_none() && !full {
        return Ok(quota);
    }
    // Other items take room as well; what was deleted and can be recovered is not seen here.
    let used = folders::list(&inner.pool).await?.bytes;
    if let Some(limit) = limit {
        quota.limit_bytes(Usage::new(used, limit));
    }
    if full {
        quota.limit_bytes(Usage::new(used, used));
    }
    Ok(quota)
}

/// What is refused is not known; only who does not answer at all is an error.
fn told<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        // Some servers say so to what they do not know.
        Err(error) if is_silence(&error) && !error::is_bare(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

fn is_silence(error: &Error) -> bool {
    error.is_transient() || error.kind() == mailmove_core::ErrorKind::Auth
}

/// Bytes that the store takes before it sends mail back.
async fn limit(inner: &Inner) -> Result<Option<u64>> {
    let root = match inner.pool.access().config.archive() {
        true => "archiveroot",
        false => "root",
    };
    let answer = told(inner.pool.call(&wire::get_store(root)).await)?;
    let folder = answer.as_ref().and_then(|answer| {
        let message = answer.messages.first();
        let message = message.filter(|message| SoapError::of(message).is_none())?;
        message.child("Folders")?.children.first()
    });
    // In KB; nothing, or -1, is no limit.
    let limit = folder.and_then(|folder| Property::ReceiveQuota.number(folder));
    let limit = limit.and_then(|limit| u64::try_from(limit).ok());
    Ok(limit.map(|limit| limit.saturating_mul(1024)))
}

/// Whether mail that is sent to this mailbox would come back.
async fn is_full(inner: &Inner) -> Result<bool> {
    let config = &inner.pool.access().config;
    let address = config.user();
    // Mail is never delivered to an archive.
    if config.archive() || !address.contains('@') {
        return Ok(false);
    }
    let answer = told(inner.pool.call(&wire::mail_tips(address)).await)?;
    let full = answer.as_ref().and_then(|answer| {
        let message = answer.messages.first();
        let message = message.filter(|message| SoapError::of(message).is_none())?;
        message.child("MailTips")?.text_of("MailboxFull")
    });
    Ok(matches!(full, Some("true" | "1")))
}
