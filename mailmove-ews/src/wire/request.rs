//! The requests, each as the schema wants it.

use mailmove_core::model::{Content, ItemClass, Timestamp};
use mailmove_exchange::{date::format_date, header::Importance};

use super::{
    property::Property,
    version::Version,
    write::{Piece, Writer},
};

const ENVELOPE: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
    "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"",
    " xmlns:m=\"http://schemas.microsoft.com/exchange/services/2006/messages\"",
    " xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/types\">",
);

/// What stands above every request.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "made here and in tests alone")]
pub struct Header<'a> {
    /// The schema.
    pub version: Version,
    /// Whose mailbox to act in, if another's.
    pub impersonate: Option<&'a str>,
}

/// A request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The operation's name.
    pub operation: &'static str,
    body: Vec<Piece>,
}

impl Request {
    fn new(operation: &'static str, write: impl FnOnce(&mut Writer)) -> Self {
        let mut out = Writer::default();
        write(&mut out);
        let body = out.finish();
        Self { operation, body }
    }

    /// The whole message.
    #[must_use]
    pub fn pieces(&self, header: Header<'_>) -> Vec<Piece> {
        let mut out = Writer::default();
        out.raw(ENVELOPE).raw("<s:Header>");
        out.empty("t:RequestServerVersion", "Version", header.version.as_str());
        if let Some(mailbox) = header.impersonate {
            out.raw("<t:ExchangeImpersonation><t:ConnectingSID>");
            out.leaf("t:PrimarySmtpAddress", mailbox);
            out.raw("</t:ConnectingSID></t:ExchangeImpersonation>");
        }
        out.raw("</s:Header><s:Body>");
        let mut pieces = out.finish();
        pieces.extend(self.body.iter().cloned());
        pieces.push(Piece::Text("</s:Body></s:Envelope>".to_owned()));
        pieces
    }
}

/// A folder by its role or by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FolderRef<'a> {
    /// `inbox`, `msgfolderroot`, …
    Distinguished(&'a str),
    /// An id that the server gave.
    Id(&'a str),
}

impl FolderRef<'_> {
    fn write(self, out: &mut Writer) {
        match self {
            Self::Distinguished(id) => out.empty("t:DistinguishedFolderId", "Id", id),
            Self::Id(id) => out.empty("t:FolderId", "Id", id),
        };
    }
}

/// What of items is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// Ids alone.
    Ids,
    /// Size, dates, flags.
    Meta,
    /// The same, and what tells items of any class apart.
    Identity,
    /// The content, the header as it came, of which class it is, and whether it is a draft.
    Mime,
    /// Size, dates, flags, the header as it came, and the content.
    Full,
}

const ITEM_CLASS: &str = "item:ItemClass";

// Not `message:IsRead`, which a meeting or contact among the mail has not and a request fails for: the
// message flags say the same.
const META_FIELDS: [&str; 5] = [
    ITEM_CLASS,
    "item:Size",
    "item:DateTimeReceived",
    "item:Categories",
    "item:IsDraft",
];
const META_PROPERTIES: [Property; 6] = [
    Property::MessageFlags,
    Property::FlagStatus,
    Property::LastVerb,
    Property::Icon,
    Property::Deleted,
    Property::Stamp,
];

const IDENTITY_PROPERTIES: [Property; 7] = [
    Property::MessageId,
    Property::Sent,
    Property::Subject,
    Property::Start,
    Property::End,
    Property::GlobalId,
    Property::FileUnder,
];

fn item_shape(out: &mut Writer, shape: Shape) {
    out.raw("<m:ItemShape>").leaf("t:BaseShape", "IdOnly");
    if matches!(shape, Shape::Mime | Shape::Full) {
        out.leaf("t:IncludeMimeContent", "true");
    }
    if shape != Shape::Ids {
        out.raw("<t:AdditionalProperties>");
        if shape == Shape::Mime {
            out.empty("t:FieldURI", "FieldURI", ITEM_CLASS);
            Property::MessageFlags.write(out);
        } else {
            for field in META_FIELDS {
                out.empty("t:FieldURI", "FieldURI", field);
            }
            for property in META_PROPERTIES {
                property.write(out);
            }
        }
        match shape {
            Shape::Mime | Shape::Full => Property::Headers.write(out),
            Shape::Identity => IDENTITY_PROPERTIES.iter().for_each(|one| one.write(out)),
            _ => {}
        }
        out.raw("</t:AdditionalProperties>");
    }
    out.raw("</m:ItemShape>");
}

fn item_ids(out: &mut Writer, ids: &[&str]) {
    out.raw("<m:ItemIds>");
    for id in ids {
        out.empty("t:ItemId", "Id", id);
    }
    out.raw("</m:ItemIds>");
}

const FOLDER_PROPERTIES: [Property; 5] = [
    Property::Hidden,
    Property::FolderSize,
    Property::LastCommit,
    Property::DeletedCount,
    Property::Unread,
];

fn folder_shape(out: &mut Writer) {
    out.raw("<m:FolderShape>").leaf("t:BaseShape", "IdOnly");
    out.raw("<t:AdditionalProperties>");
    for field in ["ParentFolderId", "FolderClass", "DisplayName", "TotalCount"] {
        out.empty("t:FieldURI", "FieldURI", &format!("folder:{field}"));
    }
    for property in FOLDER_PROPERTIES {
        property.write(out);
    }
    out.raw("</t:AdditionalProperties></m:FolderShape>");
}

/// Folders by role or id.
#[must_use]
pub fn get_folders(folders: &[FolderRef<'_>]) -> Request {
    Request::new("GetFolder", |out| {
        out.raw("<m:GetFolder>");
        folder_shape(out);
        out.raw("<m:FolderIds>");
        folders.iter().for_each(|folder| folder.write(out));
        out.raw("</m:FolderIds></m:GetFolder>");
    })
}

/// The root of a mailbox, by its role, with how much the mailbox may hold.
#[must_use]
pub fn get_store(root: &str) -> Request {
    Request::new("GetFolder", |out| {
        out.raw("<m:GetFolder><m:FolderShape>");
        out.leaf("t:BaseShape", "IdOnly");
        out.raw("<t:AdditionalProperties>");
        Property::ReceiveQuota.write(out);
        out.raw("</t:AdditionalProperties></m:FolderShape><m:FolderIds>");
        FolderRef::Distinguished(root).write(out);
        out.raw("</m:FolderIds></m:GetFolder>");
    })
}

/// Whether mail to this address would come back since its mailbox is full.
#[must_use]
pub fn mail_tips(address: &str) -> Request {
    Request::new("GetMailTips", |out| {
        out.raw("<m:GetMailTips><m:SendingAs>");
        out.leaf("t:EmailAddress", address);
        out.raw("</m:SendingAs><m:Recipients><t:Mailbox>");
        out.leaf("t:EmailAddress", address);
        out.raw("</t:Mailbox></m:Recipients>");
        out.leaf("m:MailTipsRequested", "MailboxFullStatus");
        out.raw("</m:GetMailTips>");
    })
}

/// All folders below one, from `offset` on, at most `most`.
#[must_use]
pub fn find_folders(root: FolderRef<'_>, offset: usize, most: usize) -> Request {
    Request::new("FindFolder", |out| {
        out.raw("<m:FindFolder Traversal=\"Deep\">");
        folder_shape(out);
        out.raw("<m:IndexedPageFolderView MaxEntriesReturned=\"")
            .raw(&most.to_string());
        out.raw("\" Offset=\"")
            .raw(&offset.to_string())
            .raw("\" BasePoint=\"Beginning\"/>");
        out.raw("<m:ParentFolderIds>");
        root.write(out);
        out.raw("</m:ParentFolderIds></m:FindFolder>");
    })
}

/// Makes folders in one folder, each for items of a class.
#[must_use]
pub fn create_folders(parent: FolderRef<'_>, folders: &[(&str, ItemClass)]) -> Request {
    Request::new("CreateFolder", |out| {
        out.raw("<m:CreateFolder><m:ParentFolderId>");
        parent.write(out);
        out.raw("</m:ParentFolderId><m:Folders>");
        for (name, class) in folders {
            // Those that have an element of their own take no class.
            let (element, class) = match class {
                ItemClass::Event => ("t:CalendarFolder", None),
                ItemClass::Contact => ("t:ContactsFolder", None),
                ItemClass::Task => ("t:TasksFolder", None),
                ItemClass::Note => ("t:Folder", Some("IPF.StickyNote")),
                ItemClass::Journal => ("t:Folder", Some("IPF.Journal")),
                _ => ("t:Folder", Some("IPF.Note")),
            };
            out.raw("<").raw(element).raw(">");
            if let Some(class) = class {
                out.leaf("t:FolderClass", class);
            }
            out.leaf("t:DisplayName", name);
            out.raw("</").raw(element).raw(">");
        }
        out.raw("</m:Folders></m:CreateFolder>");
    })
}

/// What changed in a folder since `state`, or all that is in it; at most `most`, which the schema limits
/// to 512.
#[must_use]
pub fn sync_items(folder: &str, state: Option<&str>, most: usize, shape: Shape) -> Request {
    Request::new("SyncFolderItems", |out| {
        out.raw("<m:SyncFolderItems>");
        item_shape(out, shape);
        out.raw("<m:SyncFolderId>");
        FolderRef::Id(folder).write(out);
        out.raw("</m:SyncFolderId>");
        if let Some(state) = state {
            out.leaf("m:SyncState", state);
        }
        out.leaf("m:MaxChangesReturned", &most.clamp(1, 512).to_string());
        out.leaf("m:SyncScope", "NormalItems");
        out.raw("</m:SyncFolderItems>");
    })
}

/// What is in a folder with what [`Shape::Meta`] has, and [`Shape::Identity`] if that is asked for, in the order in which it came or the other way
/// round, from `offset` on, at most `most`.
#[must_use]
pub fn find_items(
    folder: &str,
    offset: usize,
    most: usize,
    ascending: bool,
    shape: Shape,
) -> Request {
    Request::new("FindItem", |out| {
        out.raw("<m:FindItem Traversal=\"Shallow\"><m:ItemShape>");
        out.leaf("t:BaseShape", "IdOnly");
        out.raw("<t:AdditionalProperties>");
        for field in META_FIELDS {
            out.empty("t:FieldURI", "FieldURI", field);
        }
        for property in META_PROPERTIES {
            property.write(out);
        }
        if shape == Shape::Identity {
            IDENTITY_PROPERTIES.iter().for_each(|one| one.write(out));
        }
        Property::ArticleNumber.write(out);
        out.raw("</t:AdditionalProperties></m:ItemShape>");
        out.raw("<m:IndexedPageItemView MaxEntriesReturned=\"")
            .raw(&most.to_string());
        out.raw("\" Offset=\"")
            .raw(&offset.to_string())
            .raw("\" BasePoint=\"Beginning\"/>");
        let order = if ascending { "Ascending" } else { "Descending" };
        out.raw("<m:SortOrder><t:FieldOrder Order=\"").raw(order);
        out.raw("\">");
        Property::ArticleNumber.write(out);
        out.raw("</t:FieldOrder></m:SortOrder><m:ParentFolderIds>");
        FolderRef::Id(folder).write(out);
        out.raw("</m:ParentFolderIds></m:FindItem>");
    })
}

/// Items by id.
#[must_use]
pub fn get_items(ids: &[&str], shape: Shape) -> Request {
    Request::new("GetItem", |out| {
        out.raw("<m:GetItem>");
        item_shape(out, shape);
        item_ids(out, ids);
        out.raw("</m:GetItem>");
    })
}

/// A field of an item with its value, as it is set or made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// An extended property.
    Extended(Property, String),
    /// All categories.
    Categories(Vec<String>),
    /// How important it is.
    Importance(Importance),
    /// Whether it was read.
    IsRead(bool),
}

impl Field {
    /// In the order of the schema.
    const fn rank(&self) -> u8 {
        match self {
            Self::Categories(_) => 0,
            Self::Importance(_) => 1,
            Self::Extended(..) => 2,
            Self::IsRead(_) => 3,
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Extended(property, value) => property.write_value(out, value),
            Self::Categories(all) => {
                out.raw("<t:Categories>");
                for category in all {
                    out.leaf("t:String", category);
                }
                out.raw("</t:Categories>");
            }
            Self::Importance(level) => {
                let level = match level {
                    Importance::Low => "Low",
                    _ => "High",
                };
                out.leaf("t:Importance", level);
            }
            Self::IsRead(read) => {
                out.leaf("t:IsRead", if *read { "true" } else { "false" });
            }
        }
    }

    fn write_path(&self, out: &mut Writer) {
        match self {
            Self::Extended(property, _) => property.write(out),
            Self::Categories(_) => {
                out.empty("t:FieldURI", "FieldURI", "item:Categories");
            }
            Self::Importance(_) => {
                out.empty("t:FieldURI", "FieldURI", "item:Importance");
            }
            Self::IsRead(_) => {
                out.empty("t:FieldURI", "FieldURI", "message:IsRead");
            }
        }
    }
}

/// An item to be made from a MIME message.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "made here and in tests alone")]
pub struct NewItem {
    /// The message, with CRLF at the ends of its lines.
    pub content: Content,
    /// When it was received.
    pub received: Option<Timestamp>,
    /// What else is set.
    pub fields: Vec<Field>,
}

/// Makes items in a folder. They are saved and never sent.
#[must_use]
pub fn create_items(folder: &str, items: &[NewItem]) -> Request {
    Request::new("CreateItem", |out| {
        out.raw("<m:CreateItem MessageDisposition=\"SaveOnly\"><m:SavedItemFolderId>");
        FolderRef::Id(folder).write(out);
        out.raw("</m:SavedItemFolderId><m:Items>");
        for item in items {
            out.raw("<t:Message><t:MimeContent>").content(&item.content);
            out.raw("</t:MimeContent>");
            let mut fields: Vec<&Field> = item.fields.iter().collect();
            fields.sort_by_key(|field| field.rank());
            let (before, after) = fields.split_at(fields.partition_point(|field| field.rank() < 2));
            before.iter().for_each(|field| field.write(out));
            if let Some(received) = item.received {
                Property::Delivered.write_value(out, &format_date(received));
            }
            after.iter().for_each(|field| field.write(out));
            out.raw("</t:Message>");
        }
        out.raw("</m:Items></m:CreateItem>");
    })
}

/// Items as Exchange's own streams, by id.
#[must_use]
pub fn export_items(ids: &[&str]) -> Request {
    Request::new("ExportItems", |out| {
        out.raw("<m:ExportItems>");
        item_ids(out, ids);
        out.raw("</m:ExportItems>");
    })
}

/// Makes items in a folder from such streams.
#[must_use]
pub fn upload_items(folder: &str, streams: &[Content]) -> Request {
    Request::new("UploadItems", |out| {
        out.raw("<m:UploadItems><m:Items>");
        for stream in streams {
            out.raw("<t:Item CreateAction=\"CreateNew\">");
            out.empty("t:ParentFolderId", "Id", folder);
            out.raw("<t:Data>")
                .content(stream)
                .raw("</t:Data></t:Item>");
        }
        out.raw("</m:Items></m:UploadItems>");
    })
}

/// Notes at items of any class what they were made from.
#[must_use]
pub fn stamp_items(stamps: &[(&str, String)], version: Version) -> Request {
    Request::new("UpdateItem", |out| {
        update_head(out, version);
        for (id, stamp) in stamps {
            out.raw("<t:ItemChange>").empty("t:ItemId", "Id", id);
            out.raw("<t:Updates><t:SetItemField>");
            Property::Stamp.write(out);
            out.raw("<t:Item>");
            Property::Stamp.write_value(out, stamp);
            out.raw("</t:Item></t:SetItemField></t:Updates></t:ItemChange>");
        }
        out.raw("</m:ItemChanges></m:UpdateItem>");
    })
}

/// Nobody is told that a message was read, or a meeting changed.
fn update_head(out: &mut Writer, version: Version) {
    out.raw("<m:UpdateItem ConflictResolution=\"AlwaysOverwrite\" MessageDisposition=\"SaveOnly\"");
    out.raw(" SendMeetingInvitationsOrCancellations=\"SendToNone\"");
    suppress_receipts(out, version);
    out.raw("><m:ItemChanges>");
}

/// Changes of one item.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "made here and in tests alone")]
pub struct Change<'a> {
    /// The item.
    pub id: &'a str,
    /// Set to these values.
    pub set: Vec<Field>,
}

/// Older servers know no way to keep quiet, and refuse the attribute.
fn suppress_receipts(out: &mut Writer, version: Version) {
    if version >= Version::Exchange2013Sp1 {
        out.raw(" SuppressReadReceipts=\"true\"");
    }
}

/// Changes items. Nobody is told that a message was read.
#[must_use]
pub fn update_items(changes: &[Change<'_>], version: Version) -> Request {
    Request::new("UpdateItem", |out| {
        update_head(out, version);
        for change in changes {
            out.raw("<t:ItemChange>").empty("t:ItemId", "Id", change.id);
            out.raw("<t:Updates>");
            for field in &change.set {
                match field {
                    // An empty list is no value; it is taken away.
                    Field::Categories(all) if all.is_empty() => {
                        out.raw("<t:DeleteItemField>");
                        field.write_path(out);
                        out.raw("</t:DeleteItemField>");
                    }
                    _ => {
                        out.raw("<t:SetItemField>");
                        field.write_path(out);
                        out.raw("<t:Message>");
                        field.write(out);
                        out.raw("</t:Message></t:SetItemField>");
                    }
                }
            }
            out.raw("</t:Updates></t:ItemChange>");
        }
        out.raw("</m:ItemChanges></m:UpdateItem>");
    })
}

fn to_folder(operation: &'static str, ids: &[&str], to: &str) -> Request {
    Request::new(operation, |out| {
        out.raw("<m:").raw(operation).raw("><m:ToFolderId>");
        FolderRef::Id(to).write(out);
        out.raw("</m:ToFolderId>");
        item_ids(out, ids);
        out.raw("</m:").raw(operation).raw(">");
    })
}

/// Moves items to another folder of the mailbox.
#[must_use]
pub fn move_items(ids: &[&str], to: &str) -> Request {
    to_folder("MoveItem", ids, to)
}

/// Copies items into another folder of the mailbox.
#[must_use]
pub fn copy_items(ids: &[&str], to: &str) -> Request {
    to_folder("CopyItem", ids, to)
}

/// Removes items for good. Nobody is told that they were not read.
#[must_use]
pub fn delete_items(ids: &[&str], version: Version) -> Request {
    Request::new("DeleteItem", |out| {
        out.raw("<m:DeleteItem DeleteType=\"HardDelete\" SendMeetingCancellations=\"SendToNone\"");
        out.raw(" AffectedTaskOccurrences=\"AllOccurrences\"");
        suppress_receipts(out, version);
        out.raw(">");
        item_ids(out, ids);
        out.raw("</m:DeleteItem>");
    })
}
