//! Collections, page by page.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::error;

/// A page of a collection.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Page<T> {
    /// Must be there: a page without is none, and not one with nothing on it.
    pub(crate) value: Vec<T>,
    /// Where the next page is.
    #[serde(default, rename = "@odata.nextLink")]
    pub(crate) next: Option<String>,
    /// Where later changes are to be had, on the last page of a delta.
    #[serde(default, rename = "@odata.deltaLink")]
    pub(crate) delta: Option<String>,
}

/// Reads an answer as what it should be. Members that are not known are no matter.
///
/// # Errors
/// If it is something else.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> mailmove_core::Result<T> {
    serde_json::from_value(value).map_err(error::malformed)
}
