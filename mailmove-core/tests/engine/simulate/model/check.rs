//! Compares the destination with the model.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mailmove_testkit::mailbox::Message;

use super::{Model, Msg, PLACE, PLACES};

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

impl Model {
    /// Compares the destination with what it should hold.
    pub(in crate::simulate) fn check(&self) -> Result<(), String> {
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
        let (least, least_sum) = match self.setup.folds {
            true => (least.min(1), least_sum.min(1)),
            false => (least, least_sum),
        };
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
    pub(in crate::simulate) fn picture(&self) -> String {
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
