//! Mail to test with: realistic, ugly, and the same for the same seed.
//!
//! A corpus is a recipe, not a pile: [`Corpus::messages`] makes each message when it is asked for,
//! so ten thousand of them need the memory of one. Message number `i` of a seed is the same however
//! many are asked for.
//!
//! ```
//! use mailmove_testkit::corpus::{Corpus, Kind};
//!
//! let corpus = Corpus::new(7);
//! let bytes: usize = corpus.messages(100).map(|m| m.body.len()).sum();
//! assert!(bytes > 100_000);
//! assert!(Corpus::ugly().any(|m| m.kind == Kind::ImapCommands));
//! ```

mod folders;
mod kind;
mod letter;
mod mime;
mod rng;
#[cfg(test)]
mod tests;
mod text;
mod ugly;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use mailmove_core::model::{Flags, Timestamp};

use crate::mailbox::{Account, InternalDate, NewMessage, StoreError};
pub use folders::CorpusFolder;
pub use kind::Kind;
use letter::Recipe;
pub(crate) use rng::Rng;
use text::Pools;

/// A recipe for mail.
#[derive(Clone, Debug)]
pub struct Corpus {
    seed: u64,
    folders: Vec<CorpusFolder>,
    median: usize,
    largest: usize,
    special_per_mille: usize,
    huge: Option<usize>,
    /// The kinds in order, instead of a mixture.
    fixed: Option<Arc<[Kind]>>,
    pools: Arc<Pools>,
}

/// One message of a corpus.
#[derive(Clone)]
#[non_exhaustive]
pub struct CorpusMessage {
    /// The folder it belongs in.
    pub folder: Vec<String>,
    /// The message, byte for byte.
    pub body: Bytes,
    /// Its flags as IMAP names them.
    pub flags: Vec<String>,
    /// When it was received.
    pub received: Timestamp,
    /// What is special about it.
    pub kind: Kind,
}

impl CorpusMessage {
    /// A letter for the inbox, unread, received on 2 January 2020.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            folder: vec!["INBOX".to_owned()],
            body: body.into(),
            flags: Vec::new(),
            received: Timestamp::new(1_577_923_200, 0),
            kind: Kind::Letter,
        }
    }

    /// Sets the flags.
    #[must_use]
    pub fn with_flags<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.flags = flags.into_iter().map(Into::into).collect();
        self
    }

    /// Sets when it was received.
    #[must_use]
    pub fn with_received(mut self, received: Timestamp) -> Self {
        self.received = received;
        self
    }

    /// Its flags as the core's type; names that cannot be flags there are left out.
    #[must_use]
    pub fn core_flags(&self) -> Flags {
        Flags::parse(&self.flags.join(" "))
    }

    /// The message as the mailbox model takes it.
    #[must_use]
    pub fn to_new_message(&self) -> NewMessage {
        let date = InternalDate::new(self.received.seconds(), self.received.offset_minutes());
        NewMessage::new(self.body.clone())
            .with_flags(self.flags.clone())
            .with_date(date)
    }
}

impl fmt::Debug for CorpusMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {:?}: {} bytes, {:?}, received {}",
            self.kind,
            self.folder,
            self.body.len(),
            self.flags,
            self.received
        )
    }
}

impl Corpus {
    /// An ordinary mailbox of about twenty folders: median size 4 KB, mean 11 KB, two special
    /// messages in a hundred.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            folders: folders::ordinary(),
            median: 4000,
            largest: 8_000_000,
            special_per_mille: 20,
            huge: None,
            fixed: None,
            pools: Arc::new(Pools::new(seed)),
        }
        .with_separator('/')
    }

    /// Uses these folders instead. The first ones get most of the mail.
    #[must_use]
    pub fn with_folders(mut self, folders: Vec<CorpusFolder>) -> Self {
        self.folders = folders;
        self
    }

    /// Leaves out folders whose name holds this separator, and brings back those that only `/`
    /// forbids. Undoes [`with_folders`](Self::with_folders).
    #[must_use]
    pub fn with_separator(mut self, separator: char) -> Self {
        self.folders = folders::ordinary();
        let fits = |folder: &CorpusFolder| !folder.path.iter().any(|n| n.contains(separator));
        self.folders.retain(fits);
        self
    }

    /// Sets the median size in bytes.
    #[must_use]
    pub fn with_median(mut self, bytes: usize) -> Self {
        self.median = bytes;
        self
    }

    /// Sets the largest size of an ordinary message in bytes.
    #[must_use]
    pub fn with_largest(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Sets how many of a thousand messages are special; 0 leaves only common mail.
    #[must_use]
    pub fn with_special(mut self, per_mille: usize) -> Self {
        self.special_per_mille = per_mille;
        self
    }

    /// Makes the message in the middle one of exactly so many bytes.
    #[must_use]
    pub fn with_huge(mut self, bytes: usize) -> Self {
        self.huge = Some(bytes);
        self
    }

    /// The folders, also those that stay empty.
    #[must_use]
    pub fn folders(&self) -> &[CorpusFolder] {
        &self.folders
    }

    /// The first `n` messages, each made when it is asked for.
    #[must_use]
    pub fn messages(&self, n: usize) -> Messages {
        let n = self.fixed.as_ref().map_or(n, |kinds| n.min(kinds.len()));
        Messages {
            corpus: self.clone(),
            next: 0,
            end: n,
        }
    }

    /// One message of each kind but [`Huge`](Kind::Huge), all for the inbox. Before each that repeats
    /// something of an earlier message there is that earlier one, so there are some more letters.
    #[must_use]
    pub fn ugly() -> Messages {
        let mut kinds = Vec::new();
        for kind in Kind::ALL {
            if kind.repeats() {
                kinds.push(Kind::Letter);
            }
            if *kind != Kind::Huge {
                kinds.push(*kind);
            }
        }
        let corpus = Self {
            fixed: Some(kinds.into()),
            ..Self::new(1)
        };
        corpus
            .with_folders(vec![CorpusFolder::new(&["INBOX"])])
            .with_median(1500)
            .with_largest(20_000)
            .messages(usize::MAX)
    }

    /// One message of exactly `bytes` bytes (a few hundred at least), for the inbox.
    #[must_use]
    pub fn huge(bytes: usize) -> CorpusMessage {
        let corpus = Self::new(1).with_folders(vec![CorpusFolder::new(&["INBOX"])]);
        let body = ugly::huge(&mut corpus.recipe(0), bytes);
        CorpusMessage {
            kind: Kind::Huge,
            ..CorpusMessage::new(body)
        }
    }

    /// Names of folders that went wrong somewhere once, deep and odd ones; those that hold
    /// `separator` in a name left out.
    #[must_use]
    pub fn odd_folder_names(separator: Option<char>) -> Vec<Vec<String>> {
        let fits = |name: &&str| separator.is_none_or(|s| !name.contains(s));
        folders::odd_names()
            .into_iter()
            .filter(|path| path.iter().all(&fits))
            .map(|path| path.into_iter().map(str::to_owned).collect())
            .collect()
    }

    /// Makes the folders of the corpus in an account, with roles and subscriptions, and puts its
    /// first `n` messages there. Returns how many bytes that were.
    ///
    /// # Errors
    /// If the account's rules refuse a folder or message.
    pub fn fill(&self, account: &Account, n: usize) -> Result<u64, StoreError> {
        for folder in &self.folders {
            let id = match account.create(&folder.path) {
                Err(StoreError::AlreadyExists) => account.folder(&folder.path)?.id,
                made => made?,
            };
            if let Some(special_use) = folder.special_use {
                account.set_special_use(id, &[special_use])?;
            }
            account.subscribe(&folder.path, folder.subscribed);
        }
        let mut bytes = 0;
        for message in self.messages(n) {
            let folder = account.folder(&message.folder)?;
            bytes += message.body.len() as u64;
            account.append(folder.id, vec![message.to_new_message()])?;
        }
        Ok(bytes)
    }

    /// The message with this number.
    fn message(&self, index: usize, kind: Kind) -> CorpusMessage {
        let (base, of) = if kind.repeats() {
            self.base_of(index)
        } else {
            (index, kind)
        };
        let mut rng = Rng::new(self.seed.wrapping_add(2), index as u64);
        let mut message = CorpusMessage {
            folder: self.folder_of(base),
            body: self.body(base, of),
            flags: ugly::usual_flags(&mut rng),
            received: self.received(base),
            kind,
        };
        match kind {
            Kind::SameMessageId => {
                let mut recipe = self.recipe(index);
                recipe.message_id = message_id(self.seed, base);
                message.body = recipe.letter();
            }
            Kind::SameMessageIdSameSize => message.body = one_letter_changed(&message.body),
            Kind::ReceivedBefore1970 => message.received = Timestamp::new(-50_401, 840),
            Kind::ReceivedLongAgo => message.received = Timestamp::new(-2_082_844_800, -570),
            Kind::ReceivedIn2100 => message.received = Timestamp::new(4_102_444_800, 345),
            Kind::AllFlags => {
                message.flags = crate::mailbox::SYSTEM_FLAGS.map(str::to_owned).to_vec();
            }
            Kind::OddKeywords => message.flags = ugly::odd_keywords(),
            _ => {}
        }
        message
    }

    fn body(&self, index: usize, kind: Kind) -> Bytes {
        let recipe = self.recipe(index);
        if kind.is_common() {
            letter::common(kind, recipe)
        } else {
            ugly::special(kind, recipe)
        }
    }

    fn recipe(&self, index: usize) -> Recipe<'_> {
        let mut rng = Rng::new(self.seed, index as u64);
        let size = rng.log_normal(self.median).min(self.largest);
        Recipe {
            rng,
            pools: &self.pools,
            received: self.received(index),
            message_id: message_id(self.seed, index),
            size,
        }
    }

    fn kind_of(&self, index: usize) -> Kind {
        if let Some(kinds) = &self.fixed {
            return kinds.get(index).copied().unwrap_or(Kind::Letter);
        }
        let mut rng = Rng::new(self.seed.wrapping_add(1), index as u64);
        if rng.chance(self.special_per_mille) {
            let kind = *rng.pick(Kind::ALL);
            // Nothing comes before the first message; large ones only when asked for.
            if kind == Kind::Huge || (index == 0 && kind.repeats()) {
                return Kind::Letter;
            }
            return kind;
        }
        const COMMON: [(Kind, usize); 11] = [
            (Kind::Letter, 300),
            (Kind::Utf8, 130),
            (Kind::Alternative, 170),
            (Kind::Attachment, 150),
            (Kind::EncodedWords, 80),
            (Kind::Html, 70),
            (Kind::Latin1, 50),
            (Kind::Iso2022Jp, 15),
            (Kind::Invitation, 15),
            (Kind::Smime, 10),
            (Kind::Pgp, 10),
        ];
        let mut at = rng.below(1000);
        for (kind, share) in COMMON {
            if at < share {
                return kind;
            }
            at -= share;
        }
        Kind::Letter
    }

    /// The closest common message before this one, which it repeats.
    fn base_of(&self, index: usize) -> (usize, Kind) {
        (0..index)
            .rev()
            .map(|earlier| (earlier, self.kind_of(earlier)))
            .find(|(_, kind)| kind.is_common())
            .unwrap_or((index, Kind::Letter))
    }

    fn folder_of(&self, index: usize) -> Vec<String> {
        let filled: Vec<&CorpusFolder> = self.folders.iter().filter(|f| !f.empty).collect();
        let mut rng = Rng::new(self.seed.wrapping_add(3), index as u64);
        // A number below a number: the first folders get the most.
        let bound = rng.below(filled.len()) + 1;
        filled
            .get(rng.below(bound))
            .map_or_else(|| vec!["INBOX".to_owned()], |folder| folder.path.clone())
    }

    /// About an hour after the message before, from March 2011 on.
    fn received(&self, index: usize) -> Timestamp {
        const ZONES: [i16; 10] = [0, 60, 120, -300, -480, 330, 345, -210, 840, -720];
        let mut rng = Rng::new(self.seed.wrapping_add(4), index as u64);
        let step = i64::try_from(index % 500_000).unwrap_or(0) * 4000;
        let jitter = i64::try_from(rng.below(3000)).unwrap_or(0);
        Timestamp::new(1_300_000_000 + step + jitter, *rng.pick(&ZONES))
    }
}

fn message_id(seed: u64, index: usize) -> String {
    let unique = Rng::new(seed.wrapping_add(5), index as u64).next();
    format!("<{index}.{unique:016x}@mail.example.org>")
}

/// Another letter in place of the last one: a different message of the same size.
fn one_letter_changed(message: &[u8]) -> Bytes {
    let mut out = message.to_vec();
    if let Some(letter) = out.iter_mut().rev().find(|b| b.is_ascii_alphanumeric()) {
        *letter = if *letter == b'x' { b'y' } else { b'x' };
    }
    out.into()
}

/// Messages of a corpus, made one by one.
#[derive(Clone, Debug)]
pub struct Messages {
    corpus: Corpus,
    next: usize,
    end: usize,
}

impl Iterator for Messages {
    type Item = CorpusMessage;

    fn next(&mut self) -> Option<CorpusMessage> {
        if self.next >= self.end {
            return None;
        }
        let index = self.next;
        self.next += 1;
        if let Some(bytes) = self.corpus.huge
            && index == self.end / 2
        {
            let body = ugly::huge(&mut self.corpus.recipe(index), bytes);
            return Some(CorpusMessage {
                folder: self.corpus.folder_of(index),
                kind: Kind::Huge,
                received: self.corpus.received(index),
                ..CorpusMessage::new(body)
            });
        }
        Some(self.corpus.message(index, self.corpus.kind_of(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Messages {}
