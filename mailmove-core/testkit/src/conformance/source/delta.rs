//! Listing what changed.

use futures_util::StreamExt as _;
use mailmove_core::{
    model::Flags,
    source::{Coverage, ListRequest},
};

use super::{
    super::{
        Disturbance,
        context::{Check, Context, check, check_eq, letter, list},
    },
    list::letter_inbox,
};

/// With or without deltas, new mail is found from the last cursor.
pub(super) async fn new_mail(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 3).await?;
    let first = list(source.as_ref(), ListRequest::new(&folder)).await?;
    context.fill(&folder.path, &[letter(3), letter(4)]).await?;
    let request = ListRequest::new(&folder).with_since(Some(first.last()?));
    let second = list(source.as_ref(), request).await?;
    let known = first.ids();
    let new = second.ids().into_iter().filter(|id| !known.contains(id));
    check_eq!(new.count(), 2, "new messages");
    check_eq!(second.exists, Some(5), "what the server counts");
    match second.coverage.first() {
        Some(Coverage::Full) => check_eq!(second.items.len(), 5, "all messages"),
        _ => check_eq!(second.items.len(), 2, "only new messages"),
    }
    Ok(())
}

pub(super) async fn delta(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 6).await?;
    let first = list(source.as_ref(), ListRequest::new(&folder)).await?;
    let known = first.ids();
    let flags = Flags::parse("\\Seen \\Flagged");
    let change = Disturbance::SetFlags {
        message: 4,
        flags: flags.clone(),
    };
    context.disturb(&folder.path, change).await?;
    context.fill(&folder.path, &[letter(6)]).await?;
    let removal = Disturbance::Expunge { message: 1 };
    context.disturb(&folder.path, removal).await?;

    let request = ListRequest::new(&folder).with_since(Some(first.last()?));
    let second = list(source.as_ref(), request).await?;
    check_eq!(second.coverage.first(), Some(&Coverage::Delta), "coverage");
    let new = second.ids();
    check_eq!(new.len(), 1, "new messages");
    check!(!known.contains(&new[0]), "a new message has a new id");
    let changed: Vec<_> = second
        .flags
        .iter()
        .filter(|(id, _)| !new.contains(id))
        .collect();
    check_eq!(changed, [&(known[4].clone(), flags)], "changed flags");
    let removed: Vec<_> = second
        .removed
        .iter()
        .filter(|id| known.contains(id))
        .collect();
    check_eq!(removed, [&known[1]], "removed messages");
    check_eq!(second.exists, Some(6), "what the server counts");

    // From the new cursor on there is nothing more.
    let request = ListRequest::new(&folder).with_since(Some(second.last()?));
    let third = list(source.as_ref(), request).await?;
    check!(
        third.items.is_empty() && third.removed.is_empty() && third.flags.is_empty(),
        "nothing changed since: {third:?}"
    );
    check_eq!(third.exists, Some(6), "what the server counts");
    Ok(())
}

pub(super) async fn nothing(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 4).await?;
    let mut cursor = list(source.as_ref(), ListRequest::new(&folder))
        .await?
        .last()?;
    for _ in 0..3 {
        let request = ListRequest::new(&folder).with_since(Some(cursor));
        let delta = list(source.as_ref(), request).await?;
        check_eq!(delta.coverage.first(), Some(&Coverage::Delta), "coverage");
        check!(
            delta.items.is_empty() && delta.flags.is_empty() && delta.removed.is_empty(),
            "nothing changed: {delta:?}"
        );
        check_eq!(delta.exists, Some(4), "what the server counts");
        cursor = delta.last()?;
    }
    Ok(())
}

/// A delta whose cursor was not recorded comes again in full.
pub(super) async fn repeats(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 2).await?;
    let cursor = list(source.as_ref(), ListRequest::new(&folder))
        .await?
        .last()?;
    context.fill(&folder.path, &[letter(2)]).await?;
    let flags = Flags::parse("\\Answered");
    let change = Disturbance::SetFlags { message: 0, flags };
    context.disturb(&folder.path, change).await?;
    let request = ListRequest::new(&folder).with_since(Some(cursor));
    // Begun, then dropped: as if the process had died.
    let _ = source.list(request.clone()).next().await;
    let one = list(source.as_ref(), request.clone()).await?;
    let two = list(source.as_ref(), request).await?;
    check_eq!(one.ids().len(), 1, "new messages");
    check_eq!(two.ids(), one.ids(), "new messages when asked again");
    check_eq!(one.flags.len(), 1, "changed flags");
    check_eq!(two.flags, one.flags, "changed flags when asked again");
    Ok(())
}

/// An interrupted first listing, its rest, and then a delta: nothing that changed meanwhile is lost.
pub(super) async fn rest(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 600).await?;
    let mut pages = source.list(ListRequest::new(&folder));
    let first = pages.next().await.ok_or("no page")??;
    drop(pages);
    let listed = first.changes.len();
    let flags = Flags::parse("\\Flagged");
    // In what was listed already.
    let change = Disturbance::SetFlags {
        message: 0,
        flags: flags.clone(),
    };
    context.disturb(&folder.path, change).await?;
    context.fill(&folder.path, &[letter(600)]).await?;
    let request = ListRequest::new(&folder).with_since(Some(first.next));
    let rest = list(source.as_ref(), request).await?;
    let request = ListRequest::new(&folder).with_since(Some(rest.last()?));
    let delta = list(source.as_ref(), request).await?;
    let total = match rest.coverage.first() {
        Some(Coverage::Full) => rest.items.len() + delta.items.len(),
        _ => listed + rest.items.len() + delta.items.len(),
    };
    check_eq!(total, 601, "messages listed in all three parts");
    let told = rest
        .flags
        .iter()
        .chain(&delta.flags)
        .any(|(_, f)| *f == flags);
    let listed_again = rest.items.iter().any(|item| item.flags == flags);
    check!(told || listed_again, "the change of flags was lost");
    Ok(())
}
