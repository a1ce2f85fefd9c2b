//! Folders: where they are, what they are for, and how to tell whether they are still the same.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CompactText, Flags, FolderId, ItemClass, Mark, Token};

/// The place of a folder as a list of names in Unicode, from the mailbox's root. Never a joined
/// string: separators, prefixes and encodings are the adapter's business. The inbox is `["INBOX"]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FolderPath(Vec<String>);

impl FolderPath {
    /// A path of these names.
    pub fn new<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// The inbox.
    #[must_use]
    pub fn inbox() -> Self {
        Self(vec!["INBOX".to_owned()])
    }

    /// True for the inbox itself, in any case (RFC 3501 §5.1).
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        matches!(self.0.as_slice(), [only] if only.eq_ignore_ascii_case("INBOX"))
    }

    /// The names, outermost first.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The innermost name.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// The folder that holds this one; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        (self.0.len() > 1).then(|| Self(self.0[..self.0.len() - 1].to_vec()))
    }

    /// The folder of that name within this one.
    #[must_use]
    pub fn child(&self, name: impl Into<String>) -> Self {
        let mut names = self.0.clone();
        names.push(name.into());
        Self(names)
    }

    /// Reads names with `/` between them; `\/` and `\\` stand for a slash and a backslash within a
    /// name. Empty names are left out. The inverse of [`escaped`](Self::escaped).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut names = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match (c, names.last_mut()) {
                ('/', _) => names.push(String::new()),
                ('\\', Some(name)) => name.push(chars.next().unwrap_or('\\')),
                (c, Some(name)) => name.push(c),
                (_, None) => {}
            }
        }
        names.retain(|name| !name.is_empty());
        Self(names)
    }

    /// Names with `/` between them, reversible; see [`parse`](Self::parse).
    #[must_use]
    pub fn escaped(&self) -> String {
        let escape = |name: &String| name.replace('\\', "\\\\").replace('/', "\\/");
        self.0.iter().map(escape).collect::<Vec<_>>().join("/")
    }

    /// True if `other` is this folder or holds it.
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for FolderPath {
    /// For people: names joined by `/`. Not reversible.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}
impl fmt::Debug for FolderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a folder is for (RFC 6154 special uses, and the inbox).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Where mail arrives.
    Inbox,
    /// All messages of the mailbox (`\All`).
    All,
    /// Kept away from the inbox (`\Archive`).
    Archive,
    /// Not finished (`\Drafts`).
    Drafts,
    /// A view of flagged messages (`\Flagged`).
    Flagged,
    /// A view of important messages (`\Important`).
    Important,
    /// Unwanted (`\Junk`).
    Junk,
    /// Sent (`\Sent`).
    Sent,
    /// Deleted (`\Trash`).
    Trash,
    /// The user's own calendar.
    Calendar,
    /// The user's own contacts.
    Contacts,
    /// The user's own tasks.
    Tasks,
    /// The user's own notes.
    Notes,
    /// The user's own journal.
    Journal,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Inbox,
        Self::All,
        Self::Archive,
        Self::Drafts,
        Self::Flagged,
        Self::Important,
        Self::Junk,
        Self::Sent,
        Self::Trash,
        Self::Calendar,
        Self::Contacts,
        Self::Tasks,
        Self::Notes,
        Self::Journal,
    ];

    /// The special-use attribute; `None` for the inbox and for what holds no mail, which have none.
    #[must_use]
    pub const fn special_use(self) -> Option<&'static str> {
        match self {
            Self::Inbox
            | Self::Calendar
            | Self::Contacts
            | Self::Tasks
            | Self::Notes
            | Self::Journal => None,
            Self::All => Some("\\All"),
            Self::Archive => Some("\\Archive"),
            Self::Drafts => Some("\\Drafts"),
            Self::Flagged => Some("\\Flagged"),
            Self::Important => Some("\\Important"),
            Self::Junk => Some("\\Junk"),
            Self::Sent => Some("\\Sent"),
            Self::Trash => Some("\\Trash"),
        }
    }

    /// Reads a special-use attribute, whatever its case.
    #[must_use]
    pub fn from_special_use(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| {
            role.special_use()
                .is_some_and(|name| name.eq_ignore_ascii_case(text))
        })
    }

    /// True for folders that only show what is kept elsewhere (`\All`, `\Flagged`, `\Important`).
    #[must_use]
    pub const fn is_view(self) -> bool {
        matches!(self, Self::All | Self::Flagged | Self::Important)
    }
}

/// Whose folder it is (RFC 2342).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Namespace {
    /// The user's own.
    #[default]
    Personal,
    /// Another user's.
    OtherUsers,
    /// Everybody's.
    Shared,
}

/// A folder as the server describes it, from one look at the whole mailbox.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Folder {
    /// How to address it.
    pub id: FolderId,
    /// Where it is.
    pub path: FolderPath,
    /// What it is for, if the server says.
    pub role: Option<Role>,
    /// What kind of items it is made for. Others may be in it all the same.
    pub class: ItemClass,
    /// Whose it is.
    pub namespace: Namespace,
    /// False for a name that holds other folders but no messages (`\Noselect`).
    pub selectable: bool,
    /// True if the user subscribed to it.
    pub subscribed: bool,
    /// True for a name that the server puts above folders of its own (Gmail's `[Gmail]`): what is
    /// below it is mapped as if it stood in its place.
    pub transparent: bool,
    /// True for the folder with all messages ([`Role::All`]) if its listing says where else each
    /// of them is shown ([`Listed::also_in`](super::Listed::also_in)): then it is no mere view, and
    /// keeps the messages that no other folder has.
    pub knows_others: bool,
    /// Equal identities are the same folder in the same state of numbering: IMAP's MAILBOXID or
    /// path, with UIDVALIDITY. Message ids of two identities have nothing to do with each other.
    pub identity: CompactText,
    /// Messages in it, as the server says.
    pub messages: Option<u64>,
    /// Bytes in it, as the server says.
    pub bytes: Option<u64>,
    /// Equal tokens: nothing changed, flags included. `None` if the server cannot tell.
    pub token: Option<Token>,
    /// Bound for what comes next.
    pub mark: Option<Mark>,
    /// The flags that the folder keeps for good; `None` if not known without opening it.
    pub keeps: Option<KeptFlags>,
}

impl Folder {
    /// A folder with that address and place; everything else unknown, selectable.
    #[must_use]
    pub fn new(id: FolderId, path: FolderPath, identity: impl AsRef<str>) -> Self {
        Self {
            id,
            path,
            role: None,
            class: ItemClass::Mail,
            namespace: Namespace::Personal,
            selectable: true,
            subscribed: false,
            transparent: false,
            knows_others: false,
            identity: CompactText::new(identity),
            messages: None,
            bytes: None,
            token: None,
            mark: None,
            keeps: None,
        }
    }
}

/// Which flags a folder keeps for good (IMAP's PERMANENTFLAGS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptFlags {
    /// These.
    pub flags: Flags,
    /// And any keyword (`\*`).
    pub any_keyword: bool,
}

impl KeptFlags {
    /// These flags, and any keyword if so said.
    #[must_use]
    pub fn new(flags: Flags, any_keyword: bool) -> Self {
        Self { flags, any_keyword }
    }

    /// Splits into what is kept and what is lost.
    #[must_use]
    pub fn split(&self, flags: &Flags) -> (Flags, Flags) {
        let mut lost = flags.difference(&self.flags);
        if self.any_keyword {
            let mut system = Flags::new();
            for flag in lost.system() {
                system.insert(flag);
            }
            lost = system;
        }
        (flags.difference(&lost), lost)
    }
}

/// A folder to be made, or found, at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderSpec {
    /// Where.
    pub path: FolderPath,
    /// What for; set on creation where the server lets us.
    pub role: Option<Role>,
    /// Whether the user shall be subscribed to it.
    pub subscribe: bool,
    /// What kind of items it is made for. One of another kind at that place is not it.
    pub class: ItemClass,
}

impl FolderSpec {
    /// A folder at that place, not subscribed.
    #[must_use]
    pub fn new(path: FolderPath) -> Self {
        Self {
            path,
            role: None,
            subscribe: false,
            class: ItemClass::Mail,
        }
    }

    /// Sets what it is for.
    #[must_use]
    pub fn with_role(mut self, role: Option<Role>) -> Self {
        self.role = role;
        self
    }

    /// Sets what kind of items it is made for.
    #[must_use]
    pub fn with_class(mut self, class: ItemClass) -> Self {
        self.class = class;
        self
    }

    /// Sets whether the user shall be subscribed to it.
    #[must_use]
    pub fn with_subscription(mut self, subscribe: bool) -> Self {
        self.subscribe = subscribe;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_flags_split() {
        let flags = Flags::parse("\\Seen \\Flagged Work");
        let some = KeptFlags::new(Flags::parse("\\Seen"), false);
        assert_eq!(
            some.split(&flags),
            (Flags::parse("\\Seen"), Flags::parse("\\Flagged Work"))
        );
        let any = KeptFlags::new(Flags::parse("\\Seen"), true);
        assert_eq!(
            any.split(&flags),
            (Flags::parse("\\Seen Work"), Flags::parse("\\Flagged"))
        );
    }

    #[test]
    fn escaped_paths_read_back() {
        for path in [
            FolderPath::new(["a/b", "c\\", "d"]),
            FolderPath::new(["\\/"]),
        ] {
            assert_eq!(FolderPath::parse(&path.escaped()), path);
        }
        assert_eq!(FolderPath::parse("/a//b/"), FolderPath::new(["a", "b"]));
    }

    #[test]
    fn roles_read_attributes_in_any_case() {
        assert_eq!(Role::from_special_use("\\SENT"), Some(Role::Sent));
        assert_eq!(Role::from_special_use("\\HasChildren"), None);
    }
}
