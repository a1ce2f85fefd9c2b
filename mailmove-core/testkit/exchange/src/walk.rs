//! How far a client is with the changes of a folder: newest first, by pages.

use mailmove_testkit::mailbox::{Account, FolderInfo, Message, StoreError};

/// How far a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    validity: u32,
    /// All changes up to here are told; 0 if nothing was told ever.
    since: u64,
    /// Items with a lower UID were there at `since`.
    base: u32,
    /// What is being told reaches to here; 0 if nothing is being told.
    upto: u64,
    upto_base: u32,
    /// What is left of it is below this: removals first, then changes.
    removals: bool,
    below: (u64, u32),
}

/// Something to tell.
#[derive(Debug, Clone)]
pub enum Step {
    /// The item with this UID went away.
    Gone(u32),
    /// New or changed.
    There(Message),
}

impl Walk {
    /// Nothing was told yet.
    #[must_use]
    pub fn first(folder: &FolderInfo) -> Self {
        Self {
            validity: folder.uid_validity,
            since: 0,
            base: 0,
            upto: 0,
            upto_base: 0,
            removals: false,
            below: (0, 0),
        }
    }

    /// Starts telling what happened until now, unless that is under way; whether it starts.
    pub fn begin(&mut self, folder: &FolderInfo) -> bool {
        if self.upto != 0 {
            return false;
        }
        self.upto = folder.highest_modseq;
        self.upto_base = folder.uid_next;
        self.removals = true;
        self.below = (u64::MAX, u32::MAX);
        true
    }

    fn end(&mut self) {
        self.since = self.upto;
        self.base = self.upto_base;
        self.upto = 0;
    }

    /// All changes up to this modification sequence were told before; 0 in a first walk.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Whether an item came after what was told before.
    #[must_use]
    pub fn is_new(&self, message: &Message) -> bool {
        self.since == 0 || message.uid >= self.base
    }

    /// As text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{} {} {} {} {} {} {} {}",
            self.validity,
            self.since,
            self.base,
            self.upto,
            self.upto_base,
            u8::from(self.removals),
            self.below.0,
            self.below.1
        )
    }

    /// What such a text says, if it can be of this folder as it is now.
    #[must_use]
    pub fn from_text(text: &str, folder: &FolderInfo) -> Option<Self> {
        let mut numbers = text.split(' ').map(str::parse::<u64>);
        let mut number = || numbers.next()?.ok();
        let walk = Self {
            validity: u32::try_from(number()?).ok()?,
            since: number()?,
            base: u32::try_from(number()?).ok()?,
            upto: number()?,
            upto_base: u32::try_from(number()?).ok()?,
            removals: number()? == 1,
            below: (number()?, u32::try_from(number()?).ok()?),
        };
        let fits = walk.validity == folder.uid_validity && walk.since <= folder.highest_modseq;
        fits.then_some(walk)
    }

    /// What comes next, so many at most, without what is to be passed over. The flag says that nothing
    /// is left; then the state is at the end of what was told.
    ///
    /// # Errors
    /// If the folder is gone.
    pub fn next(
        &mut self,
        account: &Account,
        folder: &FolderInfo,
        most: usize,
        passes_over: impl Fn(&Message) -> bool,
    ) -> Result<(Vec<Step>, bool), StoreError> {
        let mut steps = Vec::new();
        if self.removals && self.since > 0 {
            let mut gone = account.vanished(folder.id, self.since)?;
            gone.retain(|uid| *uid < self.below.1);
            for uid in gone.into_iter().rev() {
                if steps.len() == most {
                    return Ok((steps, false));
                }
                self.below.1 = uid;
                steps.push(Step::Gone(uid));
            }
        }
        if self.removals {
            self.removals = false;
            self.below = (u64::MAX, u32::MAX);
        }
        let mut left = match self.since {
            0 => account.messages(folder.id)?,
            since => account.changes(folder.id, since)?.changed,
        };
        // A first walk goes by number alone, so that what changes meanwhile is not passed over.
        let since = self.since;
        let key = |message: &Message| match since {
            0 => (0, message.uid),
            _ => (message.modseq, message.uid),
        };
        let below = self.below;
        left.retain(|m| key(m) < below && (since == 0 || m.modseq <= self.upto));
        left.sort_by_key(|m| std::cmp::Reverse(key(m)));
        for message in left {
            if steps.len() == most {
                return Ok((steps, false));
            }
            self.below = key(&message);
            if !passes_over(&message) {
                steps.push(Step::There(message));
            }
        }
        self.end();
        Ok((steps, true))
    }
}
