use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use mailmove_core::{
    Destination as _, Error, ErrorKind,
    destination::{Batch, Fence, Outcome},
    model::{AlterationKind, Content, Flags, Mark},
};
use mailmove_imap_testserver::Capability;
use mailmove_testkit::mailbox::Keywords;

use crate::support::*;

/// What the wire sees of a batch depends on the server; what arrives must not.
async fn arrives(world: World) -> World {
    let folder = world.ensure(&["Box"]).await;
    let names: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    let mut items: Vec<_> = names
        .iter()
        .map(|name| flagged(name, "\\Seen \\Flagged"))
        .collect();
    let large = Content::from_bytes(format!("Subject: large\r\n\r\n{}", "x\r\n".repeat(100_000)));
    items.push(mailmove_core::destination::Outgoing::new(large.clone()));
    let ids = world.append(&folder, items).await;
    let ids = receipts(ids);
    let stored = world.stored(&["Box"]);
    assert_eq!(stored.len(), 51);
    for (name, one) in names.iter().zip(&stored) {
        assert_eq!(one.body, mail(name).as_bytes());
        assert_eq!((one.date.unix, one.date.offset_minutes), (RECEIVED, 120));
        assert!(one.flags.contains("\\Seen") && one.flags.contains("\\Flagged"));
    }
    assert_eq!(stored[50].body, *large.as_bytes().unwrap());
    if let Some(id) = &ids[7].id {
        assert!(
            id.as_str().ends_with(&format!("-{:010}", stored[7].uid)),
            "{id}"
        );
    }
    assert_eq!(ids[50].altered[0].kind, AlterationKind::DateReplaced);
    world
}

#[tokio::test]
async fn a_batch_is_one_command_without_waiting() {
    let world = arrives(world(|server| server).await).await;
    let counters = world.server.counters();
    assert_eq!(counters.command("APPEND"), 1);
    assert_eq!(counters.literals_synchronising, 0);
    assert_eq!(counters.messages_appended, 51);
    // UIDVALIDITY is looked at before, not the flags: nobody asked for keywords.
    assert_eq!(counters.command("SELECT"), 0);
}

#[tokio::test]
async fn without_multiappend_appends_are_sent_ahead() {
    let world = arrives(world(|server| server.without(Capability::MultiAppend)).await).await;
    let counters = world.server.counters();
    assert_eq!(
        (counters.command("APPEND"), counters.literals_synchronising),
        (51, 0)
    );
}

#[tokio::test]
async fn small_literals_go_at_once_where_only_these_may() {
    let world = arrives(world(|server| server.with(Capability::LiteralMinus)).await).await;
    let counters = world.server.counters();
    assert_eq!(counters.command("APPEND"), 51);
    assert_eq!(counters.literals_synchronising, 1);
}

#[tokio::test]
async fn the_barest_server_gets_everything_too() {
    let world = arrives(world(|server| server.only(&[])).await).await;
    assert_eq!(world.server.counters().literals_synchronising, 51);
    let folder = world.ensure(&["Box"]).await;
    let receipts = receipts(world.append(&folder, vec![outgoing("more")]).await);
    assert_eq!(receipts[0].id, None);
}

#[tokio::test]
async fn a_new_keyword_waits_and_an_old_one_does_not() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let items = ["a", "b", "c"].map(|name| flagged(name, "Work")).to_vec();
    stored_ids(world.append(&folder, items).await);
    assert_eq!(world.server.counters().literals_synchronising, 1);
    let items = vec![flagged("d", "WORK"), flagged("e", "\\Seen")];
    stored_ids(world.append(&folder, items).await);
    assert_eq!(world.server.counters().literals_synchronising, 1);
    assert_eq!(world.server.counters().command("SELECT"), 1);
    assert!(world.stored(&["Box"])[3].flags.contains("Work"));
}

#[tokio::test]
async fn a_keyword_that_another_folder_took_needs_no_leave_where_any_is_taken() {
    // Without MULTIAPPEND one that is refused late would lose its place in the order.
    for (multi, asked) in [(true, 1), (false, 2)] {
        let world = world(|server| match multi {
            true => server,
            false => server.without(Capability::MultiAppend),
        })
        .await;
        let first = world.ensure(&["First"]).await;
        let second = world.ensure(&["Second"]).await;
        stored_ids(world.append(&first, vec![flagged("a", "Work")]).await);
        let before = world.server.counters();
        // What the second folder keeps is asked ahead, as somebody has keywords.
        let mark = second.mark.clone().unwrap();
        world.destination.expect(&second.id, &mark).await;
        let ahead = world.server.counters();
        assert_eq!(ahead.command("SELECT"), before.command("SELECT") + 1);
        assert_eq!(ahead.command("UNSELECT"), ahead.command("SELECT"));
        let items = vec![flagged("b", "\\Seen"), flagged("c", "Work")];
        stored_ids(world.append(&second, items).await);
        let after = world.server.counters();
        assert_eq!(after.command("SELECT"), ahead.command("SELECT"));
        assert_eq!(after.literals_synchronising, asked);
        assert!(world.stored(&["Second"])[1].flags.contains("Work"));
    }
}

#[tokio::test]
async fn a_keyword_sent_without_leave_and_refused_costs_only_itself() {
    let world = world(|server| server).await;
    let first = world.ensure(&["First"]).await;
    let second = world.ensure(&["Second"]).await;
    stored_ids(world.append(&first, vec![flagged("a", "Work")]).await);
    let mark = second.mark.clone().unwrap();
    world.destination.expect(&second.id, &mark).await;
    // It said that it takes any, and has no room for one more (Cyrus).
    world
        .account
        .configure(|limits| limits.keywords = Keywords::OnlyStrict(Vec::new()));
    let items = vec![
        flagged("b", "\\Seen"),
        flagged("c", "\\Seen Work"),
        outgoing("d"),
    ];
    let receipts = receipts(world.append(&second, items).await);
    assert_eq!(world.server.counters().literals_synchronising, 1);
    assert!(receipts[0].altered.is_empty() && receipts[2].altered.is_empty());
    assert_eq!(receipts[1].flags, Some(Flags::parse("\\Seen")));
    assert_eq!(receipts[1].altered[0].kind, AlterationKind::FlagDropped);
    let bodies = ["b", "c", "d"].map(mail);
    assert_eq!(world.bodies(&["Second"]), bodies, "each once, in order");
}

#[tokio::test]
async fn flags_that_the_folder_does_not_keep_are_reported() {
    let world = world(|server| server).await;
    world
        .account
        .configure(|limits| limits.keywords = Keywords::OnlyStrict(Vec::new()));
    let folder = world.ensure(&["Box"]).await;
    let receipts = receipts(
        world
            .append(&folder, vec![flagged("a", "\\Seen Work")])
            .await,
    );
    assert_eq!(receipts[0].flags, Some(Flags::parse("\\Seen")));
    assert_eq!(receipts[0].altered[0].kind, AlterationKind::FlagDropped);
    assert_eq!(receipts[0].altered[0].detail, "Work");
    assert!(world.stored(&["Box"])[0].flags.contains("\\Seen"));
}

#[derive(Debug)]
struct FenceAfter(usize, AtomicUsize);

impl Fence for FenceAfter {
    fn check(&self) -> Result<(), Error> {
        if self.1.fetch_add(1, Ordering::Relaxed) < self.0 {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Locked, "taken over"))
        }
    }
}

#[tokio::test]
async fn the_fence_stops_what_was_not_sent() {
    for (multi, passes, sent) in [(true, 0, 0), (false, 2, 2)] {
        let world = world(|server| match multi {
            true => server,
            false => server.without(Capability::MultiAppend),
        })
        .await;
        let folder = world.ensure(&["Box"]).await;
        let fence = Arc::new(FenceAfter(passes, AtomicUsize::new(0)));
        let items = ["a", "b", "c"].map(outgoing).to_vec();
        let mark = folder.mark.clone().unwrap();
        let outcomes = world
            .append_batch(Batch::new(folder.id.clone(), mark, items, fence))
            .await;
        let stopped = outcomes.iter().filter(|outcome| {
            matches!(outcome, Outcome::NotStored(error) if error.kind() == ErrorKind::Locked)
        });
        assert_eq!(stopped.count(), 3 - sent);
        assert_eq!(world.stored(&["Box"]).len(), sent);
    }
}

#[tokio::test]
async fn another_epoch_is_stale_and_nothing_is_sent() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let id = world.account.folder(&["Box"]).unwrap().id;
    world.account.bump_uidvalidity(id).unwrap();
    // What the server said when the folder was made counts for five seconds.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    tokio::time::resume();
    for items in [vec![outgoing("a")], vec![flagged("a", "Work")]] {
        let outcomes = world.append(&folder, items).await;
        assert_eq!(shown(&outcomes), ["not-stored imap/stale"]);
    }
    assert_eq!(world.server.counters().command("APPEND"), 0);
    // A folder that is gone altogether is no better.
    world.account.delete(&["Box"]).unwrap();
    assert_eq!(
        shown(&world.append(&folder, vec![outgoing("a")]).await),
        ["not-stored imap/stale"]
    );
}

#[tokio::test]
async fn an_appenduid_of_another_epoch_names_no_message() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    // The engine has no mark of this folder: its epoch is not compared before.
    let mark = Mark::opaque("", "");
    let batch = Batch::new(
        folder.id.clone(),
        mark,
        vec![outgoing("a")],
        Arc::new(mailmove_core::destination::NoFence),
    );
    assert!(
        stored_ids(world.append_batch(batch).await)[0]
            .as_str()
            .len()
            == 21
    );
}

#[tokio::test]
async fn what_cannot_be_sent_does_not_cost_its_neighbours() {
    let world = world(|server| server).await;
    world
        .account
        .configure(|limits| limits.max_message_size = Some(1000));
    let folder = world.ensure(&["Box"]).await;
    let empty = mailmove_core::destination::Outgoing::new(Content::from_bytes(""));
    let large = mailmove_core::destination::Outgoing::new(Content::from_bytes("x".repeat(1001)));
    let outcomes = world
        .append(&folder, vec![outgoing("a"), empty, large, outgoing("b")])
        .await;
    assert_eq!(
        shown(&outcomes),
        [
            "stored",
            "not-stored imap/empty",
            "not-stored imap/too-large",
            "stored"
        ]
    );
    assert_eq!(world.bodies(&["Box"]), [mail("a"), mail("b")]);
}

#[tokio::test]
async fn mail_that_looks_like_commands_stays_mail() {
    let text = "Subject: x\r\n\r\nM1 LOGOUT\r\nA DELETE INBOX\r\n* BYE\r\nM2 OK done\r\n{5}\r\n";
    for multi in [true, false] {
        let world = world(|server| match multi {
            true => server,
            false => server.only(&[]),
        })
        .await;
        let folder = world.ensure(&["Box"]).await;
        let items =
            (0..3).map(|_| mailmove_core::destination::Outgoing::new(Content::from_bytes(text)));
        let outcomes = world.append(&folder, items.collect()).await;
        assert_eq!(shown(&outcomes), ["stored"; 3]);
        assert_eq!(world.bodies(&["Box"]), [text; 3]);
        assert_eq!(world.server.counters().bad, 0);
    }
}
