//! What there should be, told without the engine's means: each message of the source with its
//! place, and bounds for how often a content may stand in a destination folder.

use std::collections::BTreeSet;

use bytes::Bytes;
use mailmove_testkit::mailbox::{Account, EmailId, FlagOp, InternalDate, Message, NewMessage};

use super::steps::{Change, Setup};
use crate::world::NOW;

mod check;

/// Folders of the source by number: their names (one may change), and where their mail goes.
/// Two of them share a place.
pub(super) const FOLDERS: [&str; 5] = ["INBOX", "Work", "Old", "Drafts", "Lists"];
const PLACE: [usize; 5] = [0, 1, 1, 2, 3];
const PLACES: [&str; 4] = ["INBOX", "Work", "Drafts", "Lists"];
const LISTS: usize = 4;

/// A content. Messages with equal bytes share one.
#[derive(Debug)]
struct Class {
    body: Bytes,
    messages: usize,
    /// Copies that a user put at the destination, by place.
    foreign: [usize; 4],
    /// A copy of the user's was there once: the engine may have taken it for its own.
    adopted: bool,
}

#[derive(Debug)]
struct Msg {
    class: usize,
    email: EmailId,
    /// Its folder at the source; `None` once it is gone.
    folder: Option<usize>,
    /// Where the last complete pass left it at the destination.
    there: Option<usize>,
    /// Where passes that did not complete may have put it since.
    maybe: BTreeSet<usize>,
    /// Where a copy stayed behind, since the destination cannot move.
    left: BTreeSet<usize>,
    /// A user removed it at the destination.
    removed: bool,
    /// A user put a keyword of his own on it there.
    mine: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    setup: Setup,
    source: Account,
    destination: Account,
    names: [String; 5],
    classes: Vec<Class>,
    messages: Vec<Msg>,
    groups: u64,
    /// No pass since the last complete one, and no change.
    clean: bool,
    /// The last pass came to its end: whatever comes in from now on is not of its sending.
    ended: bool,
    /// The state was lost, and no pass completed since.
    pub(super) lost: bool,
    /// Messages may stay in their old place as well, since they cannot be moved.
    pub(super) may_stay: bool,
    /// Flags were refused.
    pub(super) refused: bool,
    removed_since: bool,
    renumbered_since: bool,
    renamed_since: bool,
}

impl Model {
    pub(super) fn new(setup: Setup, source: Account, destination: Account) -> Self {
        for name in &FOLDERS[1..] {
            if *name == "Drafts" {
                source.create_special(&[*name], &["\\Drafts"]).unwrap();
            } else {
                source.create(&[*name]).unwrap();
            }
        }
        for name in &PLACES[1..] {
            destination.create(&[*name]).unwrap();
        }
        Self {
            may_stay: !setup.moves,
            refused: false,
            setup,
            source,
            destination,
            names: FOLDERS.map(str::to_owned),
            classes: Vec::new(),
            messages: Vec::new(),
            groups: 0,
            clean: false,
            ended: true,
            lost: false,
            removed_since: false,
            renumbered_since: false,
            renamed_since: false,
        }
    }

    fn in_source(&self, folder: usize) -> Vec<Message> {
        let info = self.source.folder(&[&self.names[folder]]).unwrap();
        self.source.messages(info.id).unwrap()
    }

    fn in_destination(&self, place: usize) -> Vec<Message> {
        let info = self.destination.folder(&[PLACES[place]]).unwrap();
        self.destination.messages(info.id).unwrap()
    }

    fn copies(&self, class: usize, place: usize) -> Vec<Message> {
        let mut all = self.in_destination(place);
        all.retain(|message| message.body == self.classes[class].body);
        all
    }

    /// Contents of one group have equal headers and sizes; a traced one stands alone in its group.
    fn new_class(&mut self, group: Option<u64>) -> usize {
        let group = group.unwrap_or_else(|| {
            self.groups += 1;
            self.groups
        });
        let number = self.classes.len();
        let trace = if group.is_multiple_of(2) {
            format!("Received: from a by b id {group:04}; Mon, 1 Jun 2026 10:00:00 +0000\r\n")
        } else {
            String::new()
        };
        let body = format!(
            "{trace}Message-ID: <{group:04}@example.org>\r\nSubject: s{group:04}\r\n\
             Date: Mon, 1 Jun 2026 10:00:00 +0000\r\n\r\nThis is text {number:04}.\r\n"
        );
        self.classes.push(Class {
            body: body.into(),
            messages: 0,
            foreign: [0; 4],
            adopted: false,
        });
        number
    }

    fn add(&mut self, class: usize, folder: usize, random: u64) {
        let date = InternalDate::utc(NOW - 86_400 * i64::try_from(class % 50).unwrap());
        let flags: &[&str] = match random % 4 {
            0 => &["\\Seen"],
            1 => &["\\Seen", "Later"],
            _ => &[],
        };
        let body = self.classes[class].body.clone();
        let message = NewMessage::new(body)
            .with_date(date)
            .with_flags(flags.iter().copied());
        let info = self.source.folder(&[&self.names[folder]]).unwrap();
        self.source.append(info.id, vec![message]).unwrap();
        let email = self.in_source(folder).last().unwrap().email_id;
        self.classes[class].messages += 1;
        self.messages.push(Msg {
            class,
            email,
            folder: Some(folder),
            there: None,
            maybe: BTreeSet::new(),
            left: BTreeSet::new(),
            removed: false,
            mine: false,
        });
    }

    fn uid(&self, at: usize) -> Option<(usize, u32)> {
        let message = &self.messages[at];
        let folder = message.folder?;
        let found = self.in_source(folder);
        let found = found.iter().find(|m| m.email_id == message.email)?;
        Some((folder, found.uid))
    }

    fn live(&self, random: u64) -> Option<usize> {
        let live: Vec<usize> = (0..self.messages.len())
            .filter(|at| self.messages[*at].folder.is_some())
            .collect();
        let at = usize::try_from(random % (live.len().max(1) as u64)).unwrap();
        live.get(at).copied()
    }

    /// A message whose copy at the destination can be told from all others.
    fn known_there(&self, random: u64) -> Option<usize> {
        let known: Vec<usize> = (0..self.messages.len())
            .filter(|at| {
                let message = &self.messages[*at];
                let class = &self.classes[message.class];
                message.folder.is_some()
                    && message.there.is_some()
                    && !message.removed
                    && class.messages == 1
                    && !class.adopted
            })
            .collect();
        let at = usize::try_from(random % (known.len().max(1) as u64)).unwrap();
        known.get(at).copied()
    }

    /// Makes a change, unless it means nothing in this state. True if the state is to be lost.
    pub(super) fn change(&mut self, change: Change, a: u64, b: u64) -> bool {
        let folder = usize::try_from(a % 5).unwrap();
        let place = usize::try_from(b % 4).unwrap();
        let some_class = (b % (self.classes.len().max(1) as u64)) as usize;
        let was_clean = std::mem::take(&mut self.clean);
        match change {
            Change::Add => {
                let class = self.new_class(None);
                self.add(class, folder, b);
            }
            Change::AddTwin if !self.classes.is_empty() => self.add(some_class, folder, a / 5),
            Change::AddVariant if self.groups > 0 => {
                // Equal header and size, other text; never for traced ones.
                let group = (b % self.groups) | 1;
                let class = self.new_class(Some(group));
                self.add(class, folder, a / 5);
            }
            Change::Flag => self.flag(a, b),
            Change::Move if !self.lost => self.relocate(a, b),
            Change::Delete if !self.lost => self.delete(a),
            Change::Renumber if folder != LISTS || !self.renamed_since => {
                let info = self.source.folder(&[&self.names[folder]]).unwrap();
                self.source.bump_uidvalidity(info.id).unwrap();
            }
            Change::Rename if was_clean && !self.setup.loses_state => {
                let name = format!("Lists-{}", a % 100);
                if self.source.rename(&[&self.names[LISTS]], &[&name]).is_ok() {
                    self.names[LISTS] = name;
                    self.renamed_since = true;
                }
            }
            Change::Recreate if !self.lost && self.names[LISTS] == "Lists" => {
                self.source.delete(&["Lists"]).unwrap();
                self.source.create(&["Lists"]).unwrap();
                for message in &mut self.messages {
                    if message.folder == Some(LISTS) {
                        message.folder = None;
                    }
                }
            }
            Change::UserAdds => {
                let class = self.new_class(None);
                self.user_adds(class, place);
            }
            Change::UserAddsTwin if self.ended && !self.classes.is_empty() => {
                self.user_adds(some_class, place);
            }
            Change::UserRemoves if !self.renumbered_since && !self.lost => self.user_removes(a),
            Change::UserRemovesOwn => self.user_removes_own(a),
            Change::UserFlags => self.user_flags(a),
            // What lands in a folder that is numbered anew meanwhile stays there, and is told.
            Change::RenumberThere if !self.removed_since && self.ended => {
                self.renumbered_since = true;
                let info = self.destination.folder(&[PLACES[place]]).unwrap();
                self.destination.bump_uidvalidity(info.id).unwrap();
            }
            Change::LoseState if was_clean && self.setup.loses_state => {
                self.lose_state();
                return true;
            }
            _ => self.clean = was_clean,
        }
        false
    }

    /// Damages or removes copies of ours, if all is as the last pass left it. The engine replaces only
    /// what it stored itself.
    pub(super) fn damage(&mut self, which: u64) -> bool {
        let setup = &self.setup;
        let settled = self.clean && self.ended && !self.lost && !self.may_stay;
        if !settled || setup.loses_state || !setup.removes {
            return false;
        }
        let mut which = which;
        for _ in 0..1 + which % 3 {
            which /= 3;
            let Some(at) = self.known_there(which) else {
                continue;
            };
            let (class, place) = (self.messages[at].class, self.messages[at].there.unwrap());
            let copies = self.copies(class, place);
            let [copy] = copies.as_slice() else { continue };
            let info = self.destination.folder(&[PLACES[place]]).unwrap();
            if which.is_multiple_of(2) {
                self.destination.remove(info.id, &[copy.uid]).unwrap();
            } else {
                let text = String::from_utf8(copy.body.to_vec()).unwrap();
                let text = text.replace("This is", "Th1s is");
                let damaged = self.destination.damage(info.id, copy.uid, text, None);
                damaged.unwrap();
            }
            // The user's own keyword goes with the copy.
            self.messages[at].mine = false;
        }
        true
    }

    fn flag(&mut self, a: u64, b: u64) {
        let Some((folder, uid)) = self.live(a).and_then(|at| self.uid(at)) else {
            return;
        };
        let name = ["\\Seen", "\\Flagged", "\\Answered", "Later"][(b % 4) as usize];
        // What is lost with the state: that a flag was there and was taken away.
        let op = if (b / 4).is_multiple_of(2) || self.lost {
            FlagOp::Add
        } else {
            FlagOp::Remove
        };
        let info = self.source.folder(&[&self.names[folder]]).unwrap();
        self.source
            .store(info.id, &[uid], op, &[name], None)
            .unwrap();
    }

    fn relocate(&mut self, a: u64, b: u64) {
        let to = (b % 5) as usize;
        let Some(at) = self.live(a) else { return };
        let Some((folder, uid)) = self.uid(at) else {
            return;
        };
        if folder == to {
            return;
        }
        let from = self.source.folder(&[&self.names[folder]]).unwrap().id;
        let into = self.source.folder(&[&self.names[to]]).unwrap().id;
        self.source.move_messages(from, &[uid], into).unwrap();
        self.messages[at].folder = Some(to);
    }

    fn delete(&mut self, a: u64) {
        let Some(at) = self.live(a) else { return };
        if let Some((folder, uid)) = self.uid(at) {
            let info = self.source.folder(&[&self.names[folder]]).unwrap();
            self.source.remove(info.id, &[uid]).unwrap();
            self.messages[at].folder = None;
        }
    }

    fn user_adds(&mut self, class: usize, place: usize) {
        let info = self.destination.folder(&[PLACES[place]]).unwrap();
        let message = NewMessage::new(self.classes[class].body.clone())
            .with_date(InternalDate::utc(NOW - 86_400 * 400));
        self.destination.append(info.id, vec![message]).unwrap();
        self.classes[class].foreign[place] += 1;
        self.classes[class].adopted = true;
    }

    fn user_removes(&mut self, a: u64) {
        let Some(at) = self.known_there(a) else {
            return;
        };
        let (class, place) = (self.messages[at].class, self.messages[at].there.unwrap());
        // A second copy may have stayed, or been put, elsewhere: then it is left alone.
        let (maybe, left) = (&self.messages[at].maybe, &self.messages[at].left);
        if self.may_stay && maybe.union(left).any(|other| *other != place) {
            return;
        }
        if let [copy] = self.copies(class, place).as_slice() {
            let info = self.destination.folder(&[PLACES[place]]).unwrap();
            self.destination.remove(info.id, &[copy.uid]).unwrap();
            self.messages[at].removed = true;
            self.removed_since = true;
        }
    }

    /// The user takes away what he put there, as long as the engine cannot have taken it for a copy.
    fn user_removes_own(&mut self, a: u64) {
        let own: Vec<(usize, usize)> = (0..self.classes.len())
            .filter(|class| self.classes[*class].messages == 0)
            .flat_map(|class| (0..4).map(move |place| (class, place)))
            .filter(|(class, place)| self.classes[*class].foreign[*place] > 0)
            .collect();
        if own.is_empty() {
            return;
        }
        let (class, place) = own[(a % own.len() as u64) as usize];
        // Folded into another.
        let Some(uid) = self.copies(class, place).first().map(|copy| copy.uid) else {
            return;
        };
        let info = self.destination.folder(&[PLACES[place]]).unwrap();
        self.destination.remove(info.id, &[uid]).unwrap();
        self.classes[class].foreign[place] -= 1;
    }

    fn user_flags(&mut self, a: u64) {
        let Some(at) = self.known_there(a) else {
            return;
        };
        let (class, place) = (self.messages[at].class, self.messages[at].there.unwrap());
        if let [copy] = self.copies(class, place).as_slice() {
            let info = self.destination.folder(&[PLACES[place]]).unwrap();
            self.destination
                .store(info.id, &[copy.uid], FlagOp::Add, &["Mine"], None)
                .unwrap();
            self.messages[at].mine = true;
        }
    }

    /// All that is there is the user's own from now on; what he removed comes back.
    fn lose_state(&mut self) {
        for class in 0..self.classes.len() {
            for place in 0..4 {
                let copies = self.copies(class, place).len();
                let live = |m: &&Msg| {
                    m.class == class && !m.removed && m.folder.map(|f| PLACE[f]) == Some(place)
                };
                let live = self.messages.iter().filter(live).count();
                self.classes[class].foreign[place] = copies.saturating_sub(live);
                self.classes[class].adopted |= copies > live;
            }
        }
        self.messages.retain(|message| message.folder.is_some());
        for message in &mut self.messages {
            message.mine &= !message.removed;
            message.removed = false;
        }
        self.lost = true;
    }

    /// Sees what vanished under a pass.
    pub(super) fn look(&mut self) {
        for at in 0..self.messages.len() {
            if self.messages[at].folder.is_some() && self.uid(at).is_none() {
                self.messages[at].folder = None;
            }
        }
    }

    /// A pass has ended.
    pub(super) fn passed(&mut self, complete: bool) {
        self.ended = complete;
        for at in 0..self.messages.len() {
            let may_stay = self.may_stay;
            let message = &mut self.messages[at];
            let Some(place) = message.folder.map(|folder| PLACE[folder]) else {
                continue;
            };
            if complete {
                // Servers that cannot move: it stays in its old places too.
                if may_stay {
                    message
                        .left
                        .extend(message.there.into_iter().chain(message.maybe.clone()));
                }
                message.there = Some(place);
                message.maybe.clear();
            } else {
                message.maybe.insert(place);
            }
        }
        if complete {
            self.clean = true;
            self.lost = false;
            self.removed_since = false;
            self.renumbered_since = false;
            self.renamed_since = false;
        }
    }
}
