//! The mailbox as a source.

use std::collections::{HashSet, VecDeque};

use async_trait::async_trait;
use futures_util::stream;
use mailmove_core::{
    Error, ErrorKind, Result, Source,
    model::{
        Annotations, Capabilities, Endpoint, Folder, FolderId, FolderPath, Form, MessageId, Role,
        Token,
    },
    source::{BoxStream, FetchRequest, Fetched, ListRequest, Page},
};

use super::{MemoryMailbox, failed, ids, list, state::FetchFault, streams};
use crate::mailbox::FolderInfo;

#[async_trait]
impl Source for MemoryMailbox {
    fn endpoint(&self) -> Endpoint {
        self.named()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        self.operation(|_| {}).await?;
        Ok(self.can().clone())
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        self.all_folders().await
    }

    fn list(&self, request: ListRequest) -> BoxStream<Result<Page>> {
        list::list(self.clone(), request)
    }

    fn fetch(&self, request: FetchRequest) -> BoxStream<(MessageId, Fetched)> {
        let fetching = Fetching {
            mailbox: self.clone(),
            left: request.ids.iter().cloned().collect(),
            request,
            folder: None,
            ready: VecDeque::new(),
            ended: false,
        };
        Box::pin(stream::unfold(fetching, |mut fetching| async {
            let answer = fetching.next().await?;
            Some((answer, fetching))
        }))
    }

    async fn annotations(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
        self.all_notes(folders).await
    }

    fn describe(&self, id: &MessageId) -> String {
        self.described(id)
    }
}

impl MemoryMailbox {
    pub(super) async fn all_folders(&self) -> Result<Vec<Folder>> {
        self.operation(|count| count.folders += 1).await?;
        self.merge_late();
        let infos = self.account().folders();
        Ok(infos.iter().map(|info| self.folder(info)).collect())
    }

    pub(super) fn folder(&self, info: &FolderInfo) -> Folder {
        let path = FolderPath::new(info.path.iter().map(String::as_str));
        let mut folder = Folder::new(ids::folder_id(&path), path, ids::epoch(info));
        folder.role = if folder.path.is_inbox() {
            Some(Role::Inbox)
        } else {
            let mut uses = info.special_use.iter();
            uses.find_map(|name| Role::from_special_use(name))
        };
        folder.subscribed = info.subscribed;
        folder.knows_others = self.can().content_ids && folder.role == Some(Role::All);
        folder.mark = Some(ids::mark(info, self.options.counted));
        folder.keeps = Some(self.kept());
        if let Ok(status) = self.account().status(info.id) {
            let messages = u64::from(status.messages);
            folder.messages = Some(self.state().miscounted(messages));
            folder.bytes = Some(status.size);
        }
        if self.can().change_tokens {
            let (next, modseq) = (info.uid_next, info.highest_modseq);
            let token = Token::format(format_args!("{:x}.{next:x}.{modseq:x}", info.uid_validity));
            folder.token = Some(token);
        }
        folder
    }
}

/// So many ids a request may hold: "a few thousand".
const MOST_IDS: usize = 5000;

/// A fetch under way.
struct Fetching {
    mailbox: MemoryMailbox,
    request: FetchRequest,
    folder: Option<FolderInfo>,
    left: VecDeque<MessageId>,
    ready: VecDeque<(MessageId, Fetched)>,
    ended: bool,
}

impl Fetching {
    async fn next(&mut self) -> Option<(MessageId, Fetched)> {
        if let Some(answer) = self.ready.pop_front() {
            return Some(answer);
        }
        if self.ended || self.left.is_empty() {
            return None;
        }
        let Some(folder) = self.folder.clone() else {
            match self.begin().await {
                Ok(folder) => self.folder = Some(folder),
                Err(error) => self.fail_rest(&error),
            }
            return Box::pin(self.next()).await;
        };
        tokio::task::yield_now().await;
        self.window(&folder);
        Box::pin(self.next()).await
    }

    async fn begin(&self) -> Result<FolderInfo> {
        let mailbox = &self.mailbox;
        mailbox.operation(|count| count.fetches += 1).await?;
        let request = &self.request;
        let unique: HashSet<&MessageId> = request.ids.iter().collect();
        if unique.len() != request.ids.len() {
            return Err(mailbox.violation("a fetch names a message twice"));
        }
        if request.ids.len() > MOST_IDS {
            return Err(mailbox.violation("a fetch names more than a few thousand messages"));
        }
        if !mailbox.can().forms.contains(&request.form) {
            return Err(mailbox.violation("a fetch asks for a form that was not offered"));
        }
        mailbox.resolve_as(&request.folder, &request.identity)
    }

    /// An error that ends the request is told for each message that is left.
    fn fail_rest(&mut self, error: &Error) {
        let copy = || {
            Error::new(error.kind(), error.message().to_owned())
                .with_scope(error.scope())
                .with_retry(error.retry())
                .with_code(error.code().to_owned())
        };
        let left = std::mem::take(&mut self.left);
        self.ready
            .extend(left.into_iter().map(|id| (id, Fetched::Failed(copy()))));
    }

    /// Answers the next few messages, the last of them first: order means nothing.
    fn window(&mut self, folder: &FolderInfo) {
        let epoch = ids::epoch(folder);
        let mut answers = VecDeque::new();
        while answers.len() < 4 {
            let Some(id) = self.left.pop_front() else {
                break;
            };
            let fault = self.mailbox.state().fetch();
            match fault {
                Some(FetchFault::Fails(kind)) => {
                    self.left.push_front(id);
                    self.fail_rest(&failed(kind));
                    break;
                }
                Some(FetchFault::Ends) => {
                    self.ended = true;
                    break;
                }
                Some(FetchFault::Refused(kind)) => {
                    let error = failed(kind).with_scope(mailmove_core::Scope::Message);
                    answers.push_front((id, Fetched::Failed(error)));
                }
                vanish => {
                    let fetched = self.one(folder, &epoch, &id, vanish.is_some());
                    answers.push_front((id, fetched));
                }
            }
        }
        for answer in answers.into_iter().rev() {
            self.ready.push_front(answer);
        }
    }

    fn one(&self, folder: &FolderInfo, epoch: &str, id: &MessageId, vanish: bool) -> Fetched {
        let account = self.mailbox.account();
        let now = account.folder_by_id(folder.id);
        if !now.is_ok_and(|now| ids::epoch(&now) == epoch) {
            return Fetched::Failed(super::stale("the folder was renumbered meanwhile"));
        }
        let uid = match self.mailbox.uid(id, epoch) {
            Ok(uid) => uid,
            Err(error) => return Fetched::Failed(error),
        };
        if vanish {
            // What the back door cannot remove is gone already.
            let _ = account.remove(folder.id, &[uid]);
        }
        let found = account.fetch(folder.id, &[uid]).unwrap_or_default();
        match found.first() {
            None => Fetched::Vanished,
            Some(message) => {
                let content = match self.request.form {
                    Form::Mime => self.mailbox.content(&message.body),
                    form => {
                        let content = self.mailbox.content(&streams::encode(message));
                        content.map(|content| content.with_form(form))
                    }
                };
                content.map_or_else(Fetched::Failed, Fetched::Content)
            }
        }
    }
}

/// What the model refuses, in the core's words.
pub(super) fn refused(error: &crate::mailbox::StoreError) -> Error {
    use crate::mailbox::StoreError;
    let kind = match error {
        StoreError::NoSuchFolder => ErrorKind::NotFound,
        StoreError::ReadOnly => ErrorKind::Denied,
        StoreError::OverQuota => ErrorKind::Quota,
        StoreError::TooBig(_) => ErrorKind::TooLarge,
        _ => ErrorKind::Refused,
    };
    let refused = Error::new(kind, error.to_string());
    match kind {
        ErrorKind::Denied => refused.with_scope(mailmove_core::Scope::Folder),
        _ => refused,
    }
}
