//! The beginning of a listing: opens the folder, and compares it with what a cursor remembers.

use std::collections::HashSet;

use mailmove_core::{
    error::{Error, Result},
    model::Flags,
    source::{Change, Coverage, ListRequest},
};

use super::{
    collect::Collector,
    convert,
    cursor::Place,
    labels::{self, Labels},
    missing::{self, Missing},
    told::{self, told},
};
use crate::{
    cut,
    distrust::Feature,
    error, folders, ids,
    session::{self, Mode, Opened, Session},
    wire::{
        Code, Command, Fetch, FetchItem, FetchParams, Response, SelectParams, Status, StatusKind,
        Tag, UidSet,
    },
};

/// What a listing has to do.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) validity: u32,
    /// List from here …
    pub(super) start: u32,
    /// … up to here, UIDNEXT.
    pub(super) end: u32,
    /// The first UID that nothing was known of.
    pub(super) fresh: u32,
    /// EXISTS.
    pub(super) exists: u32,
    /// Messages known below `start`.
    pub(super) below: u64,
    /// For the cursors to come.
    pub(super) modseq: Option<u64>,
    pub(super) coverage: Coverage,
    /// Names the opening of the folder.
    pub(super) view: u64,
    /// What was sent behind the opening is being answered.
    pub(super) behind: bool,
}

impl Default for Begun {
    fn default() -> Self {
        Self {
            validity: 0,
            start: 1,
            end: 1,
            fresh: 1,
            exists: 0,
            below: 0,
            modseq: None,
            coverage: Coverage::Full,
            view: 0,
            behind: false,
        }
    }
}

impl Begun {
    /// Everything in the folder.
    async fn new(session: &mut Session, opened: &Opened, since: Option<&Place>) -> Result<Self> {
        let mut end = uid_next(session, opened).await?.unwrap_or(1);
        if let (Some(since), None) = (since, opened.uid_next) {
            // The last message may have gone since.
            end = end.max(since.next);
        }
        Ok(Self {
            validity: opened.validity,
            end,
            exists: opened.exists,
            modseq: opened.highest_modseq.filter(|modseq| *modseq > 0),
            view: opened.view,
            ..Self::default()
        })
    }

    /// Not everything after all, but what is new.
    fn go_on(&mut self, since: &Place, coverage: Coverage) {
        self.coverage = coverage;
        self.start = since.next;
        self.below = since.below;
        if coverage == Coverage::Rest {
            // What changed before the cursor is still to be found, by a later listing.
            let now = self.modseq;
            self.modseq = since
                .modseq
                .filter(|then| now.is_some_and(|now| *then <= now));
        }
    }
}

/// What a server tells of the time since a modification sequence.
#[derive(Debug, Default)]
struct News {
    /// Flags count only together with labels, since one of them is a flag elsewhere.
    labels: bool,
    /// All messages of the folder are important.
    important: bool,
    gone: Vec<UidSet>,
    changed: Vec<(u32, Flags)>,
}

impl News {
    fn note(&mut self, response: Response) {
        match response {
            Response::Fetch(fetch) => self.flags(&fetch),
            Response::Vanished(gone) if gone.earlier => self.gone.push(gone.uids),
            Response::Status(Status {
                code: Some(Code::Closed),
                ..
            }) => {
                // It was about the folder that was open before.
                self.gone.clear();
                self.changed.clear();
            }
            _ => {}
        }
    }

    fn flags(&mut self, fetch: &Fetch) {
        if self.labels && fetch.gm_labels.is_none() {
            return;
        }
        if let (Some(uid), Some(flags)) = (fetch.uid, &fetch.flags) {
            let mut flags = convert::flags(flags).0;
            labels::important(&mut flags, fetch, self.important);
            self.changed.push((uid, flags));
        }
    }

    /// Having forgotten what was removed when, a server names every UID that is not in use.
    fn sane(&self, since: &Place) -> Told {
        let counts = self.gone.iter().map(UidSet::count);
        let gone = counts.fold(0, u64::saturating_add);
        if gone <= since.below.saturating_mul(2).saturating_add(1000) {
            Told::Everything
        } else {
            Told::TooLittle
        }
    }

    /// What became of messages below `next`.
    fn into_changes(self, validity: u32, next: u32) -> Vec<Change> {
        let gone = self.gone.iter().flat_map(UidSet::iter);
        let removed = gone
            .filter(|uid| *uid < next)
            .map(|uid| Change::Removed(ids::message_id(validity, uid)));
        let changed = self.changed.into_iter().filter(|(uid, _)| *uid < next);
        let flags =
            changed.map(|(uid, flags)| Change::Flags(ids::message_id(validity, uid), flags));
        removed.chain(flags).collect()
    }
}

/// How a folder is opened for a listing.
pub(super) struct Opening<'a> {
    pub(super) request: &'a ListRequest,
    pub(super) since: Option<Place>,
    pub(super) labels: &'a Labels,
    /// Sent right behind the opening, on the assumption that the folder is as it was seen last.
    pub(super) behind: Option<Command>,
}

impl Opening<'_> {
    /// Opens the folder with EXAMINE, and finds what changed since the cursor as far as the server says.
    ///
    /// # Errors
    /// If the folder cannot be opened, or is another one by now.
    pub(super) async fn begin(
        mut self,
        session: &mut Session,
        collector: &mut Collector,
    ) -> Result<(Begun, Vec<Change>)> {
        for asks in [true, true, false] {
            let mut news = News {
                labels: session.can().gmail(),
                important: self.labels.is_important(&self.request.folder),
                ..News::default()
            };
            let opened = self.open(session, &mut news).await?;
            let (request, resynced) = (self.request, opened.resynced);
            let mut behind = opened.behind;
            let opened = opened.opened;
            session.check_identity(&request.folder, &opened, &request.identity)?;
            if !is_as_seen(request, &opened) {
                // It was asked too much, or has to be asked more before.
                discard(session, behind.take()).await;
            }
            let mut begun = Begun::new(session, &opened, self.since.as_ref()).await?;
            begun.behind = behind.is_some();
            let Some(since) = self.since else {
                return Ok((begun, Vec::new()));
            };
            if since.validity != opened.validity || since.next > begun.end {
                return Err(session::stale(&request.folder));
            }
            begun.fresh = since.next;
            let told = match (since.modseq, begun.modseq) {
                // Nothing was there, so nothing of it can have changed.
                _ if since.next == 1 => Told::Everything,
                (Some(then), Some(now)) if then <= now && resynced => news.sane(&since),
                (Some(then), Some(now)) if then <= now && asks => {
                    ask(session, since, then < now, &begun, &mut news, collector).await?
                }
                _ => Told::TooLittle,
            };
            match told {
                Told::Everything => {
                    begun.go_on(&since, Coverage::Delta);
                    let changes = news.into_changes(since.validity, since.next);
                    return Ok((begun, changes));
                }
                Told::TooLittle if since.complete => return Ok((begun, Vec::new())),
                Told::TooLittle => {
                    begun.go_on(&since, Coverage::Rest);
                    return Ok((begun, Vec::new()));
                }
                // Messages went while we asked, so the numbers no longer fit.
                Told::Moved => session.forget_folder(),
            }
        }
        Err(error::unexpected(
            "the folder's numbers change as it is opened",
        ))
    }

    async fn open(&mut self, session: &mut Session, news: &mut News) -> Result<Open> {
        let resync = self.since.and_then(|since| {
            Some(SelectParams::Qresync {
                validity: since.validity,
                modseq: since
                    .modseq
                    .filter(|_| session.has_qresync() && !news.labels)?,
                known: Some(UidSet::range(1, since.next.checked_sub(1)?)?),
            })
        });
        let resynced = resync.is_some();
        let params = match resync {
            Some(resync) => resync,
            None if session.can().condstore() => SelectParams::Condstore,
            None => SelectParams::Plain,
        };
        let (params, resynced) = match session.distrusts(Feature::SelectParams) {
            true => (SelectParams::Plain, false),
            false => (params, resynced),
        };
        let plain = params == SelectParams::Plain;
        let folder = &self.request.folder;
        let behind = self.behind.take();
        let tag = behind.as_ref().map(Command::tag);
        let behind: Vec<Command> = behind.into_iter().collect();
        let note = |response| news.note(response);
        let opened = session
            .open_folder_and(folder, Mode::Read, &params, behind, note)
            .await;
        if opened.is_err() {
            discard(session, tag).await;
        }
        match opened {
            // Announced, but not understood.
            Err(error) if error.code() == "imap/bad" && !plain => {
                let opened = session
                    .open_folder(folder, Mode::Read, &SelectParams::Plain, |_| {})
                    .await;
                // Unless it is the folder that the server does not understand.
                let folders = |error: &Error| error.code() == "imap/bad";
                if !opened.as_ref().is_err_and(folders) {
                    session.server.distrust.add(Feature::SelectParams);
                }
                Ok(Open::new(opened?, false, None))
            }
            opened => {
                let opened = opened?;
                let resynced = resynced && !opened.cut_short;
                Ok(Open::new(opened, resynced, tag))
            }
        }
    }
}

/// UIDs that were in use when the folder was seen last are in use now, or were.
fn is_as_seen(request: &ListRequest, opened: &Opened) -> bool {
    let Some(mark) = &request.mark else {
        return false;
    };
    mark.epoch.as_str() == opened.validity.to_string()
        && opened.uid_next.map(u64::from) >= mark.next.max(Some(1))
}

/// A folder that is open.
struct Open {
    opened: Opened,
    /// The server told what changed.
    resynced: bool,
    /// The command sent behind, which is being answered.
    behind: Option<Tag>,
}

impl Open {
    fn new(opened: Opened, resynced: bool, behind: Option<Tag>) -> Self {
        Self {
            opened,
            resynced,
            behind,
        }
    }
}

/// Lets a command's answer pass by. If the connection fails, whoever uses it next is told.
async fn discard(session: &mut Session, tag: Option<Tag>) {
    if let Some(tag) = tag {
        let _ = session.connection.complete(tag, |_| {}).await;
    }
}

/// What could be found out of the time since a cursor.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Everything,
    TooLittle,
    Moved,
}

/// UIDNEXT; asks for the last message where the server does not say, and by STATUS where that says
/// nothing (Courier knows no `4294967295:*`). `None`: there is none.
///
/// # Errors
/// If the connection fails.
pub(super) async fn uid_next(session: &mut Session, opened: &Opened) -> Result<Option<u32>> {
    if opened.uid_next.is_some() || opened.exists == 0 {
        return Ok(opened.uid_next);
    }
    let tag = session.connection.tag();
    let command = session.connection.encoder().uid_fetch(
        tag,
        &UidSet::from_start(u32::MAX),
        &[FetchItem::Uid],
        FetchParams::default(),
    );
    let mut last = None;
    session
        .connection
        .run(command.map_err(session::encode)?, |response| {
            if let Response::Fetch(fetch) = response {
                last = last.max(fetch.uid);
            }
        })
        .await?;
    if let Some(uid) = last {
        return Ok(uid.checked_add(1));
    }
    let Some(folder) = session.folder().cloned() else {
        return Ok(None);
    };
    Ok(folders::status(session, &folder).await?.uid_next)
}

async fn send(
    session: &mut Session,
    set: &UidSet,
    items: &[FetchItem],
    params: FetchParams,
) -> Result<Tag> {
    let tag = session.connection.tag();
    let encoder = session.connection.encoder();
    let command = encoder.uid_fetch(tag, set, items, params);
    let command = command.map_err(session::encode)?;
    session.connection.send(command).await?;
    Ok(tag)
}

/// Asks a server with CONDSTORE, but without QRESYNC, for changed flags (`changed`: there are some),
/// and whether as many messages are below the cursor as there were. Which one is missing ESEARCH
/// alone can tell.
async fn ask(
    session: &mut Session,
    since: Place,
    changed: bool,
    begun: &Begun,
    news: &mut News,
    collector: &mut Collector,
) -> Result<Told> {
    let mut in_flight: Vec<(Tag, UidSet, usize)> = Vec::new();
    let later = since.next < begun.end;
    let asked = [
        UidSet::range(1, since.next - 1).filter(|_| changed),
        UidSet::range(since.next, begun.end - 1).filter(|_| later),
    ];
    if changed && session.distrusts(Feature::ChangedSince) {
        return Ok(Told::TooLittle);
    }
    let flags = FetchParams::changed_since(since.modseq.unwrap_or(1), false);
    let mut known = vec![FetchItem::Uid, FetchItem::Flags];
    known.extend(news.labels.then_some(FetchItem::GmLabels));
    let what: [(&[FetchItem], _); 2] =
        [(&known, flags), (&[FetchItem::Uid], FetchParams::default())];
    for (which, (set, (items, params))) in asked.into_iter().zip(what).enumerate() {
        let Some(set) = set else { continue };
        let tag = send(session, &set, items, params).await?;
        in_flight.push((tag, set, which));
    }
    let (mut ok, mut moved) = (true, false);
    let mut fresh = HashSet::new();
    while !in_flight.is_empty() {
        match told(&mut session.connection, collector, |_| false).await? {
            told::Told::Message(gathered) => {
                news.flags(&gathered.fetch);
                let uid = gathered.fetch.uid;
                fresh.extend(uid.filter(|uid| (since.next..begun.end).contains(uid)));
            }
            told::Told::Expunged(_) | told::Told::Vanished(_) => moved = true,
            told::Told::Unreadable { .. } => ok = false,
            told::Told::Done(tag, status) => {
                let at = in_flight.iter().position(|(open, ..)| *open == tag);
                let Some((_, set, which)) = at.map(|at| in_flight.swap_remove(at)) else {
                    continue;
                };
                let left = cut::left(&set, &status)?;
                ok &= status.kind == StatusKind::Ok || !left.is_empty();
                let (items, params) = what.get(which).copied().unwrap_or_default();
                for set in left {
                    let tag = send(session, &set, items, params).await?;
                    in_flight.push((tag, set, which));
                }
                if changed {
                    session.server.distrust.note(Feature::ChangedSince, &status);
                }
            }
        }
    }
    if moved {
        return Ok(Told::Moved);
    }
    let below = u64::from(begun.exists).checked_sub(fresh.len() as u64);
    match below.filter(|_| ok) {
        Some(below) if below == since.below => Ok(Told::Everything),
        // Which one is missing a search can tell.
        Some(below) if below < since.below && session.offers("ESEARCH", Feature::Esearch) => {
            Ok(match missing::ask(session, since.next, below).await? {
                Missing::These(gone) => {
                    news.gone.push(gone);
                    news.sane(&since)
                }
                Missing::Unclear => Told::TooLittle,
                Missing::Moved => Told::Moved,
            })
        }
        _ => Ok(Told::TooLittle),
    }
}
