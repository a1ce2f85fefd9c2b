//! What is noted about folders.

use std::collections::BTreeMap;

use mailmove_core::{
    Error, ErrorKind, Result, Scope,
    model::{Annotation, Annotations, FolderId, FolderPath},
};

use super::{MemoryMailbox, ids};

/// Notes by folder, and names that are refused.
#[derive(Debug, Default)]
pub(super) struct Notes {
    folders: BTreeMap<FolderPath, Annotations>,
    refused: Vec<String>,
}

impl MemoryMailbox {
    /// Notes something about a folder, past the traits.
    pub fn note(&self, folder: &FolderPath, annotation: Annotation) {
        let mut state = self.state();
        let notes = state.notes.folders.entry(folder.clone()).or_default();
        notes.add(annotation);
    }

    /// Refuses annotations of this name.
    pub fn refuse_note(&self, name: &str) {
        self.state().notes.refused.push(name.to_owned());
    }

    /// What is noted about a folder.
    #[must_use]
    pub fn notes(&self, folder: &FolderPath) -> Annotations {
        let state = self.state();
        let notes = state.notes.folders.get(folder);
        notes.cloned().unwrap_or_default()
    }

    pub(super) async fn all_notes(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
        self.operation(|count| count.noted += 1).await?;
        let notes = |id: &FolderId| ids::folder_path(id).map(|path| self.notes(&path));
        Ok(folders
            .iter()
            .map(|id| notes(id).unwrap_or_default())
            .collect())
    }

    pub(super) async fn note_all(
        &self,
        folder: &FolderId,
        annotations: Vec<Annotation>,
    ) -> Result<Vec<Result<()>>> {
        self.operation(|count| count.noting += 1).await?;
        self.resolve(folder)?;
        let Some(path) = ids::folder_path(folder) else {
            return Err(self.violation("no folder id of this adapter"));
        };
        let note = |annotation: Annotation| {
            let refused = self.state().notes.refused.clone();
            if refused.iter().any(|name| annotation.is_named(name)) {
                let error = Error::new(ErrorKind::Refused, "no such annotation here");
                return Err(error.with_scope(Scope::Message));
            }
            self.note(&path, annotation);
            Ok(())
        };
        Ok(annotations.into_iter().map(note).collect())
    }
}
