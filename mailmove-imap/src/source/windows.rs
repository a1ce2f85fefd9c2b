//! A folder in pieces: ranges of UIDs that hold about as many messages as is good for a command.

use crate::wire::UidRange;

/// Most messages in a window with contents.
const WITH_CONTENTS: u64 = 1000;
/// Bytes of contents in a window: servers may send one window before the rest of an earlier one
/// (Dovecot 2.3 does now and then), and then all of it is held until that has come.
const BYTES: u64 = 2 << 20;

/// Messages in the first window: something to work on soon.
pub(super) fn first(contents: bool) -> u32 {
    match contents {
        true => 250,
        false => 500,
    }
}

/// Messages in any other, whose contents have so many bytes, if they come along.
pub(super) fn later(mean: Option<u64>) -> u32 {
    let most = |mean: u64| (BYTES / mean.max(1)).clamp(16, WITH_CONTENTS);
    mean.map_or(4000, |mean| u32::try_from(most(mean)).unwrap_or(u32::MAX))
}

/// UIDs still to be asked for.
#[derive(Debug)]
pub(super) struct Windows {
    next: u32,
    /// UIDNEXT: the first that is not asked for.
    end: u32,
    /// UIDs in a window.
    span: u32,
    longest: u32,
    /// Messages that a window shall hold.
    target: u32,
}

impl Windows {
    /// From `next` up to `end`, where `exists` messages have UIDs below `end`.
    pub(super) fn new(next: u32, end: u32, exists: u32, target: u32) -> Self {
        let mut windows = Self {
            next: next.max(1),
            end,
            span: 1,
            longest: u32::MAX,
            target,
        };
        if exists == 0 {
            windows.next = end;
        } else {
            windows.span = windows.span_for(target, exists);
            // Where mail is sparse there may be a dense place behind.
            windows.longest = windows.span.saturating_mul(16);
        }
        windows
    }

    /// UIDs that hold `wanted` messages if they are spread evenly.
    fn span_for(&self, wanted: u32, exists: u32) -> u32 {
        let uids = u64::from(self.end.saturating_sub(1));
        let span = (u64::from(wanted) * uids).div_ceil(u64::from(exists.max(1)));
        u32::try_from(span).unwrap_or(u32::MAX).max(1)
    }

    /// The next range. One that begins before a border ends before it.
    pub(super) fn take(&mut self, borders: impl IntoIterator<Item = u32>) -> Option<UidRange> {
        if self.next >= self.end {
            return None;
        }
        let longest = self.next.saturating_add(self.span).min(self.end);
        let inside = borders.into_iter().filter(|border| *border > self.next);
        let end = inside.fold(longest, u32::min);
        let range = UidRange::new(self.next, end - 1);
        self.next = end;
        range
    }

    /// This was asked for already.
    pub(super) fn skip(&mut self, range: UidRange) {
        self.next = self.next.max(range.end().saturating_add(1));
    }

    /// Nothing more is to be asked for.
    pub(super) fn stop(&mut self) {
        self.next = self.end;
    }

    /// There is nothing more to ask for.
    pub(super) fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// More came meanwhile, up to this UIDNEXT.
    pub(super) fn extend(&mut self, end: u32) {
        self.end = self.end.max(end);
    }

    /// UIDNEXT.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Messages that windows shall hold from now on.
    pub(super) fn aim(&mut self, target: u32) {
        if target != self.target {
            let span = u64::from(self.span) * u64::from(target) / u64::from(self.target.max(1));
            self.span = u32::try_from(span).unwrap_or(u32::MAX).max(1);
            self.longest = self.longest.max(self.span);
            self.target = target;
        }
    }

    /// A window of `range` held more messages than the server takes at once.
    pub(super) fn halve(&mut self, range: UidRange) {
        let half = u32::try_from(range.count() / 2).unwrap_or(u32::MAX);
        self.span = self.span.min(half).max(1);
    }

    /// A window of `range` held `found` messages.
    pub(super) fn learn(&mut self, range: UidRange, found: u32) {
        if found > self.target.saturating_mul(2) {
            let span = range.count() * u64::from(self.target) / u64::from(found);
            self.span = u32::try_from(span).unwrap_or(self.span).max(1);
        } else if u64::from(found) * 2 < u64::from(self.target)
            && range.count() >= u64::from(self.span)
        {
            self.span = self.span.saturating_mul(4).min(self.longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut windows: Windows, border: u32) -> Vec<(u32, u32)> {
        std::iter::from_fn(|| windows.take([border]))
            .map(|range| (range.start(), range.end()))
            .collect()
    }

    #[test]
    fn dense_folders_are_cut_into_windows_of_the_target() {
        assert_eq!(all(Windows::new(1, 1001, 1000, 1000), 1), [(1, 1000)]);
        let cut = [(1, 400), (401, 800), (801, 1000)];
        assert_eq!(all(Windows::new(1, 1001, 1000, 400), 1), cut);
        assert_eq!(all(Windows::new(1, 5, 0, 400), 1), []);
        assert_eq!(all(Windows::new(5, 5, 9, 400), 1), []);
    }

    #[test]
    fn large_contents_make_small_windows() {
        let means = [0, 1, 2097, 4 << 10, 1 << 20, u64::MAX];
        assert_eq!(
            means.map(|mean| later(Some(mean))),
            [1000, 1000, 1000, 512, 16, 16]
        );
        assert_eq!((later(None), first(false), first(true)), (4000, 500, 250));
    }

    #[test]
    fn sparse_ones_into_longer_and_a_border_is_kept() {
        let windows = || Windows::new(1, 100_001, 100, 50);
        assert_eq!(all(windows(), 1), [(1, 50_000), (50_001, 100_000)]);
        let cut = [(1, 9), (10, 50_009), (50_010, 100_000)];
        assert_eq!(all(windows(), 10), cut);
    }

    #[test]
    fn the_whole_range_of_uids() {
        let windows = Windows::new(1, u32::MAX, 2, 1000);
        assert_eq!(all(windows, 1), [(1, u32::MAX - 1)]);
    }

    #[test]
    fn windows_follow_what_they_find() {
        let mut windows = Windows::new(1, 1_000_001, 1_000_000, 100);
        let first = windows.take([]).unwrap();
        assert_eq!(first.count(), 100);
        windows.learn(first, 3);
        let second = windows.take([]).unwrap();
        assert_eq!(second.count(), 400);
        windows.learn(second, 400);
        assert_eq!(windows.take([]).unwrap().count(), 100);
    }
}
