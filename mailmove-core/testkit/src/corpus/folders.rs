//! Folders as people have them.

/// A folder of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorpusFolder {
    /// Its names, outermost first.
    pub path: Vec<String>,
    /// Its special-use attribute (RFC 6154), e.g. `\Sent`.
    pub special_use: Option<&'static str>,
    /// Whether the user is subscribed to it.
    pub subscribed: bool,
    /// Whether it stays without messages.
    pub empty: bool,
}

impl CorpusFolder {
    /// A subscribed folder for messages.
    #[must_use]
    pub fn new<S: AsRef<str>>(path: &[S]) -> Self {
        Self {
            path: path.iter().map(|name| name.as_ref().to_owned()).collect(),
            special_use: None,
            subscribed: true,
            empty: false,
        }
    }

    fn special(name: &str, special_use: &'static str) -> Self {
        Self {
            special_use: Some(special_use),
            ..Self::new(&[name])
        }
    }

    fn empty(path: &[&str]) -> Self {
        Self {
            subscribed: false,
            empty: true,
            ..Self::new(path)
        }
    }
}

/// An ordinary mailbox: the inbox, roles, and names of all sorts. The first ones get most mail.
pub(super) fn ordinary() -> Vec<CorpusFolder> {
    let mut folders = vec![
        CorpusFolder::new(&["INBOX"]),
        CorpusFolder::special("Sent", "\\Sent"),
        CorpusFolder::special("Archive", "\\Archive"),
        CorpusFolder::special("Trash", "\\Trash"),
        CorpusFolder::special("Junk", "\\Junk"),
        CorpusFolder::special("Drafts", "\\Drafts"),
    ];
    folders.extend(odd_names().iter().map(|path| CorpusFolder::new(path)));
    folders.push(CorpusFolder::empty(&["Empty"]));
    folders.push(CorpusFolder::empty(&["Projects", "2021", "Nothing yet"]));
    folders
}

/// Folder names that went wrong somewhere once.
pub(super) fn odd_names() -> Vec<Vec<&'static str>> {
    vec![
        vec!["Projects"],
        vec!["Projects", "2019"],
        vec!["Entwürfe für später"],
        vec!["Résumés"],
        vec!["日本語", "受信トレイ"],
        vec!["Почта"],
        vec!["📎 Clips"],
        vec!["Clients & Co"],
        vec!["&-"],
        vec!["&AOk-"],
        vec!["Bob's \"stuff\""],
        vec!["per 100 % (a) {1+} [x]"],
        vec!["back\\slash"],
        vec!["v1.2.3"],
        vec!["either/or"],
        vec!["~home"],
        vec!["#news"],
        vec!["a", "b", "c", "d", "e", "f", "g"],
        vec!["NIL"],
        vec![
            "A long name that goes on and on, as names do that a rule of a mail program once made",
        ],
    ]
}
