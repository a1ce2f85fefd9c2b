//! Mailbox names on the wire, and paths as people see them.

use mailmove_core::model::{FolderPath, Namespace, Naming, Role};

use crate::wire::{self, utf7};

/// How the mailbox names of one account are built (RFC 2342): what stands before the user's own
/// names, which character separates levels, and which names belong to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Before the user's own names, e.g. `INBOX.` (Courier, Cyrus); the root of paths.
    prefix: Vec<u8>,
    /// Between levels of the user's own names; `None`: no levels.
    separator: Option<u8>,
    /// Prefixes of other users' and shared names, longest first.
    foreign: Vec<(Vec<u8>, Namespace)>,
    /// Whose names are that begin with none of the prefixes, where that is not the user (Cyrus: shared
    /// folders stand beside `INBOX.`).
    rest: Option<Namespace>,
}

impl Names {
    /// From NAMESPACE's answer; `inbox_separator` is what LIST said, for servers without it.
    pub(crate) fn new(spaces: Option<&wire::Namespaces>, inbox_separator: Option<u8>) -> Self {
        let Some(spaces) = spaces else {
            return Self {
                separator: inbox_separator,
                ..Self::default()
            };
        };
        // Several personal namespaces are rare (Dovecot with a second store). The first is where new
        // folders go; names of the others keep their prefix, so that nothing collides.
        let own = spaces.personal.first();
        let prefixes = |spaces: &[wire::Namespace], kind| {
            let named = spaces.iter().filter(|space| !space.prefix.is_empty());
            // Each is asked for, and looked at for each folder.
            named
                .take(NAMESPACES_MOST)
                .map(|space| (space.prefix.to_vec(), kind))
                .collect::<Vec<_>>()
        };
        let mut foreign = prefixes(&spaces.others, Namespace::OtherUsers);
        foreign.extend(prefixes(&spaces.shared, Namespace::Shared));
        foreign.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        let is_root = |spaces: &[wire::Namespace]| spaces.iter().any(|one| one.prefix.is_empty());
        let rest = [
            (&spaces.shared, Namespace::Shared),
            (&spaces.others, Namespace::OtherUsers),
        ];
        let rest = rest
            .into_iter()
            .find(|(foreign, _)| is_root(foreign) && !is_root(&spaces.personal));
        Self {
            rest: rest.map(|(_, kind)| kind),
            prefix: own.map(|space| space.prefix.to_vec()).unwrap_or_default(),
            separator: own.and_then(|space| space.delimiter).or(inbox_separator),
            foreign,
        }
    }

    /// What stands between the levels of the user's own names.
    pub(crate) fn separator(&self) -> Option<u8> {
        self.separator
    }

    /// What stands before the user's own names.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Prefixes below which other people's folders are, to be listed apart. What is no mail (UW's
    /// newsgroups and FTP areas, of which there may be any number) is not.
    pub(crate) fn foreign_prefixes(&self) -> impl Iterator<Item = &[u8]> {
        let prefixes = self.foreign.iter().map(|(prefix, _)| prefix.as_slice());
        prefixes.filter(|prefix| {
            !["#news", "#ftp"]
                .iter()
                .any(|no| starts(prefix, no.as_bytes()))
        })
    }

    /// Where a listed mailbox is, and whose it is. Empty for the bare root of a namespace.
    pub(crate) fn path(&self, wire: &[u8], delimiter: Option<u8>) -> (FolderPath, Namespace) {
        if wire.eq_ignore_ascii_case(b"INBOX") {
            return (FolderPath::inbox(), Namespace::Personal);
        }
        let foreign = self.foreign.iter().find(|(prefix, _)| {
            wire.starts_with(prefix) || wire == trim_separator(prefix, delimiter)
        });
        if let Some((_, kind)) = foreign {
            return (split(wire, delimiter), *kind);
        }
        let own = wire.get(..self.prefix.len()).filter(|head| {
            // Servers write the inbox's part of the prefix in any case.
            head.eq_ignore_ascii_case(&self.prefix)
        });
        let path = match own {
            Some(head) => split(wire.get(head.len()..).unwrap_or_default(), delimiter),
            None => match self.rest {
                Some(kind) => return (split(wire, delimiter), kind),
                None => split(wire, delimiter),
            },
        };
        if path.is_inbox() {
            // `INBOX.INBOX` is a folder, but not the inbox.
            return (split(wire, delimiter), Namespace::Personal);
        }
        (path, Namespace::Personal)
    }

    /// The wire name of a folder of the user's own; `None` if the path cannot be written: it is
    /// empty, has a level where there are none, or a separator within a name.
    pub(crate) fn wire(&self, path: &FolderPath) -> Option<Vec<u8>> {
        if path.is_inbox() {
            return Some(b"INBOX".to_vec());
        }
        let mut out = self.prefix.clone();
        for (index, name) in path.names().iter().enumerate() {
            if index > 0 {
                out.push(self.separator?);
            }
            let encoded = utf7::encode(name);
            // In what is written: modified UTF-7 may put one there.
            let separated = self
                .separator
                .is_some_and(|separator| encoded.bytes().any(|byte| byte == separator));
            if encoded.is_empty() || separated {
                return None;
            }
            out.extend_from_slice(encoded.as_bytes());
        }
        (out.len() > self.prefix.len()).then_some(out)
    }

    /// Names of the user's own that would begin as other people's do.
    fn foreign_roots(&self) -> impl Iterator<Item = String> + '_ {
        let below = self.foreign.iter().filter_map(|(prefix, _)| {
            let head = prefix.get(..self.prefix.len())?;
            head.eq_ignore_ascii_case(&self.prefix)
                .then(|| prefix.get(head.len()..).unwrap_or_default())
        });
        below.filter_map(|prefix| split(prefix, self.separator).names().first().cloned())
    }

    /// What names of new folders may be, as far as is sure on any server.
    pub(crate) fn naming(&self) -> Naming {
        let mut naming = Naming::default();
        naming.separator = self.separator.map(char::from);
        // Wildcards of LIST are legal in a name, but it can never be listed alone, and several
        // servers refuse them. A slash is refused by servers that keep folders as directories, and
        // control characters by nearly all.
        let control = (1..0x20).map(char::from);
        let odd = control.chain("\u{7f}%*/".chars());
        naming.forbidden = odd.filter(|c| Some(*c) != naming.separator).collect();
        // Where the separator is one of modified UTF-7's own signs, nothing can be written in it.
        if naming
            .separator
            .is_some_and(|c| c.is_ascii_alphanumeric() || "+,&-".contains(c))
        {
            naming.forbidden.push('&');
            naming.highest = '~';
        }
        naming.reserved = [".", ".."].map(str::to_owned).into();
        naming.reserved.extend(self.foreign_roots());
        naming.max_depth = if self.separator.is_some() { 16 } else { 1 };
        // A name is a file's name on many servers, and in Maildir++ a whole path is: 255 bytes.
        naming.max_name = LONGEST - 40;
        naming.max_path = LONGEST.saturating_sub(self.prefix.len());
        naming.length_of = |name| utf7::encode(name).len();
        naming
    }
}

/// Namespaces of one kind; servers have one or two.
const NAMESPACES_MOST: usize = 100;

/// Longest path in bytes, with room for what servers put before and behind it.
const LONGEST: usize = 240;

fn starts(text: &[u8], with: &[u8]) -> bool {
    text.get(..with.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(with))
}

fn trim_separator(prefix: &[u8], delimiter: Option<u8>) -> &[u8] {
    match (prefix.split_last(), delimiter) {
        (Some((last, head)), Some(delimiter)) if *last == delimiter => head,
        _ => prefix,
    }
}

fn split(wire: &[u8], delimiter: Option<u8>) -> FolderPath {
    let names = wire.split(|byte| Some(*byte) == delimiter);
    FolderPath::new(names.filter(|name| !name.is_empty()).map(decode))
}

/// A single name in Unicode. What is no modified UTF-7 is shown as UTF-8 if it is that, else with
/// its odd bytes escaped; commands always use the name as the server wrote it.
fn decode(name: &[u8]) -> String {
    if let Ok(name) = utf7::decode_lenient(name) {
        return name;
    }
    match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => name.escape_ascii().to_string(),
    }
}

/// What a mailbox is for, by its attributes (RFC 6154) and its name.
pub(crate) fn role(entry: &wire::ListEntry) -> Option<Role> {
    if entry.name.eq_ignore_ascii_case(b"INBOX") {
        return Some(Role::Inbox);
    }
    let uses = entry
        .special_uses()
        .filter_map(|special| Role::from_special_use(special.as_str()));
    // `\Flagged` and the like only describe a view: where a folder has two, the other one counts.
    uses.min_by_key(|role| role.is_view())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(prefix: &[u8], delimiter: u8) -> wire::Namespace {
        wire::Namespace {
            prefix: prefix.into(),
            delimiter: Some(delimiter),
        }
    }

    fn courier() -> Names {
        let spaces = wire::Namespaces {
            personal: vec![space(b"INBOX.", b'.')],
            shared: vec![space(b"#shared.", b'.')],
            ..wire::Namespaces::default()
        };
        Names::new(Some(&spaces), None)
    }

    /// Found by fuzzing.
    #[test]
    fn what_modified_utf7_writes_makes_no_levels() {
        // All of them are in what is written, `&ABA-`.
        for separator in *b"&-AB" {
            let names = Names::new(None, Some(separator));
            let path = FolderPath::new(["\u{10}"]);
            assert_eq!(names.wire(&path), None, "{}", char::from(separator));
            let naming = names.naming();
            assert!(naming.forbidden.contains('&') && naming.highest == '~');
        }
        let plain = Names::new(None, Some(b'.')).naming();
        assert!(!plain.forbidden.contains('&') && plain.highest > '~');
    }

    #[test]
    fn namespaces_beyond_count_are_not_gone_through() {
        let shared = (0..100_000).map(|n| space(format!("#{n}.").as_bytes(), b'.'));
        let spaces = wire::Namespaces {
            personal: vec![space(b"", b'.')],
            shared: shared.collect(),
            ..wire::Namespaces::default()
        };
        let names = Names::new(Some(&spaces), None);
        assert_eq!(names.foreign_prefixes().count(), NAMESPACES_MOST);
    }

    #[test]
    fn the_personal_prefix_is_the_root() {
        let names = courier();
        for (wire, path) in [
            (&b"INBOX"[..], &["INBOX"][..]),
            (b"inbox", &["INBOX"]),
            (b"INBOX.Entw&APw-rfe.alt", &["Entw\u{fc}rfe", "alt"]),
            (b"INBOX.INBOX.sub", &["INBOX", "sub"]),
        ] {
            let path = FolderPath::new(path.iter().copied());
            assert_eq!(names.path(wire, Some(b'.')).0, path);
            let back = names.wire(&path).unwrap();
            assert!(back.eq_ignore_ascii_case(wire), "{}", back.escape_ascii());
        }
        assert_eq!(
            names.path(b"INBOX.INBOX", Some(b'.')).0,
            FolderPath::new(["INBOX", "INBOX"])
        );
        assert_eq!(names.path(b"INBOX.", Some(b'.')).0.names().len(), 0);
    }

    #[test]
    fn foreign_names_keep_their_prefix() {
        let (path, whose) = courier().path(b"#shared.team", Some(b'.'));
        assert_eq!(path, FolderPath::new(["#shared", "team"]));
        assert_eq!(whose, Namespace::Shared);
    }

    #[test]
    fn what_only_begins_like_a_foreign_prefix_is_the_users_own() {
        let spaces = wire::Namespaces {
            personal: vec![space(b"", b'/')],
            others: vec![space(b"Other Users/", b'/'), space(b"~", b'/')],
            shared: vec![space(b"Shared/", b'/'), space(b"#news.", b'.')],
        };
        let names = Names::new(Some(&spaces), None);
        for (wire, whose) in [
            (&b"SharedThings"[..], Namespace::Personal),
            (b"SharedThings/a", Namespace::Personal),
            (b"Shared", Namespace::Shared),
            (b"Shared/a", Namespace::Shared),
            (b"Other Users/bob", Namespace::OtherUsers),
            (b"~bob/mail", Namespace::OtherUsers),
        ] {
            assert_eq!(
                names.path(wire, Some(b'/')).1,
                whose,
                "{}",
                wire.escape_ascii()
            );
        }
        let listed: Vec<_> = names.foreign_prefixes().collect();
        assert_eq!(listed, [&b"Other Users/"[..], b"Shared/", b"~"]);
        // New folders of the user's own cannot go there.
        let reserved = names.naming().reserved;
        assert!(reserved.contains(&"Shared".to_owned()), "{reserved:?}");
        assert!(reserved.contains(&"Other Users".to_owned()));
        assert_eq!(courier().naming().reserved, [".", ".."]);
    }

    #[test]
    fn shared_folders_beside_the_inbox_are_not_the_users_own() {
        let spaces = wire::Namespaces {
            personal: vec![space(b"INBOX.", b'.')],
            others: vec![space(b"user.", b'.')],
            shared: vec![space(b"", b'.')],
        };
        let names = Names::new(Some(&spaces), None);
        for (wire, path, whose) in [
            (&b"INBOX.team"[..], &["team"][..], Namespace::Personal),
            (b"INBOX", &["INBOX"], Namespace::Personal),
            (b"team", &["team"], Namespace::Shared),
            (b"user.bob", &["user", "bob"], Namespace::OtherUsers),
        ] {
            let expected = FolderPath::new(path.iter().copied());
            assert_eq!(names.path(wire, Some(b'.')), (expected, whose));
        }
    }

    #[test]
    fn undecodable_names_are_shown_all_the_same() {
        let names = Names::new(None, Some(b'/'));
        for (wire, shown) in [
            (&b"caf\xe9"[..], "caf\\xe9"),
            ("caf\u{e9}".as_bytes(), "caf\u{e9}"),
            (b"a&b", "a&b"),
        ] {
            assert_eq!(names.path(wire, Some(b'/')).0, FolderPath::new([shown]));
        }
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let names = courier();
        assert_eq!(names.wire(&FolderPath::new(["a.b"])), None);
        assert_eq!(names.wire(&FolderPath::new::<String>([])), None);
        let flat = Names::new(None, None);
        assert_eq!(flat.wire(&FolderPath::new(["a", "b"])), None);
        assert_eq!(flat.wire(&FolderPath::new(["a.b"])).unwrap(), b"a.b");
        assert_eq!(flat.naming().max_depth, 1);
    }

    proptest::proptest! {
        #[test]
        fn paths_read_back(parts in proptest::collection::vec("[^./]{1,12}", 1..5)) {
            let path = FolderPath::new(parts);
            let names = courier();
            let inbox = path.names().iter().any(|name| name.eq_ignore_ascii_case("inbox"));
            if let Some(wire) = names.wire(&path).filter(|_| !inbox) {
                proptest::prop_assert_eq!(names.path(&wire, Some(b'.')).0, path);
            }
        }
    }
}
