//! Examples, one rule each.

use mailmove_core::{
    map::{Pattern, Place},
    model::Namespace,
};

use super::*;

fn plain() -> MapRules {
    MapRules::new()
}

fn place(rule: &str) -> Place {
    Place::parse(rule).unwrap()
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

/// Source folders, and where they go.
fn check(rules: &MapRules, naming: &Naming, there: &[Folder], expect: &[(Folder, &str)]) {
    let source: Vec<_> = expect.iter().map(|(folder, _)| folder.clone()).collect();
    let map = FolderMap::new(rules, &source, there, naming, &[]);
    let expected: Vec<_> = expect.iter().map(|(_, to)| (*to).to_owned()).collect();
    assert_eq!(targets(&map), expected);
}

#[test]
fn the_inbox_is_the_inbox_whatever_its_case() {
    let there = folders(&["INBOX"]);
    assert_eq!(
        map(&plain(), &folders(&["Inbox", "inbox/x"]), &there),
        ["INBOX", "INBOX/x"]
    );
    let rules = plain().with_place(place("inbox=Old/Inbox"));
    assert_eq!(
        map(&rules, &folders(&["INBOX", "INBOX/x"]), &there),
        ["Old/Inbox", "Old/Inbox/x"]
    );
    assert_eq!(
        map(&plain(), &[with_role("Posteingang", Role::Inbox)], &there),
        ["INBOX"]
    );
}

/// Found by fuzzing: a server may say of its inbox that it is the trash.
#[test]
fn the_inbox_is_nothing_else_whatever_a_server_says() {
    for role in [Role::Trash, Role::Sent, Role::Archive] {
        let there = [with_role("INBOX", role)];
        let source = [folder("INBOX"), with_role("Papierkorb", role)];
        assert_eq!(map(&plain(), &source, &there), ["INBOX", "Papierkorb"]);
    }
    let odd = [with_role("INBOX", Role::Trash)];
    let there = [folder("INBOX"), with_role("Deleted", Role::Trash)];
    assert_eq!(map(&plain(), &odd, &there), ["INBOX"]);
}

#[test]
fn roles_go_to_roles_and_children_follow() {
    let there = [
        folder("INBOX"),
        with_role("Sent", Role::Sent),
        with_role("Deleted", Role::Trash),
        with_role("Junk 1", Role::Junk),
        with_role("Junk 2", Role::Junk),
    ];
    check(
        &plain(),
        &Naming::default(),
        &there,
        &[
            (with_role("Gesendete Elemente", Role::Sent), "Sent"),
            (folder("Gesendete Elemente/2019"), "Sent/2019"),
            // Another folder is what that name means at the destination.
            (folder("Sent"), "Sent (2)"),
            // By name, since the source names no trash.
            (folder("Papierkorb"), "Deleted"),
            // Which one is meant cannot be told.
            (with_role("Spam", Role::Junk), "Spam"),
            (with_role("Archiv", Role::Archive), "Archiv"),
        ],
    );
}

#[test]
fn names_stand_for_roles_only_where_the_server_says_nothing() {
    let there = [with_role("Sent Mail", Role::Sent)];
    let cases: [(&[&str], &[&str]); 5] = [
        (&["Sent Items"], &["Sent Mail"]),
        (&["SENT"], &["Sent Mail"]),
        (&["INBOX/Envoy\u{e9}s"], &["Sent Mail"]),
        (&["Work/Sent"], &["Work/Sent"]),
        // Two could be meant.
        (&["Sent", "Sent Items"], &["Sent", "Sent Items"]),
    ];
    for (source, expected) in cases {
        assert_eq!(map(&plain(), &folders(source), &there), expected);
    }
    let named = [with_role("Outbox", Role::Sent), folder("Gesendet")];
    assert_eq!(map(&plain(), &named, &there), ["Sent Mail", "Gesendet"]);
    // The destination's names count likewise.
    let sent = [with_role("Gesendet", Role::Sent)];
    assert_eq!(
        map(&plain(), &sent, &folders(&["Sent Items"])),
        ["Sent Items"]
    );
    // What cannot hold mail is no place for a role.
    let mut unusable = folder("Sent Items");
    unusable.selectable = false;
    assert_eq!(map(&plain(), &sent, &[unusable]), ["Gesendet"]);
}

#[test]
fn two_folders_share_a_role_only_by_the_servers_word() {
    let there = [with_role("Sent", Role::Sent)];
    let source = [with_role("A", Role::Sent), with_role("B", Role::Sent)];
    assert_eq!(map(&plain(), &source, &there), ["Sent", "Sent"]);
}

#[test]
fn roles_are_set_on_what_is_created_once() {
    let role = |source: &[Folder], there: &[Folder], rules: &MapRules| -> Vec<_> {
        let map = FolderMap::new(rules, source, there, &Naming::default(), &[]);
        let role = |verdict: &Verdict| match verdict {
            Verdict::To { role, .. } => *role,
            _ => None,
        };
        map.entries.iter().map(|e| role(&e.verdict)).collect()
    };
    let source = [
        with_role("A", Role::Sent),
        with_role("B", Role::Sent),
        with_role("Entw\u{fc}rfe", Role::Drafts),
        // Only its name says so.
        folder("Spam"),
    ];
    assert_eq!(
        role(&source, &[], &plain()),
        [Some(Role::Sent), None, Some(Role::Drafts), None]
    );
    let two = [with_role("X", Role::Sent), with_role("Y", Role::Sent)];
    assert_eq!(
        role(&source, &two, &plain()),
        [None, None, Some(Role::Drafts), None]
    );
    let below = plain().with_root(Some(FolderPath::parse("Old")));
    assert_eq!(role(&source, &[], &below), [None, None, None, None]);
}

#[test]
fn foreign_folders_are_taken_where_their_first_name_is_given() {
    let foreign = |path: &str| {
        let mut folder = folder(path);
        folder.namespace = Namespace::Shared;
        folder
    };
    let source = [foreign("Public/Team"), foreign("Public/x"), folder("a")];
    let taken = |rules: &MapRules| {
        let map = map(rules, &source, &[]);
        map.into_iter()
            .map(|one| !one.starts_with('-'))
            .collect::<Vec<_>>()
    };
    for (text, expected) in [
        ("Public", [true, true, false]),
        ("public/team", [true, false, false]),
        ("/Public/*", [true, true, false]),
        ("**", [false, false, true]),
        ("P*/Team", [false, false, false]),
        ("**/Team", [false, false, false]),
        ("re:Public|a", [false, false, true]),
    ] {
        let rules = plain().with_include(pattern(text));
        assert_eq!(taken(&rules), expected, "{text}");
    }
    let rules = plain().with_place(place("Public/Team=Team"));
    assert_eq!(taken(&rules), [true, false, true]);
}

#[test]
fn views_foreign_folders_and_mere_names_are_left_out_with_a_reason() {
    let mut name_only = folder("[Gmail]");
    name_only.selectable = false;
    let mut shared = folder("shared/x");
    shared.namespace = Namespace::Shared;
    shared.role = Some(Role::Sent);
    let mut other = folder("user/y");
    other.namespace = Namespace::OtherUsers;
    let source = [
        name_only,
        with_role("[Gmail]/All Mail", Role::All),
        folder("[Gmail]/x"),
        shared,
        other,
        folder("a"),
        folder("a"),
    ];
    let there = [with_role("Sent", Role::Sent)];
    let expected = [
        "-it holds no messages",
        "-it shows messages that other folders hold (\\All)",
        "[Gmail]/x",
        "-it is shared",
        "-it belongs to another user",
        "a",
        "-the server lists it twice",
    ];
    assert_eq!(map(&plain(), &source, &there), expected);
    let rules = plain()
        .with_foreign(true)
        .with_include(pattern("**"))
        .with_exclude(pattern("A"));
    let expected = [
        "-it holds no messages",
        "[Gmail]/All Mail",
        "[Gmail]/x",
        // Somebody else's sent mail is not this user's.
        "shared/x",
        "user/y",
        "-excluded by A",
        "-the server lists it twice",
    ];
    assert_eq!(map(&rules, &source, &there), expected);
}

#[test]
fn include_and_exclude_beat_roles_and_places() {
    let rules = plain()
        .with_include(pattern("Work"))
        .with_exclude(pattern("Work/Old*"))
        .with_place(place("Private=P"));
    let source = folders(&["Work", "Work/New", "Work/Old 1", "Private", "INBOX"]);
    let expected = [
        "Work",
        "Work/New",
        "-excluded by Work/Old*",
        "-not among the folders to be taken",
        "-not among the folders to be taken",
    ];
    assert_eq!(map(&rules, &source, &[]), expected);
}

#[test]
fn places_take_what_is_below_and_may_merge() {
    let rules = plain()
        .with_place(place("Old/Deep=Elsewhere"))
        .with_place(place("Old=Work"));
    let source = folders(&["Old", "Old/a", "Old/Deep/b", "Work", "Work/a", "Older"]);
    assert_eq!(
        map(&rules, &source, &[]),
        ["Work", "Work/a", "Elsewhere/b", "Work", "Work/a", "Older"]
    );
    // The first that applies wins, and a place beats a role.
    let rules = plain()
        .with_place(place("Old=Work"))
        .with_place(place("Old/Deep=Elsewhere"))
        .with_place(place("Sent=Sent 2019"));
    let source = [folder("Old/Deep/b"), with_role("Sent", Role::Sent)];
    let there = [with_role("Sent Mail", Role::Sent)];
    assert_eq!(map(&rules, &source, &there), ["Work/Deep/b", "Sent 2019"]);
}

#[test]
fn a_root_holds_everything() {
    let rules = plain()
        .with_root(Some(FolderPath::parse("Old/Account")))
        .with_place(place("x=y"));
    let source = [folder("INBOX"), with_role("Sent", Role::Sent), folder("x")];
    let there = [with_role("Sent", Role::Sent)];
    assert_eq!(
        map(&rules, &source, &there),
        ["Old/Account/INBOX", "Old/Account/Sent", "y"]
    );
}

#[test]
fn names_are_made_to_fit_and_natural_names_come_first() {
    let mut naming = Naming::default();
    naming.forbidden = ":*".to_owned();
    naming.trims_blanks = true;
    naming.squeezes_blanks = true;
    naming.reserved = vec!["Files".to_owned()];
    check(
        &plain(),
        &naming,
        &[],
        &[
            (folder("a:b"), "a_b (3)"),
            (folder("a*b"), "a_b (2)"),
            (folder("a_b"), "a_b"),
            (folder("a:b/c"), "a_b (3)/c"),
            (folder("a*b/c"), "a_b (2)/c"),
            (folder(" blank "), "blank"),
            (folder("a   wide  name"), "a wide name"),
            (folder("INBOX "), "INBOX (2)"),
            (folder("Files/x"), "Files_/x"),
            (folder("slash\\/in"), "slash_in"),
        ],
    );
}

#[test]
fn separators_are_the_destinations_own() {
    let mut naming = Naming::default();
    naming.separator = Some('.');
    check(
        &plain(),
        &naming,
        &[],
        &[(folder("v1.2/a\\/b"), "v1_2/a\\/b")],
    );
}

#[test]
fn case_decides_nothing_where_the_destination_ignores_it() {
    let mut naming = Naming::default();
    naming.case_insensitive = true;
    let there = folders(&["work", "K\u{d6}LN/ab"]);
    check(
        &plain(),
        &naming,
        &there,
        &[
            (folder("Work"), "Work (2)"),
            (folder("work"), "work"),
            (folder("WORK/x"), "WORK (2)/x"),
            (folder("WORK"), "WORK (2)"),
            (folder("k\u{f6}ln/AB"), "K\u{d6}LN/ab"),
        ]
        .map(|(folder, to)| (folder, if to == "Work (2)" { "Work (3)" } else { to })),
    );
    check(
        &plain(),
        &Naming::default(),
        &there,
        &[(folder("Work"), "Work"), (folder("WORK"), "WORK")],
    );
}

#[test]
fn mail_is_not_put_into_views_or_other_peoples_folders() {
    let mut shared = folder("Shared/Team");
    shared.namespace = Namespace::Shared;
    let there = [with_role("Flagged", Role::Flagged), shared];
    assert_eq!(
        map(
            &plain(),
            &folders(&["Flagged", "Shared/x", "Shared"]),
            &there
        ),
        ["Flagged (2)", "Shared (2)/x", "Shared (2)"]
    );
}

#[test]
fn what_the_destination_forced_is_told() {
    let mut naming = Naming::default();
    naming.forbidden = ":".to_owned();
    naming.max_depth = 3;
    naming.max_name = 40;
    naming.case_insensitive = true;
    let long = "x".repeat(50);
    let there = [folder("known"), with_role("Sent", Role::Sent)];
    let expect = [
        (folder("PLAIN"), None),
        (folder("a:b"), Some("characters")),
        (folder("a:b/c"), Some("characters")),
        (folder("a/b/c/d"), Some("levels")),
        (folder(&long), Some("too long")),
        (folder("Known"), Some("spelling")),
        (folder("plain"), Some("another folder")),
        (folder("Gesendet"), None),
        (folder("Gesendet/x"), None),
    ];
    let source: Vec<_> = expect.iter().map(|(folder, _)| folder.clone()).collect();
    let map = FolderMap::new(&plain(), &source, &there, &naming, &[]);
    for (entry, (_, word)) in map.entries.iter().zip(&expect) {
        let Verdict::To { renamed, .. } = &entry.verdict else {
            panic!("{entry:?}");
        };
        assert_eq!(renamed.is_some(), word.is_some(), "{entry:?}");
        if let (Some(renamed), Some(word)) = (renamed, word) {
            assert!(renamed.contains(word), "{entry:?}");
        }
    }
}

#[test]
fn what_was_mapped_stays_where_it_is() {
    let naming = Naming::default();
    let first = FolderMap::new(&plain(), &folders(&["Sent", "a"]), &[], &naming, &[]);
    let told = earlier(&first);
    // By now the destination has a folder of that role, and other folders have come.
    let there = [folder("Sent"), with_role("Outbox", Role::Sent)];
    let source = [folder("A"), folder("a"), with_role("Sent", Role::Sent)];
    let map = |rules: &MapRules| targets(&FolderMap::new(rules, &source, &there, &naming, &told));
    assert_eq!(map(&plain()), ["A", "a", "Sent"]);
    // A new rule is followed.
    assert_eq!(map(&plain().with_place(place("a=b"))), ["A", "b", "Sent"]);
    let below = plain().with_root(Some(FolderPath::parse("x")));
    assert_eq!(map(&below), ["x/A", "x/a", "x/Sent"]);
    // What is left out for a while keeps its place from others.
    let told = [Earlier::new(FolderPath::parse("a"), FolderPath::parse("c"))];
    let rules = plain().with_exclude(pattern("a"));
    let source = folders(&["a", "c"]);
    let map = FolderMap::new(&rules, &source, &[], &naming, &told);
    assert_eq!(targets(&map), ["-excluded by a", "c (2)"]);
    // A place that the destination cannot have is no place.
    let told = [Earlier::new(
        FolderPath::parse("a"),
        FolderPath::parse("x\\/y"),
    )];
    let map = FolderMap::new(&plain(), &folders(&["a"]), &[], &naming, &told);
    assert_eq!(targets(&map), ["a"]);
}

#[test]
fn verdicts_are_found_by_path() {
    let source = folders(&["a", "b"]);
    let map = FolderMap::new(&plain(), &source, &[], &Naming::default(), &[]);
    assert!(map.verdict(&FolderPath::parse("b")).is_some());
    assert!(map.verdict(&FolderPath::parse("c")).is_none());
}

#[test]
fn a_hostile_list_costs_little() {
    let deep = FolderPath::new(vec!["x"; 5_000]);
    let mut source = vec![Folder::new(FolderId::new("deep"), deep, "1")];
    source.extend((0..2_000).map(|n| folder(&format!("{}{n}", "y".repeat(300)))));
    source.extend((0..300).map(|n| {
        let same = FolderPath::new(["same"]);
        Folder::new(FolderId::new(format!("{n}")), same, "1")
    }));
    let naming = Naming::default();
    let map = FolderMap::new(&plain(), &source, &[], &naming, &[]);
    let mut all = targets(&map);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2_301);
}

/// Gmail's folders below a name of its own.
fn gmail() -> Vec<Folder> {
    let mut container = folder("[Gmail]");
    container.selectable = false;
    container.transparent = true;
    let mut all = with_role("[Gmail]/All Mail", Role::All);
    all.knows_others = true;
    vec![
        folder("INBOX"),
        container,
        all,
        with_role("[Gmail]/Important", Role::Important),
        with_role("[Gmail]/Sent Mail", Role::Sent),
        with_role("[Gmail]/Starred", Role::Flagged),
        with_role("[Gmail]/Bin", Role::Trash),
        folder("Work"),
    ]
}

#[test]
fn a_servers_own_container_is_seen_through() {
    let there = [folder("INBOX"), with_role("Trash", Role::Trash)];
    let to = map(&plain(), &gmail(), &there);
    assert_eq!(to[0], "INBOX");
    assert_eq!(to[1], "-it holds no messages");
    assert_eq!(to[2], "All Mail");
    assert!(to[3].starts_with('-') && to[5].starts_with('-'), "{to:?}");
    assert_eq!(to[4], "Sent Mail");
    assert_eq!(to[6..], ["Trash", "Work"]);
    // Somebody's own folder of the name comes first.
    let mut source = gmail();
    source.push(folder("Sent Mail"));
    let to = map(&plain(), &source, &there);
    assert_eq!(to[8], "Sent Mail");
    assert!(
        to[4].starts_with("Sent Mail (") || to[4].starts_with("Sent Mail"),
        "{to:?}"
    );
    assert_ne!(to[4], to[8]);
    // What the user says comes before.
    let rules = plain().with_place(place("[Gmail]=Old"));
    assert_eq!(map(&rules, &gmail(), &there)[4], "Old/Sent Mail");
    let below = plain().with_root(Some(FolderPath::parse("Old/Mail")));
    assert_eq!(map(&below, &gmail(), &there)[4], "Old/Mail/Sent Mail");
}

#[test]
fn all_mail_that_keeps_the_rest_is_an_archive() {
    let there = [folder("INBOX"), with_role("Ablage", Role::Archive)];
    assert_eq!(map(&plain(), &gmail(), &there)[2], "Ablage");
    let mut source = gmail();
    source.push(folder("Archive"));
    let to = map(&plain(), &source, &there);
    assert_eq!((to[2].as_str(), to[8].as_str()), ("All Mail", "Ablage"));
    assert_eq!(map(&plain(), &gmail(), &gmail())[2], "[Gmail]/All Mail");
    // Without that it is a view, as it was.
    let all = [with_role("All", Role::All)];
    assert!(map(&plain(), &all, &there)[0].starts_with('-'));
}
