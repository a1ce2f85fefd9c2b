//! Names that are none, or hardly.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use futures_util::StreamExt as _;
use mailmove_core::{
    Edges,
    model::{Folder, Role},
    source::{ListRequest, Source as _},
};
use mailmove_imap::ImapSource;
use mailmove_imap_testserver::{Builder, Capability};

use crate::{
    twist::{Act, Twist},
    world::{Side, credentials},
};

/// The folders of a server that lists these, and the commands by which they are then opened.
async fn listed(lines: &'static str) -> (Vec<Folder>, Vec<String>) {
    let opened = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&opened);
    let twist = Twist::commands(move |command| {
        let is = |name: &str| command.starts_with(name);
        if is("LIST") {
            return Act::Answer(format!("{lines}\nT OK done"));
        }
        if is("STATUS") {
            // No word on it: they are opened one by one.
            return Act::Answer("T NO not now".to_owned());
        }
        if is("EXAMINE") {
            note.lock().unwrap().push(command.trim_end().to_owned());
            return Act::Answer("T NO not now".to_owned());
        }
        Act::Pass
    });
    // With UTF8=ACCEPT names would have another form.
    let setup = |it: Builder| it.without(Capability::Utf8Accept);
    let side = Side::new(setup, Some(twist)).await;
    let source = ImapSource::new(side.config.clone(), credentials(), Edges::new());
    let folders = source.folders().await.unwrap();
    for folder in &folders {
        let mut pages = source.list(ListRequest::new(folder));
        assert!(pages.next().await.unwrap().is_err());
    }
    let opened = std::mem::take(&mut *opened.lock().unwrap());
    (folders, opened)
}

fn shown(folders: &[Folder]) -> Vec<String> {
    let names = folders.iter().map(|folder| folder.path.names().join(" > "));
    names.collect()
}

#[tokio::test]
async fn every_name_is_listed_once_and_opened_as_the_server_wrote_it() {
    let (folders, opened) = listed(
        "* LIST (\\HasNoChildren) \"/\" inbox
        * LIST () \"/\" \"INBOX\"
        * LIST () \"/\" 2023
        * LIST () \"/\" NIL
        * LIST () \"/\" \"a&b\"
        * LIST () \"/\" \"b&AOk\"
        * LIST () \"/\" \"caf%E9\"
        * LIST () \"/\" \"caf\u{e9}\"
        * LIST () \"/\" \"caf&AOk-\"
        * LIST () \"/\" {5}
        d\"e\\f
        * LIST () \"/\" \"g//h\"
        * LIST () \"/\" \"g/h\"
        * LIST () \"/\" \"g/\"
        * LIST () \"/\" \"/lead\"
        * LIST () \"/\" \" two  blanks \"
        * LIST (\\Noselect \\HasChildren) \"/\" parent
        * LIST () \"/\" \"parent/child\"
        * LIST (\\Sent) \"/\" twice
        * LIST () \"/\" twice
        * LIST () \"/\" Sent Items
        * LIST () \"/\" SENT
        * LIST () \"/\" sent
        * LIST (\\Noselect) \"/\" \"\"",
    )
    .await;
    assert_eq!(
        shown(&folders),
        [
            "INBOX",
            " two  blanks ",
            "lead",
            "2023",
            "NIL",
            "SENT",
            "Sent Items",
            "a&b",
            "b&AOk",
            "caf\u{e9}",
            // Decodes to the same, and is shown as it stands.
            "caf%C3%A9",
            "caf\\xe9",
            "d\"e\\f",
            "g",
            // So does this one.
            "g//h",
            "g > h",
            "parent",
            "parent > child",
            "sent",
            "twice",
        ]
    );
    let paths: HashSet<_> = folders.iter().map(|folder| &folder.path).collect();
    assert_eq!(paths.len(), folders.len());
    let not_selectable = folders.iter().filter(|folder| !folder.selectable);
    assert_eq!(not_selectable.count(), 1);
    let sent = folders
        .iter()
        .find(|folder| folder.role == Some(Role::Sent));
    assert_eq!(sent.unwrap().path.names(), ["twice"]);
    let opened: Vec<&str> = opened
        .iter()
        .map(|command| command.trim_start_matches("EXAMINE "))
        .map(|command| command.split(" (").next().unwrap())
        .collect();
    for name in [
        "\"INBOX\"",
        "\" two  blanks \"",
        "\"/lead\"",
        "\"2023\"",
        "\"NIL\"",
        "\"a&b\"",
        "\"b&AOk\"",
        "\"caf&AOk-\"",
        "\"d\\\"e\\\\f\"",
        "\"g/\"",
        "\"g//h\"",
        "\"g/h\"",
    ] {
        assert!(opened.contains(&name), "{name} in {opened:?}");
    }
    // 8-bit names go as literals.
    assert!(
        opened.contains(&"{4+}") && opened.contains(&"{5+}"),
        "{opened:?}"
    );
}

#[tokio::test]
async fn separators_of_all_kinds() {
    for (separator, name, path) in [
        ("NIL", "\"a/b.c\"", &["a/b.c"][..]),
        ("\"\"", "\"a/b.c\"", &["a/b.c"]),
        ("\"\\\\\"", "\"a\\\\b\"", &["a", "b"]),
        ("\"\\\"\"", "\"a\\\"b\"", &["a", "b"]),
        ("\"^\"", "a^b", &["a", "b"]),
        ("\"::\"", "a::b", &["a", "b"]),
        ("\" \"", "\"a b\"", &["a", "b"]),
        ("\"\u{1}\"", "\"a\u{1}b\"", &["a", "b"]),
        ("{1}\n.", "a.b", &["a", "b"]),
        (".", "a.b", &["a", "b"]),
    ] {
        let line = format!("* LIST () {separator} {name}").leak();
        let (folders, _) = listed(line).await;
        assert_eq!(folders.len(), 1, "{separator}");
        assert_eq!(folders[0].path.names(), path, "{separator}");
    }
}
