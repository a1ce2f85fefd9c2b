//! Paths: every id is one segment, whatever stands in it.

use crate::http::{segment, value};

/// A path below a mailbox, or below the address of Graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A part that stands in the documentation as it is.
    #[must_use]
    pub(crate) fn at(mut self, name: &str) -> Self {
        self.text.push('/');
        self.text.push_str(name);
        self
    }

    /// An id.
    #[must_use]
    pub(crate) fn id(mut self, id: impl std::fmt::Display) -> Self {
        self.text.push('/');
        self.text.push_str(&segment(&id.to_string()));
        self
    }

    /// An option of the query, such as `$top`.
    #[must_use]
    pub(crate) fn query(mut self, name: &str, text: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.push_str(&value(text));
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_encoded() {
        let path = Path::new()
            .at("mailFolders")
            .id("A/b=")
            .at("messages/delta")
            .query("$select", "id,flag")
            .query("$filter", "id eq 'a&b'");
        assert_eq!(
            path.as_str(),
            "/mailFolders/A%2Fb%3D/messages/delta?$select=id,flag&$filter=id%20eq%20'a%26b'"
        );
    }
}
