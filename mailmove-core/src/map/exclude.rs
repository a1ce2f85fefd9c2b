//! Which source folders are left out, and why.

use std::collections::HashSet;

use super::{MapRules, Pattern};
use crate::model::{Folder, Namespace, Role};

/// Why folders are left out.
pub(super) fn excluded(rules: &MapRules, source: &[Folder]) -> Vec<Option<String>> {
    let mut seen = HashSet::new();
    source
        .iter()
        .map(|folder| {
            if !folder.selectable {
                Some("it holds no messages".to_owned())
            } else if folder.path.names().is_empty() {
                Some("it has no name".to_owned())
            } else if !seen.insert((&folder.path, &folder.id)) {
                Some("the server lists it twice".to_owned())
            } else {
                ruled_out(rules, folder)
            }
        })
        .collect()
}

fn ruled_out(rules: &MapRules, folder: &Folder) -> Option<String> {
    let matching = |pattern: &&Pattern| pattern.matches(&folder.path);
    let asked_for = rules.foreign || {
        let named = |pattern: &Pattern| pattern.names_the_first() && pattern.matches(&folder.path);
        rules.include.iter().any(named)
            || rules
                .places
                .iter()
                .any(|place| folder.path.starts_with(&place.from))
    };
    match folder.namespace {
        _ if asked_for => {}
        Namespace::Personal => {}
        Namespace::OtherUsers => return Some("it belongs to another user".to_owned()),
        Namespace::Shared => return Some("it is shared".to_owned()),
    }
    if !rules.classes.is_empty() && !rules.classes.contains(&folder.class) {
        return Some(format!(
            "it is made for {}, which do not go this way",
            folder.class.plural()
        ));
    }
    if let Some(pattern) = rules.exclude.iter().find(matching) {
        return Some(format!("excluded by {}", pattern.text));
    }
    let included = rules.include.iter().any(|pattern| matching(&pattern));
    if !rules.include.is_empty() && !included {
        return Some("not among the folders to be taken".to_owned());
    }
    let placed = || rules.places.iter().any(|place| place.from == folder.path);
    let keeps = folder.knows_others && folder.role == Some(Role::All);
    match folder.role.filter(|role| role.is_view() && !keeps) {
        Some(role) if !included && !placed() => Some(format!(
            "it shows messages that other folders hold ({})",
            role.special_use().unwrap_or_default()
        )),
        _ => None,
    }
}
