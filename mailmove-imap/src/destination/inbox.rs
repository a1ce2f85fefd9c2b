//! Listing for a destination: an inbox whose number would not last is given one first.

use mailmove_core::{error::Result, model::Folder};

use super::Inner;
use crate::{
    folders::{self, Listing},
    session::{Mode, Session},
};

/// All folders. What is learned with them is remembered.
///
/// # Errors
/// If they cannot be listed.
pub(super) async fn list(inner: &Inner, session: &mut Session) -> Result<Listing> {
    let mut listing = folders::list(session).await?;
    if session.server.quirks.unnumbered_inbox && !inner.known.inbox_opened() {
        let inbox = listing.folders.iter_mut();
        for folder in inbox.filter(|folder| folder.path.is_inbox() && may_be_new(folder)) {
            number(session, folder).await?;
        }
        inner.known.set_inbox_opened();
    }
    inner.known.set_names(listing.names.clone());
    Ok(listing)
}

/// Nothing was ever deleted in it: whoever opened it to write would most likely have.
fn may_be_new(folder: &Folder) -> bool {
    let next = folder.mark.as_ref().and_then(|mark| mark.next);
    match (folder.messages, next) {
        (Some(messages), Some(next)) => messages.checked_add(1) == Some(next),
        _ => false,
    }
}

/// Opens the folder to write; what was told of its numbers before counts no more.
async fn number(session: &mut Session, folder: &mut Folder) -> Result<()> {
    let id = folder.id.clone();
    for mode in [Mode::Write, Mode::Read] {
        session
            .open_folder(&id, mode, &Default::default(), |_| {})
            .await?;
    }
    // While it is open, Courier tells its numbers from memory; what is open to read may be closed.
    session.leave().await?;
    let status = folders::status(session, &id).await?;
    let server = std::sync::Arc::clone(&session.server);
    folders::describe(folder, &status, &server.capabilities);
    Ok(())
}
