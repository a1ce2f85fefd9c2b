//! LIST with RFC 5258's options, and LSUB.

use std::collections::BTreeMap;

use mailmove_testkit::mailbox::FolderInfo;

use crate::parser::Parser;
use crate::reply::{Outcome, Stop, quoted};
use crate::session::Session;
use crate::{Capability, names};

/// A name that LIST may show: a folder, the parent of one, or a subscription without folder.
#[derive(Default)]
struct Entry {
    folder: Option<FolderInfo>,
    subscribed: bool,
    has_children: bool,
    has_subscribed_children: bool,
}

#[derive(Default)]
struct Options {
    extended: bool,
    only_subscribed: bool,
    only_special_use: bool,
    recursive_match: bool,
    subscribed: bool,
    children: bool,
    special_use: bool,
    rights: bool,
    status: Vec<String>,
}

impl Session {
    pub(crate) async fn list(&mut self, p: &mut Parser<'_>) -> Outcome {
        let mut options = Options::default();
        p.space()?;
        if p.peek() == Some(b'(') {
            self.selection_options(p, &mut options)?;
            p.space()?;
        }
        let reference = p.astring()?;
        p.space()?;
        let patterns = if p.peek() == Some(b'(') && self.has(Capability::ListExtended) {
            options.extended = true;
            p.list(Parser::pattern)?
        } else {
            vec![p.pattern()?]
        };
        if !p.is_empty() {
            p.space()?;
            self.return_options(p, &mut options)?;
        }
        p.end()?;
        if !options.extended && patterns.iter().all(Vec::is_empty) {
            let separator = quoted(&self.shared.config.separator.to_string());
            self.io
                .line(&format!("* LIST (\\Noselect) {separator} \"\""));
            return Ok(String::new());
        }
        let patterns = decode_patterns(&reference, &patterns, self.utf8);
        for (name, entry) in self.entries()? {
            if patterns
                .iter()
                .any(|pattern| matches(pattern, &name, self.shared.config.separator))
            {
                self.show(&name, &entry, &options)?;
                self.io.relieve().await?;
            }
        }
        Ok(String::new())
    }

    fn selection_options(&self, p: &mut Parser<'_>, options: &mut Options) -> Result<(), Stop> {
        if !self.has(Capability::ListExtended) {
            return Err(Stop::bad("selection options not supported"));
        }
        options.extended = true;
        for option in p.list(Parser::keyword)? {
            match option.as_str() {
                "SUBSCRIBED" => options.only_subscribed = true,
                "REMOTE" => {}
                "RECURSIVEMATCH" => options.recursive_match = true,
                "SPECIAL-USE" if self.has(Capability::SpecialUse) => {
                    options.only_special_use = true;
                }
                _ => return Err(Stop::bad("unknown selection option")),
            }
        }
        if options.recursive_match && !options.only_subscribed {
            return Err(Stop::bad("RECURSIVEMATCH needs another option"));
        }
        Ok(())
    }

    fn return_options(&self, p: &mut Parser<'_>, options: &mut Options) -> Result<(), Stop> {
        if !self.has(Capability::ListExtended) || p.keyword()? != "RETURN" {
            return Err(Stop::bad("unexpected text after the pattern"));
        }
        p.space()?;
        options.extended = true;
        p.list(|p| {
            match p.keyword()?.as_str() {
                "SUBSCRIBED" => options.subscribed = true,
                "CHILDREN" => options.children = true,
                "SPECIAL-USE" if self.has(Capability::SpecialUse) => options.special_use = true,
                "MYRIGHTS" if self.has(Capability::ListMyRights) => options.rights = true,
                "STATUS" if self.has(Capability::ListStatus) => {
                    p.space()?;
                    options.status = self.status_items(p)?;
                }
                _ => return Err(Stop::bad("unknown return option")),
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Every name that can be shown, by decoded wire name.
    fn entries(&self) -> Result<BTreeMap<String, Entry>, Stop> {
        let account = self.account()?;
        let config = &self.shared.config;
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for folder in account.folders() {
            let name = names::join(config, &folder.path);
            for parent in parents(&name, config.separator) {
                entries.entry(parent.to_owned()).or_default().has_children = true;
            }
            entries.entry(name).or_default().folder = Some(folder);
        }
        for path in account.subscriptions() {
            let name = names::join(config, &path);
            for parent in parents(&name, config.separator) {
                entries
                    .entry(parent.to_owned())
                    .or_default()
                    .has_subscribed_children = true;
            }
            entries.entry(name).or_default().subscribed = true;
        }
        Ok(entries)
    }

    fn show(&mut self, name: &str, entry: &Entry, options: &Options) -> Result<(), Stop> {
        let through_child = options.recursive_match && entry.has_subscribed_children;
        if options.only_subscribed && !entry.subscribed && !through_child {
            return Ok(());
        }
        let special_use = entry
            .folder
            .as_ref()
            .map_or(&[][..], |folder| &folder.special_use);
        if options.only_special_use && special_use.is_empty() {
            return Ok(());
        }
        // A subscription alone is no mailbox.
        if !options.only_subscribed && entry.folder.is_none() && !entry.has_children {
            return Ok(());
        }
        let mut attributes: Vec<&str> = Vec::new();
        if entry.folder.is_none() {
            attributes.push(if options.extended && !self.is_gmail() {
                "\\NonExistent"
            } else {
                "\\Noselect"
            });
        }
        if self.has(Capability::Children) || options.children {
            attributes.push(if entry.has_children {
                "\\HasChildren"
            } else {
                "\\HasNoChildren"
            });
        }
        if (options.only_subscribed || options.subscribed) && entry.subscribed {
            attributes.push("\\Subscribed");
        }
        let plain = !options.extended && self.has(Capability::SpecialUse);
        if plain || options.special_use || options.only_special_use {
            attributes.extend(special_use.iter().map(String::as_str));
        }
        let info = if through_child {
            " (CHILDINFO (\"SUBSCRIBED\"))"
        } else {
            ""
        };
        let separator = quoted(&self.shared.config.separator.to_string());
        let (attributes, wire) = (attributes.join(" "), names::on_wire(name, self.utf8));
        self.io
            .line(&format!("* LIST ({attributes}) {separator} {wire}{info}"));
        if let Some(folder) = &entry.folder
            && !options.status.is_empty()
        {
            self.tell_status(folder, &options.status)?;
        }
        if let Some(folder) = entry.folder.as_ref().filter(|_| options.rights) {
            self.tell_rights(folder);
        }
        Ok(())
    }

    pub(crate) fn lsub(&mut self, p: &mut Parser<'_>) -> Outcome {
        p.space()?;
        let reference = p.astring()?;
        p.space()?;
        let pattern = p.pattern()?;
        p.end()?;
        let by_level = pattern.ends_with(b"%");
        let patterns = decode_patterns(&reference, &[pattern], self.utf8);
        let separator = self.shared.config.separator;
        for (name, entry) in self.entries()? {
            // With `%` a parent stands for the subscriptions below it (RFC 3501 section 6.3.9).
            let stands = by_level && entry.has_subscribed_children;
            if !(entry.subscribed || stands)
                || !patterns
                    .iter()
                    .any(|pattern| matches(pattern, &name, separator))
            {
                continue;
            }
            let attributes = if entry.subscribed { "" } else { "\\Noselect" };
            let (separator, wire) = (
                quoted(&separator.to_string()),
                names::on_wire(&name, self.utf8),
            );
            self.io
                .line(&format!("* LSUB ({attributes}) {separator} {wire}"));
        }
        Ok(String::new())
    }
}

/// Patterns in decoded form; an undecodable one matches nothing.
fn decode_patterns(reference: &[u8], patterns: &[Vec<u8>], utf8: bool) -> Vec<String> {
    let full = |pattern: &Vec<u8>| names::read(&[reference, pattern].concat(), utf8);
    patterns.iter().filter_map(full).collect()
}

/// All proper prefixes of a name that end before a separator.
fn parents(name: &str, separator: char) -> impl Iterator<Item = &str> {
    name.match_indices(separator)
        .filter_map(|(at, _)| name.get(..at))
        .filter(|p| !p.is_empty())
}

/// Whether a pattern with `*` and `%` matches a whole name; INBOX matches in any case.
fn matches(pattern: &str, name: &str, separator: char) -> bool {
    let own = matches_exactly(pattern, name, separator);
    own || name == "INBOX" && matches_exactly(&pattern.to_ascii_uppercase(), name, separator)
}

fn matches_exactly(pattern: &str, name: &str, separator: char) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    // Places in the pattern that the name so far can have reached.
    let mut reached = vec![false; pattern.len() + 1];
    let pass_wildcards = |reached: &mut Vec<bool>| {
        for (at, c) in pattern.iter().enumerate() {
            if matches!(c, '*' | '%') && reached.get(at) == Some(&true) {
                set(reached, at + 1);
            }
        }
    };
    set(&mut reached, 0);
    pass_wildcards(&mut reached);
    for c in name.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for (at, wanted) in pattern.iter().enumerate() {
            if reached.get(at) != Some(&true) {
                continue;
            }
            match wanted {
                '*' => set(&mut next, at),
                '%' if c != separator => set(&mut next, at),
                '%' => {}
                wanted if *wanted == c => set(&mut next, at + 1),
                _ => {}
            }
        }
        pass_wildcards(&mut next);
        reached = next;
    }
    reached.last() == Some(&true)
}

fn set(places: &mut [bool], at: usize) {
    if let Some(place) = places.get_mut(at) {
        *place = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*", "a/b", true),
            ("%", "a/b", false),
            ("%", "a", true),
            ("%/%", "a/b", true),
            ("a/%", "a", false),
            ("a*", "abc/d", true),
            ("*b", "a/b", true),
            ("inbox", "INBOX", true),
            ("inb%", "INBOX", true),
            ("INBOX", "INBOX/x", false),
            ("", "a", false),
            (
                "****************************x",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                false,
            ),
        ] {
            assert_eq!(matches(pattern, name, '/'), expected, "{pattern} {name}");
        }
    }
}
