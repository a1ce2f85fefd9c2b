//! Operations on folders.

use mailmove_testkit::mailbox::{FolderId, FolderInfo, StoreError};
use mailmove_testkit_exchange::ids::Place;
use mailmove_testkit_exchange::mailbox::FolderExtra;
use serde_json::{Map, Value, json};

use crate::call::{Call, listed};
use crate::list::next_link;
use crate::reply::{Answer, Failure, empty, respond};

fn extra(call: &Call, folder: &FolderInfo) -> FolderExtra {
    let extra = call.mailbox.extra();
    extra.folders.get(&folder.id).cloned().unwrap_or_default()
}

/// Whether a folder holds mail, so that it is shown at all.
fn is_mail(call: &Call, folder: &FolderInfo) -> bool {
    let class = call.mailbox.class(folder.id);
    let class = class.as_deref().unwrap_or("IPF.Note");
    class.starts_with("IPF.Note") || class.starts_with("IPF.Imap") || extra(call, folder).hidden
}

/// All folders of mail, with hidden ones if asked for.
pub(crate) fn listed_folders(call: &Call, hidden: bool) -> Vec<FolderInfo> {
    let mut all = call.mailbox.account.folders();
    all.retain(|f| is_mail(call, f) && (hidden || !extra(call, f).hidden));
    all
}

fn children(call: &Call, path: &[String], hidden: bool) -> Vec<FolderInfo> {
    let mut all = listed_folders(call, hidden);
    all.retain(|f| is_below(f, path));
    all
}

fn is_below(folder: &FolderInfo, path: &[String]) -> bool {
    folder.path.len() == path.len() + 1 && folder.path.starts_with(path)
}

fn path_of(call: &Call, place: Place) -> Result<Vec<String>, Failure> {
    match place {
        Place::Folder(id) => Ok(call.mailbox.account.folder_by_id(id)?.path),
        _ => Ok(Vec::new()),
    }
}

fn hidden_too(call: &Call) -> bool {
    let option = call.query.get("includeHiddenFolders");
    option.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// A folder as JSON.
pub(crate) fn render(call: &Call, place: Place) -> Result<Value, Failure> {
    render_among(call, place, &listed_folders(call, false))
}

/// A folder as JSON, where all that are not hidden are known.
pub(crate) fn render_among(
    call: &Call,
    place: Place,
    all: &[FolderInfo],
) -> Result<Value, Failure> {
    let account = &call.mailbox.account;
    let id = call.folder_id(place);
    let Place::Folder(folder) = place else {
        return Ok(json!({
            "id": id,
            "displayName": "Top of Information Store",
            "parentFolderId": call.folder_id(Place::Root),
            "childFolderCount": all.iter().filter(|f| is_below(f, &[])).count(),
            "unreadItemCount": 0,
            "totalItemCount": 0,
            "isHidden": false,
        }));
    };
    let folder = account.folder_by_id(folder)?;
    let status = account.status(folder.id)?;
    let extra = extra(call, &folder);
    let above = folder.path.split_last().map_or(&[][..], |(_, above)| above);
    let parent = match above {
        [] => Place::Top,
        above => account
            .folder(above)
            .map_or(Place::Top, |f| Place::Folder(f.id)),
    };
    let mut out = Map::new();
    if extra.search {
        let kind = "#microsoft.graph.mailSearchFolder";
        out.insert("@odata.type".to_owned(), kind.into());
        out.insert("isSupported".to_owned(), true.into());
        out.insert("includeNestedFolders".to_owned(), true.into());
        out.insert("filterQuery".to_owned(), "isRead eq false".into());
        let sources = [call.folder_id(Place::Top)];
        out.insert("sourceFolderIds".to_owned(), sources.as_slice().into());
    }
    out.insert("id".to_owned(), id.into());
    out.insert(
        "displayName".to_owned(),
        call.mailbox.display_name(&folder).into(),
    );
    out.insert("parentFolderId".to_owned(), call.folder_id(parent).into());
    let below = all.iter().filter(|f| is_below(f, &folder.path)).count();
    out.insert("childFolderCount".to_owned(), below.into());
    out.insert("unreadItemCount".to_owned(), status.unseen.into());
    out.insert("totalItemCount".to_owned(), status.messages.into());
    out.insert("isHidden".to_owned(), extra.hidden.into());
    if call.shared.config.tells_sizes {
        out.insert("sizeInBytes".to_owned(), status.size.into());
    }
    Ok(out.into())
}

/// A folder with what was chosen of it.
fn chosen(call: &Call, place: Place) -> Result<Value, Failure> {
    let mut shown = render(call, place)?;
    if let (Some(names), Some(object)) = (call.query.select(), shown.as_object_mut()) {
        object.retain(|name, _| {
            name.starts_with('@')
                || name == "id"
                || names.iter().any(|n| n.eq_ignore_ascii_case(name))
        });
    }
    Ok(shown)
}

pub(crate) fn list(call: &Call) -> Answer {
    let path = match &call.route.folder {
        Some(folder) => path_of(call, call.place(folder)?)?,
        None => Vec::new(),
    };
    let mut all = children(call, &path, hidden_too(call));
    if let Some(filter) = call.query.get("$filter") {
        let name = filter.strip_prefix("displayName eq '");
        let name = name.and_then(|rest| rest.strip_suffix('\''));
        let name = name.ok_or_else(|| {
            Failure::new(
                400,
                "ErrorInvalidUrlQueryFilter",
                "The filter is not supported.",
            )
        })?;
        let name = name.replace("''", "'");
        all.retain(|f| call.mailbox.display_name(f).eq_ignore_ascii_case(&name));
    }
    let skip = call.query.number("$skip")?.unwrap_or(0);
    let most = call.page(10)?;
    let mut values = Vec::new();
    for folder in all.iter().skip(skip).take(most) {
        values.push(chosen(call, Place::Folder(folder.id))?);
    }
    let mut more = Vec::new();
    let next = skip + values.len();
    if call
        .query
        .get("$count")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    {
        more.push(("@odata.count", all.len().into()));
    }
    if next < all.len() {
        more.push(("@odata.nextLink", next_link(call, next).into()));
    }
    listed(call.context("users('x')/mailFolders"), values, more)
}

fn one(call: &Call, place: Place, status: u16) -> Answer {
    let mut shown = chosen(call, place)?;
    if let Some(object) = shown.as_object_mut() {
        let context = call.context("users('x')/mailFolders/$entity");
        object.insert("@odata.context".to_owned(), context.into());
    }
    Ok(respond(status, &shown))
}

fn target(call: &Call) -> Result<Place, Failure> {
    call.place(call.route.folder.as_deref().unwrap_or_default())
}

pub(crate) fn get(call: &Call) -> Answer {
    one(call, target(call)?, 200)
}

fn name_of(body: &Value) -> Result<&str, Failure> {
    let name = body.get("displayName").and_then(Value::as_str);
    name.filter(|name| !name.trim().is_empty()).ok_or_else(|| {
        Failure::new(
            400,
            "ErrorInvalidArgument",
            "The name of the folder is missing.",
        )
    })
}

pub(crate) fn create(call: &Call) -> Answer {
    let mut path = match &call.route.folder {
        Some(folder) => path_of(call, call.place(folder)?)?,
        None => Vec::new(),
    };
    let body = call.json()?;
    let name = name_of(&body)?;
    let object = body.as_object().into_iter().flatten();
    for (member, _) in object {
        if !matches!(member.as_str(), "displayName" | "isHidden") && !member.contains('@') {
            return Err(Failure::bad(format!(
                "The property '{member}' does not exist on type 'microsoft.graph.mailFolder'."
            )));
        }
    }
    path.push(call.mailbox.component(&path, name));
    let id = create_at(call, &path)?;
    let hidden = body.get("isHidden") == Some(&Value::Bool(true));
    if hidden && !call.shared.config.nothing_hidden {
        let mut extra = call.mailbox.extra();
        extra.folders.entry(id).or_default().hidden = true;
    }
    one(call, Place::Folder(id), 201)
}

/// Makes a folder, of no class so far.
pub(crate) fn create_at(call: &Call, path: &[String]) -> Result<FolderId, Failure> {
    let made = call.mailbox.account.create(path);
    made.map_err(|error| match error {
        StoreError::AlreadyExists => Failure::new(
            409,
            "ErrorFolderExists",
            "A folder with the specified name already exists.",
        ),
        error => error.into(),
    })
}

pub(crate) fn update(call: &Call) -> Answer {
    let place = target(call)?;
    let from = path_of(call, place)?;
    let body = call.json()?;
    let mut to = from.clone();
    to.pop();
    to.push(call.mailbox.component(&to, name_of(&body)?));
    if to != from {
        call.mailbox.account.rename(&from, &to)?;
    }
    one(call, place, 200)
}

pub(crate) fn move_to(call: &Call) -> Answer {
    let place = target(call)?;
    let from = path_of(call, place)?;
    let body = call.json()?;
    let to = crate::items::destination(&body);
    let to = to.ok_or_else(|| Failure::new(400, "ErrorInvalidRequest", "No destination."))?;
    let mut to = path_of(call, call.place(to)?)?;
    to.extend(from.last().cloned());
    call.mailbox.account.rename(&from, &to)?;
    one(call, place, 201)
}

/// Those below go with it. Unlike a message, it is gone for good here.
pub(crate) fn delete(call: &Call) -> Answer {
    let path = path_of(call, target(call)?)?;
    let account = &call.mailbox.account;
    let folder = account.folder(&path)?;
    let fixed = extra(call, &folder).role.is_some() || !folder.special_use.is_empty();
    if fixed || path.is_empty() {
        return Err(Failure::new(
            403,
            "ErrorDeleteDistinguishedFolder",
            "Distinguished folders cannot be deleted.",
        ));
    }
    let mut below = account.folders();
    below.retain(|folder| folder.path.starts_with(&path));
    below.sort_by_key(|folder| std::cmp::Reverse(folder.path.len()));
    for folder in below {
        account.delete(&folder.path)?;
    }
    Ok(empty(204))
}
