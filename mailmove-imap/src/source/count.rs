//! How many messages the server says there are, while some of them go.

/// Longest run of left-out numbers that is remembered one by one. Longer ones are nonsense, and
/// count all the same.
const GAPS_MOST: u32 = 1 << 20;

/// Follows the server's numbering through a listing.
///
/// The ledger's sums shall equal what the *server* counts, without those that went before they could
/// be listed. So every number is accounted for: listed, reported gone before it was listed, or left
/// over, which then shows as a difference.
#[derive(Debug)]
pub(super) struct Count {
    /// Messages up to here: those before the listing's start, as the server numbers them, and those
    /// listed. Known from the first number on.
    passed: Option<u64>,
    listed: u64,
    /// Numbers of earlier views that nobody explained.
    left_over: u64,
    /// Messages in this view, of those that were there when it began.
    exists: u32,
    /// Up to this number all were seen or are in `gaps`.
    top: Option<u32>,
    /// Numbers below `top` without a message so far.
    gaps: Vec<u32>,
    /// The server numbers messages. If not (UIDONLY), it still counts them.
    numbered: bool,
}

impl Count {
    /// A view has just been opened. `from_first`: the listing begins with its first message.
    pub(super) fn new(exists: u32, from_first: bool) -> Self {
        Self {
            passed: from_first.then_some(0),
            listed: 0,
            left_over: 0,
            exists,
            top: from_first.then_some(0),
            gaps: Vec::new(),
            numbered: true,
        }
    }

    /// Messages are named by their UIDs alone.
    pub(super) fn without_numbers(&mut self) {
        self.numbered = false;
    }

    /// The folder was opened anew in the midst of the listing: numbers start afresh.
    pub(super) fn reopened(&mut self, exists: u32) {
        if !self.numbered {
            self.exists = exists;
            return;
        }
        // Before the first number nothing was known that could be lost.
        if self.passed.is_some() {
            self.left_over += self.gaps.len() as u64;
            self.top = None;
        }
        self.gaps.clear();
        self.exists = exists;
    }

    /// A message was listed.
    pub(super) fn listed(&mut self, seq: u32) {
        if !self.numbered {
            self.listed += 1;
            self.passed.iter_mut().for_each(|passed| *passed += 1);
            return;
        }
        let top = *self.top.get_or_insert(seq.saturating_sub(1));
        if seq > top {
            self.gap(top, seq);
            self.top = Some(seq);
        } else if let Ok(at) = self.gaps.binary_search(&seq) {
            self.gaps.remove(at);
        }
        *self.passed.get_or_insert(u64::from(top)) += 1;
        self.listed += 1;
    }

    /// Numbers between `top` and `seq` were left out.
    fn gap(&mut self, top: u32, seq: u32) {
        // A server that names a number beyond its own count is not followed there.
        let end = seq.min(self.exists.saturating_add(1));
        let missing = end.saturating_sub(top + 1);
        if missing > GAPS_MOST {
            self.left_over += u64::from(missing);
        } else {
            self.gaps.extend(top + 1..end);
        }
    }

    /// `EXPUNGE`: a message went, and those behind it moved up.
    pub(super) fn expunged(&mut self, seq: u32) {
        if seq == 0 || seq > self.exists {
            // It arrived after the view began.
            return;
        }
        self.exists -= 1;
        let Some(top) = self.top.filter(|top| seq <= *top) else {
            return;
        };
        self.top = Some(top - 1);
        let from = match self.gaps.binary_search(&seq) {
            Ok(at) => {
                self.gaps.remove(at);
                at
            }
            Err(at) => at,
        };
        self.gaps.iter_mut().skip(from).for_each(|gap| *gap -= 1);
    }

    /// `VANISHED` names UIDs instead. `behind`: its UID is lower than the highest listed, and
    /// `was_listed`: it is among those listed, as far as is known.
    pub(super) fn vanished(&mut self, behind: bool, was_listed: bool) {
        self.exists = self.exists.saturating_sub(1);
        let Some(top) = self.top.filter(|top| behind && *top > 0) else {
            return;
        };
        self.top = Some(top - 1);
        if !was_listed {
            self.gaps.pop();
        }
        // Which number it had is unknown, and nothing but the number of gaps matters here.
        self.gaps
            .iter_mut()
            .for_each(|gap| *gap = (*gap).min(top - 1));
    }

    /// The view holds nothing beyond what was listed.
    pub(super) fn is_through(&self) -> bool {
        self.top.is_some_and(|top| top >= self.exists)
    }

    /// Messages listed.
    pub(super) fn listed_so_far(&self) -> u64 {
        self.listed
    }

    /// Messages up to the last listed one; `None` before the first.
    pub(super) fn passed(&self) -> Option<u64> {
        self.passed
    }

    /// The server's count, after the last message was listed.
    pub(super) fn total(&self) -> u64 {
        let exists = u64::from(self.exists);
        if !self.numbered {
            // Of those listed before the folder was opened anew some may be gone.
            return exists.max(self.passed.unwrap_or(0));
        }
        match (self.passed, self.top) {
            // Nothing was listed: all there are lie before the start.
            (None, _) => exists,
            // Nothing was listed since the folder was opened anew.
            (Some(passed), None) => passed + self.left_over,
            (Some(passed), Some(top)) => {
                let rest = exists.saturating_sub(u64::from(top));
                passed + self.left_over + self.gaps.len() as u64 + rest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(exists: u32, seqs: impl IntoIterator<Item = u32>) -> Count {
        let mut count = Count::new(exists, true);
        seqs.into_iter().for_each(|seq| count.listed(seq));
        count
    }

    #[test]
    fn what_is_listed_is_what_there_is() {
        assert_eq!(listing(3, 1..=3).total(), 3);
        assert_eq!(listing(0, []).total(), 0);
    }

    #[test]
    fn what_the_server_counts_but_does_not_show_stays_counted() {
        assert_eq!(listing(5, [1, 2, 4]).total(), 5);
        assert_eq!(listing(5, [2, 3, 4, 5]).total(), 5);
    }

    #[test]
    fn gone_before_it_was_listed() {
        let mut count = listing(4, [1]);
        count.expunged(3);
        (2..=3).for_each(|seq| count.listed(seq));
        assert_eq!(count.total(), 3);
    }

    #[test]
    fn gone_after_it_was_listed() {
        let mut count = listing(4, [1, 2]);
        count.expunged(1);
        [2, 3].into_iter().for_each(|seq| count.listed(seq));
        assert_eq!((count.total(), count.listed_so_far()), (4, 4));
    }

    #[test]
    fn left_out_silently_and_reported_gone_at_the_end() {
        // As Dovecot does: the numbers show a gap, which EXPUNGE explains.
        let mut count = listing(5, [1, 3, 5]);
        assert_eq!(count.total(), 5);
        count.expunged(2);
        count.expunged(3);
        assert_eq!(count.total(), 3);
        let mut count = listing(5, [1, 3, 4, 5]);
        count.vanished(true, false);
        assert_eq!(count.total(), 4);
        count.vanished(true, true);
        assert_eq!(count.total(), 4);
    }

    #[test]
    fn arrivals_do_not_count() {
        let mut count = listing(2, [1, 2]);
        count.expunged(3);
        assert_eq!(count.total(), 2);
    }

    #[test]
    fn a_listing_from_the_midst_takes_the_servers_word_for_what_is_before() {
        let mut count = Count::new(10, false);
        assert_eq!((count.passed(), count.total()), (None, 10));
        count.listed(9);
        count.listed(10);
        assert_eq!((count.passed(), count.total()), (Some(10), 10));
    }

    #[test]
    fn opened_anew() {
        let mut count = listing(6, [1, 2, 3]);
        // One of the listed went meanwhile, another arrived.
        count.reopened(6);
        (3..=6).for_each(|seq| count.listed(seq));
        assert_eq!((count.total(), count.listed_so_far()), (7, 7));
        let mut count = listing(2, [1, 2]);
        count.reopened(1);
        assert_eq!(count.total(), 2);
    }

    #[test]
    fn without_numbers_the_servers_count_stands() {
        let count = |exists, from_first, listed| {
            let mut count = Count::new(exists, from_first);
            count.without_numbers();
            (0..listed).for_each(|_| count.listed(0));
            count
        };
        assert_eq!(count(5, true, 5).total(), 5);
        assert_eq!(count(5, true, 4).total(), 5);
        assert!(!count(5, true, 5).is_through());
        let mut some = count(5, true, 3);
        some.vanished(false, false);
        some.vanished(true, true);
        assert_eq!((some.total(), some.passed()), (3, Some(3)));
        let mut anew = count(5, true, 3);
        anew.reopened(4);
        anew.listed(0);
        assert_eq!((anew.total(), anew.listed_so_far()), (4, 4));
        assert_eq!(
            (count(9, false, 2).total(), count(9, false, 2).passed()),
            (9, None)
        );
    }

    proptest::proptest! {
        /// Whatever a server says, nothing panics.
        #[test]
        fn any_story(exists: u32, steps: Vec<(u8, u32)>) {
            let mut count = Count::new(exists % 50, false);
            for (kind, seq) in steps {
                match kind % 5 {
                    0 => count.expunged(seq),
                    1 => count.vanished(seq % 2 == 0, seq % 3 == 0),
                    2 => count.reopened(seq % 60),
                    3 => count.listed(seq),
                    _ => count.listed(seq % 50),
                }
                let _ = (count.total(), count.passed());
            }
        }
    }
}
