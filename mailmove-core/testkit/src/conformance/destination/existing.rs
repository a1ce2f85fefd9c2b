//! Looking at what exists.

use mailmove_core::{
    Destination as _, ErrorKind,
    destination::{Depth, Existing, Probe},
    identity::HeaderDigest,
    model::{CompactText, ContentDigest, FolderPath},
};

use futures_util::StreamExt as _;

use super::super::{
    Disturbance, Stop, Taken,
    context::{Check, Context, check, check_eq, existing, letter, letters, made, made_from, store},
};
use crate::{
    corpus::{Corpus, CorpusMessage},
    snapshot::Compare,
};

/// Each depth shows what it must of every kind.
pub(super) async fn depths(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let ugly = Corpus::ugly().filter(|m| {
        let keeps = context.keeps(m);
        keeps.taken == Taken::Yes && keeps.bytes && keeps.header
    });
    let ugly: Vec<CorpusMessage> = ugly.collect();
    context.fill(&inbox, &ugly).await?;
    let dump = context.dump().await?;
    let there = dump.messages(&inbox);
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    // Where bytes tell nothing, there is no other way to verify than by what messages mean.
    let by_meaning = !destination.capabilities().await?.keeps_bytes;
    for depth in [Depth::Ids, Depth::Meta, Depth::Header, Depth::Content] {
        let probe = Probe::new(folder.id.clone(), depth);
        let found = existing(destination.as_ref(), probe).await?;
        check_eq!(found.len(), there.len(), "messages at {depth:?}");
        let mut wrong = Vec::new();
        // Existing messages are enumerated in the folder's order.
        for ((message, there), found) in ugly.iter().zip(there).zip(&found) {
            let header = HeaderDigest::of(&message.body);
            let meta = found.flags == there.flags && found.received == Some(there.received);
            let good = (depth < Depth::Meta || meta)
                && (depth < Depth::Header || found.header == Some(header))
                && (depth < Depth::Content
                    || (found.digest == Some(there.digest) && found.size == Some(there.size)))
                && (depth < Depth::Content || found.meaning.is_some() == by_meaning);
            if !good {
                wrong.push(format!("{}: {found:?}, not {there:?}", message.kind));
            }
        }
        check!(wrong.is_empty(), "at {depth:?}:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

pub(super) async fn since(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    context.fill(&inbox, &letters(5)).await?;
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    let mark = folder.mark.clone();
    let probe = |since| Probe::new(folder.id.clone(), Depth::Content).with_since(since);
    let none = existing(destination.as_ref(), probe(mark.clone())).await?;
    check_eq!(none.len(), 0, "messages since a mark taken just now");
    context.fill(&inbox, &[letter(5)]).await?;
    store(
        &context,
        destination.as_ref(),
        &folder,
        &[letter(6), letter(7)],
    )
    .await?;
    let new = existing(destination.as_ref(), probe(mark)).await?;
    let mut digests: Vec<_> = new.iter().filter_map(made_from).collect();
    let mut wanted: Vec<_> = (5..8).map(|n| ContentDigest::of(&letter(n).body)).collect();
    digests.sort_unstable();
    wanted.sort_unstable();
    check_eq!(digests, wanted, "messages since the mark");
    let all = existing(destination.as_ref(), probe(None)).await?;
    check_eq!(all.len(), 8, "all messages");
    Ok(())
}

pub(super) async fn by_ids(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    context.fill(&inbox, &letters(10)).await?;
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    let probe = Probe::new(folder.id.clone(), Depth::Ids);
    let all = existing(destination.as_ref(), probe.clone()).await?;
    check_eq!(all.len(), 10, "all messages");
    let mut wanted: Vec<_> = all
        .iter()
        .skip(1)
        .step_by(3)
        .map(|e| e.id.clone())
        .collect();
    wanted.reverse();
    let probe = Probe::new(folder.id.clone(), Depth::Meta).with_ids(wanted.clone());
    let some = existing(destination.as_ref(), probe.clone()).await?;
    let mut found: Vec<_> = some.iter().map(|e| e.id.clone()).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    check_eq!(found, wanted, "messages asked for");
    check!(some.iter().all(|e| e.size.is_some()), "sizes at depth meta");
    // As far as they exist: what is gone is left out, and is no error. In which order they were told is not said.
    let removal = Disturbance::Expunge { message: 1 };
    context.disturb(&inbox, removal).await?;
    let ids = |all: &[Existing]| all.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
    let left = existing(destination.as_ref(), probe.with_ids(ids(&all))).await?;
    check_eq!(left.len(), all.len() - 1, "messages that are left");
    let whole = existing(
        destination.as_ref(),
        Probe::new(folder.id.clone(), Depth::Ids),
    )
    .await?;
    let (mut left, mut whole) = (ids(&left), ids(&whole));
    left.sort_unstable();
    whole.sort_unstable();
    check_eq!(left, whole, "messages that are left");
    let none = Probe::new(folder.id, Depth::Meta).with_ids(Vec::new());
    check_eq!(
        existing(destination.as_ref(), none).await?.len(),
        0,
        "no ids asked"
    );
    Ok(())
}

pub(super) async fn nothing(context: Context) -> Check {
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &FolderPath::inbox()).await?;
    for depth in [Depth::Ids, Depth::Meta, Depth::Header, Depth::Content] {
        let probe = Probe::new(folder.id.clone(), depth).with_since(folder.mark.clone());
        check_eq!(
            existing(destination.as_ref(), probe).await?.len(),
            0,
            "at {depth:?}"
        );
        let probe = Probe::new(folder.id.clone(), depth);
        check_eq!(
            existing(destination.as_ref(), probe).await?.len(),
            0,
            "at {depth:?}"
        );
    }
    Ok(())
}

pub(super) async fn stale(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    context.fill(&inbox, &letters(2)).await?;
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    let mark = folder.mark.clone().ok_or("no mark")?;
    if mark.epoch.as_str().is_empty() {
        return Err(Stop::Ignored("it knows no epochs".to_owned()));
    }
    let mut other = mark.clone();
    other.epoch = CompactText::new("of another time");
    let mut marks = vec![other];
    match context.disturb(&inbox, Disturbance::Renumber).await {
        Ok(()) => {
            let now = destination.mark(&folder.id).await?;
            check!(
                now.epoch != mark.epoch,
                "renumbered, the folder has a new epoch"
            );
            marks.push(mark);
        }
        Err(Stop::Ignored(_)) => {}
        Err(failed) => return Err(failed),
    }
    for mark in marks {
        let probe = Probe::new(folder.id.clone(), Depth::Ids).with_since(Some(mark));
        let pages: Vec<_> = destination.existing(probe).collect().await;
        let refused = |page: &mailmove_core::Result<Vec<_>>| {
            page.as_ref().is_err_and(|e| e.kind() == ErrorKind::Stale)
        };
        check!(
            pages.len() == 1 && pages.iter().all(refused),
            "a mark of another epoch: {pages:?}"
        );
    }
    Ok(())
}

/// Reading marks nothing as read.
pub(super) async fn unaltered(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    context.fill(&inbox, &letters(4)).await?;
    let before = context.dump().await?;
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    for depth in [Depth::Ids, Depth::Meta, Depth::Header, Depth::Content] {
        existing(destination.as_ref(), Probe::new(folder.id.clone(), depth)).await?;
    }
    destination.mark(&folder.id).await?;
    let after = context.dump().await?;
    Ok(Compare::all()
        .with_order(true)
        .diff(&before, &after)
        .none()?)
}

/// Whatever is stored after a mark was taken is found from it, also when the mark is old.
pub(super) async fn mark(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    let mut marks = Vec::new();
    for number in 0..4 {
        marks.push(destination.mark(&folder.id).await?);
        store(&context, destination.as_ref(), &folder, &[letter(number)]).await?;
        if number == 1 {
            // A removed message must not move the bound back.
            let removal = Disturbance::Expunge { message: 0 };
            match context.disturb(&inbox, removal).await {
                Ok(()) | Err(Stop::Ignored(_)) => {}
                Err(failed) => return Err(failed),
            }
        }
    }
    for (number, mark) in marks.iter().enumerate() {
        check_eq!(mark.epoch, marks[0].epoch, "epoch of one folder");
        let probe = Probe::new(folder.id.clone(), Depth::Content).with_since(Some(mark.clone()));
        let found = existing(destination.as_ref(), probe).await?;
        for later in number.max(1)..4 {
            let digest = ContentDigest::of(&letter(later).body);
            check!(
                found.iter().any(|e| made_from(e) == Some(digest)),
                "letter {later} is not found from mark {number}"
            );
        }
    }
    Ok(())
}
