//! The map itself: the source's folders as a tree, in which each node finds its place below that of
//! its parent, unless a rule puts it elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Earlier, MapRules, Verdict,
    exclude::excluded,
    fit::{Fitter, Key, digest},
    roles::{self, Known},
    there::There,
};
use crate::model::{Folder, FolderPath, Naming, Role};

/// The verdict for each source folder, in their order.
pub(super) fn verdicts(
    rules: &MapRules,
    source: &[Folder],
    destination: &[Folder],
    naming: &Naming,
    earlier: &[Earlier],
) -> Vec<Verdict> {
    let all_there = destination.iter().any(roles::keeps_the_rest);
    let known = roles::of_source(source, all_there);
    let excluded = excluded(rules, source);
    let there = There::new(destination, Fitter::new(naming));
    let mut tree = Tree::new(source, &known, &excluded, there, Past::new(earlier));
    tree.all_there = all_there;
    tree.look_through();
    tree.anchor_places(rules);
    tree.anchor_inbox_and_earlier(rules, &excluded);
    if rules.root.is_none() {
        tree.anchor_roles();
    }
    tree.settle_natural();
    tree.settle_others();
    let mut mapped = tree.verdicts(rules);
    excluded
        .into_iter()
        .enumerate()
        .map(|(index, reason)| {
            reason.map_or_else(
                || mapped.remove(&index).unwrap_or_else(unplaced),
                Verdict::Excluded,
            )
        })
        .collect()
}

/// Every folder that is not excluded has a node, and every node a place; this is for the compiler.
fn unplaced() -> Verdict {
    Verdict::Excluded("it has no place".to_owned())
}

/// Earlier places by source folder, in the order given.
struct Past<'a>(HashMap<&'a FolderPath, Vec<&'a FolderPath>>);

impl<'a> Past<'a> {
    fn new(earlier: &'a [Earlier]) -> Self {
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        for one in earlier {
            all.entry(&one.source).or_default().push(&one.target);
        }
        Self(all)
    }

    fn get(&self, source: &FolderPath, ordinal: usize) -> Option<&'a FolderPath> {
        self.0.get(source)?.get(ordinal).copied()
    }
}

/// A source folder, or a name above one.
struct Node<'a> {
    parent: usize,
    name: &'a str,
    /// Stands for the path: of the digest above and the name.
    digest: String,
    children: BTreeMap<&'a str, usize>,
    /// The mapped folder, by index. A node without is there for what is below it.
    entry: Option<usize>,
    /// Further folders of the same path count from 1.
    ordinal: usize,
    /// The place that applies, by index.
    place: Option<usize>,
    /// A place names this very folder: what the user wrote.
    wanted: Option<FolderPath>,
    /// Where it would be if no other folder existed, and no earlier pass.
    ideal: Option<FolderPath>,
    target: Option<FolderPath>,
    /// What is below it is placed as if it stood here.
    transparent: bool,
}

impl<'a> Node<'a> {
    fn new(parent: usize, name: &'a str, above: &str) -> Self {
        Self {
            parent,
            name,
            digest: digest(&format!("{above}/{name}")),
            children: BTreeMap::new(),
            entry: None,
            ordinal: 0,
            place: None,
            wanted: None,
            ideal: None,
            target: None,
            transparent: false,
        }
    }
}

/// Who has a place at the destination.
struct Holder {
    /// The path before the destination's spelling.
    path: FolderPath,
    /// By an explicit place, directly or from above.
    placed: bool,
    /// By a role that the server gave.
    role: Option<Role>,
}

struct Tree<'a> {
    there: There<'a>,
    past: Past<'a>,
    source: &'a [Folder],
    known: &'a [Option<Known>],
    /// The first is the root.
    nodes: Vec<Node<'a>>,
    /// Nodes by level, sorted by path within one.
    levels: Vec<Vec<usize>>,
    taken: HashMap<Key, Holder>,
    /// The destination has a folder with all messages that knows what other folders show.
    all_there: bool,
    /// By plain path, the number last given to a further folder of that name.
    numbers: HashMap<Key, usize>,
}

impl<'a> Tree<'a> {
    fn new(
        source: &'a [Folder],
        known: &'a [Option<Known>],
        excluded: &[Option<String>],
        there: There<'a>,
        past: Past<'a>,
    ) -> Self {
        let mut tree = Self {
            there,
            past,
            source,
            known,
            nodes: vec![Node::new(0, "", "")],
            levels: Vec::new(),
            taken: HashMap::new(),
            all_there: false,
            numbers: HashMap::new(),
        };
        let mut ordinals: HashMap<usize, usize> = HashMap::new();
        let mut further = Vec::new();
        for (index, folder) in source.iter().enumerate() {
            if excluded.get(index).is_some_and(Option::is_some) {
                continue;
            }
            let at = tree.insert(&folder.path);
            let ordinal = ordinals.entry(at).or_default();
            if *ordinal == 0 {
                tree.nodes[at].entry = Some(index);
            } else {
                further.push((at, index, *ordinal));
            }
            *ordinal += 1;
        }
        tree.sort();
        for (at, index, ordinal) in further {
            let first = &tree.nodes[at];
            let mut node = Node::new(first.parent, first.name, &tree.nodes[first.parent].digest);
            node.entry = Some(index);
            node.ordinal = ordinal;
            let level = source[index].path.names().len() - 1;
            tree.levels[level].push(tree.nodes.len());
            tree.nodes.push(node);
        }
        tree
    }

    fn insert(&mut self, path: &'a FolderPath) -> usize {
        let mut at = 0;
        for name in path.names() {
            let next = self.nodes.len();
            let child = *self.nodes[at].children.entry(name).or_insert(next);
            if child == next {
                let node = Node::new(at, name, &self.nodes[at].digest);
                self.nodes.push(node);
            }
            at = child;
        }
        at
    }

    /// Children of sorted parents, each sorted, are sorted by path.
    fn sort(&mut self) {
        let mut level = vec![0];
        loop {
            let children = level
                .iter()
                .flat_map(|at| self.nodes[*at].children.values());
            level = children.copied().collect();
            if level.is_empty() {
                return;
            }
            self.levels.push(level.clone());
        }
    }

    /// All nodes but the root, parents first.
    fn order(&self) -> Vec<usize> {
        self.levels.iter().flatten().copied().collect()
    }

    /// The role that the server gave a node's folder.
    fn explicit(&self, at: usize) -> Option<Role> {
        let known = self.known(at)?;
        known.explicit.then_some(known.role)
    }

    fn known(&self, at: usize) -> Option<Known> {
        *self.known.get(self.nodes[at].entry?)?
    }

    fn parent_target(&self, at: usize) -> Option<&FolderPath> {
        self.nodes[self.nodes[at].parent].target.as_ref()
    }

    /// Gives a node its place; `path` is how it would be without the destination's spelling.
    fn settle(&mut self, at: usize, path: FolderPath) {
        let target = self.there.spelled(path.clone());
        if self.nodes[at].entry.is_some() {
            let holder = Holder {
                path,
                placed: self.nodes[at].place.is_some(),
                role: self
                    .explicit(at)
                    .filter(|role| *role == Role::Inbox || self.there.only(*role) == Some(&target)),
            };
            let key = self.there.fitter.key(target.names());
            // Of several that share it, the first says who may join.
            self.taken.entry(key).or_insert(holder);
        }
        self.nodes[at].target = Some(target);
    }

    fn is_free(&self, path: &FolderPath) -> bool {
        let key = self.there.fitter.key(path.names());
        !self.taken.contains_key(&key) && !self.there.blocked.contains(&key)
    }

    fn is_blocked(&self, path: &FolderPath) -> bool {
        let key = self.there.fitter.key(path.names());
        self.there.blocked.contains(&key)
    }
}

/// Rules that put a folder somewhere whatever its parent does.
impl Tree<'_> {
    /// Names that the server puts above its own folders.
    fn look_through(&mut self) {
        for folder in self.source.iter().filter(|folder| folder.transparent) {
            for at in self.find(&folder.path) {
                self.nodes[at].transparent = self.nodes[at].entry.is_none();
            }
        }
    }

    fn anchor_places(&mut self, rules: &MapRules) {
        for (index, place) in rules.places.iter().enumerate() {
            for at in self.find(&place.from) {
                // The first that applies wins.
                self.nodes[at].place.get_or_insert(index);
            }
        }
        for at in self.order() {
            let above = self.nodes[self.nodes[at].parent].place;
            let own = self.nodes[at].place;
            let first = [own, above].into_iter().flatten().min();
            self.nodes[at].place = first;
            let place = first.filter(|_| first == own && own != above);
            if let Some(place) = place.and_then(|place| rules.places.get(place)) {
                let path = self.there.fitted(&place.to);
                self.nodes[at].wanted = Some(place.to.clone());
                self.nodes[at].ideal = Some(path.clone());
                self.settle(at, path);
            }
        }
    }

    /// Nodes of that path; the inbox has no case.
    fn find(&self, path: &FolderPath) -> Vec<usize> {
        let mut found = vec![0];
        for (level, name) in path.names().iter().enumerate() {
            let matching = |other: &str| {
                other == name
                    || (level == 0
                        && name.eq_ignore_ascii_case("INBOX")
                        && other.eq_ignore_ascii_case("INBOX"))
            };
            let order = self.levels.get(level).into_iter().flatten().copied();
            found = order
                .filter(|at| found.contains(&self.nodes[*at].parent))
                .filter(|at| matching(self.nodes[*at].name))
                .collect();
        }
        found
    }

    fn anchor_inbox_and_earlier(&mut self, rules: &MapRules, excluded: &[Option<String>]) {
        let none = FolderPath::new(Vec::<String>::new());
        let root = self.there.fitted(rules.root.as_ref().unwrap_or(&none));
        self.nodes[0].ideal = Some(root.clone());
        self.idealise();
        for at in self.order() {
            if self.nodes[at].place.is_some() {
                self.keep_below_place(at);
            } else if rules.root.is_none() && self.is_inbox(at) {
                self.settle(at, self.there.inbox.clone());
            } else if let Some(target) = self.earlier(at)
                && (target.starts_with(&root) || self.is_form(at, target))
            {
                self.settle(at, target.clone());
            }
        }
        // What was left out meanwhile may come back, and then wants its place.
        for (index, folder) in self.source.iter().enumerate() {
            let left_out =
                excluded.get(index).is_some_and(Option::is_some) && !self.is_mapped(&folder.path);
            if let Some(path) = self.past.get(&folder.path, 0).filter(|_| left_out) {
                let key = self.there.fitter.key(path.names());
                self.taken.entry(key).or_insert_with(|| Holder {
                    path: path.clone(),
                    placed: false,
                    role: None,
                });
            }
        }
        self.nodes[0].target = Some(root);
    }

    /// Below an explicit place names follow the place, but among folders that want the same name
    /// those that had a form of it keep theirs.
    fn keep_below_place(&mut self, at: usize) {
        if self.nodes[at].target.is_some() {
            return;
        }
        if let Some(target) = self
            .earlier(at)
            .filter(|path| self.is_form(at, path))
            .cloned()
        {
            self.settle(at, target);
        }
    }

    /// What places and root alone would make of each name below them.
    fn idealise(&mut self) {
        for at in self.order() {
            let node = &self.nodes[at];
            let parent = self.nodes[node.parent].ideal.as_ref();
            if let (None, Some(parent)) = (&node.ideal, parent) {
                let fitter = &self.there.fitter;
                let path = match node.transparent {
                    true => parent.clone(),
                    false => fitter.within(parent, node.name, 1, &node.digest),
                };
                self.nodes[at].ideal = Some(self.there.spelled(path));
            }
        }
    }

    /// True if a path is what the rules make of the name, but for what keeps equal names apart.
    fn is_form(&self, at: usize, path: &FolderPath) -> bool {
        let fitter = &self.there.fitter;
        let stem = |path: &FolderPath| fitter.key(&fitter.stem(path.names()));
        let ideal = self.nodes[at].ideal.as_ref();
        ideal.is_some_and(|ideal| stem(ideal) == stem(path))
    }

    /// True if a folder of that path is mapped.
    fn is_mapped(&self, path: &FolderPath) -> bool {
        let mut names = path.names().iter();
        let found = names.try_fold(0, |at, name| {
            self.nodes[at].children.get(name.as_str()).copied()
        });
        found.is_some_and(|at| self.nodes[at].entry.is_some())
    }

    fn is_inbox(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let named = node.parent == 0 && node.name.eq_ignore_ascii_case("INBOX");
        named || self.explicit(at) == Some(Role::Inbox)
    }

    /// The place of an earlier pass, if it can still be one.
    fn earlier(&self, at: usize) -> Option<&FolderPath> {
        let node = &self.nodes[at];
        let folder = self.source.get(node.entry?)?;
        let target = self.past.get(&folder.path, node.ordinal)?;
        let there = self.there.exact.contains(target);
        (there || self.there.fitter.fits(target.names())).then_some(target)
    }

    fn anchor_roles(&mut self) {
        for at in self.order() {
            let node = &self.nodes[at];
            if node.target.is_some() || node.place.is_some() {
                continue;
            }
            let rest = node.entry.and_then(|entry| self.source.get(entry));
            let rest = self.all_there && rest.is_some_and(roles::keeps_the_rest);
            let Some(known) = self.known(at).filter(|known| !known.role.is_view() || rest) else {
                continue;
            };
            let Some(target) = self.there.only(known.role) else {
                continue;
            };
            let holder = self.taken.get(&self.there.fitter.key(target.names()));
            let shared = |holder: &Holder| known.explicit && holder.role == Some(known.role);
            if holder.is_none_or(shared) {
                self.settle(at, target.clone());
            }
        }
    }
}

/// Places that follow from the parent's.
impl Tree<'_> {
    /// The plain place of a node below its parent's, and whether that is its natural name.
    fn plain(&self, at: usize, nth: usize) -> Option<(FolderPath, bool)> {
        let parent = self.parent_target(at)?;
        let node = &self.nodes[at];
        let fitter = &self.there.fitter;
        let path = fitter.within(parent, node.name, nth, &node.digest);
        let natural = node.ordinal == 0 && path == parent.child(node.name);
        Some((path, natural))
    }

    /// Natural names below places that are settled. What exists in just that spelling comes first,
    /// then the order of the names decides; names that only hold others take no place.
    fn settle_natural(&mut self) {
        for level in self.levels.clone() {
            for at in &level {
                let above = self.parent_target(*at).cloned();
                let node = &mut self.nodes[*at];
                if node.transparent && node.target.is_none() {
                    node.target = above;
                }
            }
            let mut open: Vec<_> = level
                .into_iter()
                .filter(|at| self.nodes[*at].target.is_none())
                .filter_map(|at| {
                    let (path, natural) = self.plain(at, 1)?;
                    let holds = self.nodes[at].entry.is_none();
                    let exact = self.there.exact.contains(&path);
                    natural.then_some((holds, !exact, at, path))
                })
                .collect();
            // Stable, so that the order of the names stays within each kind.
            open.sort_by_key(|(holds, new, ..)| (*holds, *new));
            for (holds, _, at, path) in open {
                if self.may_have(at, &path, holds) {
                    self.settle(at, path);
                }
            }
        }
    }

    fn may_have(&self, at: usize, path: &FolderPath, holds: bool) -> bool {
        let key = self.there.fitter.key(path.names());
        if self.there.blocked.contains(&key) {
            return false;
        }
        let Some(holder) = self.taken.get(&key) else {
            return true;
        };
        let placed = holder.placed || self.nodes[at].place.is_some();
        holds || (placed && holder.path == *path)
    }

    /// What is left: names that had to be rewritten, or that somebody else has, and all below them.
    fn settle_others(&mut self) {
        for level in self.levels.clone() {
            let mut open: Vec<_> = level
                .into_iter()
                .filter(|at| self.nodes[*at].target.is_none())
                .filter_map(|at| Some((!self.plain(at, 1)?.1, at)))
                .collect();
            open.sort_by_key(|(rewritten, _)| *rewritten);
            for (_, at) in open {
                self.settle_somewhere(at);
            }
        }
    }

    fn settle_somewhere(&mut self, at: usize) {
        let Some((plain, _)) = self.plain(at, 1) else {
            return;
        };
        let holds = self.nodes[at].entry.is_none();
        let key = self.there.fitter.key(plain.names());
        // Each number gives another path, and only so many are taken. Those below the last one that
        // was given away still are.
        let first = self.numbers.get(&key).filter(|_| !holds).copied();
        for nth in first.unwrap_or(1).. {
            let Some((path, _)) = self.plain(at, nth) else {
                return;
            };
            // What only holds others shares its place with whoever has it.
            if self.is_free(&path) || (holds && !self.is_blocked(&path)) {
                if !holds {
                    self.numbers.insert(key, nth);
                }
                self.settle(at, path);
                return;
            }
        }
    }
}

/// Telling it.
impl Tree<'_> {
    fn verdicts(&self, rules: &MapRules) -> HashMap<usize, Verdict> {
        let mut given = HashSet::new();
        let mut reasons: HashMap<usize, Option<String>> = HashMap::new();
        let mut out = HashMap::new();
        for at in self.order() {
            let node = &self.nodes[at];
            let Some(target) = &node.target else { continue };
            let renamed = self.renamed(at, target).unwrap_or_else(|| {
                // Its own name is as it was, but perhaps not that of a folder above it.
                let anchored = node.wanted.is_some() || self.is_anchored(at, target);
                let above = reasons.get(&node.parent).filter(|_| !anchored);
                above.cloned().flatten()
            });
            reasons.insert(at, renamed.clone());
            let Some(entry) = node.entry else { continue };
            let by_role = rules.root.is_none() && node.place.is_none();
            // A role that only the name tells is not made a fact at the destination.
            let role = self
                .explicit(at)
                .filter(|role| by_role && !role.is_view())
                .filter(|role| match self.there.roles.get(role) {
                    Some(paths) => paths.contains(&target),
                    None => given.insert(*role),
                });
            let path = target.clone();
            out.insert(
                entry,
                Verdict::To {
                    path,
                    role,
                    renamed,
                },
            );
        }
        out
    }

    /// True if it is where the inbox or its role puts it.
    fn is_anchored(&self, at: usize, target: &FolderPath) -> bool {
        let root = self.nodes[0].target.as_ref();
        let by_role = root.is_none_or(|root| root.names().is_empty());
        let only = self.known(at).and_then(|known| self.there.only(known.role));
        let inbox = self.is_inbox(at) && *target == self.there.inbox;
        by_role && self.nodes[at].place.is_none() && (inbox || only == Some(target))
    }

    /// Why the folder's own name is not as it was at the source; `None` if it is.
    fn renamed(&self, at: usize, target: &FolderPath) -> Option<Option<String>> {
        let node = &self.nodes[at];
        let wanted = match &node.wanted {
            Some(wanted) => wanted.clone(),
            None => self.parent_target(at)?.child(node.name),
        };
        if *target == wanted || self.is_anchored(at, target) {
            return None;
        }
        let fitter = &self.there.fitter;
        let key = fitter.key(wanted.names());
        let why = if let Some(objection) = fitter.objection(wanted.names()) {
            objection
        } else if fitter.key(target.names()) == key {
            "the destination has it in another spelling"
        } else if self.there.blocked.contains(&key) || self.taken.contains_key(&key) {
            "the destination uses that name for another folder"
        } else {
            // It was put there in an earlier pass, for a reason that does not exist any more.
            return Some(None);
        };
        Some(Some(why.to_owned()))
    }
}
