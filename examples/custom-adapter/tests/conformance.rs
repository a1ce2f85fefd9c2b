//! The Maildir adapter passes the suite that our own adapters pass.
//!
//! The back door is the directory itself, read and written without the adapter's code.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use maildir::Maildir;
use mailmove_core::{
    Destination, Edges, Source,
    model::{Flags, FolderPath, FolderSpec, Keyword, MessageId, SystemFlag, Timestamp},
};
use mailmove_testkit::{
    conformance::{self, BoxError, Disturbance, Done, Harness, Keeps, TestAccount},
    corpus::{CorpusMessage, Kind},
    snapshot::{MessageState, Snapshot},
};

const LETTERS: [(SystemFlag, char); 5] = [
    (SystemFlag::Draft, 'D'),
    (SystemFlag::Flagged, 'F'),
    (SystemFlag::Answered, 'R'),
    (SystemFlag::Seen, 'S'),
    (SystemFlag::Deleted, 'T'),
];

fn main() {
    conformance::main([Arc::new(Maildirs) as Arc<dyn Harness>]);
}

#[derive(Debug)]
struct Maildirs;

#[async_trait]
impl Harness for Maildirs {
    fn name(&self) -> String {
        "maildir".to_owned()
    }

    async fn account(&self) -> Result<Arc<dyn TestAccount>, BoxError> {
        let account = Account(tempfile::tempdir()?);
        make(account.0.path())?;
        Ok(Arc::new(account))
    }

    fn keeps(&self, message: &CorpusMessage) -> Keeps {
        let mut keeps = Keeps::everything();
        // More than the 26 that a folder has letters for.
        keeps.flags = message.kind != Kind::OddKeywords;
        keeps
    }
}

/// A Maildir that goes when the trial is over.
#[derive(Debug)]
struct Account(tempfile::TempDir);

impl Account {
    fn directory(&self, path: &FolderPath) -> PathBuf {
        if path.is_inbox() {
            self.0.path().to_path_buf()
        } else {
            self.0.path().join(format!(".{}", path.names().join(".")))
        }
    }

    fn subscriptions(&self) -> PathBuf {
        self.0.path().join("subscriptions")
    }
}

#[async_trait]
impl TestAccount for Account {
    async fn source(&self, _edges: &Edges) -> Result<Option<Arc<dyn Source>>, BoxError> {
        Ok(None)
    }

    async fn destination(&self, _edges: &Edges) -> Result<Option<Arc<dyn Destination>>, BoxError> {
        Ok(Some(Arc::new(Maildir::new(self.0.path()))))
    }

    async fn create(&self, folder: &FolderSpec) -> Result<Done, BoxError> {
        if folder
            .path
            .names()
            .iter()
            .any(|name| name.contains(['.', '/']))
        {
            return Ok(Done::Unsupported(
                "names hold no dot and no slash".to_owned(),
            ));
        }
        let mut next = Some(folder.path.clone());
        while let Some(path) = next {
            make(&self.directory(&path))?;
            next = path.parent();
        }
        if folder.subscribe {
            let mut text = fs::read_to_string(self.subscriptions()).unwrap_or_default();
            text.push_str(&format!("{}\n", folder.path.names().join(".")));
            fs::write(self.subscriptions(), text)?;
        }
        Ok(Done::Yes)
    }

    async fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError> {
        let directory = self.directory(folder);
        let first = read(&directory)?.len();
        for (index, message) in messages.iter().enumerate() {
            let letters = letters(&directory, &message.core_flags())?;
            let name = format!("1000000000.{:06}.back-door:2,{letters}", first + index);
            write(&directory.join("cur").join(name), message)?;
        }
        Ok(())
    }

    async fn dump(&self) -> Result<Snapshot, BoxError> {
        let mut snapshot = Snapshot::new();
        let subscribed = fs::read_to_string(self.subscriptions()).unwrap_or_default();
        let mut folders = vec![(self.0.path().to_path_buf(), FolderPath::inbox())];
        for entry in fs::read_dir(self.0.path())? {
            let (entry, name) = name_of(entry)?;
            if let Some(names) = name.strip_prefix('.') {
                folders.push((entry, FolderPath::new(names.split('.'))));
            }
        }
        for (directory, path) in folders {
            let contents = snapshot.folder_mut(&path);
            if path.is_inbox() {
                contents.role = Some(mailmove_core::model::Role::Inbox);
            }
            let line = path.names().join(".");
            contents.subscribed = subscribed.lines().any(|other| other == line);
            let keywords = keywords(&directory);
            for message in read(&directory)? {
                let state = MessageState::new(
                    &fs::read(&message.path)?,
                    flags(&keywords, &message.letters),
                    received(&message.path)?,
                );
                contents.messages.push(match message.number {
                    Some(number) => state.with_id(number.to_string()),
                    None => state,
                });
            }
        }
        Ok(snapshot)
    }

    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        let directory = self.directory(folder);
        let message = |index: usize| read(&directory)?.into_iter().nth(index).ok_or_else(gone);
        match what {
            Disturbance::SetFlags {
                message: index,
                flags,
            } => {
                let message = message(index)?;
                let name = format!("{}:2,{}", message.base, letters(&directory, &flags)?);
                fs::rename(message.path, directory.join("cur").join(name))?;
            }
            Disturbance::Expunge { message: index } => fs::remove_file(message(index)?.path)?,
            Disturbance::Rename { to } => fs::rename(directory, self.directory(&to))?,
            Disturbance::Delete => fs::remove_dir_all(directory)?,
            Disturbance::Renumber => fs::remove_file(directory.join("mailmove-numbers"))?,
            Disturbance::ReadOnly => return read_only(&directory),
            other => {
                return Ok(Done::Unsupported(format!(
                    "a directory cannot do {other:?}"
                )));
            }
        }
        Ok(Done::Yes)
    }

    fn native(&self, id: &MessageId) -> Option<String> {
        Some(id.as_str().rsplit_once('.')?.1.to_owned())
    }
}

fn make(directory: &Path) -> io::Result<()> {
    ["cur", "new", "tmp"]
        .iter()
        .try_for_each(|part| fs::create_dir_all(directory.join(part)))
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no such message")
}

#[cfg(unix)]
fn read_only(directory: &Path) -> Result<Done, BoxError> {
    use std::os::unix::fs::PermissionsExt as _;
    for part in ["cur", "new", "tmp", "."] {
        fs::set_permissions(directory.join(part), fs::Permissions::from_mode(0o555))?;
    }
    if fs::write(directory.join("tmp/probe"), "").is_ok() {
        return Ok(Done::Unsupported("root may write anywhere".to_owned()));
    }
    Ok(Done::Yes)
}

#[cfg(not(unix))]
fn read_only(_directory: &Path) -> Result<Done, BoxError> {
    Ok(Done::Unsupported("no modes here".to_owned()))
}

/// A message's file.
struct Found {
    base: String,
    path: PathBuf,
    letters: String,
    number: Option<u64>,
}

/// The messages of a folder: by number, and what has none yet by name.
fn read(directory: &Path) -> io::Result<Vec<Found>> {
    let list = fs::read_to_string(directory.join("mailmove-numbers")).unwrap_or_default();
    let numbers: HashMap<&str, u64> = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(number, base)| Some((base, number.parse().ok()?)))
        .collect();
    let mut found = Vec::new();
    for part in ["new", "cur"] {
        for entry in fs::read_dir(directory.join(part))? {
            let (path, name) = name_of(entry)?;
            let (base, letters) = name.split_once(":2,").unwrap_or((&name, ""));
            found.push(Found {
                number: numbers.get(base).copied(),
                base: base.to_owned(),
                letters: letters.to_owned(),
                path,
            });
        }
    }
    found.sort_by_key(|message| (message.number.unwrap_or(u64::MAX), message.base.clone()));
    Ok(found)
}

fn name_of(entry: io::Result<fs::DirEntry>) -> io::Result<(PathBuf, String)> {
    let entry = entry?;
    let name = entry.file_name().into_string();
    let name = name.map_err(|_| io::Error::other("a name that is not UTF-8"))?;
    Ok((entry.path(), name))
}

fn write(path: &Path, message: &CorpusMessage) -> io::Result<()> {
    fs::write(path, &message.body)?;
    let seconds = message.received.seconds();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    };
    fs::File::options()
        .write(true)
        .open(path)?
        .set_modified(time)
}

fn received(path: &Path) -> io::Result<Timestamp> {
    let seconds = match fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()),
        Err(before) => i64::try_from(before.duration().as_secs()).map(|seconds| -seconds),
    };
    Ok(Timestamp::new(seconds.map_err(io::Error::other)?, 0))
}

/// The keywords of a folder by letter.
fn keywords(directory: &Path) -> Vec<(char, Keyword)> {
    let text = fs::read_to_string(directory.join("dovecot-keywords")).unwrap_or_default();
    let line = |line: &str| {
        let (index, name) = line.split_once(' ')?;
        let letter = char::from(b'a' + index.parse::<u8>().ok()?);
        Some((letter, Keyword::new(name).ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn letters(directory: &Path, flags: &Flags) -> io::Result<String> {
    let mut known = keywords(directory);
    let mut letters = String::new();
    for (flag, letter) in LETTERS {
        if flags.contains(flag) {
            letters.push(letter);
        }
    }
    for keyword in flags.keywords() {
        if known.len() < 26 && !known.iter().any(|(_, other)| other == keyword) {
            let next = u8::try_from(known.len()).map_err(io::Error::other)?;
            known.push((char::from(b'a' + next), keyword.clone()));
        }
    }
    let mut text = String::new();
    for (index, (letter, keyword)) in known.iter().enumerate() {
        text.push_str(&format!("{index} {keyword}\n"));
        if flags.contains_keyword(keyword) {
            letters.push(*letter);
        }
    }
    fs::write(directory.join("dovecot-keywords"), text)?;
    Ok(letters)
}

fn flags(keywords: &[(char, Keyword)], letters: &str) -> Flags {
    let mut flags = Flags::new();
    for letter in letters.chars() {
        for (flag, _) in LETTERS.iter().filter(|(_, other)| *other == letter) {
            flags.insert(*flag);
        }
        for (_, keyword) in keywords.iter().filter(|(other, _)| *other == letter) {
            flags.insert_keyword(keyword.clone());
        }
    }
    flags
}
