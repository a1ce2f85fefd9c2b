//! MESSAGELIMIT (RFC 9738): commands that the server does in part. UIDONLY (RFC 9586): folders that are
//! shown whole only once it is enabled, as Yahoo's are.

use mailmove_core::{destination::Depth, report::Status};
use mailmove_imap_testserver::{Builder, Capability};
use mailmove_testkit::mailbox::FlagOp;

use crate::support::*;

const MANY: usize = 60;
const LIMIT: usize = 7;

/// More messages than a command may touch; close together at first, then far apart.
fn fill(from: &Side) {
    for number in 0..MANY {
        from.put(&["INBOX"], mail(&format!("inbox{number}")));
        from.put(&["Box"], mail(&format!("box{number}")));
    }
    let folder = from.account.folder(&["INBOX"]).unwrap().id;
    let gone: Vec<u32> = (10..40).collect();
    from.account
        .store(folder, &gone, FlagOp::Add, &["\\Deleted"], None)
        .unwrap();
    from.account.expunge(folder, Some(&gone)).unwrap();
}

fn change(from: &Side) {
    let id = |path: &[&str]| from.account.folder(path).unwrap().id;
    let (inbox, other) = (id(&["INBOX"]), id(&["Box"]));
    let flagged: Vec<u32> = (1..=25).collect();
    from.account
        .store(other, &flagged, FlagOp::Add, &["\\Flagged"], None)
        .unwrap();
    let moved: Vec<u32> = (41..=55).collect();
    from.account.move_messages(inbox, &moved, other).unwrap();
    let gone: Vec<u32> = (30..=45).collect();
    from.account
        .store(other, &gone, FlagOp::Add, &["\\Deleted"], None)
        .unwrap();
    from.account.expunge(other, Some(&gone)).unwrap();
    from.put(&["INBOX"], mail("new"));
}

fn bodies(side: &Side, path: &[&str]) -> Vec<Vec<u8>> {
    let mut bodies = side.bodies(path);
    bodies.sort();
    bodies
}

/// What gone messages leave at the destination is theirs; everything else is the same.
fn flagged(side: &Side) -> usize {
    let stored = side.stored(&["Box"]);
    let flagged = stored.iter().filter(|one| one.flags.contains("\\Flagged"));
    flagged.count()
}

async fn moves_everything(what: &str, from: Side, to: Side) {
    fill(&from);
    let migration = migration(&from, &to).build().unwrap();
    let report = migration.run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{what}: {report:#?}");
    assert_eq!(report.total().copied, 90, "{what}");
    for path in [["INBOX"], ["Box"]] {
        assert!(bodies(&from, &path) == bodies(&to, &path), "{what}");
    }
    let verified = migration.verify(Depth::Content).await.unwrap();
    assert!(verified.is_clean(), "{what}: {:?}", verified.differences);
    change(&from);
    let report = migration.run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{what}: {report:#?}");
    let total = report.total();
    assert_eq!(total.copied + total.moved, 16, "{what}: {total:?}");
    assert_eq!((flagged(&from), flagged(&to)), (25, 25), "{what}");
    let report = migration.run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{what}: {report:#?}");
    assert_eq!(report.total().copied, 0, "{what}");
    let counters = (from.server.counters(), to.server.counters());
    assert_eq!(counters.0.bad + counters.1.bad, 0, "{what}");
    // What the source says it lost nothing of.
    let there = bodies(&to, &["INBOX"]).len() + bodies(&to, &["Box"]).len();
    assert_eq!(there, 91, "{what}");
}

fn without(capabilities: &[Capability]) -> impl Fn(Builder) -> Builder {
    move |server| {
        let less = |server: Builder, one: &Capability| server.without(*one);
        capabilities.iter().fold(server, less)
    }
}

#[tokio::test]
async fn a_source_that_does_a_part_of_each_command_loses_nothing() {
    use Capability::{Condstore, Esearch, ObjectId, Qresync};
    for less in [
        &[][..],
        &[ObjectId],
        &[Qresync],
        &[Qresync, Esearch],
        &[Condstore],
    ] {
        let from = Side::new(|server| without(less)(server.message_limit(LIMIT))).await;
        let to = Side::new(|server| server).await;
        moves_everything(&format!("{less:?}"), from, to).await;
    }
}

#[tokio::test]
async fn a_destination_that_takes_a_few_at_a_time_gets_all() {
    use Capability::{Move, MultiAppend, Qresync};
    for less in [&[][..], &[MultiAppend], &[Move], &[Qresync]] {
        let from = Side::new(|server| server).await;
        let to = Side::new(|server| without(less)(server.message_limit(LIMIT))).await;
        moves_everything(&format!("{less:?}"), from, to).await;
    }
}

#[tokio::test]
async fn folders_that_show_their_newest_alone_are_moved_whole() {
    use Capability::{Condstore, Esearch, Id, ObjectId, Qresync, UidOnly};
    // Offered as Yahoo does, and with everything else.
    for less in [
        &[Id][..],
        &[ObjectId],
        &[Qresync],
        &[Qresync, Esearch],
        &[Condstore],
    ] {
        let yahoo = |server: Builder| {
            let server = server.message_limit(LIMIT).shows_newest(LIMIT);
            without(less)(server.with(UidOnly))
        };
        let (from, to) = (Side::new(yahoo).await, Side::new(yahoo).await);
        moves_everything(&format!("{less:?}"), from, to).await;
    }
}

#[tokio::test]
async fn uidonly_is_enabled_where_messages_hide_alone() {
    for (limit, shown) in [(None, LIMIT as u64), (Some(LIMIT), MANY as u64)] {
        let from = Side::new(|server| {
            let server = server.shows_newest(LIMIT).with(Capability::UidOnly);
            match limit {
                Some(limit) => server.message_limit(limit),
                None => server,
            }
        })
        .await;
        for number in 0..MANY {
            from.put(&["Box"], mail(&format!("box{number}")));
        }
        let to = Side::new(|server| server).await;
        assert_eq!(migrate(&from, &to).await.total().copied, shown);
    }
}

#[tokio::test]
async fn a_limit_that_was_not_announced_loses_nothing() {
    // The number in CAPABILITY is another one than what holds.
    for told in ["MESSAGELIMIT=4294967295", "MESSAGELIMIT=0", "MESSAGELIMIT"] {
        let limited = |server: Builder| server.message_limit(LIMIT).hides_limit().advertise(told);
        let (from, to) = (Side::new(limited).await, Side::new(|server| server).await);
        moves_everything(told, from, to).await;
    }
}
