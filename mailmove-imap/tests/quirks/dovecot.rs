//! Dovecot stores lines with LF, and of CR CR LF nothing but CR LF comes back.

use mailmove_core::{Edges, Migration, destination::Depth, report::Status, store::MemoryStore};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_testkit::mailbox::NewMessage;
use serde_json::Value;

use crate::world::{Side, credentials, mails, text};

/// Ports of the Dovecots with and without extensions; `None`, said aloud, if there are none.
fn ports() -> Option<Vec<u16>> {
    let required = std::env::var("MAILMOVE_REQUIRE").is_ok_and(|all| all.contains("dovecot"));
    let Some(path) = std::env::var_os("MAILMOVE_TEST_DOVECOT") else {
        assert!(
            !required,
            "MAILMOVE_TEST_DOVECOT is not set, and Dovecot is required"
        );
        eprintln!("SKIPPED: MAILMOVE_TEST_DOVECOT is not set; see `cargo xtask servers`");
        return None;
    };
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let instances = all["instances"].as_array().unwrap().iter();
    let wanted = instances.filter(|one| ["a", "c"].iter().any(|name| one["name"] == *name));
    let port = |one: &Value| u16::try_from(one["imap_port"].as_u64().unwrap()).unwrap();
    Some(wanted.map(port).collect())
}

#[tokio::test]
async fn doubled_carriage_returns_are_sent_as_they_are_and_what_is_kept_is_said() {
    for (n, port) in (0..).zip(ports().into_iter().flatten()) {
        let from = Side::new(|it| it, None).await;
        let mut messages = mails(0..12);
        for n in [1, 4, 7, 10] {
            let odd = text(n).replace("This is", "A line\r\r\nThis is");
            messages[n as usize] =
                NewMessage::new(odd).with_date(messages[n as usize].date.unwrap());
        }
        from.add(&["INBOX"], messages);
        let user = format!("crcrlf-{}-{n}", std::process::id());
        let to = ImapConfig::new("127.0.0.1")
            .with_port(port)
            .with_user(&user)
            .with_security(Security::Plain);
        let credential = mailmove_core::edge::Credential::password(user.clone(), "pw");
        let credential = mailmove_core::edge::StaticCredential::new(credential);
        let credential = std::sync::Arc::new(credential);
        let migration = |store: &MemoryStore| {
            let source = ImapSource::new(from.config.clone(), credentials(), Edges::new());
            let to = ImapDestination::new(to.clone(), credential.clone(), Edges::new());
            Migration::builder(source, to)
                .store(store.clone())
                .build()
                .unwrap()
        };
        let store = MemoryStore::new();
        for copied in [12, 0] {
            let report = migration(&store).run().await.unwrap();
            assert_eq!(report.status(), Status::Complete, "{report:#?}");
            assert_eq!(report.total().copied, copied);
        }
        for depth in [Depth::Meta, Depth::Content] {
            let found = migration(&store).verify(depth).await.unwrap();
            let what: Vec<_> = found.differences.iter().map(|one| one.what).collect();
            assert_eq!(what, ["size"; 4], "{:?}", found.differences);
        }
        // Somebody who remembers nothing sees another size, and knows them by the rest.
        let report = migration(&MemoryStore::new()).run().await.unwrap();
        let total = report.total();
        assert_eq!((total.copied, total.already_there), (0, 12), "{report:#?}");
    }
}
