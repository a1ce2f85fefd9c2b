//! Real servers, started by `cargo xtask servers`: Cyrus and Dovecot keep annotations of folders.

use std::{collections::BTreeMap, sync::Arc};

use mailmove_core::{
    Edges, Migration, Options, Report,
    edge::{Credential, StaticCredential},
    report::{AnnotationReport, Status},
    store::MemoryStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use serde_json::Value;

use crate::support::*;

/// The port of an instance of a server; `None`, said aloud, if there is none.
fn port(server: &str, name: &str) -> Option<u16> {
    let required = std::env::var("MAILMOVE_REQUIRE");
    let required = required.is_ok_and(|all| all.split(',').any(|one| one == server));
    let Some(path) = std::env::var_os("MAILMOVE_TEST_DOVECOT") else {
        assert!(!required, "MAILMOVE_TEST_DOVECOT is not set");
        eprintln!("SKIPPED: MAILMOVE_TEST_DOVECOT is not set; see `cargo xtask servers`");
        return None;
    };
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut instances = all["instances"].as_array().unwrap().iter();
    let found = instances.find(|one| one["name"] == name);
    let why = all["absent"].to_string();
    // An instance that this version of a server cannot be is none that is missing.
    let excused = why.contains("syntax of Dovecot") && name == "shared";
    assert!(found.is_some() || !required || excused, "{name}: {why}");
    if found.is_none() {
        eprintln!("SKIPPED: there is no {name}: {why}");
    }
    u16::try_from(found?["imap_port"].as_u64()?).ok()
}

/// A mailbox of a real server.
struct Real {
    config: ImapConfig,
    credentials: Arc<StaticCredential>,
}

impl Real {
    /// `user`: another one for each run, so that nothing of an earlier one is there.
    fn new(port: u16, user: &str) -> Self {
        let user = format!("{user}{}", std::process::id());
        let config = ImapConfig::new("127.0.0.1")
            .with_port(port)
            .with_user(&user)
            .with_security(Security::Plain);
        let credentials = Arc::new(StaticCredential::new(Credential::password(user, "pw")));
        Self {
            config,
            credentials,
        }
    }

    fn source(&self) -> ImapSource {
        ImapSource::new(self.config.clone(), self.credentials.clone(), Edges::new())
    }

    fn destination(&self) -> ImapDestination {
        ImapDestination::new(self.config.clone(), self.credentials.clone(), Edges::new())
    }
}

async fn pass(store: &MemoryStore, source: ImapSource, destination: ImapDestination) -> Report {
    let mut options = Options::new();
    options.annotations = true;
    let migration = Migration::builder(source, destination)
        .store(store.clone())
        .options(options)
        .build()
        .unwrap();
    let report = migration.run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    report
}

fn noted(report: &Report, name: &str) -> AnnotationReport {
    let mut folders = report.folders.iter();
    let folder = folders.find(|one| one.source.to_string() == name);
    folder.unwrap().annotations.clone().unwrap()
}

#[tokio::test]
async fn cyrus_keeps_comments_and_says_what_it_does_not_keep() {
    let Some(port) = port("cyrus", "cyrus") else {
        return;
    };
    let store = MemoryStore::new();
    let cyrus = Real::new(port, "noted");
    let from = Side::new(|server| server).await;
    from.put(&["Box"], mail("a"));
    let comments = [
        ("/private/comment", "gr\u{fc}n \"and\" more"),
        ("/shared/comment", "two\r\nlines"),
    ];
    let others = [
        ("/private/vendor/kolab/folder-test", "no such one"),
        ("/shared/bytes", "\0"),
    ];
    for (name, value) in comments.iter().chain(&others) {
        from.server.annotate(USER, &["Box"], name, value.as_bytes());
    }
    for copied in [2, 0] {
        let report = pass(&store, from.source(from.config()), cyrus.destination()).await;
        let noted = noted(&report, "Box");
        assert_eq!(
            (noted.copied, noted.equal),
            (copied, 2 - copied),
            "{noted:?}"
        );
        let refused: Vec<_> = noted.refused.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            refused,
            ["/private/vendor/kolab/folder-test", "/shared/bytes"]
        );
        assert!(noted.refused[0].reason.contains("Permission denied"));
    }
    // And back: of the server's own dozens none comes along.
    let to = Side::new(|server| server).await;
    let report = pass(&store, cyrus.source(), to.destination(to.config())).await;
    assert_eq!(noted(&report, "Box").copied, 2);
    let wanted: BTreeMap<String, Vec<u8>> = comments
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    assert_eq!(to.server.annotations(USER, &["Box"]), wanted);
    assert!(to.server.annotations(USER, &["INBOX"]).is_empty());
}

#[tokio::test]
async fn dovecot_keeps_all_but_nul_and_gives_it_to_another_dovecot() {
    let Some(port) = port("dovecot", "shared") else {
        return;
    };
    let store = MemoryStore::new();
    let (dovecot, other) = (Real::new(port, "noted"), Real::new(port, "noted-too"));
    let from = Side::new(|server| server).await;
    from.put(&["Box"], mail("a"));
    let kept = [
        ("/private/comment", "gr\u{fc}n \"and\" more"),
        ("/private/vendor/kolab/folder-test", "event"),
        ("/shared/comment", "two\r\nlines"),
    ];
    for (name, value) in kept.iter().chain(&[("/shared/bytes", "\0")]) {
        from.server.annotate(USER, &["Box"], name, value.as_bytes());
    }
    for copied in [3, 0] {
        let report = pass(&store, from.source(from.config()), dovecot.destination()).await;
        let noted = noted(&report, "Box");
        assert_eq!(
            (noted.copied, noted.equal),
            (copied, 3 - copied),
            "{noted:?}"
        );
        let [refused] = noted.refused.as_slice() else {
            panic!("{noted:?}")
        };
        assert_eq!(refused.name, "/shared/bytes");
        assert!(refused.reason.contains("has NULs"), "{refused:?}");
    }
    for copied in [3, 0] {
        let noted = noted(
            &pass(&store, dovecot.source(), other.destination()).await,
            "Box",
        );
        assert_eq!(
            (noted.copied, noted.equal),
            (copied, 3 - copied),
            "{noted:?}"
        );
    }
    let to = Side::new(|server| server).await;
    pass(&store, other.source(), to.destination(to.config())).await;
    let wanted: BTreeMap<String, Vec<u8>> = kept
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    assert_eq!(to.server.annotations(USER, &["Box"]), wanted);
    assert!(to.server.annotations(USER, &["INBOX"]).is_empty());
}
