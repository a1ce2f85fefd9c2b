//! Listing a folder.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt as _;
use mailmove_core::{
    ErrorKind, Scope, Source,
    identity::HeaderDigest,
    model::{ContentDigest, Folder, FolderPath, Form},
    source::{Coverage, ListRequest},
};

use super::super::{
    Disturbance, Taken,
    context::{
        Check, Context, Stop, check, check_eq, content, fetch, label, letters, list, read, seen,
        source_folder,
    },
};
use crate::{
    corpus::{Corpus, CorpusMessage},
    snapshot::{Compare, MessageState, Snapshot},
};

pub(super) async fn empty(context: Context) -> Check {
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &FolderPath::inbox()).await?;
    let listing = list(source.as_ref(), ListRequest::new(&folder)).await?;
    check!(listing.items.is_empty(), "the folder is empty: {listing:?}");
    check_eq!(listing.coverage, [Coverage::Full], "coverage");
    check_eq!(listing.exists, Some(0), "what the server counts");
    Ok(())
}

pub(super) async fn full(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let (ugly, source, folder) = ugly_inbox(&context).await?;
    let mut dump = context.dump().await?;
    label(&mut dump, &ugly);
    let listing = list(source.as_ref(), ListRequest::new(&folder)).await?;
    check_eq!(listing.coverage.first(), Some(&Coverage::Full), "coverage");
    check_eq!(
        listing.exists,
        Some(ugly.len() as u64),
        "what the server counts"
    );
    check!(
        listing.flags.is_empty() && listing.removed.is_empty(),
        "a first listing knows no earlier one: {listing:?}"
    );
    // By flags and dates; the bytes are the business of fetching.
    let mut expected = Snapshot::new();
    expected.folders.insert(
        inbox.clone(),
        dump.folders.get(&inbox).cloned().unwrap_or_default(),
    );
    let mut found = Snapshot::new();
    for item in &listing.items {
        let received = item.received.ok_or("a message without received date")?;
        let mut message = MessageState::new(b"", item.flags.clone(), received);
        message.size = item.size.unwrap_or_default();
        found.folder_mut(&inbox).messages.push(message);
        check!(
            item.header.is_none(),
            "headers were not asked for, and cost something"
        );
    }
    let compare = Compare::messages().with_bytes(false);
    Ok(compare.diff(&expected, &found).none()?)
}

/// An inbox with one message of each kind that the server takes, large enough for some pages.
async fn ugly_inbox(
    context: &Context,
) -> Result<(Vec<CorpusMessage>, Arc<dyn Source>, Folder), Stop> {
    let inbox = FolderPath::inbox();
    let ugly = Corpus::ugly().filter(|m| context.keeps(m).taken == Taken::Yes);
    let ugly: Vec<CorpusMessage> = ugly.collect();
    context.fill(&inbox, &ugly).await?;
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &inbox).await?;
    Ok((ugly, source, folder))
}

/// An inbox with letters.
pub(super) async fn letter_inbox(
    context: &Context,
    count: usize,
) -> Result<(Arc<dyn Source>, Folder), Stop> {
    let inbox = FolderPath::inbox();
    context.fill(&inbox, &letters(count)).await?;
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &inbox).await?;
    Ok((source, folder))
}

/// After a crash, each page's cursor is a place to go on from: nothing is left out, nothing comes
/// twice.
pub(super) async fn resumes(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 600).await?;
    let whole = list(source.as_ref(), ListRequest::new(&folder)).await?;
    check_eq!(whole.items.len(), 600, "messages listed");
    let all = whole.ids();
    let last = whole.cursors.len() - 1;
    for (page, (listed, cursor)) in whole.cursors.iter().enumerate() {
        // A few pages tell as much as hundreds.
        if page > 3 && page + 2 < last {
            continue;
        }
        let request = ListRequest::new(&folder).with_since(Some(cursor.clone()));
        let rest = list(source.as_ref(), request).await?;
        match rest.coverage.first() {
            Some(Coverage::Full) => check_eq!(rest.ids(), all, "a full listing from page {page}"),
            Some(Coverage::Rest) if page == last => {
                return Err("the last page's cursor begins no rest".into());
            }
            _ => check_eq!(rest.ids(), all[*listed..], "what is left after page {page}"),
        }
        check_eq!(rest.exists, Some(600), "what the server counts");
        check!(rest.removed.is_empty(), "nothing was removed");
    }
    Ok(())
}

pub(super) async fn headers(context: Context) -> Check {
    let (ugly, source, folder) = ugly_inbox(&context).await?;
    let request = ListRequest::new(&folder).with_headers(true);
    let listing = list(source.as_ref(), request).await?;
    let fetched = fetch(source.as_ref(), &folder, &listing.ids()).await?;
    check_eq!(listing.items.len(), ugly.len(), "messages listed");
    let known: HashMap<ContentDigest, &CorpusMessage> = ugly
        .iter()
        .map(|message| (ContentDigest::of(&message.body), message))
        .collect();
    // A server that shows other bytes for some may also show other header fields for them.
    let munges = ugly.iter().any(|message| !context.keeps(message).header);
    let mut wrong = Vec::new();
    for item in &listing.items {
        let body = read(content(fetched.get(&item.id))?).await?;
        let message = known.get(&ContentDigest::of(&body));
        let excused = message.map_or(munges, |message| !context.keeps(message).header);
        if !excused && item.header != Some(HeaderDigest::of(&body)) {
            wrong.push(message.map_or("of unknown kind", |message| message.kind.name()));
        }
    }
    check!(
        wrong.is_empty(),
        "header digests are not those of the messages: {wrong:?}"
    );
    Ok(())
}

pub(super) async fn inline(context: Context) -> Check {
    let (ugly, source, folder) = ugly_inbox(&context).await?;
    let request = ListRequest::new(&folder).with_inline(Some(Form::Mime));
    let listing = list(source.as_ref(), request).await?;
    check_eq!(listing.items.len(), ugly.len(), "messages listed");
    let fetched = fetch(source.as_ref(), &folder, &listing.ids()).await?;
    let mut brought = 0;
    for item in &listing.items {
        let fetched = read(content(fetched.get(&item.id))?).await?;
        if let Some(inline) = &item.content {
            brought += 1;
            let inline = read(inline).await?;
            check!(
                inline == fetched,
                "{}: {} bytes in the listing, {} when fetched",
                source.describe(&item.id),
                inline.len(),
                fetched.len()
            );
        }
    }
    if brought == 0 {
        return Err(Stop::Ignored("it brings no contents along".to_owned()));
    }
    Ok(())
}

/// The listing must end with an error that says so, and with no page before it.
async fn refused(source: &dyn Source, request: ListRequest, kinds: &[ErrorKind]) -> Check {
    let pages: Vec<_> = source.list(request).collect().await;
    let first = pages.into_iter().next().ok_or("neither page nor error")?;
    match first {
        Ok(page) => Err(format!("a page came instead of an error: {page:?}").into()),
        Err(error) => {
            check!(
                kinds.contains(&error.kind()),
                "the error must be one of {kinds:?}: {error:?}"
            );
            check!(
                error.scope() <= Scope::Folder,
                "one folder's trouble must not stop the account: {error:?}"
            );
            Ok(())
        }
    }
}

pub(super) async fn stale(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 2).await?;
    let mut request = ListRequest::new(&folder);
    request.identity.push_str("-of-another-time");
    refused(source.as_ref(), request, &[ErrorKind::Stale]).await?;
    // And the adapter is usable after.
    let listing = list(source.as_ref(), ListRequest::new(&folder)).await?;
    check_eq!(listing.items.len(), 2, "messages listed afterwards");
    Ok(())
}

pub(super) async fn renumbered(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 3).await?;
    let first = list(source.as_ref(), ListRequest::new(&folder)).await?;
    context.disturb(&folder.path, Disturbance::Renumber).await?;
    for since in [None, Some(first.last()?)] {
        let request = ListRequest::new(&folder).with_since(since);
        refused(source.as_ref(), request, &[ErrorKind::Stale]).await?;
    }
    let now = source_folder(source.as_ref(), &folder.path).await?;
    check!(now.identity != folder.identity, "the identity must change");
    let listing = list(source.as_ref(), ListRequest::new(&now)).await?;
    check_eq!(listing.items.len(), 3, "messages listed afterwards");
    for id in listing.ids() {
        check!(
            !first.ids().contains(&id),
            "{id:?} named another message before"
        );
    }
    Ok(())
}

pub(super) async fn renamed(context: Context) -> Check {
    let (old, new) = (FolderPath::new(["Before"]), FolderPath::new(["After"]));
    context.create(&old).await?;
    context.fill(&old, &letters(2)).await?;
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &old).await?;
    list(source.as_ref(), ListRequest::new(&folder)).await?;
    let rename = Disturbance::Rename { to: new.clone() };
    context.disturb(&old, rename).await?;
    let now = source_folder(source.as_ref(), &new).await?;
    let listing = list(source.as_ref(), ListRequest::new(&now)).await?;
    check_eq!(listing.items.len(), 2, "messages under the new name");
    if now.id != folder.id {
        let kinds = [ErrorKind::NotFound, ErrorKind::Stale];
        refused(source.as_ref(), ListRequest::new(&folder), &kinds).await?;
    }
    // Another folder that takes the name is not the one that had it.
    context.create(&old).await?;
    context.fill(&old, &letters(1)).await?;
    let other = source_folder(source.as_ref(), &old).await?;
    check!(
        other.identity != folder.identity,
        "another folder, another identity"
    );
    Ok(())
}

pub(super) async fn deleted(context: Context) -> Check {
    let path = FolderPath::new(["Doomed"]);
    context.create(&path).await?;
    context.fill(&path, &letters(2)).await?;
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &path).await?;
    context.disturb(&path, Disturbance::Delete).await?;
    let kinds = [ErrorKind::NotFound, ErrorKind::Stale];
    refused(source.as_ref(), ListRequest::new(&folder), &kinds).await?;
    let inbox = source_folder(source.as_ref(), &FolderPath::inbox()).await?;
    list(source.as_ref(), ListRequest::new(&inbox)).await?;
    Ok(())
}

/// A stream dropped at any point leaves an adapter that works.
pub(super) async fn dropped(context: Context) -> Check {
    let (source, folder) = letter_inbox(&context, 300).await?;
    for polled in [0, 1, 2] {
        let request = ListRequest::new(&folder).with_inline(Some(Form::Mime));
        let mut pages = source.list(request);
        for _ in 0..polled {
            if let Some(page) = pages.next().await {
                page?;
            }
        }
        drop(pages);
        let now = seen(source.as_ref(), &folder).await?;
        check_eq!(now.len(), 300, "messages seen after dropping a listing");
    }
    Ok(())
}
