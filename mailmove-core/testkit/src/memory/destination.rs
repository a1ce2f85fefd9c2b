//! The mailbox as a destination.

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    Destination, Error, Result, Scope,
    destination::{Batch, Existing, Outcome, Probe, Updater},
    model::{
        Annotation, Annotations, Capabilities, Endpoint, Folder, FolderId, FolderSpec, Mark,
        MessageId, Quota, Slot, Usage,
    },
    source::BoxStream,
};

use super::{MemoryMailbox, append, existing, failed, ids, source::refused};
use crate::mailbox::StoreError;

#[async_trait]
impl Destination for MemoryMailbox {
    fn endpoint(&self) -> Endpoint {
        self.named()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        self.operation(|_| {}).await?;
        Ok(self.can().clone())
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        let mut folders = self.all_folders().await?;
        if !self.options.names_marks {
            for folder in &mut folders {
                folder.mark = None;
            }
        }
        Ok(folders)
    }

    fn ensure_folders(&self, want: Vec<FolderSpec>) -> BoxStream<(Slot, Result<Folder>)> {
        let mailbox = self.clone();
        let made = async move {
            let begun = mailbox.operation(|count| count.ensures += 1).await;
            let made: Vec<(Slot, Result<Folder>)> = want
                .iter()
                .enumerate()
                // Slots say what belongs to what; their order says nothing.
                .rev()
                .map(|(index, spec)| {
                    let made = match &begun {
                        Ok(()) => mailbox.ensure(spec),
                        Err(error) => Err(Error::new(error.kind(), error.message().to_owned())),
                    };
                    (Slot::new(index), made)
                })
                .collect();
            stream::iter(made)
        };
        Box::pin(stream::once(made).flatten())
    }

    async fn mark(&self, folder: &FolderId) -> Result<Mark> {
        self.operation(|count| count.marks += 1).await?;
        let info = self.resolve(folder)?;
        Ok(ids::mark(&info, self.options.counted))
    }

    async fn quota(&self) -> Result<Quota> {
        self.operation(|_| {}).await?;
        let account = &self.server.account;
        let limits = account.limits();
        let mut quota = Quota::unknown();
        if let Some(limit) = limits.quota_bytes {
            quota.limit_bytes(Usage::new(account.used_bytes(), limit));
        }
        if let Some(limit) = limits.quota_messages {
            quota.limit_messages(Usage::new(account.used_messages(), limit));
        }
        Ok(quota)
    }

    fn existing(&self, probe: Probe) -> BoxStream<Result<Vec<Existing>>> {
        existing::existing(self.clone(), probe)
    }

    fn append(&self, batch: Batch) -> BoxStream<(Slot, Outcome)> {
        append::append(self.clone(), batch)
    }

    async fn annotations(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
        self.all_notes(folders).await
    }

    async fn annotate(
        &self,
        folder: &FolderId,
        annotations: Vec<Annotation>,
    ) -> Result<Vec<Result<()>>> {
        self.note_all(folder, annotations).await
    }

    fn updater(&self) -> Option<&dyn Updater> {
        let can = self.can();
        (can.sets_flags || can.moves || can.removes || can.copies).then_some(self)
    }

    fn describe(&self, id: &MessageId) -> String {
        self.described(id)
    }
}

impl MemoryMailbox {
    fn ensure(&self, spec: &FolderSpec) -> Result<Folder> {
        if spec.path.names().is_empty() {
            return Err(self.violation("a folder without a name is wanted"));
        }
        if let Some(kind) = self.state().ensure_fails(&spec.path) {
            return Err(failed(kind).with_scope(Scope::Folder));
        }
        let account = self.account();
        let names = spec.path.names();
        if let Ok(info) = account.folder(names) {
            return Ok(self.folder(&info));
        }
        let special_use: Vec<String> = spec
            .role
            .and_then(mailmove_core::model::Role::special_use)
            .map(str::to_owned)
            .into_iter()
            .collect();
        let made = account.create_special(names, &special_use);
        match made {
            // Somebody else was quicker: found is as good as made.
            Ok(_) | Err(StoreError::AlreadyExists) => {}
            Err(error) => {
                return Err(refused(&error)
                    .with_scope(Scope::Folder)
                    .with_context("folder", spec.path.to_string()));
            }
        }
        if spec.subscribe {
            account.subscribe(names, true);
        }
        let info = account.folder(names).map_err(|error| refused(&error))?;
        Ok(self.folder(&info))
    }
}
