//! Makes names fit what a server takes. Each result depends on its input alone.

use crate::model::{FolderPath, Naming};

/// Smaller limits would leave no room for a digest; no server has them.
const LEAST: usize = 24;

/// Equal keys are the same folder at the destination.
pub(super) type Key = Vec<String>;

#[derive(Debug)]
pub(super) struct Fitter<'a> {
    naming: &'a Naming,
    max_name: usize,
    max_path: usize,
    max_depth: usize,
    /// Stands for what may not be in a name.
    filler: char,
    /// Stands before a digest.
    mark: char,
}

impl<'a> Fitter<'a> {
    pub(super) fn new(naming: &'a Naming) -> Self {
        let mut fitter = Self {
            naming,
            max_name: naming.max_name.max(LEAST),
            max_path: naming.max_path.max(LEAST),
            max_depth: match naming.separator {
                Some(_) => naming.max_depth.max(1),
                None => 1,
            },
            filler: 'x',
            mark: 'x',
        };
        let allowed = |c: &char| fitter.allows(*c);
        let filler = ['_', '-', '.', '+'].into_iter().find(allowed);
        let mark = ['~', '-', '_', '.'].into_iter().find(allowed);
        fitter.filler = filler.unwrap_or('x');
        fitter.mark = mark.unwrap_or('x');
        fitter
    }

    fn allows(&self, c: char) -> bool {
        !c.is_control()
            && c <= self.naming.highest
            && Some(c) != self.naming.separator
            && !self.naming.forbidden.contains(c)
    }

    fn is_reserved(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        let mut reserved = self.naming.reserved.iter();
        reserved.any(|name| name.to_lowercase() == lower)
    }

    /// What tells destination folders apart. The inbox has no case (RFC 3501 §5.1).
    pub(super) fn key(&self, path: &[String]) -> Key {
        let fold = |(level, name): (usize, &String)| {
            if level == 0 && name.eq_ignore_ascii_case("INBOX") {
                "inbox".to_owned()
            } else if self.naming.case_insensitive {
                name.to_lowercase()
            } else {
                name.clone()
            }
        };
        path.iter().enumerate().map(fold).collect()
    }

    /// True if the destination takes that path as it is.
    pub(super) fn fits(&self, path: &[String]) -> bool {
        !path.is_empty() && self.objection(path).is_none()
    }

    /// Why the destination does not take that path as it is.
    pub(super) fn objection(&self, path: &[String]) -> Option<&'static str> {
        let length = self.naming.length_of;
        if path.len() > self.max_depth {
            Some("the destination has no room for so many levels")
        } else if path.iter().any(|name| length(name) > self.max_name) {
            Some("the name is too long for the destination")
        } else if path.iter().any(|name| self.clean(name) != *name) {
            Some("the destination does not allow some characters or blanks of the name")
        } else if matches!(path, [only] if self.is_reserved(only)) {
            Some("the destination keeps that name for itself")
        } else if self.length(path) > self.max_path {
            Some("the path is too long for the destination")
        } else {
            None
        }
    }

    /// Length of a path on the wire.
    fn length(&self, path: &[String]) -> usize {
        let separator = self.naming.separator.map(String::from).unwrap_or_default();
        (self.naming.length_of)(&path.join(&separator))
    }

    /// A name without what may not be in one; of any length.
    fn clean(&self, name: &str) -> String {
        // Nothing above the limit can stay, and a hostile name may be of any length.
        let most = self.max_name.saturating_add(1);
        let replace = |c| if self.allows(c) { c } else { self.filler };
        let mut out: String = name.chars().take(most).map(replace).collect();
        if self.naming.squeezes_blanks {
            let mut before = None;
            out.retain(|c| before.replace(c) != Some(' ') || c != ' ');
        }
        let out = if self.naming.trims_blanks {
            out.trim().to_owned()
        } else {
            out
        };
        match out.as_str() {
            "" => self.filler.to_string(),
            // On any level: a server that keeps folders as directories may go where they lead.
            "." | ".." => format!("{out}{}", self.filler),
            _ => out,
        }
    }

    /// The place of a folder of that name within `parent`: as it is if that fits. `nth` above 1
    /// gives further places, each different. `source` stands for the folder's path at the source, and
    /// makes digests differ where the name alone does not.
    pub(super) fn within(
        &self,
        parent: &FolderPath,
        name: &str,
        nth: usize,
        source: &str,
    ) -> FolderPath {
        let suffix = self.suffix(nth);
        let mut head = parent.names();
        let mut base = self.clean(name);
        let joined = head.len() >= self.max_depth;
        if joined {
            // What is too deep is joined to the deepest name.
            head = &head[..self.max_depth - 1];
            let deepest = parent.names().get(self.max_depth - 1);
            let deepest = self.clean(deepest.map_or("", String::as_str));
            base = format!("{deepest}{}{base}", self.filler);
        }
        let top = head.is_empty();
        while top && suffix.is_empty() && self.is_reserved(&base) {
            base.push(self.filler);
        }
        // Of what the source says, since the destination may spell the parent in another way.
        let own = if joined { digest(source) } else { digest(name) };
        if let Some(found) = self.cut(head, &base, &own, &suffix, true) {
            return found;
        }
        // The path is too long even with the shortest of names: up, by a name that tells it apart.
        let digest = digest(source);
        for levels in (0..head.len()).rev() {
            if let Some(found) = self.cut(&head[..levels], &base, &digest, &suffix, false) {
                return found;
            }
        }
        FolderPath::new([format!("{}{digest}{suffix}", self.mark)])
    }

    fn suffix(&self, nth: usize) -> String {
        if nth < 2 {
            String::new()
        } else if [' ', '(', ')'].into_iter().all(|c| self.allows(c)) {
            format!(" ({nth})")
        } else {
            format!("{}{nth}", self.filler)
        }
    }

    /// A path without what [`within`](Self::within) adds to tell names apart by number.
    pub(super) fn stem(&self, path: &[String]) -> Vec<String> {
        path.iter().map(|name| self.without_numbers(name)).collect()
    }

    fn without_numbers(&self, name: &str) -> String {
        let mut out = String::new();
        let mut rest = name;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
            let number = if let Some(inner) = rest.strip_prefix(" (") {
                let count = digits(inner);
                let closed = count > 0 && inner[count..].starts_with(')');
                closed.then(|| &inner[count + 1..])
            } else if c == self.filler && digits(after) > 0 {
                Some(&after[digits(after)..])
            } else {
                None
            };
            match number {
                Some(left) => rest = left,
                None => {
                    out.push(c);
                    rest = after;
                }
            }
        }
        out
    }

    /// The name with its suffix, below `head`: whole if it fits and may be, else the longest start
    /// of it with the digest.
    fn cut(
        &self,
        head: &[String],
        base: &str,
        digest: &str,
        suffix: &str,
        whole: bool,
    ) -> Option<FolderPath> {
        let length = self.naming.length_of;
        let mut above = String::new();
        for name in head {
            above.push_str(name);
            above.extend(self.naming.separator);
        }
        let fits = |name: &str| {
            length(name) <= self.max_name && length(&format!("{above}{name}")) <= self.max_path
        };
        let path = |name: String| FolderPath::new(head.iter().cloned().chain([name]));
        let all = format!("{base}{suffix}");
        if whole && fits(&all) {
            return Some(path(all));
        }
        let shortened = |end: usize| {
            let start = base.get(..end).unwrap_or("");
            format!("{start}{}{digest}{suffix}", self.mark)
        };
        let mut ends: Vec<_> = base.char_indices().map(|(at, _)| at).collect();
        ends.push(base.len());
        let longest = ends.partition_point(|end| fits(&shortened(*end)));
        let end = longest.checked_sub(1).and_then(|at| ends.get(at))?;
        Some(shortened(*end)).filter(|name| fits(name)).map(path)
    }
}

/// Eight hexadecimal digits that tell names apart when their ends are cut off.
pub(super) fn digest(text: &str) -> String {
    let hex = blake3::hash(text.as_bytes()).to_hex();
    hex.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(naming: &Naming, parent: &[&str], name: &str, nth: usize) -> Vec<String> {
        let parent = FolderPath::new(parent.iter().copied());
        let fitter = Fitter::new(naming);
        let path = fitter.within(&parent, name, nth, "source");
        path.names().to_vec()
    }

    fn naming(change: impl FnOnce(&mut Naming)) -> Naming {
        let mut naming = Naming::default();
        change(&mut naming);
        naming
    }

    #[test]
    fn characters_blanks_and_empty_names_are_replaced() {
        let strict = naming(|naming| {
            naming.separator = Some('.');
            naming.forbidden = "*%_".to_owned();
            naming.trims_blanks = true;
        });
        for (name, fits) in [
            ("plain", "plain"),
            ("a.b/c", "a-b/c"),
            ("100%\r\n", "100---"),
            (" x ", "x"),
            ("  ", "-"),
            ("", "-"),
        ] {
            assert_eq!(within(&strict, &[], name, 1), [fits]);
        }
        assert_eq!(within(&Naming::default(), &[], " x ", 1), [" x "]);
        let low = naming(|naming| naming.highest = '\u{ffff}');
        assert_eq!(within(&low, &[], "\u{1f4ce}\u{ff}", 1), ["_\u{ff}"]);
    }

    #[test]
    fn long_names_end_in_a_digest_of_the_whole() {
        let short = naming(|naming| naming.max_name = 24);
        let fitting = "x".repeat(24);
        assert_eq!(within(&short, &[], &fitting, 1), [fitting.as_str()]);
        let one = within(&short, &[], &"\u{fc}".repeat(30), 1).concat();
        let two = within(&short, &[], &"\u{fc}".repeat(31), 1).concat();
        assert!(one.starts_with("\u{fc}\u{fc}\u{fc}") && one.len() <= 24);
        assert_ne!(one, two);
        let third = within(&short, &[], &"\u{fc}".repeat(30), 3).concat();
        assert!(third.ends_with(" (3)") && third.len() <= 24);
        let wide = naming(|naming| {
            naming.max_name = 24;
            naming.length_of = |text| text.chars().map(|c| if c.is_ascii() { 1 } else { 5 }).sum();
        });
        let cut = within(&wide, &[], &"\u{fc}".repeat(30), 1).concat();
        assert_eq!(cut.chars().count(), 12, "three letters and the digest");
    }

    #[test]
    fn what_is_too_deep_is_joined_and_what_is_too_long_goes_up() {
        let flat = naming(|naming| naming.max_depth = 2);
        assert_eq!(within(&flat, &["a", "b"], "c", 1), ["a", "b_c"]);
        let none = naming(|naming| naming.separator = None);
        assert_eq!(within(&none, &["INBOX"], "c/d", 1), ["INBOX_c/d"]);
        let narrow = naming(|naming| naming.max_path = 27);
        let path = within(&narrow, &["0123456789", "0123456789"], "leaves", 1);
        assert_eq!(path.len(), 2);
        assert!(path[1].starts_with("leaves~") && path.join("/").len() <= 30);
    }

    #[test]
    fn no_name_leads_elsewhere_on_any_level() {
        let naming = naming(|_| {});
        let fitter = Fitter::new(&naming);
        for name in [".", ".."] {
            let path = fitter.within(&FolderPath::new(["a"]), name, 1, name);
            assert_eq!(path, FolderPath::new(["a", &format!("{name}_")]));
            assert!(!fitter.fits(&["a".to_owned(), name.to_owned()]));
        }
        assert!(fitter.fits(&["...".to_owned()]));
    }

    #[test]
    fn reserved_names_are_reserved_at_the_top_only() {
        let exchange = naming(|naming| naming.reserved = vec!["Files".to_owned()]);
        assert_eq!(within(&exchange, &[], "files", 1), ["files_"]);
        assert_eq!(within(&exchange, &[], "files", 2), ["files (2)"]);
        assert_eq!(within(&exchange, &["a"], "Files", 1), ["a", "Files"]);
    }

    #[test]
    fn hostile_names_cost_little() {
        let endless = naming(|naming| {
            naming.max_name = usize::MAX;
            naming.max_path = 100;
        });
        let name = "x".repeat(1 << 20);
        assert_eq!(within(&endless, &["a"], &name, 1).join("/").len(), 100);
    }
}
