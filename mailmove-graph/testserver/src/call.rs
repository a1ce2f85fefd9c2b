//! A request as operations see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mailmove_testkit::mailbox::{EmailId, FolderInfo, Message};
use mailmove_testkit_exchange::http::Request;
use mailmove_testkit_exchange::ids;
use mailmove_testkit_exchange::mailbox::Mailbox;

use crate::faults::Action;
use crate::identity::{Unknown, made};
use crate::odata::Query;
use crate::render;
use crate::reply::{Answer, Failure, respond};
use crate::route::{Route, Whose};
use crate::server::Shared;

/// What the `Prefer` header asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Prefer {
    pub(crate) immutable: bool,
    pub(crate) max_page: Option<usize>,
    pub(crate) text: bool,
}

/// An operation that somebody asked for.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) route: Arc<Route>,
    pub(crate) mailbox: Mailbox,
    pub(crate) request: Arc<Request>,
    pub(crate) query: Query,
    pub(crate) prefer: Prefer,
    /// Scheme, host and `/v1.0`.
    pub(crate) base: String,
    pub(crate) fault: Option<Action>,
}

/// Items that cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Poison(Mutex<BTreeMap<(String, EmailId), (String, String)>>);

impl Poison {
    pub(crate) fn add(&self, mailbox: &Mailbox, message: &Message, operation: &str, code: &str) {
        let key = (mailbox.account.user().to_owned(), message.email_id);
        let value = (operation.to_owned(), code.to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key, value);
    }

    fn check(&self, mailbox: &Mailbox, message: &Message, operation: &str) -> Result<(), Failure> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (mailbox.account.user().to_owned(), message.email_id);
        match all.get(&key) {
            Some((of, code)) if of == "*" || of == operation => Err(Failure::new(
                500,
                code.clone(),
                "The item could not be converted.",
            )),
            _ => Ok(()),
        }
    }
}

pub(crate) fn prefer(request: &Request) -> Prefer {
    let mut found = Prefer::default();
    let lines = request.headers.iter().filter(|(name, _)| name == "prefer");
    for part in lines.flat_map(|(_, value)| value.split(',')) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "idtype" => found.immutable = value.eq_ignore_ascii_case("ImmutableId"),
            "odata.maxpagesize" => found.max_page = value.parse().ok(),
            "outlook.body-content-type" => found.text = value.eq_ignore_ascii_case("text"),
            _ => {}
        }
    }
    found
}

/// An item that a path names.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) mailbox: Mailbox,
    pub(crate) folder: FolderInfo,
    pub(crate) message: Message,
}

impl Call {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<serde_json::Value, Failure> {
        let kind = self.request.header("content-type").unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            return Err(Failure::new(
                415,
                "RequestBodyRead",
                "A supported MIME type could not be found that matches the content type of the request.",
            ));
        }
        serde_json::from_slice(&self.request.body)
            .map_err(|_| Failure::new(400, "BadRequest", "Unable to read JSON request payload."))
    }

    /// The item that the path names.
    pub(crate) fn item(&self) -> Result<Item, Failure> {
        let item = self.item_by_id(self.route.message.as_deref().unwrap_or_default())?;
        if let Some(folder) = &self.route.folder {
            let place = self.folder_by_id(folder)?;
            if place.id != item.folder.id {
                return Err(Failure::missing());
            }
        }
        // What has a list of its own is not among messages, not by its id either.
        let of_messages = !matches!(self.route.whose, Whose::Mailbox(_));
        let props = item.mailbox.extra().props(item.folder.id, &item.message);
        if of_messages && !render::is_message(props.class()) {
            return Err(Failure::missing());
        }
        self.readable(&item.mailbox, &item.message)?;
        Ok(item)
    }

    /// Unless the item is poison.
    pub(crate) fn readable(&self, mailbox: &Mailbox, message: &Message) -> Result<(), Failure> {
        let poison = &self.shared.poison;
        poison.check(mailbox, message, self.route.operation)
    }

    pub(crate) fn item_by_id(&self, id: &str) -> Result<Item, Failure> {
        let found = self.shared.identities.find(&self.mailbox, id);
        let (folder, message) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Err(Failure::missing()),
            Err(Unknown::NoId) => return Err(Failure::malformed()),
            Err(Unknown::Foreign) => {
                return Err(Failure::new(
                    400,
                    "ErrorInvalidMailboxItemId",
                    "Item Id doesn't belong to the current mailbox.",
                ));
            }
        };
        Ok(Item {
            mailbox: self.mailbox.clone(),
            folder,
            message,
        })
    }

    /// The place that an id or a well-known name stands for.
    pub(crate) fn place(&self, id: &str) -> Result<ids::Place, Failure> {
        let name = id.to_ascii_lowercase();
        if name == "msgfolderroot" {
            return Ok(ids::Place::Top);
        }
        let well_known = [
            "inbox",
            "drafts",
            "sentitems",
            "deleteditems",
            "junkemail",
            "archive",
            "outbox",
        ];
        if well_known.contains(&name.as_str()) {
            let found = self.mailbox.distinguished(&name);
            return found.map(ids::Place::Folder).ok_or_else(|| {
                Failure::new(
                    404,
                    "ErrorFolderNotFound",
                    "The specified folder could not be found in the store.",
                )
            });
        }
        match ids::parse(&made(id)) {
            Some(ids::Id::Folder { account, place }) if account == self.mailbox.account.user() => {
                ids::place(&self.mailbox, &place).ok_or_else(Failure::missing)
            }
            Some(ids::Id::Folder { .. }) => Err(Failure::new(
                400,
                "ErrorInvalidMailboxItemId",
                "Folder Id doesn't belong to the current mailbox.",
            )),
            _ => Err(Failure::malformed()),
        }
    }

    /// The folder, which is not the root.
    pub(crate) fn folder_by_id(&self, id: &str) -> Result<FolderInfo, Failure> {
        match self.place(id)? {
            ids::Place::Folder(id) => Ok(self.mailbox.account.folder_by_id(id)?),
            _ => Err(Failure::missing()),
        }
    }

    /// The id of a folder.
    pub(crate) fn folder_id(&self, place: ids::Place) -> String {
        let id = ids::folder_id(&self.mailbox.account, place);
        self.shared.identities.shown(id)
    }

    /// The id of an item, of the kind that was asked for.
    pub(crate) fn id(&self, folder: &FolderInfo, message: &Message) -> String {
        let ids = &self.shared.identities;
        ids.id(&self.mailbox, folder, message, self.prefer.immutable)
    }

    /// How many entries a page has: as asked for, or `usual`.
    pub(crate) fn page(&self, usual: usize) -> Result<usize, Failure> {
        let top = self.query.number("$top")?;
        let asked = top.or(self.prefer.max_page).unwrap_or(usual);
        Ok(asked.clamp(1, self.shared.config.max_page))
    }

    /// What was asked for, without its query.
    pub(crate) fn url(&self) -> String {
        let path = self.request.target.split('?').next().unwrap_or_default();
        let path = path.strip_prefix("/v1.0").unwrap_or(path);
        format!("{}{path}", self.base)
    }

    /// `@odata.context`.
    pub(crate) fn context(&self, what: &str) -> String {
        format!("{}/$metadata#{what}", self.base)
    }

    pub(crate) fn truncates(&self) -> bool {
        self.fault == Some(Action::Truncate)
    }
}

/// A list as it is sent.
pub(crate) fn listed(
    context: String,
    values: Vec<serde_json::Value>,
    more: Vec<(&str, serde_json::Value)>,
) -> Answer {
    let mut body = serde_json::Map::new();
    body.insert("@odata.context".to_owned(), context.into());
    body.insert("value".to_owned(), values.into());
    for (name, value) in more {
        body.insert(name.to_owned(), value);
    }
    Ok(respond(200, &body.into()))
}
