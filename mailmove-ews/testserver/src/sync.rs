//! SyncFolderItems: newest first, by pages, with a state that only the server understands.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use mailmove_testkit::mailbox::{FolderInfo, Message};

use crate::folders::only_target;
use crate::ids::{self, Id};
use crate::items::{self, Shape};
use crate::mailbox::Mailbox;
use crate::operations::{Item, batch, item_id, respond};
use crate::soap::{Answer, Call, Failure, Fault};
use crate::xml::{Element, el, text};

/// How far a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    validity: u32,
    /// All changes up to here are told; 0 if nothing was told ever.
    since: u64,
    /// Items with a lower UID were there at `since`.
    base: u32,
    /// What is being told reaches to here; 0 if nothing is being told.
    upto: u64,
    upto_base: u32,
    /// What is left of it is below this: removals first, then changes.
    removals: bool,
    below: (u64, u32),
}

impl State {
    fn first(folder: &FolderInfo) -> Self {
        Self {
            validity: folder.uid_validity,
            since: 0,
            base: 0,
            upto: 0,
            upto_base: 0,
            removals: false,
            below: (0, 0),
        }
    }

    fn begin(&mut self, folder: &FolderInfo) {
        self.upto = folder.highest_modseq;
        self.upto_base = folder.uid_next;
        self.removals = true;
        self.below = (u64::MAX, u32::MAX);
    }

    fn end(&mut self) {
        self.since = self.upto;
        self.base = self.upto_base;
        self.upto = 0;
    }

    fn seal(&self, mailbox: &Mailbox, folder: &FolderInfo) -> String {
        ids::opaque(&format!(
            "S\n{}\n{}\n{} {} {} {} {} {} {} {}\n",
            mailbox.account.user(),
            folder.id,
            self.validity,
            self.since,
            self.base,
            self.upto,
            self.upto_base,
            u8::from(self.removals),
            self.below.0,
            self.below.1
        ))
    }

    fn open(mailbox: &Mailbox, folder: &FolderInfo, text: &str) -> Option<Self> {
        let text = ids::unopaque(text)?;
        let mut lines = text.split('\n');
        let ours = lines.next() == Some("S")
            && lines.next() == Some(mailbox.account.user())
            && lines.next() == Some(&folder.id.to_string());
        let mut numbers = lines.next()?.split(' ').map(str::parse::<u64>);
        let mut number = || numbers.next()?.ok();
        let state = Self {
            validity: u32::try_from(number()?).ok()?,
            since: number()?,
            base: u32::try_from(number()?).ok()?,
            upto: number()?,
            upto_base: u32::try_from(number()?).ok()?,
            removals: number()? == 1,
            below: (number()?, u32::try_from(number()?).ok()?),
        };
        let whole = ours && state.validity == folder.uid_validity;
        (whole && state.since <= folder.highest_modseq).then_some(state)
    }
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
    let mut state = match State::open(mailbox, &folder, told) {
        Some(state) => state,
        None if told.is_empty() || config.silent_resync => State::first(&folder),
        None => return Err(Failure::new("ErrorInvalidSyncStateData")),
    };
    let fresh = state.upto == 0;
    if fresh {
        state.begin(&folder);
    }
    let asked = call.operation.child_text("m:MaxChangesReturned");
    let asked = asked.and_then(|n| n.parse().ok()).unwrap_or(512_usize);
    let most = asked
        .min(config.max_sync)
        .min(config.partial_pages.unwrap_or(usize::MAX));
    let mut changes = Vec::new();
    let last = collect(call, mailbox, &folder, &mut state, most, &mut changes)?;
    if config.ghosts && fresh && state.since == 0 && !changes.is_empty() {
        changes.insert(0, ghost(mailbox, &folder));
    }
    if last {
        state.end();
    }
    Ok(vec![
        text("m:SyncState", state.seal(mailbox, &folder)),
        text("m:IncludesLastItemInRange", last.to_string()),
        el("m:Changes").with_all(changes),
    ])
}

/// An item that GetItem will not find.
fn ghost(mailbox: &Mailbox, folder: &FolderInfo) -> Element {
    let id = ids::item_id(
        &mailbox.account,
        folder.id,
        folder.uid_validity,
        u32::MAX - 1,
    );
    let id = el("t:ItemId")
        .attr("Id", id)
        .attr("ChangeKey", "CQAAABYAAAA=");
    el("t:Create").with(el("t:Message").with(id))
}

/// Adds what comes next, so many at most; whether nothing is left.
fn collect(
    call: &Call,
    mailbox: &Mailbox,
    folder: &FolderInfo,
    state: &mut State,
    most: usize,
    changes: &mut Vec<Element>,
) -> Result<bool, Failure> {
    let account = &mailbox.account;
    if state.removals && state.since > 0 {
        let mut gone = account.vanished(folder.id, state.since)?;
        gone.retain(|uid| *uid < state.below.1);
        for uid in gone.into_iter().rev() {
            if changes.len() == most {
                return Ok(false);
            }
            state.below.1 = uid;
            let id = ids::item_id(account, folder.id, folder.uid_validity, uid);
            let id = el("t:ItemId")
                .attr("Id", id)
                .attr("ChangeKey", "CQAAABYAAAA=");
            changes.push(el("t:Delete").with(id));
        }
    }
    if state.removals {
        state.removals = false;
        state.below = (u64::MAX, u32::MAX);
    }
    let ignored = ignored(call);
    let mut left = match state.since {
        0 => account.messages(folder.id)?,
        since => account.changes(folder.id, since)?.changed,
    };
    // A first walk goes by number alone, so that what changes meanwhile is not passed over.
    let key = |message: &Message| match state.since {
        0 => (0, message.uid),
        _ => (message.modseq, message.uid),
    };
    let below = state.below;
    left.retain(|m| key(m) < below && (state.since == 0 || m.modseq <= state.upto));
    left.sort_by_key(|m| std::cmp::Reverse(key(m)));
    let shape = Shape::of(&call.operation, true);
    for message in left {
        if changes.len() == most {
            return Ok(false);
        }
        state.below = key(&message);
        if ignored.contains(&message.uid) {
            continue;
        }
        let item = Item {
            mailbox: mailbox.clone(),
            folder: folder.clone(),
            message,
        };
        if !mailbox.extra().props(folder.id, &item.message).associated {
            changes.push(change(call, &item, state, &shape));
        }
    }
    Ok(true)
}

fn change(call: &Call, item: &Item, state: &State, shape: &Shape<'_>) -> Element {
    let message = &item.message;
    let same = tell(item, state.since);
    if state.since == 0 || message.uid >= state.base {
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
