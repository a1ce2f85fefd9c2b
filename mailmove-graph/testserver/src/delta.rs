//! Changes since a client looked last: of folders, and of the messages in one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mailmove_testkit::mailbox::{FolderId, FolderInfo, Message};
use mailmove_testkit_exchange::ids;
use mailmove_testkit_exchange::walk::{Step, Walk};
use serde_json::{Value, json};

use crate::call::{Call, Item, listed};
use crate::exports;
use crate::folders as tree;
use crate::list::holds;
use crate::odata::{Query, Test, encode, filter};
use crate::render::{self, Chosen};
use crate::reply::{Answer, Failure};

/// What a folder was like when it was told.
type Told = BTreeMap<FolderId, String>;

/// What the server remembers of clients' progress.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    /// States of all folders that were told.
    folders: Mutex<Vec<Told>>,
    /// Moves on when everything is forgotten.
    epoch: AtomicU64,
}

impl Walks {
    pub(crate) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn keep(&self, told: Told) -> usize {
        let mut all = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(told);
        all.len() - 1
    }

    fn kept(&self, number: usize) -> Option<Told> {
        let all = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(number).cloned()
    }
}

/// What a client has to begin anew for.
pub(crate) fn resync(call: &Call) -> Failure {
    Failure::new(
        410,
        "SyncStateNotFound",
        "The sync state generation is not found; a full sync is required.",
    )
    .header("Location", call.url())
}

/// The token of a request, if it has one.
fn token(query: &Query) -> Option<&str> {
    query.get("$skiptoken").or_else(|| query.get("$deltatoken"))
}

fn link(call: &Call, last: bool, token: &str) -> (&'static str, Value) {
    let (name, option) = match last {
        true => ("@odata.deltaLink", "$deltatoken"),
        false => ("@odata.nextLink", "$skiptoken"),
    };
    (
        name,
        format!("{}?{option}={}", call.url(), encode(token)).into(),
    )
}

/// Options that links carry on.
const CARRIED: [&str; 3] = ["$select", "$expand", "$filter"];

/// Where a client is with the messages of a folder, and what it asked for.
struct Progress {
    walk: Walk,
    /// The last entry of the page before, if pages overlap.
    last: u32,
    query: Query,
}

impl Progress {
    fn of(call: &Call, folder: &FolderInfo) -> Result<Self, Failure> {
        let Some(token) = token(&call.query) else {
            return Ok(Self {
                walk: Walk::first(folder),
                last: 0,
                query: call.query.clone(),
            });
        };
        Self::open(call, folder, token).ok_or_else(|| resync(call))
    }

    fn open(call: &Call, folder: &FolderInfo, token: &str) -> Option<Self> {
        let text = ids::unopaque(token)?;
        let mut lines = text.split('\n');
        let ours = lines.next() == Some("D")
            && lines.next() == Some(call.mailbox.account.user())
            && lines.next() == Some(&folder.id.to_string())
            && lines.next() == Some(&call.shared.walks.epoch().to_string());
        let walk = Walk::from_text(lines.next()?, folder)?;
        let last = lines.next()?.parse().ok()?;
        let query = Query::parse(lines.next()?);
        ours.then_some(Self { walk, last, query })
    }

    fn seal(&self, call: &Call, folder: &FolderInfo) -> String {
        let options: Vec<_> = CARRIED
            .iter()
            .filter_map(|name| Some(format!("{name}={}", encode(self.query.get(name)?))))
            .collect();
        ids::opaque(&format!(
            "D\n{}\n{}\n{}\n{}\n{}\n{}\n",
            call.mailbox.account.user(),
            folder.id,
            call.shared.walks.epoch(),
            self.walk.to_text(),
            self.last,
            options.join("&")
        ))
    }
}

/// How one sort of items appears.
#[derive(Debug, Clone, Copy)]
struct Sort {
    kind: &'static str,
    context: &'static str,
    /// Of which classes they are.
    holds: fn(&str) -> bool,
    show: fn(&Call, &Item, &Chosen) -> Result<Value, Failure>,
}

pub(crate) fn messages(call: &Call) -> Answer {
    walk(
        call,
        Sort {
            kind: "#microsoft.graph.message",
            context: "Collection(message)",
            holds: render::is_message,
            show: render::message,
        },
    )
}

/// Of items of all classes.
pub(crate) fn mailbox_items(call: &Call) -> Answer {
    walk(
        call,
        Sort {
            kind: "#microsoft.graph.mailboxItem",
            context: "Collection(mailboxItem)",
            holds: |_| true,
            show: exports::show,
        },
    )
}

fn walk(call: &Call, sort: Sort) -> Answer {
    let folder = call.folder_by_id(call.route.folder.as_deref().unwrap_or_default())?;
    let mut progress = Progress::of(call, &folder)?;
    progress.walk.begin(&folder);
    let chosen = Chosen::of(&progress.query)?;
    let tests = filter(progress.query.get("$filter").unwrap_or_default())?;
    check(&tests)?;
    let most = call.page(10)?;
    let mut values = Vec::new();
    if progress.last != 0 && call.shared.config.replays {
        let again = call.mailbox.account.fetch(folder.id, &[progress.last])?;
        for message in again {
            values.push(there(call, &folder, message, &chosen, sort)?);
        }
    }
    let mailbox = &call.mailbox;
    let passes_over = |message: &Message| {
        let props = mailbox.extra().props(folder.id, message);
        props.associated || !(sort.holds)(props.class())
    };
    let next = progress
        .walk
        .next(&mailbox.account, &folder, most, passes_over);
    let (steps, last) = next?;
    progress.last = 0;
    for step in steps {
        match step {
            Step::Gone(uid) => values.extend(gone(call, &folder, uid, sort)),
            Step::There(message) => {
                progress.last = message.uid;
                if holds(call, &folder, &message, &tests)? {
                    values.push(there(call, &folder, message, &chosen, sort)?);
                }
            }
        }
    }
    if last {
        progress.last = 0;
    }
    let token = progress.seal(call, &folder);
    let link = link(call, last, &token);
    listed(call.context(sort.context), values, vec![link])
}

/// Changes are filtered by when messages came, and by nothing else.
fn check(tests: &[Test]) -> Result<(), Failure> {
    let by_date = |test: &Test| {
        let named = crate::odata::Property::Named("receivedDateTime".to_owned());
        test.property == named && matches!(test.operator.as_str(), "ge" | "gt")
    };
    match tests.iter().all(by_date) {
        true => Ok(()),
        false => Err(Failure::new(
            400,
            "ErrorInvalidUrlQueryFilter",
            "Change tracking supports no other filter than receivedDateTime ge or gt.",
        )),
    }
}

fn there(
    call: &Call,
    folder: &FolderInfo,
    message: Message,
    chosen: &Chosen,
    sort: Sort,
) -> Result<Value, Failure> {
    let item = Item {
        mailbox: call.mailbox.clone(),
        folder: folder.clone(),
        message,
    };
    let mut value = (sort.show)(call, &item, chosen)?;
    if let Some(object) = value.as_object_mut() {
        // One that is derived says so by itself.
        object
            .entry("@odata.type")
            .or_insert_with(|| sort.kind.into());
    }
    Ok(value)
}

fn gone(call: &Call, folder: &FolderInfo, uid: u32, sort: Sort) -> Option<Value> {
    let ids = &call.shared.identities;
    let id = ids.gone(&call.mailbox, folder, uid, call.prefer.immutable)?;
    Some(json!({
        "@odata.type": sort.kind,
        "id": id,
        "@removed": {"reason": "deleted"},
    }))
}

pub(crate) fn folders(call: &Call) -> Answer {
    let shown_ones = tree::listed_folders(call, false);
    let each = tree::listed_folders(call, true).into_iter().map(|folder| {
        let place = ids::Place::Folder(folder.id);
        Ok((folder.id, tree::render_among(call, place, &shown_ones)?))
    });
    changed_folders(call, "mailFolder", each.collect::<Result<_, Failure>>()?)
}

/// Of folders of all classes.
pub(crate) fn mailbox_folders(call: &Call) -> Answer {
    let all = call.mailbox.account.folders();
    let each = all.iter().map(|folder| {
        let shown = exports::show_folder_among(call, folder, &all)?;
        Ok((folder.id, shown))
    });
    changed_folders(call, "mailboxFolder", each.collect::<Result<_, Failure>>()?)
}

/// Those that are not as they were told, of all that there are.
fn changed_folders(call: &Call, kind: &str, all: Vec<(FolderId, Value)>) -> Answer {
    let walks = &call.shared.walks;
    let before = match token(&call.query) {
        Some(token) => open_folders(call, kind, token).ok_or_else(|| resync(call))?,
        None => Told::new(),
    };
    let mut now = Told::new();
    let mut changed = Vec::new();
    for (id, shown) in all {
        let state = shown.to_string();
        if before.get(&id) != Some(&state) {
            changed.push((id, shown));
        }
        now.insert(id, state);
    }
    let most = call.page(usize::MAX)?;
    let mut values = Vec::new();
    let mut told = before.clone();
    for id in before.keys().filter(|id| !now.contains_key(id)) {
        let place = ids::Place::Folder(*id);
        values.push(json!({
            "@odata.type": format!("#microsoft.graph.{kind}"),
            "id": call.folder_id(place),
            "@removed": {"reason": "deleted"},
        }));
        told.remove(id);
    }
    let whole = changed.len() <= most;
    // What was told is not told again, so the next page needs no place to begin at.
    for (id, shown) in changed.into_iter().take(most) {
        told.extend(now.get(&id).map(|state| (id, state.clone())));
        values.push(shown);
    }
    let token = ids::opaque(&format!(
        "G\n{kind}\n{}\n{}\n{}\n",
        call.mailbox.account.user(),
        walks.epoch(),
        walks.keep(told)
    ));
    let context = call.context(&format!("Collection({kind})"));
    listed(context, values, vec![link(call, whole, &token)])
}

fn open_folders(call: &Call, kind: &str, token: &str) -> Option<Told> {
    let text = ids::unopaque(token)?;
    let mut lines = text.split('\n');
    let ours = lines.next() == Some("G")
        && lines.next() == Some(kind)
        && lines.next() == Some(call.mailbox.account.user())
        && lines.next() == Some(&call.shared.walks.epoch().to_string());
    let told = call.shared.walks.kept(lines.next()?.parse().ok()?)?;
    ours.then_some(told)
}
