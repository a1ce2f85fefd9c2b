//! Sets of UIDs: compact on the wire and in memory.

use std::fmt;

use super::lex::number_u32;

/// UIDs from `start` to `end`, both included; never empty, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UidRange {
    start: u32,
    end: u32,
    /// Written with `*` at its end, which also names the last message if its UID is lower. Never
    /// so by chance: 4294967295 is a UID like others.
    open: bool,
}

impl UidRange {
    /// The range between two UIDs given in any order; `None` if one is 0.
    #[must_use]
    pub const fn new(one: u32, other: u32) -> Option<Self> {
        let (start, end) = if one <= other {
            (one, other)
        } else {
            (other, one)
        };
        if start == 0 {
            None
        } else {
            Some(Self {
                start,
                end,
                open: false,
            })
        }
    }

    /// The lowest UID.
    #[must_use]
    pub const fn start(self) -> u32 {
        self.start
    }

    /// The highest UID.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.end
    }

    /// How many UIDs; up to 2³²-1, so count before iterating over what a server said.
    #[must_use]
    pub const fn count(self) -> u64 {
        (self.end - self.start) as u64 + 1
    }

    fn parse(text: &[u8]) -> Option<Self> {
        match memchr::memchr(b':', text) {
            Some(colon) => {
                let (one, other) = text.split_at_checked(colon)?;
                Self::new(number_u32(one)?, number_u32(other.get(1..)?)?)
            }
            None => number_u32(text).and_then(|uid| Self::new(uid, uid)),
        }
    }
}

/// Writes `7`, `7:9`, or `7:*` for a range made by [`UidSet::from_start`].
impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.start, self.end) {
            (start, _) if self.open => write!(f, "{start}:*"),
            (start, end) if start == end => write!(f, "{start}"),
            (start, end) => write!(f, "{start}:{end}"),
        }
    }
}

/// A set of UIDs as ranges. One read from a server keeps the server's order, which matters for APPENDUID and COPYUID; one
/// collected from UIDs is sorted.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct UidSet {
    ranges: Vec<UidRange>,
}

impl UidSet {
    /// Reads `1,3:5`. `None` for an empty set, zeros, `*` and anything else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let ranges: Option<_> = text
            .split(|byte| *byte == b',')
            .map(UidRange::parse)
            .collect();
        ranges.map(|ranges| Self { ranges })
    }

    /// The UIDs `one` to `other`; `None` if one is 0.
    #[must_use]
    pub fn range(one: u32, other: u32) -> Option<Self> {
        UidRange::new(one, other).map(|range| Self {
            ranges: vec![range],
        })
    }

    /// Everything from `start` (0 counts as 1), written `start:*`. A server answers this with its last message even if
    /// that has a lower UID: filter the answer.
    #[must_use]
    pub fn from_start(start: u32) -> Self {
        Self {
            ranges: vec![UidRange {
                start: start.max(1),
                end: u32::MAX,
                open: true,
            }],
        }
    }

    /// From ranges, which should be sorted and apart.
    #[must_use]
    pub fn from_ranges(ranges: Vec<UidRange>) -> Self {
        Self { ranges }
    }

    /// Adds a UID at the end, joined to the last range where it continues it; 0 is ignored.
    pub fn push(&mut self, uid: u32) {
        match self.ranges.last_mut() {
            Some(last) if uid != 0 && last.end.checked_add(1) == Some(uid) => last.end = uid,
            _ => self.ranges.extend(UidRange::new(uid, uid)),
        }
    }

    /// The ranges in order.
    #[must_use]
    pub fn ranges(&self) -> &[UidRange] {
        &self.ranges
    }

    /// How many UIDs, repeated ones counted each time.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| range.count())
            .fold(0, u64::saturating_add)
    }

    /// No UID at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a UID is in it; linear in the number of ranges.
    #[must_use]
    pub fn contains(&self, uid: u32) -> bool {
        self.ranges
            .iter()
            .any(|range| (range.start..=range.end).contains(&uid))
    }

    /// The UIDs one by one. A server's set may name four billion: compare [`count`](Self::count) first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|range| range.start..=range.end)
    }

    /// Cuts it into sets whose text is at most `bytes` long each; a single range is never cut.
    #[must_use]
    pub fn split(&self, bytes: usize) -> Vec<Self> {
        let mut sets = Vec::new();
        let mut current = Self::default();
        let mut length = 0;
        for range in &self.ranges {
            let own = range_len(*range);
            if !current.is_empty() && length + 1 + own > bytes {
                sets.push(std::mem::take(&mut current));
                length = 0;
            }
            length += own + usize::from(!current.is_empty());
            current.ranges.push(*range);
        }
        if !current.is_empty() {
            sets.push(current);
        }
        sets
    }

    /// Cuts it into sets of at most `most` UIDs each.
    #[must_use]
    pub fn pieces(&self, most: u32) -> Vec<Self> {
        let most = u64::from(most.max(1));
        let (mut sets, mut current, mut room) = (Vec::new(), Self::default(), most);
        for range in &self.ranges {
            let mut start = range.start;
            loop {
                let end = u64::from(start).saturating_add(room - 1);
                let end = u32::try_from(end).map_or(range.end, |end| end.min(range.end));
                let piece = UidRange::new(start, end);
                room -= piece.map_or(0, UidRange::count);
                current.ranges.extend(piece);
                if room == 0 {
                    sets.push(std::mem::take(&mut current));
                    room = most;
                }
                match end.checked_add(1).filter(|next| *next <= range.end) {
                    Some(next) => start = next,
                    None => break,
                }
            }
        }
        if !current.is_empty() {
            sets.push(current);
        }
        sets
    }

    /// Those of them that are lower than `uid`.
    #[must_use]
    pub fn below(&self, uid: u32) -> Self {
        let below = |range: &UidRange| match range.end < uid {
            true => Some(*range),
            false if range.start < uid => UidRange::new(range.start, uid - 1),
            false => None,
        };
        Self {
            ranges: self.ranges.iter().filter_map(below).collect(),
        }
    }

    /// The length of its text in bytes.
    #[must_use]
    pub fn text_len(&self) -> usize {
        let commas = self.ranges.len().saturating_sub(1);
        self.ranges
            .iter()
            .map(|range| range_len(*range))
            .sum::<usize>()
            + commas
    }
}

fn range_len(range: UidRange) -> usize {
    let digits = |number: u32| number.checked_ilog10().unwrap_or(0) as usize + 1;
    match (range.start, range.end) {
        (start, _) if range.open => digits(start) + 2,
        (start, end) if start == end => digits(start),
        (start, end) => digits(start) + 1 + digits(end),
    }
}

/// Sorted, without repetition, in the fewest ranges; zeros are left out.
impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        let mut uids: Vec<u32> = uids.into_iter().collect();
        uids.sort_unstable();
        uids.dedup();
        let mut set = Self::default();
        uids.into_iter().for_each(|uid| set.push(uid));
        set
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for range in &self.ranges {
            write!(f, "{gap}{range}")?;
            gap = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}
