//! Folders of others on real servers: left out with reason and count, unless they are asked for; never
//! a place for the user's own.

use serde_json::Value;

use crate::{
    client::{Client, quoted},
    compare::{path, sum},
    world::{Job, Mail, Server, fresh},
};

/// How such folders are called on a server.
struct Style {
    server: &'static str,
    /// Who makes shared folders, and in front of their names.
    maker: &'static str,
    made: &'static str,
    /// In front of shared folders' names as everybody else sees them, `/` between levels.
    shared: &'static str,
    /// In front of other users' inboxes.
    others: &'static str,
    /// Whether it tells how many messages are in a folder that one may only see.
    counts_closed: bool,
}

const DOVECOT: Style = Style {
    server: "shared",
    maker: "publisher",
    made: "Public/",
    shared: "Public/",
    others: "shared/",
    counts_closed: false,
};

const CYRUS: Style = Style {
    server: "cyrus",
    maker: "cyrus",
    made: "",
    shared: "Shared Folders/",
    others: "Other Users/",
    counts_closed: true,
};

/// Shared folders stand beside `INBOX.`, without a prefix.
const CYRUS_DOTS: Style = Style {
    server: "cyrus-dots",
    shared: "",
    others: "user/",
    ..CYRUS
};

/// A user, and folders that others let them into.
struct Scene {
    server: Server,
    style: Style,
    /// Has two messages.
    ann: String,
    /// As ann sees it, with three messages.
    team: String,
    /// Which ann may see, and not read.
    closed: String,
    /// Another user's inbox, with one message.
    bobs: String,
}

fn put(client: &mut Client, folder: &str, subject: &str) {
    let body = format!("Subject: {subject}\r\n\r\nText of {subject}.\r\n");
    let received = mailmove_core::model::Timestamp::new(1_577_880_000, 0);
    client
        .append(&quoted(folder), &[], received, body.as_bytes())
        .unwrap();
}

fn scene(style: Style) -> Option<Scene> {
    let server = Server::find(style.server)?;
    let (ann, bob, team) = (fresh("ann"), fresh("bob"), fresh("team"));
    let closed = fresh("closed");
    let mut maker = server.client(style.maker);
    let (mut made_in, mut seen_in) = (style.made.to_owned(), style.shared.to_owned());
    if style.maker == CYRUS.maker {
        // What is made here is seen by everybody; what is made in it later has its rights.
        let house = fresh("house");
        maker.ok(&format!("CREATE {}", quoted(&house))).unwrap();
        maker
            .ok(&format!("DELETEACL {} anyone", quoted(&house)))
            .unwrap();
        made_in.push_str(&format!("{house}{}", server.separator));
        seen_in.push_str(&format!("{house}/"));
    }
    for (name, rights) in [(&team, "lrswip"), (&closed, "l")] {
        let made = format!("{made_in}{name}");
        maker.ok(&format!("CREATE {}", quoted(&made))).unwrap();
        maker
            .ok(&format!(
                "SETACL {} {} {rights}",
                quoted(&made),
                quoted(&ann)
            ))
            .unwrap();
        // Cyrus lets its administrator write only by leave.
        maker
            .ok(&format!(
                "SETACL {} {} lrswipkxtea",
                quoted(&made),
                style.maker
            ))
            .unwrap();
        for n in 0..3 {
            put(&mut maker, &made, &format!("{name} {n}"));
        }
    }
    let mut other = server.client(&bob);
    put(&mut other, "INBOX", "to bob");
    other
        .ok(&format!("SETACL INBOX {} lrs", quoted(&ann)))
        .unwrap();
    let mut own = server.client(&ann);
    put(&mut own, "INBOX", "to ann");
    put(&mut own, "INBOX", "to ann too");
    Some(Scene {
        team: format!("{seen_in}{team}"),
        closed: format!("{seen_in}{closed}"),
        bobs: format!("{}{bob}", style.others),
        ann,
        server,
        style,
    })
}

fn folder<'a>(report: &'a Value, name: &str) -> &'a Value {
    let folders = report["folders"].as_array().unwrap();
    let found = folders.iter().find(|one| path(&one["source"]) == name);
    found.unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

/// Where the report says the folder went, as the destination names it.
fn arrived(report: &Value, name: &str, destination: &Server, user: &str) -> usize {
    let to = path(&folder(report, name)["destination"]);
    destination.dump(user).get(&to).map_or(0, Vec::len)
}

fn left_out_unless_asked_for(style: Style) {
    let Some(Scene {
        server,
        style,
        ann,
        team,
        closed,
        bobs,
    }) = scene(style)
    else {
        return;
    };
    let to = Server::find("b").unwrap();
    let carl = fresh("carl");
    let report = Job::new((&server, &ann), (&to, &carl)).migrate();
    assert_eq!(sum(&report, "copied"), 2, "{report:#}");
    for (name, reason, count) in [
        (&team, "it is shared", 3),
        (
            &closed,
            "it is shared",
            if style.counts_closed { 3 } else { 0 },
        ),
        (&bobs, "it belongs to another user", 1),
    ] {
        let folder = folder(&report, name);
        assert_eq!(folder["excluded_by"], reason, "{folder:#}");
        assert_eq!(folder["excluded"], count, "{folder:#}");
        assert!(folder["destination"].is_null());
    }
    assert!(!to.dump(&carl).keys().any(|name| name.contains("team")));

    // Asked for by name: that one alone.
    let carl = fresh("carl");
    let job = Job::new((&server, &ann), (&to, &carl));
    let report = job.migrate_with(&["--folder", &team]);
    assert_eq!(sum(&report, "copied"), 3, "{report:#}");
    assert_eq!(arrived(&report, &team, &to, &carl), 3);

    // All of them: what may not be read is told, and takes nothing else with it.
    let carl = fresh("carl");
    let job = Job::new((&server, &ann), (&to, &carl));
    let report = job.migrate_with(&["--shared"]);
    assert_eq!(sum(&report, "copied"), 2 + 3 + 1, "{report:#}");
    assert_eq!(arrived(&report, &team, &to, &carl), 3);
    assert_eq!(arrived(&report, &bobs, &to, &carl), 1);
    let closed = folder(&report, &closed);
    assert_eq!(
        closed["problem"]["code"], "imap/no-permission",
        "{closed:#}"
    );
    let again = job.migrate_with(&["--shared"]);
    assert_eq!(sum(&again, "copied"), 0, "{again:#}");
}

/// The source has folders of its own whose names are those of others' at the destination.
fn no_place_for_own_folders(style: Style) {
    let Some(scene) = scene(style) else {
        return;
    };
    let from = Server::find("b").unwrap();
    let dave = fresh("dave");
    let names = [
        &scene.team,
        &scene.bobs,
        &format!("{}Mine", scene.style.shared),
    ];
    let mails = names.map(|name| Mail {
        folder: name.clone(),
        flags: Vec::new(),
        received: mailmove_core::model::Timestamp::new(1_577_880_000, 0),
        body: format!("Subject: own\r\n\r\nIn {name}.\r\n").into(),
    });
    assert_eq!(from.fill(&dave, &mails), 3);
    let job = Job::new((&from, &dave), (&scene.server, &scene.ann));
    let report = job.migrate();
    assert_eq!(sum(&report, "copied"), 3, "{report:#}");
    assert_eq!(sum(&job.migrate(), "copied"), 0);
    let there = scene.server.dump_readable(&scene.ann);
    assert_eq!(there[&scene.team].len(), 3);
    assert_eq!(there[&scene.bobs].len(), 1);
    // Nobody but the maker sees what would have been made for all.
    let prefix = scene.style.made;
    let mut maker = scene.server.client(scene.style.maker);
    let made = maker.list().unwrap();
    assert!(!made.iter().any(|one| one.name == format!("{prefix}Mine")));
    for name in names {
        let to = path(&folder(&report, name)["destination"]);
        assert_eq!(there[&to].len(), 1, "{name} went to {to}");
    }
}

#[test]
fn dovecot_leaves_folders_of_others_out() {
    left_out_unless_asked_for(DOVECOT);
}

#[test]
fn cyrus_leaves_folders_of_others_out() {
    left_out_unless_asked_for(CYRUS);
}

#[test]
fn cyrus_without_prefix_leaves_folders_of_others_out() {
    left_out_unless_asked_for(CYRUS_DOTS);
}

#[test]
fn dovecot_gets_own_folders_beside_those_of_others() {
    no_place_for_own_folders(DOVECOT);
}

#[test]
fn cyrus_gets_own_folders_beside_those_of_others() {
    no_place_for_own_folders(CYRUS);
}

#[test]
fn cyrus_without_prefix_gets_own_folders_beside_those_of_others() {
    no_place_for_own_folders(CYRUS_DOTS);
}
