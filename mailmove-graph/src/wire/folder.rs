//! Folders.

use serde::Deserialize;

use super::{Property, property};

/// A mail folder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MailFolder {
    pub(crate) id: String,
    /// Tells a search folder from one that holds something.
    #[serde(rename = "@odata.type")]
    pub(crate) kind: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) parent_folder_id: Option<String>,
    pub(crate) child_folder_count: Option<u64>,
    pub(crate) total_item_count: Option<u64>,
    pub(crate) unread_item_count: Option<u64>,
    pub(crate) is_hidden: Option<bool>,
    /// Not in the published schema, yet told by some servers.
    pub(crate) size_in_bytes: Option<u64>,
    #[serde(deserialize_with = "property::list")]
    pub(crate) single_value_extended_properties: Vec<Property>,
}

impl MailFolder {
    /// Shows what others hold.
    pub(crate) fn is_search(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default();
        kind.ends_with("mailSearchFolder")
    }
}

/// A folder as the interface for exports shows it: of whatever class.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MailboxFolder {
    pub(crate) id: String,
    pub(crate) display_name: Option<String>,
    pub(crate) parent_folder_id: Option<String>,
    pub(crate) child_folder_count: Option<u64>,
    pub(crate) total_item_count: Option<u64>,
    /// What it is made for, such as `IPF.Contact`.
    #[serde(rename = "type")]
    pub(crate) class: Option<String>,
    /// What it is called in all languages, if Exchange made it.
    pub(crate) well_known_name: Option<String>,
}
