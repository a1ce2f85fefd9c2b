//! Storing messages: what must not happen.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::{StreamExt as _, future::try_join_all};
use mailmove_core::{
    Destination as _, Error, ErrorKind,
    destination::{Batch, Fence, NoFence, Outcome, Outgoing},
    model::{CompactText, FolderPath},
};

use super::super::{
    Disturbance,
    context::{
        Check, Context, append, append_batch, check, check_eq, letter, letters, made, outgoing,
        receipt, same_in_order, store,
    },
};
use crate::{
    corpus::{Corpus, CorpusMessage, Kind},
    snapshot::Compare,
};

/// Mail whose lines are commands, with flags that a careless adapter sends unquoted, among other
/// mail: if one line of it ran, something else would be different now.
pub(super) async fn commands(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let victim = FolderPath::new(["Victim"]);
    context.create(&victim).await?;
    context.fill(&inbox, &letters(3)).await?;
    context.fill(&victim, &letters(3)).await?;
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &FolderPath::new(["Poisoned"])).await?;
    let mut expected = context.dump().await?;
    let poison = super::poison::poison(&context)?;
    let odd: Vec<String> = Corpus::ugly()
        .find(|m| m.kind == Kind::OddKeywords)
        .map(|m| m.flags)
        .unwrap_or_default();
    let mut messages = vec![letter(1)];
    // One keyword after the other, each new to the folder; then all at once.
    for keyword in &odd {
        messages.push(
            poison
                .clone()
                .with_flags([keyword, "\\Seen"].map(String::from)),
        );
    }
    messages.push(poison.clone().with_flags(odd));
    messages.push(letter(2));
    let receipts = store(&context, destination.as_ref(), &folder, &messages).await?;
    let dump = context.dump().await?;
    let wanted: Vec<_> = messages.iter().zip(receipts.iter().map(Some)).collect();
    same_in_order(&context, &wanted, dump.messages(&folder.path))?;
    let poisoned = dump.folders.get(&folder.path).cloned().unwrap_or_default();
    expected.folders.insert(folder.path, poisoned);
    Ok(Compare::all().diff(&expected, &dump).none()?)
}

/// A batch with one message too many is the caller's fault. An adapter may say so, or cope; what it
/// says must be certain, and true.
pub(super) async fn oversized(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let limits = context.can()?.batching;
    let items: Vec<Outgoing> = letters(limits.max_items + 1).iter().map(outgoing).collect();
    let mut stored = 0;
    for outcome in append(destination.as_ref(), &folder, items).await? {
        match outcome {
            Outcome::Stored(_) => stored += 1,
            Outcome::NotStored(error)
                if matches!(error.kind(), ErrorKind::Bug | ErrorKind::Config) => {}
            other => return Err(format!("a batch that is too large: {other:?}").into()),
        }
    }
    let there = context.dump().await?.messages(&inbox).len();
    check_eq!(there, stored, "messages");
    Ok(())
}

/// One message that is refused costs that one.
pub(super) async fn too_large(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let most = context.can()?.max_message.unwrap_or_default();
    let large = Corpus::huge(usize::try_from(most).unwrap_or(0) + 1);
    for (message, fits) in [(&letter(0), true), (&large, false), (&letter(1), true)] {
        let outcomes = append(destination.as_ref(), &folder, vec![outgoing(message)]).await?;
        match &outcomes[0] {
            Outcome::Stored(_) if fits => {}
            Outcome::NotStored(error) if !fits => {
                check_eq!(error.kind(), ErrorKind::TooLarge, "kind of the refusal");
                let scope = mailmove_core::Scope::Message;
                check_eq!(error.scope(), scope, "scope of the refusal");
            }
            other => return Err(format!("{message:?}: {other:?}").into()),
        }
    }
    let dump = context.dump().await?;
    check_eq!(dump.messages(&inbox).len(), 2, "messages");
    Ok(())
}

/// Nothing may be reported stored that is not, when each of them is refused for that reason.
async fn all_refused(context: &Context, disturbance: Disturbance, kinds: &[ErrorKind]) -> Check {
    let path = FolderPath::new(["Closed"]);
    context.create(&path).await?;
    context.fill(&path, &letters(1)).await?;
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &path).await?;
    context.disturb(&path, disturbance).await?;
    let count = context.can()?.batching.max_items.min(3);
    for count in [1, count] {
        let items: Vec<Outgoing> = letters(count).iter().map(outgoing).collect();
        for outcome in append(destination.as_ref(), &folder, items).await? {
            check!(
                matches!(&outcome, Outcome::NotStored(e) if kinds.contains(&e.kind())),
                "must be refused with one of {kinds:?}: {outcome:?}"
            );
        }
    }
    check_eq!(context.dump().await?.messages(&path).len(), 1, "messages");
    Ok(())
}

pub(super) async fn full(context: Context) -> Check {
    all_refused(&context, Disturbance::Full, &[ErrorKind::Quota]).await
}

/// A batch of which only a part fits: what is told is true, and nothing is left in doubt.
pub(super) async fn until_full(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    let room = Disturbance::RoomFor { messages: 2 };
    context.disturb(&inbox, room).await?;
    let limits = context.can()?.batching;
    let mut stored = 0;
    // The second batch finds room where the first one was too large as a whole.
    for count in [limits.max_items.min(5), 1, 1, 1] {
        let items: Vec<Outgoing> = letters(count).iter().map(outgoing).collect();
        for outcome in append(destination.as_ref(), &folder, items).await? {
            match outcome {
                Outcome::Stored(_) => stored += 1,
                Outcome::NotStored(error) if error.kind() == ErrorKind::Quota => {}
                other => return Err(format!("neither stored nor full: {other:?}").into()),
            }
        }
        check_eq!(
            context.dump().await?.messages(&inbox).len(),
            stored,
            "messages"
        );
    }
    check_eq!(stored, 2, "messages that fit");
    Ok(())
}

pub(super) async fn read_only(context: Context) -> Check {
    let kinds = [ErrorKind::Denied, ErrorKind::Refused];
    all_refused(&context, Disturbance::ReadOnly, &kinds).await
}

pub(super) async fn missing_folder(context: Context) -> Check {
    let path = FolderPath::new(["Doomed"]);
    context.create(&path).await?;
    let destination = context.destination().await?;
    let folder = made(destination.as_ref(), &path).await?;
    context.disturb(&path, Disturbance::Delete).await?;
    let outcomes = append(destination.as_ref(), &folder, vec![outgoing(&letter(0))]).await?;
    check!(
        matches!(&outcomes[0], Outcome::NotStored(e)
            if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Stale)),
        "the folder is gone: {:?}",
        outcomes[0]
    );
    let dump = context.dump().await?;
    check!(
        !dump.folders.contains_key(&path),
        "an append makes no folder"
    );
    Ok(())
}

/// A folder numbered anew since the batch was recorded takes nothing of it.
pub(super) async fn stale(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let mut folder = made(destination.as_ref(), &inbox).await?;
    let good = folder.mark.clone();
    if let Some(mark) = &mut folder.mark {
        if mark.epoch.as_str().is_empty() {
            return Err(super::super::Stop::Ignored("it knows no epochs".to_owned()));
        }
        mark.epoch = CompactText::new("of another time");
    }
    let count = context.can()?.batching.max_items.min(3);
    let items: Vec<Outgoing> = letters(count).iter().map(outgoing).collect();
    for outcome in append(destination.as_ref(), &folder, items).await? {
        check!(
            matches!(&outcome, Outcome::NotStored(e) if e.kind() == ErrorKind::Stale),
            "a mark of another epoch: {outcome:?}"
        );
    }
    check_eq!(context.dump().await?.messages(&inbox).len(), 0, "messages");
    folder.mark = good;
    let outcomes = append(destination.as_ref(), &folder, vec![outgoing(&letter(0))]).await?;
    receipt(&outcomes[0], "with the right mark, a letter")?;
    Ok(())
}

/// Lets so many questions pass.
#[derive(Debug)]
struct Gate {
    passes: usize,
    asked: AtomicUsize,
}

impl Gate {
    fn new(passes: usize) -> Arc<Self> {
        let asked = AtomicUsize::new(0);
        Arc::new(Self { passes, asked })
    }
}

impl Fence for Gate {
    fn check(&self) -> mailmove_core::Result<()> {
        if self.asked.fetch_add(1, Ordering::SeqCst) < self.passes {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Locked, "another process took over"))
        }
    }
}

pub(super) async fn fenced(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let mark = folder.mark.clone().ok_or("no mark")?;
    let count = context.can()?.batching.max_items.min(4);
    let items: Vec<Outgoing> = letters(count).iter().map(outgoing).collect();
    let closed = Gate::new(0);
    let batch = Batch::new(
        folder.id.clone(),
        mark.clone(),
        items.clone(),
        closed.clone(),
    );
    for outcome in append_batch(destination.as_ref(), batch).await? {
        check!(
            matches!(&outcome, Outcome::NotStored(e) if e.kind() == ErrorKind::Locked),
            "the fence's own objection must be told: {outcome:?}"
        );
    }
    check!(
        closed.asked.load(Ordering::SeqCst) > 0,
        "the fence was never asked"
    );
    check_eq!(context.dump().await?.messages(&inbox).len(), 0, "messages");
    let open = Gate::new(usize::MAX);
    let batch = Batch::new(folder.id, mark, items, open.clone());
    for outcome in append_batch(destination.as_ref(), batch).await? {
        receipt(&outcome, "behind an open fence, a letter")?;
    }
    check!(
        open.asked.load(Ordering::SeqCst) > 0,
        "the fence was never asked"
    );
    check_eq!(
        context.dump().await?.messages(&inbox).len(),
        count,
        "messages"
    );
    Ok(())
}

/// A fence that closes between two requests: what was sent is stored, the rest is not.
pub(super) async fn fenced_midway(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let mark = folder.mark.clone().ok_or("no mark")?;
    let items: Vec<Outgoing> = letters(context.can()?.batching.max_items.min(6))
        .iter()
        .map(outgoing)
        .collect();
    let batch = Batch::new(folder.id, mark, items, Gate::new(1));
    let outcomes = append_batch(destination.as_ref(), batch).await?;
    let stored = outcomes
        .iter()
        .filter(|o| matches!(o, Outcome::Stored(_)))
        .count();
    let refused = |o: &&Outcome| matches!(o, Outcome::NotStored(_));
    check_eq!(
        outcomes.iter().filter(refused).count() + stored,
        outcomes.len(),
        "outcomes that are certain"
    );
    check!(
        stored > 0,
        "the first request passed the fence: {outcomes:?}"
    );
    check_eq!(
        context.dump().await?.messages(&inbox).len(),
        stored,
        "messages"
    );
    Ok(())
}

/// A dropped stream leaves an unknown outcome, but an adapter that works and nothing doubled.
pub(super) async fn dropped(context: Context) -> Check {
    let destination = context.destination().await?;
    let limits = context.can()?.batching;
    let count = limits.max_items.min(8);
    for polled in 0..3 {
        let path = FolderPath::new([format!("Dropped {polled}")]);
        let folder = made(destination.as_ref(), &path).await?;
        let mark = folder.mark.clone().ok_or("no mark")?;
        let items: Vec<Outgoing> = letters(count).iter().map(outgoing).collect();
        let batch = Batch::new(folder.id.clone(), mark, items, Arc::new(NoFence));
        let mut answers = destination.append(batch);
        let mut stored = 0;
        for _ in 0..polled.min(count) {
            let (_, outcome) = answers.next().await.ok_or("the stream ended early")?;
            receipt(&outcome, "a letter")?;
            stored += 1;
        }
        drop(answers);
        let other = FolderPath::new([format!("After {polled}")]);
        let after = made(destination.as_ref(), &other).await?;
        let after_it = [letter(100)];
        store(&context, destination.as_ref(), &after, &after_it).await?;
        let dump = context.dump().await?;
        check_eq!(dump.messages(&other).len(), 1, "messages stored afterwards");
        let there = dump.messages(&path);
        check!(
            (stored..=count).contains(&there.len()),
            "{} messages of {count}, {stored} of them confirmed",
            there.len()
        );
        let mut digests: Vec<_> = there.iter().map(|m| m.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        check_eq!(digests.len(), there.len(), "messages that are there once");
        if polled == 0 {
            check!(there.is_empty(), "nothing is sent before the first poll");
        }
    }
    Ok(())
}

/// Appends into several folders at once, and looks between them.
pub(super) async fn concurrent(context: Context) -> Check {
    let destination = context.destination().await?;
    let mut all: Vec<(FolderPath, Vec<CorpusMessage>)> = Vec::new();
    for number in 0..5 {
        let messages = (0..20).map(|n| letter(number * 1000 + n)).collect();
        all.push((FolderPath::new([format!("F{number}")]), messages));
    }
    let work = all.iter().map(|(path, messages)| {
        let (context, destination) = (&context, destination.as_ref());
        async move {
            let folder = made(destination, path).await?;
            store(context, destination, &folder, messages).await?;
            destination.folders().await?;
            destination.mark(&folder.id).await?;
            Ok::<_, super::super::Stop>(())
        }
    });
    try_join_all(work).await?;
    let dump = context.dump().await?;
    for (path, messages) in &all {
        let wanted: Vec<_> = messages.iter().map(|m| (m, None)).collect();
        if context.can()?.keeps_received {
            same_in_order(&context, &wanted, dump.messages(path))?;
        }
        check_eq!(
            dump.messages(path).len(),
            messages.len(),
            "messages in {path:?}"
        );
    }
    Ok(())
}
