//! The folder map: each folder one verdict, each place such that the destination takes it, and no two
//! folders in one place unless they belong together.

use std::collections::HashMap;

use arbitrary::{Result, Unstructured};
use mailmove_core::map::{Earlier, FolderMap, MapRules, Verdict};
use mailmove_core::model::{Folder, FolderId, FolderPath, Naming, Role};

/// The bytes make up folders of both sides and the destination's rules for names.
pub fn check(data: &[u8]) {
    let _ = map(&mut Unstructured::new(data));
}

fn map(u: &mut Unstructured<'_>) -> Result<()> {
    let naming = naming(u)?;
    let there = folders(u, 4)?;
    let mut rules = MapRules::new();
    rules.root = u.arbitrary::<bool>()?.then(|| path(u)).transpose()?;
    let source = folders(u, 10)?;
    let map = FolderMap::new(&rules, &source, &there, &naming, &[]);
    assert_eq!(map.entries.len(), source.len(), "a verdict for each");
    let mut taken: HashMap<Vec<String>, &Folder> = HashMap::new();
    for (folder, entry) in source.iter().zip(&map.entries) {
        assert_eq!(folder.path, entry.source, "in the source's order");
        let Verdict::To { path, .. } = &entry.verdict else {
            continue;
        };
        assert!(folder.selectable, "{:?} holds no messages", folder.path);
        if let Err(why) = fits(&naming, &there, path) {
            panic!("{:?} goes to {path:?}: {why}; {naming:?}", folder.path);
        }
        if let Some(other) = taken.insert(key(&naming, path), folder) {
            let belongs = belongs(folder);
            let shares = belongs.is_some() && belongs == self::belongs(other);
            assert!(
                shares,
                "{other:?} and {folder:?} both go to {path:?}; {there:?}"
            );
        }
    }
    let earlier: Vec<Earlier> = map.entries.iter().filter_map(earlier).collect();
    let again = FolderMap::new(&rules, &source, &there, &naming, &earlier);
    assert_eq!(
        map.entries, again.entries,
        "a later pass maps in another way"
    );
    Ok(())
}

fn earlier(entry: &mailmove_core::map::MapEntry) -> Option<Earlier> {
    match &entry.verdict {
        Verdict::To { path, .. } => Some(Earlier::new(entry.source.clone(), path.clone())),
        _ => None,
    }
}

fn path(u: &mut Unstructured<'_>) -> Result<FolderPath> {
    let mut names = Vec::new();
    for _ in 0..u.int_in_range(1..=4)? {
        let usual = [
            "INBOX",
            "Sent",
            "a",
            "A",
            "a_",
            "Papierkorb",
            "a (2)",
            "Files",
        ];
        names.push(if u.ratio(2, 3)? {
            (*u.choose(&usual)?).to_owned()
        } else {
            let len = u.int_in_range(0..=24)?;
            String::from_utf8_lossy(u.bytes(len)?).into_owned()
        });
    }
    Ok(FolderPath::new(names))
}

fn folders(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<Folder>> {
    let mut folders: Vec<Folder> = Vec::new();
    for number in 0..u.int_in_range(0..=most)? {
        let path = path(u)?;
        let mut folder = Folder::new(FolderId::new(number.to_string()), path, "1");
        folder.role = *u.choose(&[None, None, None, Some(Role::Sent), Some(Role::Trash)])?;
        folder.selectable = u.ratio(7, 8)?;
        folders.push(folder);
    }
    Ok(folders)
}

fn naming(u: &mut Unstructured<'_>) -> Result<Naming> {
    let mut naming = Naming::default();
    naming.separator = *u.choose(&[Some('/'), Some('.'), Some('_'), None])?;
    naming.forbidden = (*u.choose(&["", ":*", "*%\\\"^", "_()~"])?).to_owned();
    naming.case_insensitive = u.arbitrary()?;
    naming.trims_blanks = u.arbitrary()?;
    if u.arbitrary()? {
        naming.reserved = vec!["Files".to_owned()];
    }
    naming.max_depth = u.int_in_range(1..=5)?;
    naming.max_name = u.int_in_range(24..=60)?;
    naming.max_path = u.int_in_range(30..=90)?;
    // As long as on the wire: in modified UTF-7.
    naming.length_of = |name| mailmove_imap::wire::utf7::encode(name).len();
    Ok(naming)
}

/// What tells destination folders apart.
fn key(naming: &Naming, path: &FolderPath) -> Vec<String> {
    let fold = |(level, name): (usize, &String)| match name.to_lowercase() {
        lower if naming.case_insensitive || (level == 0 && lower == "inbox") => lower,
        _ => name.clone(),
    };
    path.names().iter().enumerate().map(fold).collect()
}

/// Folders that may share a place.
fn belongs(folder: &Folder) -> Option<Role> {
    if folder.path.is_inbox() {
        Some(Role::Inbox)
    } else {
        folder.role
    }
}

/// Why the destination would refuse it. What is there already, it has taken.
fn fits(naming: &Naming, there: &[Folder], path: &FolderPath) -> std::result::Result<(), String> {
    let names = path.names();
    let exists = |levels: &usize| {
        let above = FolderPath::new(names[..*levels].to_vec());
        there.iter().any(|folder| folder.path.starts_with(&above))
    };
    let new = (0..=names.len()).rev().find(exists).unwrap_or(0);
    if names.is_empty() {
        return Err("no name at all".to_owned());
    }
    if new == names.len() {
        return Ok(());
    }
    if names.len() > naming.separator.map_or(1, |_| naming.max_depth) {
        return Err("too deep".to_owned());
    }
    for name in &names[new..] {
        let bad =
            |c: char| c.is_control() || naming.forbidden.contains(c) || naming.separator == Some(c);
        if [".", ".."].contains(&name.as_str()) {
            return Err(format!("{name:?} leads elsewhere"));
        }
        if name.is_empty() || (naming.length_of)(name) > naming.max_name {
            return Err(format!("{name:?} is empty or too long"));
        }
        if name.contains(bad) || (naming.trims_blanks && name.trim() != name) {
            return Err(format!("{name:?} holds what may not stand there"));
        }
    }
    let separator = naming.separator.map(String::from).unwrap_or_default();
    let whole: usize = (naming.length_of)(&names.join(&separator));
    if whole > naming.max_path {
        return Err(format!("{whole} bytes long"));
    }
    match names {
        [only]
            if naming
                .reserved
                .iter()
                .any(|name| name.eq_ignore_ascii_case(only)) =>
        {
            Err("reserved".to_owned())
        }
        _ => Ok(()),
    }
}

/// Bytes that make up mailboxes of several sizes.
pub fn seeds() -> Vec<Vec<u8>> {
    [3_usize, 17, 29, 71, 113, 167]
        .iter()
        .map(|step| {
            let bytes = (0..40 * step).map(|n| u8::try_from(n * step % 241).unwrap_or(0));
            bytes.take(900).collect()
        })
        .collect()
}
