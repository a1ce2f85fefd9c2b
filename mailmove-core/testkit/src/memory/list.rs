//! Listing a folder, or what changed in it.

use std::collections::{BTreeMap, VecDeque};

use futures_util::stream;
use mailmove_core::{
    ErrorKind, Result,
    identity::HeaderDigest,
    model::{
        Alteration, AlterationKind, ContentId, Flags, FolderId as CoreFolderId, FolderPath, Form,
        Keyword, Listed, SystemFlag, Timestamp,
    },
    source::{BoxStream, Change, Coverage, ListRequest, Page},
};

use super::{
    MemoryMailbox, failed,
    ids::{Id, Place, epoch, folder_id},
    stale,
};
use crate::mailbox::{EmailId, FolderId, Message};

/// A listing under way.
struct Listing {
    mailbox: MemoryMailbox,
    request: ListRequest,
    plan: Option<Plan>,
    done: bool,
}

/// Fixed when the listing begins: its end is known before its first page.
struct Plan {
    folder: FolderId,
    epoch: String,
    coverage: Coverage,
    /// Told first: flags and removals of what was listed before.
    known: VecDeque<Change>,
    uids: VecDeque<u32>,
    /// Where the next page leads.
    place: Place,
    /// Where the last page leads.
    end: Place,
    exists: u64,
    pages: u64,
    ends_after: Option<(u64, Option<ErrorKind>)>,
}

pub(super) fn list(mailbox: MemoryMailbox, request: ListRequest) -> BoxStream<Result<Page>> {
    let listing = Listing {
        mailbox,
        request,
        plan: None,
        done: false,
    };
    Box::pin(stream::unfold(listing, |mut listing| async {
        let page = listing.next().await?;
        Some((page, listing))
    }))
}

impl Listing {
    async fn next(&mut self) -> Option<Result<Page>> {
        if self.done {
            return None;
        }
        let page = self.page().await;
        // Nothing comes after an error.
        self.done |= !matches!(page, Some(Ok(_)));
        page
    }

    async fn page(&mut self) -> Option<Result<Page>> {
        let mut plan = match self.plan.take() {
            Some(plan) => {
                tokio::task::yield_now().await;
                plan
            }
            None => match self.begin().await {
                Ok(plan) => plan,
                Err(error) => return Some(Err(error)),
            },
        };
        match plan.ends_after {
            Some((pages, Some(kind))) if plan.pages >= pages => return Some(Err(failed(kind))),
            Some((pages, None)) if plan.pages >= pages => return None,
            _ => {}
        }
        let page = self.fill(&mut plan);
        plan.pages += 1;
        self.mailbox.state().counters.pages += 1;
        self.done = plan.known.is_empty() && plan.uids.is_empty();
        self.plan = Some(plan);
        Some(page)
    }

    async fn begin(&self) -> Result<Plan> {
        let mailbox = &self.mailbox;
        mailbox.operation(|count| count.lists += 1).await?;
        let request = &self.request;
        let info = mailbox.resolve_as(&request.folder, &request.identity)?;
        let since = match &request.since {
            None => None,
            Some(cursor) => {
                let expired = mailbox.state().cursor_expires();
                let place = Place::read(cursor).ok_or_else(|| {
                    mailbox.violation(format!("{cursor:?} is no cursor of this adapter"))
                })?;
                // Numbers below those known: another folder took the name.
                let back = place.modseq > info.highest_modseq || place.next > info.uid_next;
                if expired || back {
                    return Err(stale("the cursor expired"));
                }
                Some(place)
            }
        };
        // A new listing: the token first, then what there is.
        let end = Place {
            next: info.uid_next,
            modseq: info.highest_modseq,
            complete: true,
        };
        let account = mailbox.account();
        let gone = |_| stale("the folder was removed");
        let mut uids = account.uids(info.id).map_err(gone)?;
        let mut plan = Plan {
            folder: info.id,
            epoch: epoch(&info),
            coverage: Coverage::Full,
            known: VecDeque::new(),
            exists: uids.len() as u64,
            uids: VecDeque::new(),
            place: Place {
                next: 1,
                modseq: end.modseq,
                complete: false,
            },
            end,
            pages: 0,
            ends_after: mailbox.state().list_ends(),
        };
        match since {
            Some(place) if !place.complete => {
                // What changed before the cursor is told by the delta that follows.
                plan.coverage = Coverage::Rest;
                plan.place = place;
                plan.end.modseq = place.modseq;
                uids.retain(|uid| *uid >= place.next);
            }
            Some(place) if mailbox.can().deltas => {
                plan.coverage = Coverage::Delta;
                plan.place = place;
                let changes = account.changes(info.id, place.modseq).map_err(gone)?;
                let before = |uid: &u32| *uid < place.next;
                let vanished = changes.vanished.iter().filter(|uid| before(uid));
                plan.known = vanished
                    .map(|uid| Change::Removed(Id::write(&plan.epoch, *uid)))
                    .collect();
                let flags = changes.changed.iter().filter(|m| before(&m.uid));
                plan.known.extend(
                    flags.map(|m| Change::Flags(Id::write(&plan.epoch, m.uid), flags_of(m).0)),
                );
                uids.retain(|uid| *uid >= place.next);
            }
            _ => {}
        }
        plan.uids = uids.into();
        Ok(plan)
    }

    fn fill(&self, plan: &mut Plan) -> Result<Page> {
        let mailbox = &self.mailbox;
        let account = mailbox.account();
        let info = account.folder_by_id(plan.folder);
        if !info.is_ok_and(|info| epoch(&info) == plan.epoch) {
            return Err(stale("the folder was renumbered while it was listed"));
        }
        let size = mailbox.options.page;
        let mut changes: Vec<Change> = plan.known.drain(..size.min(plan.known.len())).collect();
        if plan.known.is_empty() {
            let room = (size - changes.len()).min(plan.uids.len());
            let uids: Vec<u32> = plan.uids.drain(..room).collect();
            if let Some(last) = uids.last() {
                plan.place.next = last + 1;
            }
            let messages = account
                .fetch(plan.folder, &uids)
                .map_err(|_| stale("the folder was removed"))?;
            plan.exists -= (uids.len() - messages.len()) as u64;
            let others = self.others(plan.folder);
            for message in &messages {
                let mut listed = self.listed(&plan.epoch, message)?;
                if let Some(others) = &others {
                    listed.also_in = others.get(&message.email_id).cloned().unwrap_or_default();
                }
                changes.push(Change::Item(Box::new(listed)));
            }
        }
        let last = plan.known.is_empty() && plan.uids.is_empty();
        let place = if last { plan.end } else { plan.place };
        let exists = last.then(|| mailbox.state().miscounted(plan.exists));
        Ok(Page::new(changes, place.write(), plan.coverage).with_exists(exists))
    }

    /// Where else each content is, if this is the folder that knows.
    fn others(&self, folder: FolderId) -> Option<BTreeMap<EmailId, Vec<CoreFolderId>>> {
        let account = self.mailbox.account();
        let info = account.folder_by_id(folder).ok()?;
        if !self.mailbox.folder(&info).knows_others {
            return None;
        }
        let mut others: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for other in account.folders().iter().filter(|other| other.id != folder) {
            let path = FolderPath::new(other.path.iter().map(String::as_str));
            for message in account.messages(other.id).unwrap_or_default() {
                let places = others.entry(message.email_id).or_default();
                places.push(folder_id(&path));
            }
        }
        Some(others)
    }

    fn listed(&self, epoch: &str, message: &Message) -> Result<Listed> {
        let mailbox = &self.mailbox;
        let mut item = Listed::new(Id::write(epoch, message.uid));
        let size = message.body.len() as u64;
        item.size = Some(mailbox.state().size_hint(size));
        item.received = Some(received_of(message));
        if mailbox.can().content_ids {
            item.content_id = Some(ContentId::format(format_args!("m:{}", message.email_id)));
        }
        item.flags_told = !mailbox.state().no_flags;
        if item.flags_told {
            (item.flags, item.notes) = flags_of(message);
        }
        let told = self.request.headers || self.request.form != Form::Mime;
        item.header = told.then(|| HeaderDigest::of(&message.body));
        let wanted = self.request.inline == Some(Form::Mime);
        if wanted && mailbox.options.inline.is_some_and(|most| size <= most) {
            item.content = Some(mailbox.content(&message.body)?);
        }
        Ok(item)
    }
}

pub(super) fn received_of(message: &Message) -> Timestamp {
    Timestamp::new(message.date.unix, message.date.offset_minutes)
}

/// Its flags, and notes on those that cannot be one elsewhere.
pub(super) fn flags_of(message: &Message) -> (Flags, Vec<Alteration>) {
    let mut flags = Flags::new();
    let mut notes = Vec::new();
    for name in message.flags.iter() {
        if let Some(system) = SystemFlag::parse(name) {
            flags.insert(system);
        } else if let Ok(keyword) = Keyword::new(name) {
            flags.insert_keyword(keyword);
        } else {
            notes.push(Alteration::new(AlterationKind::FlagDropped, name));
        }
    }
    (flags, notes)
}
