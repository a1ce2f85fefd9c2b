//! Changing what exists.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination, ErrorKind,
    destination::{Depth, FlagChange, Outcome, Probe, Updater},
    model::{Flags, Folder, FolderPath, MessageId},
    source::BoxStream,
};

use super::super::{
    Disturbance, Stop,
    context::{Check, Context, check, check_eq, existing, letters, made, receipt},
};
use crate::snapshot::Snapshot;

/// An inbox with letters, and their ids in order.
pub(super) async fn inbox(
    context: &Context,
    destination: &dyn Destination,
    count: usize,
) -> Result<(Folder, Vec<MessageId>), Stop> {
    let path = FolderPath::inbox();
    let letters = letters(count);
    context.fill(&path, &letters).await?;
    let folder = made(destination, &path).await?;
    let found = existing(destination, Probe::new(folder.id.clone(), Depth::Content)).await?;
    let by_digest: BTreeMap<_, _> = found.into_iter().map(|e| (e.digest, e.id)).collect();
    let ids: Option<Vec<MessageId>> = letters
        .iter()
        .map(|m| {
            let digest = mailmove_core::model::ContentDigest::of(&m.body);
            by_digest.get(&Some(digest)).cloned()
        })
        .collect();
    Ok((folder, ids.ok_or("a letter is not found")?))
}

pub(super) fn updater(destination: &dyn Destination) -> Result<&dyn Updater, Stop> {
    let updater = destination.updater();
    updater.ok_or_else(|| "an updater is claimed, but there is none".into())
}

/// The outcomes by id; each id comes back once.
pub(super) async fn answers(
    mut stream: BoxStream<(MessageId, Outcome)>,
    ids: &[MessageId],
) -> Result<BTreeMap<MessageId, Outcome>, Stop> {
    let mut out = BTreeMap::new();
    while let Some((id, outcome)) = stream.next().await {
        check!(ids.contains(&id), "{id:?} was not asked for");
        check!(out.insert(id, outcome).is_none(), "an id came back twice");
    }
    check_eq!(out.len(), ids.len(), "ids that came back");
    Ok(out)
}

pub(super) async fn claimed(context: Context) -> Check {
    let destination = context.destination().await?;
    let can = destination.capabilities().await?;
    let claimed = can.sets_flags || can.moves || can.removes || can.copies;
    check!(
        destination.updater().is_some() || !claimed,
        "the capabilities claim an updater, and there is none"
    );
    Ok(())
}

fn flags_of(dump: &Snapshot) -> Vec<String> {
    let messages = dump.messages(&FolderPath::inbox());
    messages.iter().map(|m| m.flags.to_string()).collect()
}

pub(super) async fn flags(context: Context) -> Check {
    let destination = context.destination().await?;
    let (folder, ids) = inbox(&context, destination.as_ref(), 4).await?;
    let before = Flags::parse("\\Flagged");
    let change = Disturbance::SetFlags {
        message: 2,
        flags: before,
    };
    context.disturb(&folder.path, change).await?;
    let (seen, none) = (Flags::parse("\\Seen \\Answered"), Flags::new());
    let changes = vec![
        FlagChange::new(ids[0].clone(), seen.clone(), none.clone()),
        FlagChange::new(ids[2].clone(), seen, Flags::parse("\\Flagged")),
        // Nothing to do is done too.
        FlagChange::new(ids[3].clone(), none, Flags::parse("\\Draft")),
    ];
    let asked = [ids[0].clone(), ids[2].clone(), ids[3].clone()];
    let stream = updater(destination.as_ref())?.set_flags(&folder.id, changes);
    let outcomes = answers(stream, &asked).await?;
    for (id, expected) in asked
        .iter()
        .zip(["\\Seen \\Answered", "\\Seen \\Answered", ""])
    {
        let receipt = receipt(&outcomes[id], "a change of flags")?;
        if let Some(now) = &receipt.flags {
            check_eq!(now.to_string(), expected, "flags that the server showed");
        }
    }
    let dump = context.dump().await?;
    let wanted = ["\\Seen \\Answered", "", "\\Seen \\Answered", ""];
    check_eq!(flags_of(&dump), wanted, "flags of all messages");
    Ok(())
}

/// OK to a change of nothing is no proof.
pub(super) fn not_found(outcome: &Outcome) -> Check {
    check!(
        matches!(outcome, Outcome::NotStored(e) if e.kind() == ErrorKind::NotFound),
        "a message that is gone is NotStored with NotFound: {outcome:?}"
    );
    Ok(())
}

pub(super) async fn missing(context: Context) -> Check {
    let destination = context.destination().await?;
    let (folder, ids) = inbox(&context, destination.as_ref(), 3).await?;
    let removal = Disturbance::Expunge { message: 1 };
    context.disturb(&folder.path, removal).await?;
    let seen = Flags::parse("\\Seen");
    let changes = ids
        .iter()
        .map(|id| FlagChange::new(id.clone(), seen.clone(), Flags::new()))
        .collect();
    let stream = updater(destination.as_ref())?.set_flags(&folder.id, changes);
    let outcomes = answers(stream, &ids).await?;
    not_found(&outcomes[&ids[1]])?;
    receipt(&outcomes[&ids[0]], "a change of flags")?;
    receipt(&outcomes[&ids[2]], "a change of flags")?;
    // Alone, too: a server says OK to that.
    let alone = vec![FlagChange::new(ids[1].clone(), seen, Flags::new())];
    let stream = updater(destination.as_ref())?.set_flags(&folder.id, alone);
    not_found(&answers(stream, &ids[1..2]).await?[&ids[1]])?;
    check_eq!(
        flags_of(&context.dump().await?),
        ["\\Seen", "\\Seen"],
        "flags"
    );
    Ok(())
}

pub(super) async fn moves(context: Context) -> Check {
    let destination = context.destination().await?;
    let (folder, ids) = inbox(&context, destination.as_ref(), 6).await?;
    let path = FolderPath::new(["Moved"]);
    let to = made(destination.as_ref(), &path).await?;
    let before = context.dump().await?;
    let moved = [ids[1].clone(), ids[4].clone(), ids[2].clone()];
    let stream = updater(destination.as_ref())?.relocate(&folder.id, moved.to_vec(), &to.id);
    let outcomes = answers(stream, &moved).await?;
    let after = context.dump().await?;
    let there = existing(
        destination.as_ref(),
        Probe::new(to.id.clone(), Depth::Content),
    )
    .await?;
    for (id, place) in moved.iter().zip([1, 4, 2]) {
        let receipt = receipt(&outcomes[id], "a move")?;
        let new = receipt.id.as_ref().ok_or("a move must name the new id")?;
        let digest = before.messages(&folder.path)[place].digest;
        let found = there.iter().find(|e| &e.id == new);
        check_eq!(
            found.and_then(|e| e.digest),
            Some(digest),
            "the message moved"
        );
        check!(
            after.messages(&path).iter().any(|m| m.digest == digest),
            "it is not in its new place"
        );
        check!(
            !after
                .messages(&folder.path)
                .iter()
                .any(|m| m.digest == digest),
            "it is still in its old place"
        );
    }
    check_eq!(after.messages(&folder.path).len(), 3, "messages that stay");
    check_eq!(after.messages(&path).len(), 3, "messages that moved");
    Ok(())
}

pub(super) async fn moves_missing(context: Context) -> Check {
    let destination = context.destination().await?;
    let (folder, ids) = inbox(&context, destination.as_ref(), 2).await?;
    let to = made(destination.as_ref(), &FolderPath::new(["Moved"])).await?;
    let removal = Disturbance::Expunge { message: 0 };
    context.disturb(&folder.path, removal).await?;
    let stream = updater(destination.as_ref())?.relocate(&folder.id, ids[..1].to_vec(), &to.id);
    not_found(&answers(stream, &ids[..1]).await?[&ids[0]])?;
    check_eq!(context.dump().await?.len(), 1, "messages in all");
    Ok(())
}

/// Also when others are marked as deleted: those belong to the user.
pub(super) async fn removes(context: Context) -> Check {
    let destination = context.destination().await?;
    let (folder, ids) = inbox(&context, destination.as_ref(), 5).await?;
    let deleted = Disturbance::SetFlags {
        message: 0,
        flags: Flags::parse("\\Deleted"),
    };
    context.disturb(&folder.path, deleted).await?;
    let before = context.dump().await?;
    let gone = [ids[3].clone(), ids[1].clone()];
    let stream = updater(destination.as_ref())?.remove(&folder.id, gone.to_vec());
    let outcomes = answers(stream, &gone).await?;
    for id in &gone {
        receipt(&outcomes[id], "a removal")?;
    }
    let mut expected = before;
    let messages = &mut expected.folder_mut(&folder.path).messages;
    messages.remove(3);
    messages.remove(1);
    Ok(expected.diff(&context.dump().await?).none()?)
}

pub(super) async fn removes_missing(context: Context) -> Check {
    let destination = context.destination().await?;
    let (folder, ids) = inbox(&context, destination.as_ref(), 2).await?;
    let removal = Disturbance::Expunge { message: 0 };
    context.disturb(&folder.path, removal).await?;
    let stream = updater(destination.as_ref())?.remove(&folder.id, ids[..1].to_vec());
    let outcomes = answers(stream, &ids[..1]).await?;
    // Gone is gone, whether or not the server can tell who did it.
    let done = matches!(&outcomes[&ids[0]], Outcome::Stored(_));
    if !done {
        not_found(&outcomes[&ids[0]])?;
    }
    check_eq!(context.dump().await?.len(), 1, "messages in all");
    Ok(())
}
