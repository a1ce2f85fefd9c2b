//! Operations on folders.

use mailmove_testkit::mailbox::{FolderInfo, FolderStatus};

use crate::dates;
use crate::ids::{self, Place};
use crate::mailbox::Mailbox;
use crate::operations::{Target, batch, respond};
use crate::props;
use crate::restrict;
use crate::soap::{Answer, Call, Failure, Fault};
use crate::xml::{Element, el, text};

/// What of a folder is asked for.
struct Shape<'a> {
    base: &'a str,
    fields: Vec<&'a str>,
    extended: Vec<&'a Element>,
}

impl<'a> Shape<'a> {
    fn of(operation: &'a Element) -> Self {
        let shape = operation.child("m:FolderShape");
        let more = shape.and_then(|s| s.child("t:AdditionalProperties"));
        let more = more.map_or(&[][..], |more| &more.children);
        Self {
            base: shape
                .and_then(|s| s.child_text("t:BaseShape"))
                .unwrap_or("Default"),
            fields: more.iter().filter_map(|p| p.get("FieldURI")).collect(),
            extended: more
                .iter()
                .filter(|p| p.name == "t:ExtendedFieldURI")
                .collect(),
        }
    }

    fn has(&self, field: &str, base: &[&str]) -> bool {
        base.contains(&self.base) || self.fields.contains(&field)
    }
}

fn info(target: &Target) -> Result<Option<(FolderInfo, FolderStatus)>, Failure> {
    let Place::Folder(id) = target.place else {
        return Ok(None);
    };
    let account = &target.mailbox.account;
    Ok(Some((account.folder_by_id(id)?, account.status(id)?)))
}

/// Folders right below this one.
fn children(mailbox: &Mailbox, place: Place) -> Vec<FolderInfo> {
    let parent = match place {
        Place::Root => return Vec::new(),
        Place::Top => Vec::new(),
        Place::Folder(id) => match mailbox.account.folder_by_id(id) {
            Ok(folder) => folder.path,
            Err(_) => return Vec::new(),
        },
    };
    let mut all = mailbox.account.folders();
    all.retain(|f| f.path.len() == parent.len() + 1 && f.path.starts_with(&parent));
    all
}

/// The folder above this one.
fn parent(mailbox: &Mailbox, place: Place, path: &[String]) -> Place {
    match place {
        Place::Root | Place::Top => Place::Root,
        Place::Folder(_) => path
            .split_last()
            .filter(|(_, above)| !above.is_empty())
            .and_then(|(_, above)| mailbox.account.folder(above).ok())
            .map_or(Place::Top, |folder| Place::Folder(folder.id)),
    }
}

fn render(call: &Call, target: &Target, shape: &Shape<'_>) -> Answer {
    let mailbox = &target.mailbox;
    let account = &mailbox.account;
    let info = info(target)?;
    let class = match &info {
        Some((folder, _)) => mailbox.class(folder.id),
        None => None,
    };
    let kind = match class.as_deref().unwrap_or_default() {
        c if c.starts_with("IPF.Appointment") => "t:CalendarFolder",
        c if c.starts_with("IPF.Contact") => "t:ContactsFolder",
        c if c.starts_with("IPF.Task") => "t:TasksFolder",
        _ => "t:Folder",
    };
    let path = info.as_ref().map_or(&[][..], |(folder, _)| &folder.path);
    let id = |name, place| {
        el(name)
            .attr("Id", ids::folder_id(account, place))
            .attr("ChangeKey", "AQAAABYAAAA=")
    };
    let mut folder = el(kind).with(id("t:FolderId", target.place));
    let (some, all) = (&["Default", "AllProperties"][..], &["AllProperties"][..]);
    if shape.has("folder:ParentFolderId", all) {
        folder = folder.with(id("t:ParentFolderId", parent(mailbox, target.place, path)));
    }
    if shape.has("folder:FolderClass", all)
        && let Some(class) = class
    {
        folder = folder.with(text("t:FolderClass", class));
    }
    if shape.has("folder:DisplayName", some) {
        let name = match &info {
            Some((info, _)) => mailbox.display_name(info),
            None if target.place == Place::Root => "root".to_owned(),
            None => "Top of Information Store".to_owned(),
        };
        folder = folder.with(text("t:DisplayName", name));
    }
    let (total, unread) = info
        .as_ref()
        .map_or((0, 0), |(_, status)| (status.messages, status.unseen));
    if shape.has("folder:TotalCount", some) {
        folder = folder.with(text("t:TotalCount", total.to_string()));
    }
    if shape.has("folder:ChildFolderCount", some) {
        let count = children(mailbox, target.place).len();
        folder = folder.with(text("t:ChildFolderCount", count.to_string()));
    }
    for uri in &shape.extended {
        if let Some(value) = extended(call, target, info.as_ref(), uri) {
            folder = folder.with(props::property((*uri).clone(), &value));
        }
    }
    if shape.has("folder:EffectiveRights", all) {
        let rights = [
            "CreateAssociated",
            "CreateContents",
            "CreateHierarchy",
            "Delete",
            "Modify",
            "Read",
        ];
        folder = folder.with(rights.iter().fold(el("t:EffectiveRights"), |rights, name| {
            rights.with(crate::soap::named_text(format!("t:{name}"), "true"))
        }));
    }
    if kind == "t:Folder" && shape.has("folder:UnreadCount", some) {
        folder = folder.with(text("t:UnreadCount", unread.to_string()));
    }
    Ok(vec![folder])
}

/// When something in a folder was made or changed last: a second later with each change.
fn last_commit(call: &Call, modseq: u64) -> String {
    const YEAR_2020: i64 = 1_577_836_800;
    let config = &call.shared.config;
    let changes = i64::try_from(modseq).unwrap_or(i64::MAX / 2);
    let at = config.last_commit.unwrap_or(YEAR_2020 + changes);
    dates::format(at, config.fraction_digits)
}

/// What tells that something in a folder changed. `None` for other properties.
fn of_changes(
    call: &Call,
    target: &Target,
    info: Option<&(FolderInfo, FolderStatus)>,
    key: &(props::Key, String),
) -> Option<String> {
    let folder = info.map(|(folder, _)| folder);
    let gone = |folder: &FolderInfo| {
        let gone = target.mailbox.account.vanished(folder.id, 0);
        gone.map_or(0, |gone| gone.len())
    };
    match (&key.0, key.1.as_str()) {
        _ if call.shared.config.no_changes_told => None,
        (props::Key::Tag(0x670A), "SystemTime") => {
            Some(last_commit(call, folder.map_or(0, |f| f.highest_modseq)))
        }
        (props::Key::Tag(0x670B), "Integer") => Some(folder.map_or(0, gone).to_string()),
        _ => None,
    }
}

fn extended(
    call: &Call,
    target: &Target,
    info: Option<&(FolderInfo, FolderStatus)>,
    uri: &Element,
) -> Option<props::Value> {
    let (key, kind) = props::key(uri)?;
    let named = (key.clone(), kind.clone());
    if let Some(value) = of_changes(call, target, info, &named) {
        let values = vec![value];
        return Some(props::Value { kind, values });
    }
    if let (Place::Root, props::Key::Tag(0x666A), "Integer") = (target.place, &key, kind.as_str()) {
        let limit = target.mailbox.account.limits().quota_bytes?;
        let values = vec![(limit / 1024).to_string()];
        return Some(props::Value { kind, values });
    }
    let (folder, status) = info?;
    let hidden = target
        .mailbox
        .extra()
        .folders
        .get(&folder.id)
        .is_some_and(|f| f.hidden);
    let value = match (key, kind.as_str()) {
        // Absent where false.
        (props::Key::Tag(0x10F4), "Boolean") if hidden => "true".to_owned(),
        (props::Key::Tag(0x0E08), "Long") => status.size.to_string(),
        // 32 bits wrap, as they do there.
        (props::Key::Tag(0x0E08), "Integer") => (status.size as u32 as i32).to_string(),
        (props::Key::Tag(0x3001), "String") => target.mailbox.display_name(folder),
        (props::Key::Tag(0x3613), "String") => target.mailbox.class(folder.id)?,
        (props::Key::Tag(0x3602), "Integer") => status.messages.to_string(),
        (props::Key::Tag(0x3603), "Integer") => status.unseen.to_string(),
        _ => return None,
    };
    Some(props::Value {
        kind,
        values: vec![value],
    })
}

pub(crate) fn get(call: &Call) -> Result<Element, Fault> {
    let shape = Shape::of(&call.operation);
    let ids = call.operation.child("m:FolderIds");
    let ids = ids.iter().flat_map(|ids| &ids.children);
    let answers = batch(call, ids, |id| {
        let folder = render(call, &call.target(id)?, &shape)?;
        Ok(vec![el("m:Folders").with_all(folder)])
    });
    Ok(respond(call, answers, Some("m:Folders")))
}

pub(crate) fn find(call: &Call) -> Result<Element, Fault> {
    let shape = Shape::of(&call.operation);
    let deep = call.operation.get("Traversal") == Some("Deep");
    let parents = call.operation.child("m:ParentFolderIds");
    let parents = parents.iter().flat_map(|ids| &ids.children);
    let answers = batch(call, parents, |id| {
        let root = call.target(id)?;
        let mut found = Vec::new();
        let mut below = match root.place {
            Place::Root => vec![Place::Top],
            place => places(children(&root.mailbox, place)),
        };
        below.reverse();
        while let Some(place) = below.pop() {
            let target = Target {
                mailbox: root.mailbox.clone(),
                place,
            };
            if deep {
                let mut more = places(children(&root.mailbox, place));
                more.reverse();
                below.extend(more);
            }
            if admits(call, &target)? {
                found.push(target);
            }
        }
        page(call, &shape, &found)
    });
    Ok(respond(call, answers, None))
}

fn places(folders: Vec<FolderInfo>) -> Vec<Place> {
    folders.into_iter().map(|f| Place::Folder(f.id)).collect()
}

fn admits(call: &Call, target: &Target) -> Result<bool, Failure> {
    let Some(restriction) = call.operation.child("m:Restriction") else {
        return Ok(true);
    };
    let info = info(target)?;
    restrict::holds(restriction, &|path| {
        let value = match path.get("FieldURI") {
            Some("folder:DisplayName") => info
                .as_ref()
                .map(|(folder, _)| target.mailbox.display_name(folder)),
            Some("folder:FolderClass") => {
                let (folder, _) = info.as_ref()?;
                target.mailbox.class(folder.id)
            }
            Some(_) => None,
            None => extended(call, target, info.as_ref(), path).map(|v| v.first().to_owned()),
        };
        value.map(|value| vec![value])
    })
}

fn page(call: &Call, shape: &Shape<'_>, found: &[Target]) -> Answer {
    let view = call.operation.child("m:IndexedPageFolderView");
    let number = |name| {
        view.and_then(|v| v.get(name))
            .and_then(|n| n.parse::<usize>().ok())
    };
    let offset = number("Offset").unwrap_or(0);
    let most = number("MaxEntriesReturned").unwrap_or(usize::MAX);
    let most = most.min(call.shared.config.partial_pages.unwrap_or(usize::MAX));
    let mut folders = el("t:Folders");
    let mut count = 0;
    for target in found.iter().skip(offset).take(most) {
        folders = folders.with_all(render(call, target, shape)?);
        count += 1;
    }
    let mut root = el("m:RootFolder");
    if view.is_some() {
        root = root.attr("IndexedPagingOffset", (offset + count).to_string());
    }
    let last = offset + count >= found.len();
    Ok(vec![
        root.attr("TotalItemsInView", found.len().to_string())
            .attr("IncludesLastItemInRange", last.to_string())
            .with(folders),
    ])
}

/// The folder that `ParentFolderId` or `ToFolderId` holds.
pub(crate) fn only_target(call: &Call, name: &str) -> Result<Target, Failure> {
    let id = call.operation.child(name).and_then(|p| p.children.first());
    call.target(id.ok_or_else(|| Failure::new("ErrorMissingInformationReferenceItemId"))?)
}

pub(crate) fn create(call: &Call) -> Result<Element, Fault> {
    let parent = only_target(call, "m:ParentFolderId");
    let folders = call.operation.child("m:Folders");
    let folders = folders.iter().flat_map(|f| &f.children);
    let answers = batch(call, folders, |folder| {
        let parent = parent.clone()?;
        if parent.place == Place::Root {
            return Err(Failure::new("ErrorAccessDenied"));
        }
        let name = folder.child_text("t:DisplayName").unwrap_or_default();
        let class = folder.child_text("t:FolderClass");
        let class = match folder.local() {
            "Folder" => class.unwrap_or("IPF.Note"),
            _ if class.is_some() => return Err(Failure::new("ErrorNoFolderClassOverride")),
            "CalendarFolder" => "IPF.Appointment",
            "ContactsFolder" => "IPF.Contact",
            "TasksFolder" => "IPF.Task",
            _ => return Err(Failure::new("ErrorUnsupportedSubFilter")),
        };
        if name.trim().is_empty() {
            return Err(Failure::new("ErrorFolderSavePropertyError"));
        }
        let mut path = parent.path()?;
        path.push(parent.mailbox.component(&path, name));
        let id = parent.mailbox.account.create(&path)?;
        let mut extra = parent.mailbox.extra();
        extra.folders.entry(id).or_default().class = Some(class.to_owned());
        drop(extra);
        let made = Target {
            mailbox: parent.mailbox.clone(),
            place: Place::Folder(id),
        };
        let only_id = Shape {
            base: "IdOnly",
            fields: Vec::new(),
            extended: Vec::new(),
        };
        Ok(vec![
            el("m:Folders").with_all(render(call, &made, &only_id)?),
        ])
    });
    Ok(respond(call, answers, Some("m:Folders")))
}

pub(crate) fn delete(call: &Call) -> Result<Element, Fault> {
    let ids = call.operation.child("m:FolderIds");
    let ids = ids.iter().flat_map(|ids| &ids.children);
    let answers = batch(call, ids, |id| {
        let target = call.target(id)?;
        let path = target.folder()?.path;
        let account = &target.mailbox.account;
        // Those below it go with it.
        let mut below = account.folders();
        below.retain(|folder| folder.path.starts_with(&path));
        below.sort_by_key(|folder| std::cmp::Reverse(folder.path.len()));
        for folder in below {
            account.delete(&folder.path)?;
        }
        Ok(Vec::new())
    });
    Ok(respond(call, answers, None))
}

pub(crate) fn update(call: &Call) -> Result<Element, Fault> {
    let changes = call.operation.child("m:FolderChanges");
    let changes = changes.iter().flat_map(|c| &c.children);
    let answers = batch(call, changes, |change| {
        let missing = || Failure::new("ErrorInvalidChangeKey");
        let target = call.target(change.children.first().ok_or_else(missing)?)?;
        let updates = change.child("t:Updates").ok_or_else(missing)?;
        for update in &updates.children {
            let name = update
                .children
                .get(1)
                .and_then(|folder| folder.child_text("t:DisplayName"))
                .ok_or_else(|| Failure::new("ErrorInvalidPropertySet"))?;
            let from = target.folder()?.path;
            let mut to = from.clone();
            to.pop();
            to.push(target.mailbox.component(&to, name));
            target.mailbox.account.rename(&from, &to)?;
        }
        let only_id = Shape {
            base: "IdOnly",
            fields: Vec::new(),
            extended: Vec::new(),
        };
        Ok(vec![
            el("m:Folders").with_all(render(call, &target, &only_id)?),
        ])
    });
    Ok(respond(call, answers, Some("m:Folders")))
}
