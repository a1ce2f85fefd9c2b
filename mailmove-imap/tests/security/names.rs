//! Names of folders that shall become commands, or paths of files, at the other side or here.

use std::fmt::Write as _;

use mailmove_core::{
    Edges, Migration, Source as _,
    edge::{MemoryBudget, Spool},
    store::SqliteStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, Security};
use mailmove_imap_testserver::Server;
use mailmove_testkit::mailbox::Store;

use crate::hostile::{Answer, credentials, hostile};

const NAMES: [&[u8]; 22] = [
    b"..",
    b".",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"..\\..\\x",
    b"a/../../b",
    b"a\r\nM9 DELETE INBOX\r\n",
    b"a\nM9 DELETE INBOX",
    b"a\0b",
    b"a\" (\\Deleted)",
    b"a\\",
    b"{5}",
    b"a {3+}\r\nx",
    b"\x1b[2Jgone",
    b"&AA0ACg-M9 LOGOUT",
    b"&IC4-fdp.exe",
    b"&2D0-",
    b"\xff\xfe",
    b"*",
    b"%",
    b"~root",
    b"$(reboot)`id`",
];

/// A mailbox that has them all, each as a literal; and a name of 3,000 bytes.
fn listing() -> Vec<u8> {
    let mut out = b"* LIST () \"/\" INBOX\r\n".to_vec();
    let long = vec![b'n'; 3000];
    for name in NAMES.into_iter().chain([&long[..]]) {
        let mut head = String::new();
        write!(head, "* LIST () \"/\" {{{}}}\r\n", name.len()).unwrap();
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"TAG OK done\r\n");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn names_stay_names_at_the_destination_and_here() {
    let source = hostile(|command| match command {
        _ if command.starts_with("LIST") => Answer::Text(listing()),
        _ => Answer::Usual,
    })
    .await;
    let folders = source.source().folders().await.unwrap();
    assert!(folders.len() > 20, "{folders:#?}");
    for folder in &folders {
        let shown = format!("{} {}", folder.path, folder.id);
        assert!(!shown.contains(['\r', '\n', '\0']) || !folder.id.as_str().contains(['\r', '\n']));
    }
    let server = Server::builder(Store::new())
        .user("ann", "secret")
        .start()
        .await
        .unwrap();
    let config = ImapConfig::new("127.0.0.1")
        .with_user("ann")
        .with_port(server.plain_address().port())
        .with_security(Security::Plain);
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let edges = Edges::new().with_spool(Spool::new(&state, MemoryBudget::new(0)));
    let destination = ImapDestination::new(config, credentials(), edges.clone());
    let migration = Migration::builder(source.source(), destination)
        .store(SqliteStore::new(&state))
        .edges(edges)
        .build()
        .unwrap();
    let report = migration.run().await.unwrap();
    assert!(report.folders.len() > 20, "{report:#?}");
    server_is_whole(&server);
    // What was opened at the source was opened by its own name.
    for command in source.sent().await {
        let verb = command.split(' ').next().unwrap_or_default();
        let known = [
            "CAPABILITY",
            "LOGIN",
            "LIST",
            "LSUB",
            "STATUS",
            "EXAMINE",
            "UID",
            "CLOSE",
            "NOOP",
            "LOGOUT",
        ];
        assert!(known.contains(&verb), "{command:?}");
    }
    // And here nothing was made but the ledger.
    let mut made: Vec<String> = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    made.retain(|name| !name.starts_with(migration.job().as_str()));
    assert_eq!(made, Vec::<String>::new());
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

fn server_is_whole(server: &Server) {
    let counters = server.counters();
    for verb in [
        "DELETE",
        "RENAME",
        "EXPUNGE",
        "SETACL",
        "DELETEACL",
        "SETQUOTA",
    ] {
        assert_eq!(counters.command(verb), 0, "{verb}");
    }
    let account = server.store().account("ann").unwrap();
    let folders = account.folders();
    assert!(folders.len() > 10, "{}", folders.len());
    for folder in folders {
        for name in &folder.path {
            assert!(!name.contains(char::is_control), "{name:?}");
            assert!(![".", "..", ""].contains(&name.as_str()), "{name:?}");
            assert!(!name.contains('/'), "{name:?}");
        }
    }
}
