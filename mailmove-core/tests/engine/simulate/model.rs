//! What there should be, told without the engine's means: each message of the source with its
//! place, and bounds for how often a content may stand in a destination folder.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mailmove_testkit::mailbox::{Account, EmailId, FlagOp, InternalDate, Message, NewMessage};

use super::steps::{Change, Setup};
use crate::world::NOW;

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

/// How often a content is in a place.
#[derive(Debug, Default)]
struct Bounds {
    /// As often as it is to be there.
    live: usize,
    /// And so often because it was copied before it went from the source.
    surely: usize,
    /// Or so often, if it was copied before.
    perhaps: usize,
}

impl Bounds {
    fn plus(self, other: Self) -> Self {
        Self {
            live: self.live + other.live,
            surely: self.surely + other.surely,
            perhaps: self.perhaps + other.perhaps,
        }
    }
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
        // A pass that did not complete may have moved it, or put a second copy elsewhere: then it
        // is left alone.
        if self.may_stay && self.messages[at].maybe.iter().any(|other| *other != place) {
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
        let uid = self.copies(class, place)[0].uid;
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

    /// Compares the destination with what it should hold.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut wrong = Vec::new();
        for class in 0..self.classes.len() {
            for place in 0..4 {
                self.check_count(class, place, &mut wrong);
            }
        }
        for at in 0..self.messages.len() {
            self.check_message(at, &mut wrong);
        }
        let known: BTreeSet<&Bytes> = self.classes.iter().map(|class| &class.body).collect();
        for (place, name) in PLACES.iter().enumerate() {
            for message in self.in_destination(place) {
                if !known.contains(&message.body) {
                    wrong.push(format!("a message that nobody sent in {name}"));
                }
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }

    /// Counts a content's copies in a place. Of equal messages with equal dates nobody can tell which
    /// of them moved and which was deleted: such a content has to be right in sum, and in each place
    /// within these bounds.
    fn check_count(&self, class: usize, place: usize, wrong: &mut Vec<String>) {
        let here = self.bounds(class, place);
        let all = (0..4).map(|place| self.bounds(class, place));
        let all = all.fold(Bounds::default(), Bounds::plus);
        let class_of = &self.classes[class];
        let foreign = class_of.foreign.iter().sum::<usize>();
        let removed = |m: &&Msg| m.class == class && m.removed;
        let removed = self.messages.iter().filter(removed).count();
        let found = self.copies(class, place).len();
        let sum: usize = (0..4).map(|place| self.copies(class, place).len()).sum();
        let (least, most) = if class_of.messages == 1 && !class_of.adopted {
            (here.live + here.surely, here.live + here.perhaps)
        } else {
            let least = here.live.saturating_sub(removed);
            (least, here.live + all.perhaps + foreign + removed)
        };
        let removed_gone = |m: &&Msg| m.class == class && m.removed && m.folder.is_none();
        let removed_gone = self.messages.iter().filter(removed_gone).count();
        let least_sum = all.live.saturating_sub(removed_gone);
        let most_sum = all.live + all.perhaps + foreign;
        if found < least || found > most || sum < least_sum || sum > most_sum {
            wrong.push(format!(
                "text {class:04}: {found} copies in {}, {least} to {most} expected; {sum} in all, \
                 {least_sum} to {most_sum} expected",
                PLACES[place]
            ));
        }
    }

    fn bounds(&self, class: usize, place: usize) -> Bounds {
        let of = |test: &dyn Fn(&Msg) -> bool| {
            let all = self.messages.iter().filter(|m| m.class == class);
            all.filter(|m| test(m)).count()
        };
        let gone = |m: &Msg| m.folder.is_none() && !m.removed;
        let here = |m: &Msg| m.there == Some(place) || m.maybe.contains(&place);
        // Servers that cannot move: it stays in its old places too.
        let old = of(&|m| {
            let elsewhere = m.folder.is_some_and(|f| PLACE[f] != place);
            self.may_stay && (m.left.contains(&place) || elsewhere && here(m))
        });
        Bounds {
            live: of(&|m| m.folder.map(|f| PLACE[f]) == Some(place) && !m.removed),
            surely: of(&|m| {
                let moved = m.maybe.iter().any(|other| *other != place);
                gone(m) && m.there == Some(place) && !moved
            }),
            perhaps: of(&|m| gone(m) && here(m)) + old,
        }
    }

    /// Flags and date, where the copy can be told from others.
    fn check_message(&self, at: usize, wrong: &mut Vec<String>) {
        let message = &self.messages[at];
        let class = &self.classes[message.class];
        let Some((folder, uid)) = self.uid(at) else {
            return;
        };
        let mut there = self.copies(message.class, PLACE[folder]);
        if class.messages != 1 || class.adopted || message.removed || there.len() != 1 {
            return;
        }
        let there = there.remove(0);
        let here = self.in_source(folder);
        let here = here.iter().find(|m| m.uid == uid).unwrap();
        let mut expected: BTreeMap<&str, ()> = here.flags.iter().map(|flag| (flag, ())).collect();
        if message.mine {
            expected.insert("Mine", ());
        }
        let mut found: BTreeMap<&str, ()> = there.flags.iter().map(|flag| (flag, ())).collect();
        if self.refused {
            return;
        }
        if self.may_stay {
            expected.remove("Mine");
            found.remove("Mine");
        }
        if expected != found || here.date != there.date {
            wrong.push(format!(
                "text {:04} in {}: {:?} {:?} expected, {:?} {:?} found",
                message.class,
                PLACES[PLACE[folder]],
                expected.keys(),
                here.date,
                found.keys(),
                there.date
            ));
        }
    }

    /// Counts per place, for people.
    pub(super) fn picture(&self) -> String {
        let mut out = String::new();
        for (folder, name) in self.names.iter().enumerate() {
            let texts: Vec<String> = self
                .in_source(folder)
                .iter()
                .map(|m| self.named(m))
                .collect();
            out.push_str(&format!("  source {name}: {}\n", texts.join(" ")));
        }
        for (place, name) in PLACES.iter().enumerate() {
            let texts: Vec<String> = self
                .in_destination(place)
                .iter()
                .map(|m| self.named(m))
                .collect();
            out.push_str(&format!("  destination {name}: {}\n", texts.join(" ")));
        }
        out
    }

    fn named(&self, message: &Message) -> String {
        let class = self.classes.iter().position(|c| c.body == message.body);
        let flags: Vec<&str> = message.flags.iter().collect();
        format!(
            "{}[{}]{:?}",
            message.uid,
            flags.join(","),
            class.unwrap_or(9999)
        )
    }
}
