//! How much the mailbox may hold (QUOTA, RFC 2087 and RFC 9208).

use mailmove_core::{
    error::Result,
    model::{Quota, Usage},
};

use crate::{
    distrust::Feature,
    session::{self, Session},
    wire::{self, MailboxName, Response},
};

/// Asks for the limits that hold for the inbox: those of the user's mailbox as a whole, on every
/// server seen. Nothing is known where the server has no QUOTA, or refuses.
///
/// # Errors
/// If the connection fails.
pub(super) async fn ask(session: &mut Session) -> Result<Quota> {
    let mut quota = Quota::unknown();
    if !session.can().quota() || session.server.distrust.has(Feature::Quota) {
        return Ok(quota);
    }
    let name = MailboxName::new(b"INBOX".as_slice()).map_err(session::encode)?;
    let tag = session.connection.tag();
    let command = session.connection.encoder().get_quota_root(tag, &name);
    let note = |response| {
        if let Response::Quota(told) = response {
            told.resources
                .iter()
                .for_each(|resource| limit(&mut quota, resource));
        }
    };
    let status = session
        .connection
        .run(command.map_err(session::encode)?, note)
        .await?;
    session.server.distrust.note(Feature::Quota, &status);
    Ok(quota)
}

fn limit(quota: &mut Quota, resource: &wire::QuotaResource) {
    match &*resource.name {
        // In units of 1024 octets.
        "STORAGE" => quota.limit_bytes(Usage::new(
            resource.usage.saturating_mul(1024),
            resource.limit.saturating_mul(1024),
        )),
        "MESSAGE" => quota.limit_messages(Usage::new(resource.usage, resource.limit)),
        _ => {}
    }
}
