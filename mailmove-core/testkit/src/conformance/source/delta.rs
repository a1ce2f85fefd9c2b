//! Listing what changed.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use mailmove_core::{
    Source,
    model::{Cursor, Flags, Folder, FolderPath, MessageId, Timestamp},
    source::{Change, Coverage, ListRequest},
};

use super::{
    super::{
        Disturbance,
        context::{Check, Context, check, check_eq, letter, list, source_folder},
    },
    list::letter_inbox,
};
use crate::corpus::Rng;

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
    let second = list(source.as_ref(), request).await?.after(&known);
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
    let first = list(source.as_ref(), ListRequest::new(&folder)).await?;
    let (known, cursor) = (first.ids(), first.last()?);
    context.fill(&folder.path, &[letter(2)]).await?;
    let flags = Flags::parse("\\Answered");
    let change = Disturbance::SetFlags { message: 0, flags };
    context.disturb(&folder.path, change).await?;
    let request = ListRequest::new(&folder).with_since(Some(cursor));
    // Begun, then dropped: as if the process had died.
    let _ = source.list(request.clone()).next().await;
    let one = list(source.as_ref(), request.clone()).await?.after(&known);
    let two = list(source.as_ref(), request).await?.after(&known);
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
    let items = first.changes.iter().filter_map(|change| match change {
        Change::Item(item) => Some(item.id.clone()),
        _ => None,
    });
    let mut known: Vec<MessageId> = items.collect();
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
    let rest = match rest.coverage.first() {
        Some(Coverage::Full) => rest,
        _ => rest.after(&known),
    };
    known.extend(rest.ids());
    let request = ListRequest::new(&folder).with_since(Some(rest.last()?));
    let delta = list(source.as_ref(), request).await?.after(&known);
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

/// A message moved to another folder is gone from the old one and new in the new one.
pub(super) async fn moves(context: Context) -> Check {
    let other = FolderPath::new(["Other"]);
    context.create(&other).await?;
    let (source, folder) = letter_inbox(&context, 3).await?;
    let target = source_folder(source.as_ref(), &other).await?;
    let first = list(source.as_ref(), ListRequest::new(&folder)).await?;
    let there = list(source.as_ref(), ListRequest::new(&target)).await?;
    let to = other.clone();
    context
        .disturb(&folder.path, Disturbance::Move { message: 1, to })
        .await?;
    let request = ListRequest::new(&folder).with_since(Some(first.last()?));
    let left = list(source.as_ref(), request).await?;
    check_eq!(
        left.removed,
        [first.ids()[1].clone()],
        "messages gone from the old folder"
    );
    check_eq!(
        left.exists,
        Some(2),
        "what the server counts in the old folder"
    );
    let request = ListRequest::new(&target).with_since(Some(there.last()?));
    let arrived = list(source.as_ref(), request).await?;
    check_eq!(arrived.items.len(), 1, "messages new in the other folder");
    check_eq!(
        arrived.exists,
        Some(1),
        "what the server counts in the other folder"
    );
    Ok(())
}

/// What the listings of a folder say so far.
#[derive(Default)]
struct Mirror {
    messages: BTreeMap<MessageId, (Flags, Option<Timestamp>)>,
    cursor: Option<Cursor>,
    /// Whether a listing came to its end, and so the mirror shows all there was.
    complete: bool,
}

impl Mirror {
    /// Takes over pages of a listing, only the first so many: then the process dies.
    async fn follow(&mut self, source: &dyn Source, folder: &Folder, most: usize) -> Check {
        let request = ListRequest::new(folder).with_since(self.cursor.clone());
        let mut pages = source.list(request);
        let mut first = true;
        self.complete = false;
        for _ in 0..most {
            let Some(page) = pages.next().await else {
                break;
            };
            let page = page?;
            if page.coverage == Coverage::Full && std::mem::take(&mut first) {
                self.messages.clear();
            }
            for change in page.changes {
                match change {
                    Change::Item(item) => {
                        self.messages.insert(item.id, (item.flags, item.received));
                    }
                    Change::Flags(id, flags) => {
                        if let Some(known) = self.messages.get_mut(&id) {
                            known.0 = flags;
                        }
                    }
                    Change::Removed(id) => {
                        self.messages.remove(&id);
                    }
                    _ => {}
                }
            }
            self.cursor = Some(page.next);
            // A rest says nothing of what was listed before it; a delta has to follow.
            self.complete = page.exists.is_some() && page.coverage != Coverage::Rest;
            if let (true, Some(exists)) = (self.complete, page.exists) {
                let have = self.messages.len() as u64;
                check_eq!(
                    have,
                    exists,
                    "messages known, against what the server counts"
                );
            }
        }
        Ok(())
    }

    fn shows(&self) -> Vec<(i64, String)> {
        let mut all: Vec<_> = self
            .messages
            .values()
            .map(|(flags, received)| (received.map_or(0, Timestamp::seconds), flags.to_string()))
            .collect();
        all.sort_unstable();
        all
    }
}

/// A folder that changes at random, followed by listings of which some are cut short: in the end
/// what was listed is what is there.
pub(super) async fn mirrors(context: Context) -> Check {
    let mut rng = Rng::new(2024, 0);
    let (source, folder) = letter_inbox(&context, 0).await?;
    let mut mirror = Mirror::default();
    let mut next = 0;
    let mut count = 0;
    for step in 0..30 {
        for _ in 0..rng.between(1, 4) {
            match rng.below(4) {
                0 if count > 0 => {
                    let message = rng.below(count);
                    let removal = Disturbance::Expunge { message };
                    context.disturb(&folder.path, removal).await?;
                    count -= 1;
                }
                1 if count > 0 => {
                    let message = rng.below(count);
                    let sets = ["", "\\Seen", "\\Flagged \\Seen", "\\Answered"];
                    let flags = Flags::parse(rng.pick::<&str>(&sets));
                    let change = Disturbance::SetFlags { message, flags };
                    context.disturb(&folder.path, change).await?;
                }
                _ => {
                    let new: Vec<_> = (next..next + rng.between(1, 9))
                        .map(|n| letter(n).with_received(date(n)))
                        .collect();
                    context.fill(&folder.path, &new).await?;
                    next += new.len();
                    count += new.len();
                }
            }
        }
        let pages = if rng.chance(400) { 1 } else { usize::MAX };
        mirror.follow(source.as_ref(), &folder, pages).await?;
        if mirror.complete {
            same(&context, &folder, &mirror, step).await?;
        }
    }
    for _ in 0..2 {
        mirror.follow(source.as_ref(), &folder, usize::MAX).await?;
    }
    check!(
        mirror.complete,
        "a listing that is not cut short must be complete"
    );
    same(&context, &folder, &mirror, 30).await
}

fn date(number: usize) -> Timestamp {
    Timestamp::new(1_500_000_000 + 1000 * i64::try_from(number).unwrap_or(0), 0)
}

async fn same(context: &Context, folder: &Folder, mirror: &Mirror, step: usize) -> Check {
    let dump = context.dump().await?;
    let messages = dump.messages(&folder.path).iter();
    let mut there: Vec<_> = messages
        .map(|m| (m.received.seconds(), m.flags.to_string()))
        .collect();
    there.sort_unstable();
    check_eq!(mirror.shows(), there, "dates and flags after step {step}");
    Ok(())
}
