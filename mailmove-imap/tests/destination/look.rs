use futures_util::StreamExt as _;
use mailmove_core::{
    ErrorKind,
    destination::{Depth, Probe},
    identity::HeaderDigest,
    model::{ContentDigest, Flags, Timestamp},
};
use mailmove_imap_testserver::Action;
use mailmove_testkit::mailbox::NewMessage;

use crate::support::*;

#[tokio::test]
async fn each_depth_tells_its_share() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let ids = stored_ids(
        world
            .append(&folder, vec![flagged("a", "\\Seen Work"), outgoing("b")])
            .await,
    );
    let text = mail("a");
    for depth in [Depth::Ids, Depth::Meta, Depth::Header, Depth::Content] {
        let found = world.existing(&folder, depth).await;
        assert_eq!(
            found.iter().map(|one| one.id.clone()).collect::<Vec<_>>(),
            ids
        );
        let first = &found[0];
        assert_eq!(
            first.size,
            (depth >= Depth::Meta).then_some(text.len() as u64)
        );
        if depth >= Depth::Meta {
            assert_eq!(first.flags, Flags::parse("\\Seen Work"));
            assert_eq!(first.received, Some(Timestamp::new(RECEIVED, 120)));
        }
        let header = (depth >= Depth::Header).then(|| HeaderDigest::of(text.as_bytes()));
        assert_eq!(first.header, header);
        let digest = (depth >= Depth::Content).then(|| ContentDigest::of(text.as_bytes()));
        assert_eq!(first.digest, digest);
    }
    // Looking leaves no trace.
    assert!(!world.stored(&["Box"])[1].flags.contains("\\Seen"));
}

#[tokio::test]
async fn marks_and_ids_narrow_the_look() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let first = stored_ids(
        world
            .append(&folder, vec![outgoing("a"), outgoing("b")])
            .await,
    );
    let mark = mailmove_core::Destination::mark(&world.destination, &folder.id)
        .await
        .unwrap();
    let ids = |found: Vec<mailmove_core::destination::Existing>| {
        found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    let since = Probe::new(folder.id.clone(), Depth::Ids).with_since(Some(mark.clone()));
    // `n:*` names the last message even if n lies beyond it.
    assert!(world.probe(since.clone()).await.unwrap().is_empty());
    let second = stored_ids(world.append(&folder, vec![outgoing("c")]).await);
    assert_eq!(ids(world.probe(since).await.unwrap()), second);
    let some = vec![first[1].clone(), second[0].clone()];
    let probe = Probe::new(folder.id.clone(), Depth::Ids).with_ids(some.clone());
    world.server.reset_counters();
    assert_eq!(ids(world.probe(probe.clone()).await.unwrap()), some);
    let counters = world.server.counters();
    assert_eq!(
        (counters.command("EXAMINE"), counters.command("UID FETCH")),
        (1, 1)
    );
    assert_eq!(counters.round_trips, 1, "what is known is asked at once");
    assert_eq!(
        ids(world.probe(probe.with_since(Some(mark))).await.unwrap()),
        second
    );
    let none = Probe::new(folder.id.clone(), Depth::Ids).with_ids(Vec::new());
    assert!(world.probe(none).await.unwrap().is_empty());
}

#[tokio::test]
async fn another_epoch_is_stale() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let ids = stored_ids(world.append(&folder, vec![outgoing("a")]).await);
    let id = world.account.folder(&["Box"]).unwrap().id;
    world.account.bump_uidvalidity(id).unwrap();
    let probe = Probe::new(folder.id.clone(), Depth::Ids);
    for probe in [
        probe.clone().with_since(folder.mark.clone()),
        probe.with_ids(ids),
    ] {
        assert_eq!(
            world.probe(probe).await.unwrap_err().kind(),
            ErrorKind::Stale
        );
    }
    // What had been asked along with it was answered and let go: the connection serves on.
    assert_eq!(world.existing(&folder, Depth::Ids).await.len(), 1);
    assert_eq!(world.server.counters().connections, 1);
}

#[tokio::test]
async fn uids_far_apart_take_few_windows() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let id = world.account.folder(&["Box"]).unwrap().id;
    let mut next = 1;
    for _ in 0..25 {
        let messages = (0..100).map(|_| NewMessage::new("x")).collect();
        world.account.append(id, messages).unwrap();
        next += 3_000_000;
        world.account.skip_uids(id, next).unwrap();
    }
    world.server.reset_counters();
    let found = world.existing(&folder, Depth::Header).await;
    assert_eq!(found.len(), 2500);
    let mut sorted: Vec<_> = found.iter().map(|one| one.id.clone()).collect();
    sorted.dedup();
    assert_eq!(sorted.len(), 2500);
    let windows = world.server.counters().command("UID FETCH");
    assert!(windows < 200, "{windows}");
}

#[tokio::test]
async fn a_folder_that_is_gone_is_not_found() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    world.account.delete(&["Box"]).unwrap();
    let error = world
        .probe(Probe::new(folder.id, Depth::Ids))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.scope()),
        (ErrorKind::NotFound, mailmove_core::Scope::Folder)
    );
}

#[tokio::test]
async fn what_was_read_before_the_connection_broke_is_told() {
    let world = world(|server| server).await;
    let folder = world.ensure(&["Box"]).await;
    let ids = stored_ids(
        world
            .append(&folder, ["a", "b", "c", "d"].map(outgoing).to_vec())
            .await,
    );
    // In what comes before any of them, in each of them, and where all of them were told.
    let mut told = std::collections::BTreeSet::new();
    for cut in (20..).step_by(40) {
        world
            .server
            .faults()
            .arm("UID FETCH", 1, Action::CloseInReply(cut));
        let probe = Probe::new(folder.id.clone(), Depth::Content).with_ids(ids.clone());
        let mut pages = mailmove_core::Destination::existing(&world.destination, probe);
        let (mut found, mut broke) = (Vec::new(), false);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => found.extend(page),
                Err(error) => {
                    assert!(error.is_transient(), "{error:?}");
                    broke = true;
                }
            }
        }
        let names: Vec<_> = found.iter().map(|one| one.id.clone()).collect();
        assert_eq!(names, ids[..names.len()], "after {cut}");
        for (one, name) in found.iter().zip(["a", "b", "c", "d"]) {
            assert_eq!(one.digest, Some(ContentDigest::of(mail(name).as_bytes())));
            assert_eq!(one.received, Some(Timestamp::new(RECEIVED, 120)));
        }
        told.insert(found.len());
        if !broke {
            break;
        }
    }
    assert_eq!(told.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}
