//! Making folders.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination, Scope,
    model::{Folder, FolderPath, FolderSpec, Form, Role},
};

use super::super::{
    Done,
    context::{
        Check, Context, Stop, append, check, check_eq, letters, made, outgoing, receipt, store,
    },
};
use crate::{corpus::Corpus, snapshot::Compare};

/// Asks, checks that each slot comes back once, and returns them in order.
async fn ensure(
    destination: &dyn Destination,
    want: Vec<FolderSpec>,
) -> Result<Vec<mailmove_core::Result<Folder>>, Stop> {
    let count = want.len();
    let mut slots = BTreeMap::new();
    let mut answers = destination.ensure_folders(want);
    while let Some((slot, made)) = answers.next().await {
        check!(slot.index() < count, "{slot:?} of {count}");
        check!(
            slots.insert(slot, made).is_none(),
            "{slot:?} came back twice"
        );
    }
    check_eq!(slots.len(), count, "slots that came back");
    Ok(slots.into_values().collect())
}

pub(super) async fn describes_itself(context: Context) -> Check {
    let destination = context.destination().await?;
    let before = destination.endpoint();
    let can = destination.capabilities().await?;
    check!(can.concurrency >= 1, "concurrency is at least 1");
    check!(
        can.forms.contains(&Form::Mime),
        "a mail destination takes MIME"
    );
    check!(can.batching.max_items >= 1, "a batch holds a message");
    check!(can.batching.max_bytes >= 1, "a batch holds a byte");
    check!(can.naming.max_depth >= 1, "a path has a name");
    check_eq!(destination.endpoint(), before, "endpoint after login");
    Ok(())
}

pub(super) async fn folders(context: Context) -> Check {
    let path = FolderPath::new(["Here already"]);
    context.create(&path).await?;
    context.fill(&path, &letters(3)).await?;
    let destination = context.destination().await?;
    let found = destination.folders().await?;
    let mut named: Vec<_> = found.iter().map(|f| f.path.clone()).collect();
    named.sort_unstable();
    let dump = context.dump().await?;
    let there: Vec<_> = dump.folders.keys().cloned().collect();
    check_eq!(named, there, "folders");
    for folder in &found {
        if let Some(count) = folder.messages {
            let there = dump.messages(&folder.path).len() as u64;
            check_eq!(count, there, "messages in {:?}", folder.path);
        }
        if let (Some(mark), Ok(now)) = (&folder.mark, destination.mark(&folder.id).await) {
            check_eq!(mark.epoch, now.epoch, "epoch of {:?}", folder.path);
        }
    }
    Ok(())
}

pub(super) async fn nested(context: Context) -> Check {
    let destination = context.destination().await?;
    let deep = if context.separator().is_some() {
        FolderPath::new(["Top", "Middle", "Bottom"])
    } else {
        FolderPath::new(["Top"])
    };
    // A child before its parent, one twice, and the inbox in between.
    let paths = [
        &deep,
        &FolderPath::inbox(),
        &FolderPath::new(["Top"]),
        &deep,
    ];
    let want = || {
        paths
            .iter()
            .map(|path| FolderSpec::new((*path).clone()))
            .collect()
    };
    let first = ensure(destination.as_ref(), want()).await?;
    let again = ensure(destination.as_ref(), want()).await?;
    for ((path, one), two) in paths.iter().zip(first).zip(again) {
        let (one, two) = (one?, two?);
        check_eq!(&one.path, *path, "path of the folder");
        check_eq!(one.id, two.id, "id when asked again");
        check_eq!(one.identity, two.identity, "identity when asked again");
        check!(one.mark.is_some(), "the mark of {path:?} must be set");
    }
    let dump = context.dump().await?;
    for path in paths {
        check!(dump.folders.contains_key(path), "{path:?} was not made");
    }
    let listed = destination.folders().await?;
    check!(
        listed.iter().any(|folder| folder.path == deep),
        "folders() must name what was made"
    );
    check_eq!(
        ensure(destination.as_ref(), Vec::new()).await?.len(),
        0,
        "nothing asked"
    );
    Ok(())
}

pub(super) async fn odd_names(context: Context) -> Check {
    let destination = context.destination().await?;
    let naming = destination.naming(&destination.folders().await?).await?;
    let fits = |path: &FolderPath| {
        let names = path.names();
        let lengths: Vec<usize> = names.iter().map(|name| (naming.length_of)(name)).collect();
        let good = |name: &String| {
            !name.contains(|c| naming.forbidden.contains(c) || c > naming.highest)
                && !naming.reserved.iter().any(|r| r.eq_ignore_ascii_case(name))
        };
        names.len() <= naming.max_depth
            && (names.len() == 1 || naming.separator.is_some())
            && names.iter().all(good)
            && lengths.iter().all(|length| *length <= naming.max_name)
            && lengths.iter().sum::<usize>() + names.len() <= naming.max_path
    };
    let paths: Vec<FolderPath> = Corpus::odd_folder_names(naming.separator)
        .into_iter()
        .map(FolderPath::new)
        .filter(fits)
        .collect();
    let want = paths.iter().cloned().map(FolderSpec::new).collect();
    let made = ensure(destination.as_ref(), want).await?;
    for ((number, path), folder) in paths.iter().enumerate().zip(made) {
        let folder = folder?;
        check_eq!(&folder.path, path, "path of the folder made");
        store(
            &context,
            destination.as_ref(),
            &folder,
            &letters(number + 1),
        )
        .await?;
    }
    let dump = context.dump().await?;
    for (number, path) in paths.iter().enumerate() {
        check_eq!(
            dump.messages(path).len(),
            number + 1,
            "messages in {path:?}"
        );
    }
    let parents = |path: &&FolderPath| paths.iter().any(|other| other.starts_with(path));
    let surplus: Vec<_> = dump
        .folders
        .keys()
        .filter(|path| !path.is_inbox() && !parents(path))
        .filter(|path| !dump.messages(path).is_empty())
        .collect();
    check!(
        surplus.is_empty(),
        "mail lies where nobody asked: {surplus:?}"
    );
    Ok(())
}

pub(super) async fn roles(context: Context) -> Check {
    let destination = context.destination().await?;
    let want = [
        ("Versandt", Some(Role::Sent)),
        ("Ablage", Some(Role::Archive)),
        ("Plain", None),
    ];
    let specs = want
        .iter()
        .map(|(name, role)| FolderSpec::new(FolderPath::new([*name])).with_role(*role))
        .collect();
    let made = ensure(destination.as_ref(), specs).await?;
    let dump = context.dump().await?;
    for ((_, role), folder) in want.iter().zip(made) {
        let folder = folder?;
        let there = dump.folders.get(&folder.path).and_then(|f| f.role);
        check_eq!(
            folder.role,
            there,
            "role of {:?}, as told and as it is",
            folder.path
        );
        // A server may have no roles; but it must not get another one.
        check!(
            there.is_none() || there == *role,
            "{:?} was to be {role:?}, and is {there:?}",
            folder.path
        );
    }
    Ok(())
}

pub(super) async fn subscriptions(context: Context) -> Check {
    let destination = context.destination().await?;
    let (wanted, not) = (FolderPath::new(["Wanted"]), FolderPath::new(["Not wanted"]));
    let specs = vec![
        FolderSpec::new(wanted.clone()).with_subscription(true),
        FolderSpec::new(not.clone()),
    ];
    for folder in ensure(destination.as_ref(), specs).await? {
        folder?;
    }
    let dump = context.dump().await?;
    let subscribed = |path: &FolderPath| dump.folders.get(path).is_some_and(|f| f.subscribed);
    check!(subscribed(&wanted), "the subscription is missing");
    check!(!subscribed(&not), "nobody asked for this subscription");
    Ok(())
}

pub(super) async fn existing(context: Context) -> Check {
    let path = FolderPath::new(["Mine"]);
    let spec = FolderSpec::new(path.clone())
        .with_role(Some(Role::Archive))
        .with_subscription(true);
    if let Done::Unsupported(why) = context.account.create(&spec).await? {
        return Err(Stop::Ignored(why));
    }
    context.fill(&path, &letters(4)).await?;
    let before = context.dump().await?;
    let destination = context.destination().await?;
    let want = vec![FolderSpec::new(path.clone()).with_role(Some(Role::Sent))];
    let folder = ensure(destination.as_ref(), want).await?.remove(0)?;
    check_eq!(
        folder.role,
        before.folders.get(&path).and_then(|f| f.role),
        "role of a folder that exists"
    );
    if let Some(messages) = folder.messages {
        check_eq!(messages, 4, "messages in it");
    }
    let after = context.dump().await?;
    Ok(Compare::all().diff(&before, &after).none()?)
}

/// A folder that cannot be made fails alone.
pub(super) async fn fails_one(context: Context) -> Check {
    let destination = context.destination().await?;
    let naming = destination.naming(&destination.folders().await?).await?;
    let bad = naming
        .separator
        .into_iter()
        .chain(naming.forbidden.chars())
        .next()
        .map(|c| format!("a{c}b"));
    let Some(bad) = bad else {
        return Err(Stop::Ignored("any name is allowed".to_owned()));
    };
    let paths = [
        FolderPath::new(["Good"]),
        FolderPath::new([bad]),
        FolderPath::new(["Good too"]),
    ];
    let want = paths.iter().cloned().map(FolderSpec::new).collect();
    let results = ensure(destination.as_ref(), want).await?;
    for (path, result) in paths.iter().zip(results) {
        match result {
            Ok(folder) => {
                check!(path != &paths[1], "{path:?} cannot exist");
                check_eq!(&folder.path, path, "path of the folder made");
            }
            Err(error) => {
                check!(path == &paths[1], "{path:?} must be made: {error:?}");
                check!(
                    error.scope() <= Scope::Folder,
                    "too wide a scope: {error:?}"
                );
            }
        }
    }
    // The adapter still works.
    let folder = made(destination.as_ref(), &paths[0]).await?;
    let outcomes = append(
        destination.as_ref(),
        &folder,
        vec![outgoing(&letters(1)[0])],
    )
    .await?;
    receipt(&outcomes[0], "a letter")?;
    Ok(())
}
