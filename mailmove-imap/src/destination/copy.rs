//! Copying messages from folder to folder.
//!
//! OK to COPY of a UID that does not exist is usual, so the messages' flags are asked for in front of
//! it: what the server shows is there. COPYUID names the new ones (RFC 4315).

use std::{collections::HashMap, sync::Arc};

use mailmove_core::{
    destination::{Outcome, Receipt},
    error::{Error, ErrorKind, Result},
    model::{Flags, FolderId, MessageId},
};

use super::{
    Inner,
    look::known_uids,
    not_stored,
    prepare::core_flags,
    unknown,
    update::{Out, copy_uid, unique, vanished},
};
use crate::{
    error::{self, Doing},
    pool::Lease,
    session::{self, Mode},
    wire::{FetchItem, FetchParams, Response, StatusKind, UidSet},
};

pub(super) async fn run(
    inner: &Arc<Inner>,
    from: &FolderId,
    ids: Vec<MessageId>,
    to: &FolderId,
    out: &Out,
) {
    let ids = unique(ids);
    let begun = async {
        let mut lease = inner.pool.lease(Some(from)).await?;
        // Opened anew: messages that another connection stored meanwhile must be seen. EXAMINE is
        // enough to copy from, and takes `\Recent` from nobody.
        let opened = lease
            .open_folder(from, Mode::Read, &Default::default(), |_| {})
            .await?;
        let uids = known_uids(&ids, opened.validity, from)?;
        Ok((lease, uids))
    };
    let (mut lease, uids) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            let all = ids.into_iter().map(|id| (id, not_stored(&error)));
            return out.send_all(all).await;
        }
    };
    let mut copied = Copied::default();
    let set: UidSet = uids.iter().copied().collect();
    let mut lost: Option<Error> = None;
    let most = lease.can().save_limit().unwrap_or(u32::MAX);
    let parts = lease.parts(&set);
    for part in parts.iter().flat_map(|part| part.pieces(most)) {
        let done = match &lost {
            Some(_) => Ok(()),
            None => copied.part(&mut lease, &part, to).await,
        };
        if let Err(error) = done {
            copied.doubtful.extend(part.iter());
            lost = Some(error);
        }
    }
    let outcomes: Vec<_> = uids
        .iter()
        .zip(ids)
        .map(|(uid, id)| {
            let outcome = copied.outcome(*uid, &id, lost.as_ref());
            (id, outcome)
        })
        .collect();
    out.send_all(outcomes).await;
}

#[derive(Default)]
struct Copied {
    /// The flags of those that are there.
    there: HashMap<u32, Flags>,
    /// The new ids.
    new: HashMap<u32, MessageId>,
    /// Copied, whether or not the server named the new ids.
    confirmed: Vec<UidSet>,
    /// Refused as a whole (RFC 3501 §6.4.7).
    refused: Vec<(UidSet, Error)>,
    /// Sent along when the connection was lost.
    doubtful: Vec<u32>,
}

impl Copied {
    async fn part(&mut self, lease: &mut Lease, set: &UidSet, to: &FolderId) -> Result<()> {
        let name = session::mailbox(to)?;
        let items = [FetchItem::Uid, FetchItem::Flags];
        let connection = &mut lease.connection;
        let (look, copy) = (connection.tag(), connection.tag());
        let encoder = connection.encoder();
        let looking = encoder.uid_fetch(look, set, &items, FetchParams::default());
        let copying = encoder.uid_copy(copy, set, &name);
        connection.send(looking.map_err(session::encode)?).await?;
        connection.send(copying.map_err(session::encode)?).await?;
        let there = &mut self.there;
        let note = |response| {
            if let Response::Fetch(fetch) = response
                && let (Some(uid), Some(flags)) = (fetch.uid, &fetch.flags)
            {
                there.insert(uid, core_flags(flags));
            }
        };
        let looked = connection.complete(look, note).await?;
        let status = connection.complete(copy, |_| {}).await?;
        if looked.kind != StatusKind::Ok {
            // What is there is not known; whatever was copied may be found.
            return Err(error::refused(Doing::folder("FETCH"), &looked));
        }
        if status.kind == StatusKind::Ok {
            self.new.extend(copy_uid(&status, set));
            self.confirmed.push(set.clone());
        } else {
            let error = error::refused(Doing::message("COPY"), &status);
            self.refused.push((set.clone(), error));
        }
        Ok(())
    }

    fn outcome(&mut self, uid: u32, id: &MessageId, lost: Option<&Error>) -> Outcome {
        if self.doubtful.contains(&uid) {
            return lost.map_or_else(|| Outcome::NotStored(vanished(id)), unknown);
        }
        if let Some((_, error)) = self.refused.iter().find(|(set, _)| set.contains(uid)) {
            return match error.kind() {
                // The server may have copied it and failed afterwards.
                ErrorKind::Unavailable => unknown(error),
                _ => not_stored(error),
            };
        }
        if !self.confirmed.iter().any(|set| set.contains(uid)) {
            return lost.map_or_else(|| Outcome::NotStored(vanished(id)), not_stored);
        }
        match (self.there.remove(&uid), self.new.remove(&uid)) {
            (None, None) => Outcome::NotStored(vanished(id)),
            (flags, new) => {
                let receipt = Receipt::new(new);
                Outcome::Stored(match flags {
                    Some(flags) => receipt.with_flags(flags),
                    None => receipt,
                })
            }
        }
    }
}
