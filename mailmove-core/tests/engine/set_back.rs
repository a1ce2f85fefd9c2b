//! A ledger that was set back: by a power loss on a disk that did not keep its word, by a backup, by a
//! damaged log. The destination is further than it says; a run after it doubles nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use mailmove_core::{
    Event, Migration, Observer, Report, destination::Depth, model::Batching, report::Status,
    store::SqliteStore,
};

use crate::world::{World, add, mail};

/// Files by name.
type State = Vec<(PathBuf, Vec<u8>)>;

/// Copies the state directory whenever something happens: what a crash at that moment leaves. The log
/// is so short that it is never folded in, so it only grows; the file is read before it.
#[derive(Debug)]
struct Camera {
    directory: PathBuf,
    taken: Arc<Mutex<Vec<State>>>,
}

fn state(directory: &Path) -> State {
    let mut names: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.to_string_lossy().into_owned();
            name.ends_with(".sqlite3") || name.ends_with("-wal")
        })
        .collect();
    names.sort();
    let read = |path: PathBuf| (path.file_name().unwrap().into(), fs::read(path).unwrap());
    names.into_iter().map(read).collect()
}

impl Observer for Camera {
    fn on(&self, _: &Event) {
        self.taken.lock().unwrap().push(state(&self.directory));
    }
}

fn scene() -> World {
    let mut world = World::new();
    world.destination = world
        .destination
        .configure(|can| can.batching = Batching::new(4, 1 << 20, true));
    for n in 0..30 {
        let mail = mail(&format!("m{}", n / 2), n / 2);
        add(world.source.account(), &["INBOX"], mail);
    }
    for n in 0..8 {
        add(world.source.account(), &["Work"], mail(&format!("w{n}"), n));
    }
    world
}

fn migration(world: &World, directory: &Path, camera: Option<Camera>) -> Migration {
    let builder = Migration::builder(world.source.clone(), world.destination.clone())
        .store(SqliteStore::new(directory))
        .edges(world.edges.clone());
    let builder = match camera {
        Some(camera) => builder.observer(camera),
        None => builder,
    };
    builder.build().unwrap()
}

async fn run(world: &World, directory: &Path) -> Report {
    let report = migration(world, directory, None).run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    report
}

/// All states that a run goes through, and the world after it.
async fn filmed() -> (World, Vec<State>) {
    let world = scene();
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path()).unwrap();
    let taken = Arc::default();
    let camera = Camera {
        directory: directory.path().to_owned(),
        taken: Arc::clone(&taken),
    };
    let report = migration(&world, directory.path(), Some(camera))
        .run()
        .await;
    assert_eq!(report.unwrap().status(), Status::Complete);
    let mut taken = std::mem::take(&mut *taken.lock().unwrap());
    taken.dedup();
    (world, taken)
}

/// Runs on with that state, the destination being as it is. An error is for the user to solve: without
/// the state, as its remedy says.
async fn goes_on(world: &World, state: &State, what: &str) {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in state {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    let ran = migration(world, directory.path(), None).run().await;
    match ran {
        Ok(report) => assert_eq!(report.status(), Status::Complete, "{what}: {report:#?}"),
        Err(error) => {
            assert!(error.code().starts_with("store/"), "{what}: {error:?}");
            assert!(error.remedy().is_some(), "{what}: {error:?}");
            for (name, _) in state {
                fs::remove_file(directory.path().join(name)).unwrap();
            }
            run(world, directory.path()).await;
        }
    }
    world.assert_equal();
    let verified = migration(world, directory.path(), None)
        .verify(Depth::Content)
        .await;
    assert!(verified.unwrap().is_clean(), "{what}");
    assert_eq!(
        run(world, directory.path()).await.total().copied,
        0,
        "{what}"
    );
    world.no_violations();
}

#[tokio::test]
async fn each_state_of_a_run_goes_on_from_the_end_of_it() {
    let (world, states) = filmed().await;
    assert!(states.len() > 8, "{} states", states.len());
    let appended = world.destination.counters().appended;
    for (n, state) in states.iter().enumerate() {
        goes_on(&world, state, &format!("state {n}")).await;
    }
    assert_eq!(world.destination.counters().appended, appended);
}

#[tokio::test]
async fn a_log_cut_or_damaged_anywhere_goes_on_too() {
    let (world, states) = filmed().await;
    let appended = world.destination.counters().appended;
    let last = states.last().unwrap();
    let log = last
        .iter()
        .position(|(name, _)| name.to_string_lossy().ends_with("-wal"));
    let log = log.unwrap();
    let len = last[log].1.len();
    for n in 0..24 {
        let at = len * n / 24 + n;
        let mut state = last.clone();
        if n % 2 == 0 {
            state[log].1.truncate(at);
        } else {
            state[log].1[at] ^= 0x11;
        }
        goes_on(&world, &state, &format!("log damaged at {at} of {len}")).await;
    }
    assert_eq!(world.destination.counters().appended, appended);
}
