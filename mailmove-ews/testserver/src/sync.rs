//! SyncFolderItems: newest first, by pages, with a state that only the server understands.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use mailmove_testkit::mailbox::{FolderInfo, Message};
use mailmove_testkit_exchange::walk::{Step, Walk};

use crate::folders::only_target;
use crate::ids::{self, Id};
use crate::items::{self, Shape};
use crate::mailbox::Mailbox;
use crate::operations::{Item, batch, item_id, respond};
use crate::soap::{Answer, Call, Failure, Fault};
use crate::xml::{Element, el, text};

fn seal(walk: &Walk, mailbox: &Mailbox, folder: &FolderInfo) -> String {
    let (user, state) = (mailbox.account.user(), walk.to_text());
    ids::opaque(&format!("S\n{user}\n{}\n{state}\n", folder.id))
}

fn open(mailbox: &Mailbox, folder: &FolderInfo, text: &str) -> Option<Walk> {
    let text = ids::unopaque(text)?;
    let mut lines = text.split('\n');
    let ours = lines.next() == Some("S")
        && lines.next() == Some(mailbox.account.user())
        && lines.next() == Some(&folder.id.to_string());
    let walk = Walk::from_text(lines.next()?, folder)?;
    ours.then_some(walk)
}

pub(crate) fn items(call: &Call) -> Result<Element, Fault> {
    // One folder, hence one answer.
    let answers = batch(call, [call.operation.as_ref()], |_| page(call));
    Ok(respond(call, answers, None))
}

fn page(call: &Call) -> Answer {
    let config = &call.shared.config;
    let target = only_target(call, "m:SyncFolderId")?;
    if config.no_sync {
        return Err(Failure::new("ErrorInvalidOperation"));
    }
    let (mailbox, folder) = (&target.mailbox, target.folder()?);
    let told = call.operation.child_text("m:SyncState").unwrap_or_default();
    let mut walk = match open(mailbox, &folder, told) {
        Some(walk) => walk,
        None if told.is_empty() || config.silent_resync => Walk::first(&folder),
        None => return Err(Failure::new("ErrorInvalidSyncStateData")),
    };
    let fresh = walk.begin(&folder);
    let asked = call.operation.child_text("m:MaxChangesReturned");
    let asked = asked.and_then(|n| n.parse().ok()).unwrap_or(512_usize);
    let most = asked
        .min(config.max_sync)
        .min(config.partial_pages.unwrap_or(usize::MAX));
    let ignored = ignored(call);
    let passes_over = |message: &Message| {
        ignored.contains(&message.uid) || mailbox.extra().props(folder.id, message).associated
    };
    let before = walk;
    let (steps, last) = walk.next(&mailbox.account, &folder, most, passes_over)?;
    let shape = Shape::of(&call.operation, true);
    let mut changes: Vec<_> = steps
        .into_iter()
        .map(|step| match step {
            Step::Gone(uid) => gone(mailbox, &folder, uid),
            Step::There(message) => {
                let item = Item {
                    mailbox: mailbox.clone(),
                    folder: folder.clone(),
                    message,
                };
                change(call, &item, &before, &shape)
            }
        })
        .collect();
    if config.ghosts && fresh && before.since() == 0 && !changes.is_empty() {
        changes.insert(0, ghost(mailbox, &folder));
    }
    Ok(vec![
        text("m:SyncState", seal(&walk, mailbox, &folder)),
        text("m:IncludesLastItemInRange", last.to_string()),
        el("m:Changes").with_all(changes),
    ])
}

/// An item that GetItem will not find.
fn ghost(mailbox: &Mailbox, folder: &FolderInfo) -> Element {
    el("t:Create").with(el("t:Message").with(bare_id(mailbox, folder, u32::MAX - 1)))
}

fn gone(mailbox: &Mailbox, folder: &FolderInfo, uid: u32) -> Element {
    el("t:Delete").with(bare_id(mailbox, folder, uid))
}

/// The id of something that isn't there.
fn bare_id(mailbox: &Mailbox, folder: &FolderInfo, uid: u32) -> Element {
    let id = ids::item_id(&mailbox.account, folder.id, folder.uid_validity, uid);
    el("t:ItemId")
        .attr("Id", id)
        .attr("ChangeKey", "CQAAABYAAAA=")
}

fn change(call: &Call, item: &Item, walk: &Walk, shape: &Shape<'_>) -> Element {
    let message = &item.message;
    let same = tell(item, walk.since());
    if walk.is_new(message) {
        return el("t:Create").with(items::render(call, item, shape));
    }
    match same {
        true => el("t:ReadFlagChange")
            .with(item_id(&item.mailbox, &item.folder, message))
            .with(text(
                "t:IsRead",
                message.flags.contains("\\Seen").to_string(),
            )),
        false => el("t:Update").with(items::render(call, item, shape)),
    }
}

/// Notes the item's state; whether all but the read flag is as it was told at `since`.
fn tell(item: &Item, since: u64) -> bool {
    let message = &item.message;
    let mut extra = item.mailbox.extra();
    let props = extra.props(item.folder.id, message);
    let mut hasher = DefaultHasher::new();
    for flag in message.flags.iter().filter(|flag| *flag != "\\Seen") {
        flag.to_ascii_lowercase().hash(&mut hasher);
    }
    (props.to_text(), message.date.unix, message.body.len()).hash(&mut hasher);
    let digest = hasher.finish();
    let told = extra.told.entry((item.folder.id, message.uid)).or_default();
    let before = told.iter().rfind(|(modseq, _)| *modseq <= since);
    let same = before.is_some_and(|(_, before)| *before == digest);
    if told.last() != Some(&(message.modseq, digest)) {
        told.push((message.modseq, digest));
    }
    same
}

fn ignored(call: &Call) -> BTreeSet<u32> {
    let list = call.operation.child("m:Ignore");
    let ids = list.iter().flat_map(|list| &list.children);
    ids.filter_map(|id| match ids::parse(id.get("Id")?) {
        Some(Id::Item { uid, .. }) => Some(uid),
        _ => None,
    })
    .collect()
}
