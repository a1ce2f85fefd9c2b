//! Changing, moving and removing messages that exist.
//!
//! OK to STORE or MOVE of a UID that does not exist is usual, so OK proves nothing: what counts is
//! what the server shows afterwards, or names in COPYUID.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use mailmove_core::{
    destination::{FlagChange, Outcome, Receipt},
    error::{Error, ErrorKind, Result, Scope},
    model::{Alteration, AlterationKind, Flags, FolderId, MessageId},
};

use super::{
    Inner,
    look::known_uids,
    not_stored,
    prepare::{core_flags, split, wire_flags},
    unknown,
};
use crate::{
    cut,
    error::{self, Doing},
    generate, ids,
    pool::Lease,
    session::{self, Mode, Opened},
    wire::{
        Code, Command, EncodeError, Encoder, FetchItem, FetchParams, FlagSet, Response, Status,
        StatusKind, StoreMode, SystemFlag, Tag, UidSet,
    },
};

pub(super) type Out = generate::Out<(MessageId, Outcome)>;

/// An open folder whose messages are changed.
///
/// Servers work on several commands at once and may answer them all at the end, so what comes
/// untagged belongs to the pipeline as a whole. What is to be seen *after* a change is asked for
/// when the change is answered.
struct Updating {
    lease: Lease,
    opened: Opened,
}

impl Updating {
    async fn open(inner: &Arc<Inner>, folder: &FolderId) -> Result<Self> {
        let mut lease = inner.pool.lease(Some(folder)).await?;
        // Opened anew: messages that another connection stored meanwhile must be seen.
        let opened = lease
            .open_folder(folder, Mode::Write, &Default::default(), |_| {})
            .await?;
        if opened.read_only {
            return Err(error::read_only().with_context("folder", folder.as_str()));
        }
        if let Some(permanent) = &opened.permanent {
            inner.known.set_permanent(folder, permanent);
        }
        Ok(Self { lease, opened })
    }

    /// Sends a command.
    async fn send(
        &mut self,
        command: impl FnOnce(Encoder, Tag) -> Result<Command, EncodeError>,
    ) -> Result<Tag> {
        let tag = self.lease.connection.tag();
        let command = command(self.lease.connection.encoder(), tag).map_err(session::encode)?;
        self.lease.connection.send(command).await?;
        Ok(tag)
    }

    /// Waits for the answers to these; what comes untagged meanwhile goes to `note`.
    async fn finish(
        &mut self,
        tags: &[Tag],
        mut note: impl FnMut(Response) + Send,
    ) -> Result<Vec<Status>> {
        let mut answers = Vec::with_capacity(tags.len());
        for tag in tags {
            answers.push(self.lease.connection.complete(*tag, &mut note).await?);
        }
        Ok(answers)
    }

    /// The flags that the server shows for each of these messages that exists.
    async fn flags(&mut self, set: &UidSet) -> Result<HashMap<u32, Flags>> {
        let items = [FetchItem::Uid, FetchItem::Flags];
        let mut shown = HashMap::new();
        let mut parts = self.lease.parts(set);
        while let Some(part) = parts.pop() {
            let tag = self
                .send(|encoder, tag| encoder.uid_fetch(tag, &part, &items, FetchParams::default()))
                .await?;
            let note = |response| {
                if let Response::Fetch(fetch) = response
                    && let (Some(uid), Some(flags)) = (fetch.uid, &fetch.flags)
                {
                    shown.insert(uid, core_flags(flags));
                }
            };
            for answer in self.finish(&[tag], note).await? {
                let left = cut::left(&part, &answer)?;
                if left.is_empty() && answer.kind != StatusKind::Ok {
                    return Err(error::refused(Doing::folder("FETCH"), &answer));
                }
                parts.extend(left);
            }
        }
        Ok(shown)
    }

    async fn store(&mut self, set: &UidSet, mode: StoreMode, flags: &FlagSet) -> Result<Tag> {
        self.send(|encoder, tag| encoder.uid_store(tag, set, mode, flags, true, None))
            .await
    }
}

pub(super) fn vanished(id: &MessageId) -> Error {
    Error::new(ErrorKind::NotFound, "the message is not there any more")
        .with_code("imap/no-message")
        .with_scope(Scope::Message)
        .with_context("message", ids::describe(id))
}

pub(super) fn unique(ids: Vec<MessageId>) -> Vec<MessageId> {
    let mut seen = HashSet::new();
    ids.into_iter()
        .filter(|id| seen.insert(id.clone()))
        .collect()
}

// ---- flags -------------------------------------------------------------------------------------

pub(super) async fn set_flags(
    inner: &Arc<Inner>,
    folder: &FolderId,
    changes: Vec<FlagChange>,
    out: &Out,
) {
    let begun = async {
        let updating = Updating::open(inner, folder).await?;
        let ids = changes.iter().map(|change| &change.id);
        let uids = known_uids(ids, updating.opened.validity, folder)?;
        Ok((updating, uids))
    };
    let (mut updating, uids) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            let all = changes
                .into_iter()
                .map(|change| (change.id, not_stored(&error)));
            return out.send_all(all).await;
        }
    };
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (change, uid) in changes.into_iter().zip(uids) {
        let key = format!("{}-{}", change.add, change.remove);
        let group = groups
            .entry(key)
            .or_insert_with(|| Group::new(&change, &updating.opened));
        group.members.push((uid, change.id));
    }
    let mut lost: Option<Error> = None;
    for group in groups.into_values() {
        let results = match &lost {
            Some(error) => group.all(not_stored, error),
            None => match group.apply(&mut updating).await {
                Ok(results) => results,
                Err((group, error)) => {
                    let results = group.all(unknown, &error);
                    lost = Some(error);
                    results
                }
            },
        };
        out.send_all(results).await;
    }
}

/// Messages that get the same change.
struct Group {
    add: Flags,
    remove: Flags,
    dropped: Flags,
    members: Vec<(u32, MessageId)>,
}

impl Group {
    fn new(change: &FlagChange, opened: &Opened) -> Self {
        let (add, dropped) = split(&change.add, opened.permanent.as_ref());
        Self {
            add,
            remove: change.remove.clone(),
            dropped,
            members: Vec::new(),
        }
    }

    fn all(&self, outcome: impl Fn(&Error) -> Outcome, error: &Error) -> Vec<(MessageId, Outcome)> {
        self.members
            .iter()
            .map(|(_, id)| (id.clone(), outcome(error)))
            .collect()
    }

    async fn apply(
        self,
        updating: &mut Updating,
    ) -> Result<Vec<(MessageId, Outcome)>, (Self, Error)> {
        match self.try_apply(updating).await {
            Ok(results) => Ok(results),
            Err(error) => Err((self, error)),
        }
    }

    async fn try_apply(&self, updating: &mut Updating) -> Result<Vec<(MessageId, Outcome)>> {
        let set: UidSet = self.members.iter().map(|(uid, _)| *uid).collect();
        let (add, remove) = (wire_flags(&self.add), wire_flags(&self.remove));
        let mut tags = Vec::new();
        for part in updating.lease.parts(&set) {
            if !add.is_empty() {
                tags.push(updating.store(&part, StoreMode::Add, &add).await?);
            }
            if !remove.is_empty() {
                tags.push(updating.store(&part, StoreMode::Remove, &remove).await?);
            }
        }
        let answers = updating.finish(&tags, |_| {}).await?;
        let refused = answers.iter().find(|answer| answer.kind != StatusKind::Ok);
        let refusal = refused.map(|answer| error::refused(Doing::message("STORE"), answer));
        let shown = updating.flags(&set).await?;
        let members = self.members.iter();
        Ok(members
            .map(|(uid, id)| {
                (
                    id.clone(),
                    self.outcome(id, shown.get(uid), refusal.as_ref()),
                )
            })
            .collect())
    }

    fn outcome(&self, id: &MessageId, shown: Option<&Flags>, refusal: Option<&Error>) -> Outcome {
        let Some(shown) = shown else {
            return Outcome::NotStored(vanished(id));
        };
        let done =
            self.add.difference(shown).is_empty() && self.remove.intersection(shown).is_empty();
        if !done {
            let error = refusal.map_or_else(
                || {
                    Error::new(ErrorKind::Refused, "the server did not change the flags")
                        .with_code("imap/flags-kept")
                },
                error::again,
            );
            return Outcome::NotStored(error.with_context("message", ids::describe(id)));
        }
        let dropped = self.dropped.to_string();
        let altered = dropped
            .split_ascii_whitespace()
            .map(|name| Alteration::new(AlterationKind::FlagDropped, name));
        let receipt = Receipt::new(Some(id.clone()))
            .with_flags(shown.clone())
            .with_altered(altered.collect());
        Outcome::Stored(receipt)
    }
}

// ---- moves -------------------------------------------------------------------------------------

pub(super) async fn relocate(
    inner: &Arc<Inner>,
    from: &FolderId,
    ids: Vec<MessageId>,
    to: &FolderId,
    out: &Out,
) {
    let ids = unique(ids);
    let begun = async {
        let updating = Updating::open(inner, from).await?;
        if !updating.lease.can().has("UIDPLUS") {
            return Err(no_uidplus());
        }
        let uids = known_uids(&ids, updating.opened.validity, from)?;
        Ok((updating, uids))
    };
    let (mut updating, uids) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            return out
                .send_all(ids.into_iter().map(|id| (id, not_stored(&error))))
                .await;
        }
    };
    let mut moved = Moved::default();
    let set: UidSet = uids.iter().copied().collect();
    for part in updating.lease.parts(&set) {
        if moved.lost.is_none()
            && let Err(error) = moved.part(&mut updating, &part, to).await
        {
            moved.doubtful.extend(part.iter());
            moved.lost = Some(error);
        }
    }
    let results: Vec<_> = uids
        .iter()
        .zip(ids)
        .map(|(uid, id)| {
            let outcome = moved.outcome(*uid, &id);
            (id, outcome)
        })
        .collect();
    out.send_all(results).await;
}

fn no_uidplus() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the server cannot name single messages for that",
    )
    .with_code("imap/no-uidplus")
    .with_scope(Scope::Message)
}

#[derive(Default)]
struct Moved {
    /// UIDs that were there before.
    there: HashSet<u32>,
    /// Their new ids.
    new: HashMap<u32, MessageId>,
    /// Copied, but the old one could not be removed.
    kept: HashSet<u32>,
    /// Sent along when the connection was lost.
    doubtful: HashSet<u32>,
    refusal: Option<Error>,
    lost: Option<Error>,
}

impl Moved {
    async fn part(&mut self, updating: &mut Updating, set: &UidSet, to: &FolderId) -> Result<()> {
        let name = session::mailbox(to)?;
        let moves = updating.lease.can().has("MOVE");
        self.there.extend(updating.flags(set).await?.into_keys());
        let tag = updating
            .send(|encoder, tag| match moves {
                true => encoder.uid_move(tag, set, &name),
                false => encoder.uid_copy(tag, set, &name),
            })
            .await?;
        let mut copied = Vec::new();
        let note = |response| {
            // MOVE names the new UIDs before it removes the old ones (RFC 6851 §4.3).
            if let Response::Status(status) = response {
                copied.extend(copy_uid(&status, set));
            }
        };
        for status in updating.finish(&[tag], note).await? {
            copied.extend(copy_uid(&status, set));
            if status.kind != StatusKind::Ok {
                let doing = Doing::message(if moves { "MOVE" } else { "COPY" });
                self.refusal = Some(error::refused(doing, &status));
            }
        }
        let old: UidSet = copied.iter().map(|(uid, _)| *uid).collect();
        self.new.extend(copied);
        if !moves && !old.is_empty() {
            // Until it is shown to be gone, the old one counts as still there.
            self.kept.extend(old.iter());
            let left = remove_set(updating, &old).await?;
            self.kept
                .retain(|uid| left.contains(uid) || !old.contains(*uid));
        }
        Ok(())
    }

    fn outcome(&mut self, uid: u32, id: &MessageId) -> Outcome {
        if let Some(new) = self.new.remove(&uid) {
            let mut receipt = Receipt::new(Some(new));
            if self.kept.contains(&uid) {
                let detail = "the old one could not be removed";
                receipt
                    .altered
                    .push(Alteration::new(AlterationKind::OldPlaceKept, detail));
            }
            return Outcome::Stored(receipt);
        }
        if self.doubtful.contains(&uid) {
            return self
                .lost
                .as_ref()
                .map_or_else(|| Outcome::NotStored(vanished(id)), unknown);
        }
        match (&self.lost, &self.refusal) {
            (Some(error), _) if !self.there.contains(&uid) => not_stored(error),
            _ if !self.there.contains(&uid) => Outcome::NotStored(vanished(id)),
            (_, Some(error)) if error.kind() != ErrorKind::Unavailable => not_stored(error),
            (_, Some(error)) => unknown(error),
            // It was there, OK came, and nothing says where it is now.
            _ => Outcome::Unknown(error::unexpected(
                "the server does not say where the message went",
            )),
        }
    }
}

/// Old UIDs with the new ids that COPYUID gives them; nothing if it doesn't fit what was asked.
pub(super) fn copy_uid(status: &Status, asked: &UidSet) -> Vec<(u32, MessageId)> {
    let Some(Code::CopyUid {
        validity,
        source,
        destination,
    }) = &status.code
    else {
        return Vec::new();
    };
    if source.count() != destination.count() || source.count() > asked.count() {
        return Vec::new();
    }
    source
        .iter()
        .zip(destination.iter())
        .map(|(old, new)| (old, ids::message_id(*validity, new)))
        .collect()
}

// ---- removal -----------------------------------------------------------------------------------

pub(super) async fn remove(inner: &Arc<Inner>, folder: &FolderId, ids: Vec<MessageId>, out: &Out) {
    let ids = unique(ids);
    let begun = async {
        let mut updating = Updating::open(inner, folder).await?;
        if !updating.lease.can().has("UIDPLUS") {
            return Err(no_uidplus());
        }
        let uids = known_uids(&ids, updating.opened.validity, folder)?;
        let set: UidSet = uids.iter().copied().collect();
        let there: HashSet<u32> = updating.flags(&set).await?.into_keys().collect();
        Ok((updating, uids, there))
    };
    let (mut updating, uids, there) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            return out
                .send_all(ids.into_iter().map(|id| (id, not_stored(&error))))
                .await;
        }
    };
    let set: UidSet = there.iter().copied().collect();
    let left = remove_set(&mut updating, &set).await;
    let outcome = |uid: &u32, id: &MessageId| match &left {
        _ if !there.contains(uid) => Outcome::NotStored(vanished(id)),
        Err(error) => unknown(error),
        Ok(left) if left.contains(uid) => Outcome::NotStored(
            Error::new(ErrorKind::Refused, "the server did not remove the message")
                .with_code("imap/not-removed")
                .with_context("message", ids::describe(id)),
        ),
        Ok(_) => Outcome::Stored(Receipt::new(Some(id.clone()))),
    };
    let results: Vec<_> = uids
        .iter()
        .zip(ids)
        .map(|(uid, id)| {
            let outcome = outcome(uid, &id);
            (id, outcome)
        })
        .collect();
    out.send_all(results).await;
}

/// Marks these `\Deleted` and expunges exactly these; gives those that are still there.
async fn remove_set(updating: &mut Updating, set: &UidSet) -> Result<HashSet<u32>> {
    let mut deleted = FlagSet::new();
    deleted.insert(SystemFlag::Deleted);
    let mut tags = Vec::new();
    for part in updating.lease.parts(set) {
        tags.push(updating.store(&part, StoreMode::Add, &deleted).await?);
        tags.push(
            updating
                .send(|encoder, tag| encoder.uid_expunge(tag, &part))
                .await?,
        );
    }
    updating.finish(&tags, |_| {}).await?;
    let left: HashSet<u32> = updating.flags(set).await?.into_keys().collect();
    if !left.is_empty() {
        // Not to be expunged by the next client that tidies up.
        let set: UidSet = left.iter().copied().collect();
        let mut tags = Vec::new();
        for part in updating.lease.parts(&set) {
            tags.push(updating.store(&part, StoreMode::Remove, &deleted).await?);
        }
        updating.finish(&tags, |_| {}).await?;
    }
    Ok(left)
}
