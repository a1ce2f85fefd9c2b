//! How Maildir++ keeps mail: file names, flag letters, the list of numbers.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mailmove_core::{
    Error, ErrorKind, Result, Scope,
    destination::{Depth, Existing, Probe},
    identity::{BodyHasher, HeaderDigest},
    model::{
        Alteration, AlterationKind, ContentDigest, Flags, FolderPath, KeptFlags, Keyword, Mark,
        MessageId, SystemFlag, Timestamp,
    },
};
use tempfile::NamedTempFile;

use crate::failed;

/// The list of numbers within a folder: a line `1 EPOCH`, then `NUMBER NAME` for each message that
/// was ever seen. Lines are only added.
const NUMBERS: &str = "mailmove-numbers";
/// Dovecot's list of keywords: `0 Work` says that the letter `a` in file names means `Work`.
const KEYWORDS: &str = "dovecot-keywords";
/// Between a file's lasting name and its flags.
const INFO: &str = ":2,";
/// More than any header needs that is worth comparing.
const LONGEST_HEADER: u64 = 1 << 20;
/// The inbox is the root directory itself; all others are directories whose name starts with a dot.
pub(crate) const INBOX: &str = "INBOX";

/// A message as the directory shows it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: MessageId,
    pub(crate) number: u64,
    pub(crate) base: String,
    pub(crate) path: PathBuf,
    pub(crate) letters: String,
}

/// Files in `new` and `cur` by their lasting name: path and flag letters.
pub(crate) fn files(directory: &Path) -> io::Result<BTreeMap<String, (PathBuf, String)>> {
    let mut found = BTreeMap::new();
    for part in ["new", "cur"] {
        for entry in fs::read_dir(directory.join(part))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let (base, letters) = name.split_once(INFO).unwrap_or((&name, ""));
            if !base.starts_with('.') && !base.contains('\n') {
                found.insert(base.to_owned(), (entry.path(), letters.to_owned()));
            }
        }
    }
    Ok(found)
}

/// All messages with their numbers, in order; those that others delivered get theirs now. The
/// folder stays locked for other processes like this one while the numbers live.
pub(crate) fn numbered(directory: &Path) -> io::Result<(Numbers, Vec<Entry>)> {
    let mut numbers = Numbers::open(directory)?;
    let files = files(directory)?;
    let given = numbers.add(files.keys().cloned())?;
    let entry = |((base, (path, letters)), number)| Entry {
        id: numbers.id(number),
        number,
        base,
        path,
        letters,
    };
    let mut entries: Vec<Entry> = files.into_iter().zip(given).map(entry).collect();
    entries.sort_unstable_by_key(|entry| entry.number);
    Ok((numbers, entries))
}

/// The message of that id, if it is there.
pub(crate) fn find<'a>(found: &'a [Entry], id: &MessageId) -> Option<&'a Entry> {
    let number: u64 = id.as_str().rsplit_once('.')?.1.parse().ok()?;
    let at = found.binary_search_by_key(&number, |entry| entry.number);
    found.get(at.ok()?).filter(|entry| entry.id == *id)
}

/// The messages that a probe asks for.
pub(crate) fn select(directory: &Path, probe: &Probe) -> Result<Vec<Entry>> {
    let at = |error| failed("cannot read the folder", directory, error);
    let (numbers, mut found) = numbered(directory).map_err(at)?;
    if let Some(since) = &probe.since {
        numbers.same_epoch(since)?;
        found.retain(|entry| since.next.is_none_or(|next| entry.number >= next));
    }
    if let Some(ids) = &probe.ids {
        let ids: HashSet<&MessageId> = ids.iter().collect();
        found.retain(|entry| ids.contains(&entry.id));
    }
    Ok(found)
}

/// Looks at messages as closely as asked. One that vanished meanwhile is left out.
pub(crate) fn look(directory: &Path, page: &[Entry], depth: Depth) -> Result<Vec<Existing>> {
    let at = |error| failed("cannot read a message", directory, error);
    let keywords = Keywords::load(directory).map_err(at)?;
    let mut out = Vec::with_capacity(page.len());
    for entry in page {
        match look_at(entry, &keywords, depth) {
            Ok(existing) => out.push(existing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Renamed by somebody who changed its flags, or gone.
                if let Some((path, letters)) = files(directory).map_err(at)?.remove(&entry.base) {
                    let moved = Entry {
                        path,
                        letters,
                        ..entry.clone()
                    };
                    out.push(look_at(&moved, &keywords, depth).map_err(at)?);
                }
            }
            Err(error) => return Err(at(error)),
        }
    }
    Ok(out)
}

fn look_at(entry: &Entry, keywords: &Keywords, depth: Depth) -> io::Result<Existing> {
    let mut existing = Existing::new(entry.id.clone());
    if depth == Depth::Ids {
        return Ok(existing);
    }
    let mut file = File::open(&entry.path)?;
    let meta = file.metadata()?;
    existing.size = Some(meta.len());
    existing.flags = keywords.flags(&entry.letters);
    existing.received = modified(&meta);
    if depth >= Depth::Header {
        let mut head = Vec::new();
        (&file).take(LONGEST_HEADER).read_to_end(&mut head)?;
        existing.header = Some(HeaderDigest::of(&head));
    }
    if depth >= Depth::Content {
        // In pieces: a message may be larger than memory should be.
        let (mut hasher, mut body) = (blake3::Hasher::new(), BodyHasher::new());
        file.seek(SeekFrom::Start(0))?;
        let mut piece = vec![0; 64 * 1024];
        loop {
            let len = file.read(&mut piece)?;
            let read = piece.get(..len).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            hasher.update(read);
            body.update(read);
        }
        existing.digest = Some(ContentDigest::from_bytes(*hasher.finalize().as_bytes()));
        existing.body = body.finish();
    }
    Ok(existing)
}

/// The numbers of a folder's messages, from 1 up, never used twice.
pub(crate) struct Numbers {
    /// Locked while open; `None` if only read.
    file: Option<File>,
    /// Made up when the list is made, so that a folder that was removed and made again is another.
    pub(crate) epoch: String,
    pub(crate) known: HashMap<String, u64>,
    next: u64,
}

impl Numbers {
    /// The list as it is; without an epoch if there is none.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        match fs::read_to_string(directory.join(NUMBERS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::parse("")),
            text => Ok(Self::parse(&text?)),
        }
    }

    /// The list, made if there is none, and locked.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        // Never in a directory that is no folder (any more).
        fs::metadata(directory.join("cur"))?;
        let path = directory.join(NUMBERS);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        if !text.contains('\n') {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            text = format!("1 {:x}\n", now.as_nanos());
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
        }
        // A line that was cut off by a crash is taken back: nothing was stored under it yet.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
            text.truncate(whole);
        }
        Ok(Self {
            file: Some(file),
            ..Self::parse(&text)
        })
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let epoch = lines.next().map_or("", |(_, epoch)| epoch).to_owned();
        let numbered =
            lines.filter_map(|(number, base)| Some((base.to_owned(), number.parse().ok()?)));
        let known: HashMap<String, u64> = numbered.collect();
        let next = known.values().max().map_or(1, |last| last + 1);
        Self {
            file: None,
            epoch,
            known,
            next,
        }
    }

    /// The numbers of these names, new ones for names that are new; durable.
    pub(crate) fn add(&mut self, names: impl IntoIterator<Item = String>) -> io::Result<Vec<u64>> {
        let mut lines = String::new();
        let mut given = Vec::new();
        for name in names {
            let number = *self.known.entry(name).or_insert_with_key(|name| {
                let number = self.next;
                self.next += 1;
                let _ = writeln!(lines, "{number} {name}");
                number
            });
            given.push(number);
        }
        if let (Some(file), false) = (&mut self.file, lines.is_empty()) {
            file.write_all(lines.as_bytes())?;
            file.sync_data()?;
        }
        Ok(given)
    }

    pub(crate) fn id(&self, number: u64) -> MessageId {
        MessageId::format(format_args!("{}.{number}", self.epoch))
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark::counted(&self.epoch, self.next)
    }

    pub(crate) fn same_epoch(&self, mark: &Mark) -> Result<()> {
        if mark.epoch.as_str() == self.epoch {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Stale,
                "the folder was removed and made again",
            ))
        }
    }
}

/// The keywords of a folder: the letters `a` to `z`.
pub(crate) struct Keywords {
    names: Vec<Option<Keyword>>,
    changed: bool,
}

impl Keywords {
    pub(crate) fn load(directory: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(directory.join(KEYWORDS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut names = vec![None; 26];
        for (index, name) in text.lines().filter_map(|line| line.split_once(' ')) {
            let slot = index
                .parse::<usize>()
                .ok()
                .and_then(|index| names.get_mut(index));
            if let (Some(slot), Ok(keyword)) = (slot, Keyword::new(name)) {
                *slot = Some(keyword);
            }
        }
        Ok(Self {
            names,
            changed: false,
        })
    }

    pub(crate) fn save(&mut self, directory: &Path) -> io::Result<()> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let mut file = NamedTempFile::new_in(directory.join("tmp"))?;
        for (index, name) in self.names.iter().enumerate() {
            if let Some(name) = name {
                writeln!(file, "{index} {name}")?;
            }
        }
        file.as_file().sync_all()?;
        file.persist(directory.join(KEYWORDS))?;
        Ok(())
    }

    /// The letters of these flags, in the order that Maildir wants, and what has no letter.
    pub(crate) fn letters(&mut self, flags: &Flags) -> (String, Flags) {
        let mut letters: Vec<char> = flags.system().filter_map(letter).collect();
        let mut lost = Flags::new();
        for flag in flags.system().filter(|flag| letter(*flag).is_none()) {
            lost.insert(flag);
        }
        for keyword in flags.keywords() {
            let known = self
                .names
                .iter()
                .position(|name| name.as_ref() == Some(keyword));
            let index = known.or_else(|| {
                let free = self.names.iter().position(Option::is_none)?;
                *self.names.get_mut(free)? = Some(keyword.clone());
                self.changed = true;
                Some(free)
            });
            match index.and_then(|index| u8::try_from(index).ok()) {
                Some(index) => letters.push(char::from(b'a' + index)),
                None => lost.insert_keyword(keyword.clone()),
            }
        }
        letters.sort_unstable();
        (letters.into_iter().collect(), lost)
    }

    pub(crate) fn flags(&self, letters: &str) -> Flags {
        let mut flags = Flags::new();
        for byte in letters.bytes() {
            if let Some(flag) = SystemFlag::ALL
                .into_iter()
                .find(|flag| letter(*flag) == Some(char::from(byte)))
            {
                flags.insert(flag);
            } else if let Some(keyword) = byte
                .checked_sub(b'a')
                .and_then(|index| self.names.get(usize::from(index))?.clone())
            {
                flags.insert_keyword(keyword);
            }
        }
        flags
    }

    /// What the folder keeps: any keyword while letters are left.
    pub(crate) fn kept(&self) -> KeptFlags {
        let mut flags = Flags::new();
        for flag in SystemFlag::ALL
            .into_iter()
            .filter(|flag| letter(*flag).is_some())
        {
            flags.insert(flag);
        }
        for keyword in self.names.iter().flatten() {
            flags.insert_keyword(keyword.clone());
        }
        KeptFlags::new(flags, self.names.iter().any(Option::is_none))
    }
}

pub(crate) const fn letter(flag: SystemFlag) -> Option<char> {
    match flag {
        SystemFlag::Draft => Some('D'),
        SystemFlag::Flagged => Some('F'),
        SystemFlag::Answered => Some('R'),
        SystemFlag::Seen => Some('S'),
        SystemFlag::Deleted => Some('T'),
        _ => None,
    }
}

pub(crate) fn dropped(lost: &Flags) -> Vec<Alteration> {
    let system = lost.system().map(|flag| flag.as_str().to_owned());
    let all = system.chain(lost.keywords().iter().map(ToString::to_string));
    all.map(|name| Alteration::new(AlterationKind::FlagDropped, name))
        .collect()
}

/// The directory of a folder: `INBOX`, or `.Archive.2024`.
pub(crate) fn directory_name(path: &FolderPath) -> Result<String> {
    if path.is_inbox() {
        return Ok(INBOX.to_owned());
    }
    let fits = |name: &String| !name.is_empty() && !name.contains(['.', '/', '\0', '\n']);
    let name = format!(".{}", path.names().join("."));
    if path.names().is_empty() || !path.names().iter().all(fits) || name.len() > 255 {
        return Err(Error::new(
            ErrorKind::Refused,
            "a Maildir cannot have a folder of that name",
        )
        .with_scope(Scope::Folder)
        .with_context("folder", path.to_string()));
    }
    Ok(name)
}

pub(crate) fn path_of(directory: &str) -> FolderPath {
    match directory.strip_prefix('.') {
        Some(names) => FolderPath::new(names.split('.')),
        None => FolderPath::inbox(),
    }
}

/// A folder's line in the list of subscriptions.
pub(crate) fn subscription(path: &FolderPath) -> String {
    if path.is_inbox() {
        INBOX.to_owned()
    } else {
        path.names().join(".")
    }
}

pub(crate) fn cur(directory: &Path, base: &str, letters: &str) -> PathBuf {
    directory.join("cur").join(format!("{base}{INFO}{letters}"))
}

/// A name that no file had before: time, process and a counter, as Maildir asks for.
pub(crate) fn fresh_name(size: u64) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "{}.M{}P{}Q{}.mailmove,S={size}",
        now.as_secs(),
        now.subsec_micros(),
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    )
}

pub(crate) fn system_time(time: Timestamp) -> Option<SystemTime> {
    let distance = Duration::from_secs(time.seconds().unsigned_abs());
    if time.seconds() < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

/// The received date: Maildir keeps it as the time of the file's last change.
pub(crate) fn modified(meta: &fs::Metadata) -> Option<Timestamp> {
    let seconds = match meta.modified().ok()?.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok()?,
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).ok()?;
            -whole - i64::from(before.subsec_nanos() > 0)
        }
    };
    Some(Timestamp::new(seconds, 0))
}

/// Makes the three directories of a folder, as far as they are missing.
pub(crate) fn make_maildir(directory: &Path) -> io::Result<()> {
    for part in ["", "cur", "new", "tmp"] {
        match fs::create_dir(directory.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
