//! Each destination message is claimed once, whatever a server says of ids.

use std::{collections::BTreeSet, sync::Mutex};

use mailmove_core::{
    CheckpointStore as _, Event, Migration, Observer,
    checkpoint::Record,
    model::AlterationKind,
    report::{Report, Status},
};
use mailmove_testkit::{
    mailbox::{Account, InternalDate, NewMessage},
    memory::{AppendFault, Fault, Landing},
};

use crate::{
    found::{accounts, batches},
    world::{NOW, World, add, mail, of, subjects},
};

/// Puts a message at the destination when the first ones were copied: too late to be looked for.
#[derive(Debug)]
struct Late(Mutex<Option<Account>>);

impl Observer for Late {
    fn on(&self, event: &Event) {
        if matches!(event, Event::Progress { .. })
            && let Some(destination) = self.0.lock().unwrap().take()
        {
            add(&destination, &["INBOX"], mail("twin", 1));
        }
    }
}

/// Folds identical messages, but did not say that it does.
fn folding(most: usize) -> World {
    let mut world = batches(World::new(), most, false);
    world.destination = world.destination.with_merging();
    world.destination = world.destination.configure(|can| can.merges = false);
    world
}

async fn run_with(world: &World, observer: impl Observer) -> Report {
    let migration = Migration::builder(world.source.clone(), world.destination.clone())
        .store(world.store.clone())
        .edges(world.edges.clone())
        .observer(observer);
    let report = migration.build().unwrap().run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    report
}

/// Each message at the destination has one row that claims it, all other rows say that they were
/// folded, once.
#[track_caller]
fn assert_folded(world: &World, there: usize) {
    let (source, destination) = accounts(world);
    assert_eq!(subjects(&destination, "INBOX").len(), there);
    let rows = world.rows();
    assert_eq!(rows.len(), subjects(&source, "INBOX").len());
    let claims: Vec<_> = rows
        .iter()
        .filter_map(|row| row.row.target.clone())
        .collect();
    let different: BTreeSet<_> = claims.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!((claims.len(), different.len()), (there, there));
    for row in rows.iter().map(|stored| &stored.row) {
        let folded =
            |note: &&mailmove_core::model::Alteration| note.kind == AlterationKind::MergedByServer;
        let notes = row.altered.iter().filter(folded).count();
        assert!(notes == 1 || row.target.is_some() && notes == 0, "{row:#?}");
    }
}

#[tokio::test]
async fn what_a_server_folds_without_saying_so_is_claimed_once() {
    // Twins apart, some together, all together.
    for most in [1, 3, 16] {
        let world = folding(most);
        let (source, _) = accounts(&world);
        for n in 0..9 {
            add(&source, &["INBOX"], mail(&format!("m{}", n % 3), 1));
        }
        world.run().await;
        assert_folded(&world, 3);
        world.run().await;
        assert_folded(&world, 3);
    }
}

#[tokio::test]
async fn of_twins_folded_into_a_message_of_nobody_one_claims_it() {
    for (twins, most) in [(1, 4), (3, 4), (3, 1)] {
        let world = folding(most);
        let (source, destination) = accounts(&world);
        for n in 0..4 {
            add(&source, &["INBOX"], mail(&format!("m{n}"), 1));
        }
        for _ in 0..twins {
            add(&source, &["INBOX"], mail("twin", 1));
        }
        let late = Late(Mutex::new(Some(destination)));
        let report = run_with(&world, late).await;
        assert_eq!(report.total().already_there, twins);
        assert_folded(&world, 5);
        world.run().await;
        assert_folded(&world, 5);
    }
}

/// Where bytes are not kept, and a message has nothing that tells it from others, nobody can say
/// whether it is there twice: that is told.
#[tokio::test]
async fn what_was_sent_again_and_cannot_be_told_apart_is_told() {
    let world = World::new();
    let (source, _) = accounts(&world);
    let plain = NewMessage::new("X-Only: y\r\n\r\nbody").with_date(InternalDate::utc(NOW));
    add(&source, &["INBOX"], plain);
    let ledger = world.store.open(&world.job()).await.unwrap();
    let measured = Record::Meta("keeps-bytes".into(), "no".into());
    ledger.commit(vec![measured]).await.unwrap();
    drop(ledger);
    let lost = AppendFault::Unknown(Landing::Lost);
    world.destination.arm(Fault::Append(0, lost));
    let report = world.try_run().await.unwrap();
    assert_eq!(of(&report, "INBOX").tally.perhaps_doubled, 1, "{report:#?}");
    assert_eq!(report.status(), Status::CompleteWithFailures);
}
