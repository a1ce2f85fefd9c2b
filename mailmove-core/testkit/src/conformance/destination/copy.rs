//! Copying what exists.

use mailmove_core::{
    Destination,
    destination::{Depth, Probe},
    model::{Flags, FolderPath, MessageId},
};

use super::super::{
    Disturbance, Stop,
    context::{Check, Context, check, check_eq, existing, made, receipt},
};
use super::update::{answers, inbox, not_found, updater};

/// Copies are what their originals are, which stay as they were; `to` may be the inbox itself.
async fn copied(context: &Context, to: &FolderPath) -> Result<(), Stop> {
    let destination = context.destination().await?;
    let can = destination.capabilities().await?;
    let (folder, ids) = inbox(context, destination.as_ref(), 6).await?;
    let flags = Flags::parse("\\Seen \\Flagged");
    for message in [1, 2] {
        let flags = flags.clone();
        let change = Disturbance::SetFlags { message, flags };
        context.disturb(&folder.path, change).await?;
    }
    let to = made(destination.as_ref(), to).await?;
    let mut expected = context.dump().await?;
    let places = [1, 4, 2];
    let asked: Vec<MessageId> = places.iter().map(|at| ids[*at].clone()).collect();
    let stream = updater(destination.as_ref())?.duplicate(&folder.id, asked.clone(), &to.id);
    let outcomes = answers(stream, &asked).await?;
    let probe = Probe::new(to.id.clone(), Depth::Content);
    let there = existing(destination.as_ref(), probe).await?;
    for (id, place) in asked.iter().zip(places) {
        let receipt = receipt(&outcomes[id], "a copy")?;
        let original = expected.messages(&folder.path)[place].clone();
        check!(
            receipt.id.is_some() || !can.returns_ids,
            "a copy must name the new id"
        );
        check!(
            receipt.id.as_ref() != Some(id),
            "a copy has an id of its own"
        );
        if let Some(new) = &receipt.id {
            let found = there.iter().find(|e| &e.id == new);
            let digest = found.and_then(|e| e.digest);
            check_eq!(digest, Some(original.digest), "the message copied");
        }
        if let Some(shown) = &receipt.flags {
            let wanted = if place == 4 {
                Flags::new()
            } else {
                flags.clone()
            };
            check_eq!(shown, &wanted, "flags that the original was seen to have");
        }
        expected.folder_mut(&to.path).messages.push(original);
    }
    Ok(expected.diff(&context.dump().await?).none()?)
}

pub(super) async fn copies(context: Context) -> Check {
    copied(&context, &FolderPath::new(["Copied"])).await
}

pub(super) async fn within(context: Context) -> Check {
    copied(&context, &FolderPath::inbox()).await
}

/// OK to a copy of nothing is no proof.
pub(super) async fn missing(context: Context) -> Check {
    let destination = context.destination().await?;
    let (folder, ids) = inbox(&context, destination.as_ref(), 3).await?;
    let to = made(destination.as_ref(), &FolderPath::new(["Copied"])).await?;
    let removal = Disturbance::Expunge { message: 1 };
    context.disturb(&folder.path, removal).await?;
    let stream = updater(destination.as_ref())?.duplicate(&folder.id, ids.clone(), &to.id);
    let outcomes = answers(stream, &ids).await?;
    not_found(&outcomes[&ids[1]])?;
    receipt(&outcomes[&ids[0]], "a copy")?;
    receipt(&outcomes[&ids[2]], "a copy")?;
    let alone = vec![ids[1].clone()];
    let stream = updater(destination.as_ref())?.duplicate(&folder.id, alone.clone(), &to.id);
    not_found(&answers(stream, &alone).await?[&ids[1]])?;
    check_eq!(context.dump().await?.len(), 4, "messages in all");
    Ok(())
}
