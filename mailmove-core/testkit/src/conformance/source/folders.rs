//! Which folders there are.

use std::collections::BTreeSet;

use mailmove_core::{
    Destination as _, Source as _,
    model::{Flags, Folder, FolderPath, FolderSpec, Form, Role},
};

use super::super::{
    Disturbance, Done, Taken,
    context::{
        Check, Context, check, check_eq, label, letter, letters, same_in_order, source_folder,
    },
};
use crate::corpus::{Corpus, CorpusMessage};

/// The back door itself: what was put in is there, in its order.
pub(super) async fn back_door(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    let ugly = Corpus::ugly().filter(|m| context.keeps(m).taken == Taken::Yes);
    let ugly: Vec<CorpusMessage> = ugly.collect();
    context.fill(&inbox, &ugly).await?;
    context.fill(&inbox, &letters(2)).await?;
    let mut dump = context.dump().await?;
    label(&mut dump, &ugly);
    let letters = letters(2);
    let wanted: Vec<_> = ugly.iter().chain(&letters).map(|m| (m, None)).collect();
    same_in_order(&context, &wanted, dump.messages(&inbox))
}

pub(super) async fn describes_itself(context: Context) -> Check {
    let source = context.source().await?;
    let before = source.endpoint();
    let can = source.capabilities().await?;
    check!(can.concurrency >= 1, "concurrency is at least 1");
    check!(!can.system.is_empty(), "the system has a name");
    check!(can.forms.contains(&Form::Mime), "a mail source gives MIME");
    check_eq!(source.endpoint(), before, "endpoint after login");
    check!(!before.user.is_empty(), "an endpoint names its user");
    check_eq!(
        before.host,
        before.host.to_ascii_lowercase(),
        "host of the endpoint"
    );
    if let Some(destination) = context.account.destination(&context.edges).await? {
        check_eq!(
            destination.endpoint(),
            before,
            "endpoint as source and as destination"
        );
    }
    Ok(())
}

pub(super) async fn folders(context: Context) -> Check {
    let (work, deep) = (
        FolderPath::new(["Work"]),
        FolderPath::new(["Work", "2024", "May"]),
    );
    let deep = if context.separator().is_some() {
        deep
    } else {
        FolderPath::new(["Other"])
    };
    context.create(&work).await?;
    context.create(&deep).await?;
    context.fill(&work, &letters(3)).await?;
    let source = context.source().await?;
    let first = source.folders().await?;
    agree(&context, &first).await?;
    let counted = |path: &FolderPath| {
        first
            .iter()
            .find(|f| &f.path == path)
            .and_then(|f| f.messages)
    };
    for (path, count) in [(&work, 3), (&deep, 0)] {
        if let Some(found) = counted(path) {
            check_eq!(found, count, "messages in {path:?}");
        }
    }
    let identities: BTreeSet<_> = first
        .iter()
        .filter(|f| f.selectable)
        .map(|f| (&f.identity, &f.id))
        .collect();
    check_eq!(
        identities.len(),
        first.iter().filter(|f| f.selectable).count(),
        "different folders have different identities"
    );
    let again = source.folders().await?;
    for (one, two) in first.iter().zip(&again) {
        check_eq!(two.path, one.path, "order of folders on a second look");
        check_eq!(two.id, one.id, "id on a second look");
        check_eq!(two.identity, one.identity, "identity on a second look");
    }
    Ok(())
}

/// The adapter names exactly the folders that are there.
async fn agree(context: &Context, found: &[Folder]) -> Check {
    let selectable = found.iter().filter(|folder| folder.selectable);
    let mut named: Vec<FolderPath> = selectable.map(|folder| folder.path.clone()).collect();
    named.sort_unstable();
    let dump = context.dump().await?;
    let there: Vec<FolderPath> = dump.folders.keys().cloned().collect();
    check_eq!(named, there, "folders that hold messages");
    for folder in found {
        if let Some(contents) = dump.folders.get(&folder.path) {
            check_eq!(folder.role, contents.role, "role of {:?}", folder.path);
            check_eq!(
                folder.subscribed,
                contents.subscribed,
                "subscription of {:?}",
                folder.path
            );
        }
    }
    Ok(())
}

pub(super) async fn odd_names(context: Context) -> Check {
    let mut filled = Vec::new();
    for names in Corpus::odd_folder_names(context.separator()) {
        let path = FolderPath::new(names);
        let spec = FolderSpec::new(path.clone()).with_subscription(filled.len() % 2 == 0);
        if context.account.create(&spec).await? == Done::Yes {
            context.fill(&path, &[letter(filled.len())]).await?;
            filled.push(path);
        }
    }
    let source = context.source().await?;
    let found = source.folders().await?;
    agree(&context, &found).await?;
    // Each can also be opened by its id.
    let dump = context.dump().await?;
    for path in &filled {
        let folder = source_folder(source.as_ref(), path).await?;
        let seen = super::super::context::seen(source.as_ref(), &folder).await?;
        check_eq!(seen.messages(path).len(), 1, "messages in {path:?}");
        let same = seen.messages(path).iter().zip(dump.messages(path));
        for (seen, there) in same {
            check_eq!(seen.digest, there.digest, "the message in {path:?}");
        }
    }
    Ok(())
}

pub(super) async fn roles(context: Context) -> Check {
    for (name, role) in [("Versandt", Role::Sent), ("Papierkorb", Role::Trash)] {
        let spec = FolderSpec::new(FolderPath::new([name])).with_role(Some(role));
        context.account.create(&spec).await?;
    }
    let source = context.source().await?;
    let found = source.folders().await?;
    agree(&context, &found).await?;
    let inboxes = found.iter().filter(|f| f.role == Some(Role::Inbox));
    let inboxes: Vec<_> = inboxes.map(|f| f.path.clone()).collect();
    check_eq!(
        inboxes,
        [FolderPath::inbox()],
        "folders with the inbox's role"
    );
    Ok(())
}

pub(super) async fn tokens(context: Context) -> Check {
    let inbox = FolderPath::inbox();
    context.fill(&inbox, &letters(3)).await?;
    let source = context.source().await?;
    let mut last = source_folder(source.as_ref(), &inbox).await?.token;
    check!(
        last.is_some(),
        "change_tokens is claimed, but there is no token"
    );
    let same = source_folder(source.as_ref(), &inbox).await?.token;
    check_eq!(same, last, "token when nothing happened");
    let flags = Flags::parse("\\Flagged");
    let disturbances = [
        Some(Disturbance::SetFlags { message: 1, flags }),
        None,
        Some(Disturbance::Expunge { message: 0 }),
    ];
    for disturbance in disturbances {
        let what = format!("{disturbance:?}");
        match disturbance {
            Some(disturbance) => context.disturb(&inbox, disturbance).await?,
            None => context.fill(&inbox, &letters(1)).await?,
        }
        let now = source_folder(source.as_ref(), &inbox).await?.token;
        check!(now != last, "the token must change with {what}");
        last = now;
    }
    Ok(())
}
