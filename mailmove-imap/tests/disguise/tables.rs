//! Each quirk that the adapter acts on, with a server that has it.

use std::sync::Arc;

use mailmove_core::{
    Destination as _, Edges, Options,
    edge::{Credential, StaticCredential},
    model::Flags,
    report::Status,
};
use mailmove_imap::{ImapConfig, ImapDestination, KnownServer, Quirks};
use mailmove_imap_testserver::{Action, Builder};
use mailmove_testkit::mailbox::NewMessage;

use crate::{
    support::{PASSWORD, USER, World, flagged, mail, outgoing, receipts, shown, world},
    world::{Move, account, config, exchange, gmail, icloud, yahoo},
};

fn destination(config: ImapConfig) -> ImapDestination {
    let credential = StaticCredential::new(Credential::password(USER, PASSWORD));
    ImapDestination::new(config, Arc::new(credential), Edges::new())
}

async fn with(setup: impl FnOnce(Builder) -> Builder, quirks: Quirks) -> World {
    let mut world = world(setup).await;
    world.destination = destination(config(&world.server).with_quirks(quirks));
    world
}

#[tokio::test]
async fn flagged_is_set_once_the_messages_are_stored() {
    let world = world(exchange).await;
    let folder = world.ensure(&["a"]).await;
    let items = vec![
        flagged("one", "\\Seen \\Flagged"),
        flagged("two", "\\Seen"),
        flagged("three", "\\Flagged"),
    ];
    let receipts = receipts(world.append(&folder, items).await);
    let stored = world.stored(&["a"]);
    let flags: Vec<bool> = stored
        .iter()
        .map(|one| one.flags.contains("\\Flagged"))
        .collect();
    assert_eq!(flags, [true, false, true]);
    assert!(stored[0].flags.contains("\\Seen"));
    assert!(receipts.iter().all(|one| one.altered.is_empty()));
    // One STORE for all of them.
    assert_eq!(world.server.counters().command("UID STORE"), 1);
    assert_eq!(world.server.counters().bad, 0);
}

#[tokio::test]
async fn a_flag_that_cannot_be_set_afterwards_is_reported() {
    for fault in [
        Action::No("not now".to_owned()),
        Action::Bad("no".to_owned()),
        Action::Close,
    ] {
        let world = world(exchange).await;
        let folder = world.ensure(&["a"]).await;
        world.server.faults().arm_from("UID STORE", 1, fault);
        let items = vec![flagged("one", "\\Seen \\Flagged"), outgoing("two")];
        let receipts = receipts(world.append(&folder, items).await);
        assert_eq!(receipts[0].flags, Some(Flags::parse("\\Seen")));
        assert_eq!(receipts[0].altered[0].detail, "\\Flagged");
        assert!(receipts[1].altered.is_empty());
        assert_eq!(world.bodies(&["a"]).len(), 2);
    }
}

#[tokio::test]
async fn without_the_table_flagged_goes_with_the_message() {
    let world = with(exchange, Quirks::none()).await;
    let folder = world.ensure(&["a"]).await;
    world
        .append(&folder, vec![flagged("one", "\\Flagged")])
        .await;
    assert!(!world.stored(&["a"])[0].flags.contains("\\Flagged"));
    assert_eq!(world.server.counters().command("UID STORE"), 0);
}

#[tokio::test]
async fn new_keywords_are_not_sent_where_they_do_not_last() {
    let world = world(exchange).await;
    let folder = world.ensure(&["a"]).await;
    let receipts = receipts(
        world
            .append(&folder, vec![flagged("one", "\\Seen Work $Label1")])
            .await,
    );
    assert_eq!(receipts[0].flags, Some(Flags::parse("\\Seen")));
    let dropped: Vec<&str> = receipts[0]
        .altered
        .iter()
        .map(|one| one.detail.as_str())
        .collect();
    assert_eq!(dropped.len(), 2, "{dropped:?}");
    let stored = world.stored(&["a"]);
    assert!(!stored[0].flags.contains("Work"));
    assert!(
        !world
            .destination
            .capabilities()
            .await
            .unwrap()
            .keeps_keywords
    );
}

#[tokio::test]
async fn refusals_that_are_counted_are_not_provoked() {
    for (quirks, asked) in [(None, false), (Some(Quirks::none()), true)] {
        let world = world(exchange).await;
        let config = config(&world.server);
        let config = match quirks {
            Some(quirks) => config.with_quirks(quirks),
            None => config,
        };
        let destination = destination(config);
        let folders = destination.folders().await.unwrap();
        let status = || world.server.counters().command("STATUS");
        let before = status();
        let naming = destination.naming(&folders).await.unwrap();
        assert_eq!(status() > before, asked);
        assert_eq!(naming.case_insensitive, !asked);
    }
}

#[tokio::test]
async fn a_message_that_will_probably_be_refused_costs_nothing_but_itself() {
    let long = format!("Subject: long\r\n\r\n{}\r\n", "x".repeat(10_000));
    let open = "Subject: open\r\n\r\nno end".to_owned();
    for (setup, odd, why) in [
        (exchange as fn(Builder) -> Builder, long, "longer"),
        (yahoo, open, "no end"),
    ] {
        let odd = || {
            let content = mailmove_core::model::Content::from_bytes(odd.clone());
            mailmove_core::destination::Outgoing::new(content)
        };
        let world = world(setup).await;
        let folder = world.ensure(&["a"]).await;
        let items = vec![outgoing("one"), odd(), outgoing("two"), odd()];
        let outcomes = world.append(&folder, items).await;
        let kinds = shown(&outcomes);
        assert_eq!((&*kinds[0], &*kinds[2]), ("stored", "stored"));
        for at in [1, 3] {
            assert!(kinds[at].starts_with("not-stored"), "{kinds:?}");
            let mailmove_core::destination::Outcome::NotStored(error) = &outcomes[at] else {
                panic!("{kinds:?}");
            };
            assert_eq!(error.scope(), mailmove_core::Scope::Message);
            let likely = error.context().find(|(name, _)| *name == "likely");
            assert!(likely.unwrap().1.contains(why), "{error:?}");
        }
        assert_eq!(world.bodies(&["a"]), [mail("one"), mail("two")]);
        // Nobody had to reconnect.
        assert_eq!(world.server.counters().connections, 1);
        // What does not know better learns it the hard way.
        let plain = with(setup, Quirks::none()).await;
        let folder = plain.ensure(&["a"]).await;
        let outcomes = plain.append(&folder, vec![odd()]).await;
        assert!(shown(&outcomes)[0].starts_with("unknown"), "{outcomes:?}");
    }
}

#[tokio::test]
async fn list_is_not_extended_where_that_is_a_trap() {
    let world = world(icloud).await;
    assert_eq!(world.destination.folders().await.unwrap().len(), 1);
    assert_eq!(world.server.counters().bad, 0);
    let plain = with(icloud, Quirks::none()).await;
    assert_eq!(plain.destination.folders().await.unwrap().len(), 1);
    assert_eq!(plain.server.counters().bad, 1);
}

#[tokio::test]
async fn a_known_limit_of_connections_is_kept() {
    let mut quirks = Quirks::of(KnownServer::Gmail);
    assert_eq!(quirks.max_connections, Some(15));
    quirks.max_connections = Some(2);
    let world = world(gmail).await;
    let config = config(&world.server)
        .with_connections(8)
        .with_quirks(quirks);
    let destination = Arc::new(destination(config));
    assert_eq!(destination.capabilities().await.unwrap().concurrency, 2);
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let destination = Arc::clone(&destination);
            tokio::spawn(async move { destination.folders().await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let counters = world.server.counters();
    assert!(counters.connections <= 2, "{}", counters.connections);
}

#[tokio::test]
async fn a_set_limit_of_size_and_of_literals_is_kept() {
    let mut quirks = Quirks::none();
    quirks.max_message = Some(200);
    quirks.literals_at_once = false;
    let world = with(|server| server, quirks).await;
    assert_eq!(
        world.destination.capabilities().await.unwrap().max_message,
        Some(200)
    );
    let folder = world.ensure(&["a"]).await;
    let large = mailmove_core::destination::Outgoing::new(
        mailmove_core::model::Content::from_bytes("x: y\r\n".repeat(50)),
    );
    let outcomes = world.append(&folder, vec![outgoing("one"), large]).await;
    let mut kinds = shown(&outcomes);
    kinds.sort();
    assert_eq!(kinds, ["not-stored imap/too-large", "stored"]);
    let counters = world.server.counters();
    assert_eq!(counters.literals_non_synchronising, 0);
    assert!(counters.literals_synchronising > 0);
}

fn one() -> Vec<NewMessage> {
    vec![NewMessage::new("Subject: x\r\n\r\nx\r\n")]
}

#[tokio::test]
async fn folder_names_are_made_to_fit_the_service() {
    for (setup, names, expected) in [
        (
            gmail as fn(Builder) -> Builder,
            &["a  b", " c ", "d^e", "f\"g'h"][..],
            &["a b", "c", "d_e", "f_g_h"][..],
        ),
        (
            exchange,
            &["Files", "work", "Work"],
            &["Files_", "Work", "work (2)"],
        ),
    ] {
        let (from, to) = (world(|server| server).await, world(setup).await);
        account(&to.server).configure(|limits| {
            if names.contains(&"Files") {
                limits.reserved_names = vec!["Files".to_owned()];
                limits.case_insensitive_names = true;
            } else {
                limits.refuse_excess_blanks = true;
                limits.forbidden_chars = "^\"'\\".to_owned();
            }
        });
        for name in names {
            let folder = account(&from.server).create(&[*name]).unwrap();
            account(&from.server).append(folder, one()).unwrap();
        }
        let moving = Move::new(config(&from.server), config(&to.server), Options::new());
        let report = moving.run().await;
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
        for name in expected {
            assert_eq!(to.stored(&[name]).len(), 1, "{name}");
        }
        assert_eq!(to.server.counters().command("CREATE"), names.len() as u64);
        let told = moving.told.lines();
        let note = told.iter().find(|line| line.contains("treated as"));
        assert!(
            note.unwrap().starts_with("note destination: treated as"),
            "{told:?}"
        );
        // The map stays as it is.
        let again = moving.run().await;
        assert_eq!(again.total().copied, 0);
        let renamed = report.folders.iter().filter(|folder| {
            folder
                .destination
                .as_ref()
                .is_some_and(|to| *to != folder.source)
        });
        assert!(renamed.count() >= 2);
    }
}

#[tokio::test]
async fn a_server_without_quirks_is_told_nothing_of() {
    let (from, to) = (
        world(|server| server.greeting("mail.example.com Zimbra IMAP4rev1 server ready")).await,
        world(|server| server).await,
    );
    let moving = Move::new(config(&from.server), config(&to.server), Options::new());
    moving.run().await;
    assert_eq!(moving.told.lines(), Vec::<String>::new());
}

/// What Cyrus and Courier refuse only when a folder is made, and what Cyrus says of ids.
#[tokio::test]
async fn what_was_measured_of_cyrus_and_courier_is_in_their_tables() {
    let cyrus = |server: Builder| server.id_reply(&[("name", "Cyrus IMAPD"), ("version", "3.6.1")]);
    let courier = |server: Builder| server.greeting("hello").advertise("ACL2=UNION");
    for (setup, forbidden, highest, believed) in [
        (
            cyrus as fn(Builder) -> Builder,
            "!\"%;<>\\^`{|}",
            char::MAX,
            false,
        ),
        (courier, "", '\u{ffff}', true),
    ] {
        for known in [true, false] {
            let world = match known {
                true => world(setup).await,
                false => with(setup, Quirks::none()).await,
            };
            let folders = world.destination.folders().await.unwrap();
            let naming = world.destination.naming(&folders).await.unwrap();
            let all = forbidden.chars().all(|c| naming.forbidden.contains(c));
            assert_eq!(all, known || forbidden.is_empty());
            let most = if known { highest } else { char::MAX };
            assert_eq!(naming.highest, most);
            // `validity#id`, or `validity=name`.
            let by_id = folders[0].identity.as_str().contains('#');
            assert_eq!(by_id, believed || !known);
        }
    }
}
