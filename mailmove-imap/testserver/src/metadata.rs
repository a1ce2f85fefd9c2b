//! GETMETADATA and SETMETADATA of mailboxes (RFC 5464).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mailmove_testkit::mailbox::FolderId;

use crate::Capability;
use crate::parser::Parser;
use crate::reply::{Outcome, Stop, quoted};
use crate::session::Session;

type Entries = BTreeMap<String, Vec<u8>>;

/// What is noted about folders, by name in lower case.
#[derive(Debug, Default)]
pub(crate) struct Annotations(Mutex<BTreeMap<(String, FolderId), Entries>>);

impl Annotations {
    pub(crate) fn of(&self, user: &str, folder: FolderId) -> Entries {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&(user.to_owned(), folder));
        found.cloned().unwrap_or_default()
    }

    pub(crate) fn set(&self, user: &str, folder: FolderId, name: &str, value: Option<Vec<u8>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = all.entry((user.to_owned(), folder)).or_default();
        let name = name.to_ascii_lowercase();
        match value {
            Some(value) => entries.insert(name, value),
            None => entries.remove(&name),
        };
    }
}

#[derive(Default)]
struct Options {
    longest: Option<u64>,
    /// Levels below the names that are asked for.
    depth: usize,
}

impl Session {
    fn check_metadata(&self) -> Result<(), Stop> {
        match self.has(Capability::Metadata) {
            true => Ok(()),
            false => Err(Stop::bad("unknown command")),
        }
    }

    fn metadata_folder(&self, wire: &[u8]) -> Result<(String, FolderId), Stop> {
        let account = self.account()?;
        let folder = account.folder(&self.path(wire)?)?;
        Ok((account.user().to_owned(), folder.id))
    }

    pub(crate) fn get_metadata(&mut self, p: &mut Parser<'_>) -> Outcome {
        self.check_metadata()?;
        p.space()?;
        let mut options = Options::default();
        if p.peek() == Some(b'(') {
            options = self.metadata_options(p)?;
            p.space()?;
        }
        let wire = p.astring()?;
        p.space()?;
        let names = match p.peek() {
            Some(b'(') => p.list(Parser::text)?,
            _ => vec![p.text()?],
        };
        p.end()?;
        for name in &names {
            if options.depth == 0 {
                check_name(name)?;
            }
        }
        let (user, folder) = self.metadata_folder(&wire)?;
        let mut found = self.shared.annotations.of(&user, folder);
        found.retain(|name, _| names.iter().any(|asked| covers(asked, options.depth, name)));
        let most = options.longest.unwrap_or(u64::MAX);
        let longer = found.values().map(|value| value.len() as u64);
        let longer = longer.filter(|length| *length > most).max();
        found.retain(|_, value| value.len() as u64 <= most);
        self.tell_metadata(&wire, &found)?;
        Ok(match longer {
            Some(longer) => format!("[METADATA LONGENTRIES {longer}] some are longer"),
            None => String::new(),
        })
    }

    fn metadata_options(&self, p: &mut Parser<'_>) -> Result<Options, Stop> {
        if !self.shared.config.metadata_options {
            return Err(Stop::bad("no options here"));
        }
        let mut options = Options::default();
        p.open()?;
        loop {
            let option = p.keyword()?;
            p.space()?;
            match option.as_str() {
                "MAXSIZE" => options.longest = Some(p.number()?),
                "DEPTH" if p.eat_word("infinity") => options.depth = usize::MAX,
                "DEPTH" if p.eat_word("1") => options.depth = 1,
                "DEPTH" if p.eat_word("0") => options.depth = 0,
                _ => return Err(Stop::bad("unknown option")),
            }
            if !p.eat(b' ') {
                break;
            }
        }
        p.close()?;
        Ok(options)
    }

    fn tell_metadata(&mut self, wire: &[u8], found: &Entries) -> Result<(), Stop> {
        if found.is_empty() {
            return Ok(());
        }
        let name = self.wire(&self.path(wire)?);
        self.io.raw(format!("* METADATA {name} (").as_bytes());
        for (index, (name, value)) in found.iter().enumerate() {
            let gap = if index > 0 { " " } else { "" };
            let tilde = if value.contains(&0) { "~" } else { "" };
            let head = format!("{gap}{} {tilde}{{{}}}\r\n", quoted(name), value.len());
            self.io.raw(head.as_bytes());
            self.io.raw(value);
        }
        self.io.line(")");
        Ok(())
    }

    pub(crate) fn set_metadata(&mut self, p: &mut Parser<'_>) -> Outcome {
        self.check_metadata()?;
        p.space()?;
        let wire = p.astring()?;
        p.space()?;
        let entries = p.list(|p| {
            let name = p.text()?;
            p.space()?;
            let value = match p.eat_word("NIL") {
                true => None,
                false => Some(p.value()?),
            };
            Ok((name, value))
        })?;
        p.end()?;
        let (user, folder) = self.metadata_folder(&wire)?;
        let config = &self.shared.config;
        for (name, value) in &entries {
            check_name(name)?;
            let refused = |one: &String| one.eq_ignore_ascii_case(name);
            if config.refused_annotations.iter().any(refused) {
                return Err(Stop::no("[METADATA NOPRIVATE] not this one"));
            }
            let longest = config.longest_annotation;
            if value.as_ref().is_some_and(|value| value.len() > longest) {
                return Err(Stop::No(format!("[METADATA MAXSIZE {longest}] too long")));
            }
        }
        for (name, value) in entries {
            self.shared.annotations.set(&user, folder, &name, value);
        }
        Ok(String::new())
    }
}

fn check_name(name: &str) -> Result<(), Stop> {
    let lower = name.to_ascii_lowercase();
    let known = ["/private/", "/shared/"]
        .iter()
        .any(|prefix| lower.starts_with(prefix));
    let sound = !lower.contains(['*', '%']) && !lower.contains("//") && !lower.ends_with('/');
    match known && sound {
        true => Ok(()),
        false => Err(Stop::bad("invalid entry name")),
    }
}

/// Whether asking for `asked` tells of `name` too.
fn covers(asked: &str, depth: usize, name: &str) -> bool {
    let asked = asked.to_ascii_lowercase();
    match name.strip_prefix(&asked) {
        Some("") => true,
        Some(below) => below.starts_with('/') && below.matches('/').count() <= depth,
        None => false,
    }
}
