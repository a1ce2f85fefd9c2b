//! Sequence sets (RFC 3501 section 9).

use crate::reply::Stop;

/// Ranges of numbers; `*` is the largest in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence(Vec<(Option<u32>, Option<u32>)>);

impl Sequence {
    pub(crate) fn parse(text: &str) -> Result<Self, Stop> {
        let bad = || Stop::bad("invalid set");
        let number = |text: &str| match text {
            "*" => Ok(None),
            _ => match text.parse::<u32>() {
                Ok(0) | Err(_) => Err(bad()),
                Ok(number) => Ok(Some(number)),
            },
        };
        let range = |part: &str| match part.split_once(':') {
            Some((first, last)) => Ok((number(first)?, number(last)?)),
            None => number(part).map(|only| (only, only)),
        };
        text.split(',')
            .map(range)
            .collect::<Result<_, Stop>>()
            .map(Self)
    }

    /// The ranges with `*` resolved, each with its lower end first, sorted.
    fn ranges(&self, largest: u32) -> Vec<(u32, u32)> {
        let resolve = |end: Option<u32>| end.unwrap_or(largest);
        let mut ranges: Vec<_> = self
            .0
            .iter()
            .map(|(a, b)| (resolve(*a), resolve(*b)))
            .map(|(a, b)| (a.min(b), a.max(b)))
            .collect();
        ranges.sort_unstable();
        ranges
    }

    pub(crate) fn contains(&self, number: u32, largest: u32) -> bool {
        self.ranges(largest)
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&number))
    }

    /// Those of `uids` (ascending) that the set names, ascending.
    pub(crate) fn uids(&self, uids: &[u32]) -> Vec<u32> {
        let largest = uids.last().copied().unwrap_or(0);
        let mut named = Vec::new();
        let mut done = 0;
        for (low, high) in self.ranges(largest) {
            let from = uids.partition_point(|uid| *uid < low).max(done);
            let to = uids.partition_point(|uid| *uid <= high).max(from);
            named.extend_from_slice(uids.get(from..to).unwrap_or_default());
            done = to;
        }
        named
    }

    /// The UIDs of the messages at these positions (from 1), ascending; `None` if one doesn't exist.
    pub(crate) fn positions(&self, uids: &[u32]) -> Option<Vec<u32>> {
        let largest = u32::try_from(uids.len()).unwrap_or(u32::MAX);
        let mut named = Vec::new();
        let mut done = 0;
        for (low, high) in self.ranges(largest) {
            if low == 0 || high > largest {
                return None;
            }
            let from = (low as usize - 1).max(done);
            let to = (high as usize).max(from);
            named.extend_from_slice(uids.get(from..to)?);
            done = to;
        }
        Some(named)
    }
}

/// Writes ascending numbers as a set: `1:3,7`.
pub(crate) fn compress(numbers: &[u32]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = numbers.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while let Some(next) = rest.next_if(|next| last.checked_add(1) == Some(*next)) {
            last = next;
        }
        if last == first {
            parts.push(first.to_string());
        } else {
            parts.push(format!("{first}:{last}"));
        }
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_name_what_exists() {
        let uids = [2, 3, 5, 8, 9];
        let named = |text| Sequence::parse(text).unwrap().uids(&uids);
        assert_eq!(named("3:8"), [3, 5, 8]);
        assert_eq!(named("8:3,1,5"), [3, 5, 8]);
        assert_eq!(named("*"), [9]);
        assert_eq!(named("100:*"), [9]);
        assert_eq!(named("1:*"), uids);
        assert_eq!(Sequence::parse("*").unwrap().uids(&[]), Vec::<u32>::new());
    }

    #[test]
    fn positions_must_exist() {
        let named = |text| Sequence::parse(text).unwrap().positions(&[2, 3, 5]);
        assert_eq!(named("1,3"), Some(vec![2, 5]));
        assert_eq!(named("2:*"), Some(vec![3, 5]));
        assert_eq!(named("1:2,2:3"), Some(vec![2, 3, 5]));
        assert_eq!(named("4"), None);
        assert_eq!(Sequence::parse("*").unwrap().positions(&[]), None);
        for text in ["0", "", "1,", "a", "1:", "4294967296", "1:2:3"] {
            assert!(Sequence::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_compress() {
        assert_eq!(compress(&[1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
        assert_eq!(compress(&[]), "");
        assert_eq!(compress(&[u32::MAX]), "4294967295");
    }
}
