//! Fetching contents, and being a good guest.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt as _, future::try_join_all};
use mailmove_core::{
    Edges, ErrorKind, Source as _,
    edge::{MemoryBudget, Spool},
    model::{CompactText, ContentDigest, FolderPath, Form, MessageId},
    source::{FetchRequest, Fetched, ListRequest},
};

use super::{
    super::{
        Disturbance, Taken,
        context::{
            Check, Context, Stop, check, check_eq, content, fetch, label, letters, list, read,
            seen, source_folder,
        },
    },
    list::letter_inbox,
};
use crate::{
    corpus::{Corpus, CorpusMessage},
    snapshot::{Compare, Snapshot},
};

/// What is fetched is, byte for byte, what the back door sees.
pub(super) async fn every_kind(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let ugly = Corpus::ugly().filter(|m| context.keeps(m).taken == Taken::Yes);
    let ugly: Vec<CorpusMessage> = ugly.collect();
    context.fill(&inbox, &ugly).await?;
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &inbox).await?;
    let mut found = seen(source.as_ref(), &folder).await?;
    let mut expected = Snapshot::new();
    let mut dump = context.dump().await?;
    label(&mut dump, &ugly);
    label(&mut found, &ugly);
    expected.folders.insert(
        inbox.clone(),
        dump.folders.remove(&inbox).unwrap_or_default(),
    );
    Ok(Compare::messages().diff(&expected, &found).none()?)
}

pub(super) async fn any_order(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 40).await?;
    let mut ids = list(source.as_ref(), ListRequest::new(&folder))
        .await?
        .ids();
    let dump = context.dump().await?;
    let digests: Vec<ContentDigest> = dump
        .messages(&folder.path)
        .iter()
        .map(|m| m.digest)
        .collect();
    let wanted: BTreeMap<_, _> = ids.iter().cloned().zip(digests).collect();
    // Backwards, with gaps, and one alone.
    ids.reverse();
    let gaps: Vec<_> = ids.iter().step_by(3).cloned().collect();
    let alone = vec![ids[7].clone()];
    for request in [ids, gaps, alone] {
        let fetched = fetch(source.as_ref(), &folder, &request).await?;
        for (id, fetched) in &fetched {
            let digest = content(Some(fetched))?.digest();
            check_eq!(
                Some(&digest),
                wanted.get(id),
                "digest of {}",
                source.describe(id)
            );
        }
    }
    let none = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), Vec::new());
    check_eq!(
        source.fetch(none).count().await,
        0,
        "answers to a request for nothing"
    );
    Ok(())
}

pub(super) async fn vanished(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 5).await?;
    let ids = list(source.as_ref(), ListRequest::new(&folder))
        .await?
        .ids();
    let removal = Disturbance::Expunge { message: 2 };
    context.disturb(&folder.path, removal).await?;
    let fetched = fetch(source.as_ref(), &folder, &ids).await?;
    for (place, id) in ids.iter().enumerate() {
        let found = fetched.get(id);
        if place == 2 {
            check!(
                matches!(found, Some(Fetched::Vanished)),
                "an expunged message has vanished: {found:?}"
            );
        } else {
            content(found)?;
        }
    }
    let alone = fetch(source.as_ref(), &folder, &ids[2..3]).await?;
    let all_gone = alone.values().all(|f| matches!(f, Fetched::Vanished));
    check!(all_gone, "asked for alone, it has vanished too: {alone:?}");
    Ok(())
}

pub(super) async fn stale(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 3).await?;
    let ids = list(source.as_ref(), ListRequest::new(&folder))
        .await?
        .ids();
    let mut wrong = folder.clone();
    wrong.identity = CompactText::new("of another time");
    all_stale(&fetch(source.as_ref(), &wrong, &ids).await?)?;
    match context.disturb(&folder.path, Disturbance::Renumber).await {
        Ok(()) => all_stale(&fetch(source.as_ref(), &folder, &ids).await?),
        // The first half of the trial was passed all the same.
        Err(Stop::Ignored(_)) => Ok(()),
        failed => failed,
    }
}

fn all_stale(fetched: &HashMap<MessageId, Fetched>) -> Check {
    for (id, fetched) in fetched {
        check!(
            matches!(fetched, Fetched::Failed(e) if e.kind() == ErrorKind::Stale),
            "{id:?} of another numbering: {fetched:?}"
        );
    }
    Ok(())
}

/// A message far larger than the memory budget goes through a file, whole.
pub(super) async fn huge(mut context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let huge = Corpus::huge(context.harness.huge());
    if context.keeps(&huge).taken != Taken::Yes {
        return Err(Stop::Ignored("the server takes no such message".to_owned()));
    }
    let budget = MemoryBudget::new(2 << 20);
    let spool = Spool::new(std::env::temp_dir(), budget.clone());
    context.edges = Edges::new().with_spool(spool);
    context
        .fill(&inbox, &[letters(1), vec![huge]].concat())
        .await?;
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &inbox).await?;
    let dump = context.dump().await?;
    let wanted = dump
        .messages(&inbox)
        .get(1)
        .ok_or("the huge message is not there")?;
    for inline in [None, Some(Form::Mime)] {
        let request = ListRequest::new(&folder).with_inline(inline);
        let listing = list(source.as_ref(), request).await?;
        let item = listing
            .items
            .get(1)
            .ok_or("the huge message is not listed")?;
        let fetched = fetch(source.as_ref(), &folder, std::slice::from_ref(&item.id)).await?;
        let fetched = content(fetched.get(&item.id))?.clone();
        for huge in item.content.iter().chain([&fetched]) {
            check_eq!(huge.size(), wanted.size, "size of the huge message");
            check_eq!(huge.digest(), wanted.digest, "its digest");
            check!(huge.as_bytes().is_none(), "it must not be in memory");
            let prefix = huge.prefix(6).await?;
            check_eq!(prefix.as_ref(), b"Return", "its first bytes");
        }
    }
    check!(
        budget.peak() <= budget.limit(),
        "{} bytes of {} were in memory",
        budget.peak(),
        budget.limit()
    );
    check_eq!(
        budget.used(),
        0,
        "bytes in use when all contents are dropped"
    );
    Ok(())
}

pub(super) async fn dropped(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 120).await?;
    let ids = list(source.as_ref(), ListRequest::new(&folder))
        .await?
        .ids();
    for polled in [0, 1, 60] {
        let identity = folder.identity.as_str();
        let request = FetchRequest::new(folder.id.clone(), identity, ids.clone());
        let mut answers = source.fetch(request);
        for _ in 0..polled {
            answers.next().await.ok_or("the stream ended early")?;
        }
        drop(answers);
        let after = fetch(source.as_ref(), &folder, &ids[..10]).await?;
        for id in &ids[..10] {
            read(content(after.get(id))?).await?;
        }
    }
    Ok(())
}

/// Listings and fetches of several folders at once do not get in each other's way.
pub(super) async fn concurrent(context: Context) -> Check {
    let paths: Vec<FolderPath> = (0..6).map(|n| FolderPath::new([format!("F{n}")])).collect();
    for (number, path) in paths.iter().enumerate() {
        context.create(path).await?;
        context.fill(path, &letters(10 + number)).await?;
    }
    let source = context.source().await?;
    let folders = source.folders().await?;
    // Each folder twice: two streams may want the same one.
    let looks = folders
        .iter()
        .chain(&folders)
        .map(|folder| seen(source.as_ref(), folder));
    let found = try_join_all(looks).await?;
    let dump = context.dump().await?;
    for snapshot in found {
        let compare = Compare::messages().with_folders(false);
        for path in snapshot.folders.keys() {
            let mut expected = Snapshot::new();
            let contents = dump.folders.get(path).cloned().unwrap_or_default();
            expected.folders.insert(path.clone(), contents);
            compare.diff(&expected, &snapshot).none()?;
        }
    }
    let seen_again = seen(
        source.as_ref(),
        &source_folder(source.as_ref(), &paths[3]).await?,
    )
    .await?;
    check_eq!(
        seen_again.len(),
        13,
        "messages in one folder, looked at alone"
    );
    Ok(())
}

/// No flag, no `\Seen`, no `\Recent`: after all that a source does, the server shows what it did
/// before.
pub(super) async fn unaltered(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let other = FolderPath::new(["Other"]);
    context.create(&other).await?;
    for (number, path) in [&inbox, &other].into_iter().enumerate() {
        let unread = letters(5);
        let read = letters(3)
            .into_iter()
            .map(|m| m.with_flags(["\\Seen", "$Work"]));
        context.fill(path, &unread).await?;
        context.fill(path, &read.collect::<Vec<_>>()).await?;
        context.fill(path, &letters(number)).await?;
    }
    let before = context.dump().await?;
    let source = context.source().await?;
    for _ in 0..2 {
        source.capabilities().await?;
        for folder in source.folders().await? {
            let request = ListRequest::new(&folder)
                .with_headers(true)
                .with_inline(Some(Form::Mime));
            let listing = list(source.as_ref(), request).await?;
            fetch(source.as_ref(), &folder, &listing.ids()).await?;
            let delta = ListRequest::new(&folder).with_since(Some(listing.last()?));
            list(source.as_ref(), delta).await?;
        }
    }
    drop(source);
    let after = context.dump().await?;
    Ok(Compare::untouched().diff(&before, &after).none()?)
}
