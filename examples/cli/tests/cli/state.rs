//! What goes wrong with the state directory: one clear error with its remedy, exit code 3; and whatever
//! it was, the run after it doubles nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use mailmove_core::{CheckpointStore as _, model::JobId, store::SqliteStore};

use crate::support::{World, run};

/// The ledger in the state directory.
fn ledger(world: &World) -> PathBuf {
    let files = fs::read_dir(world.state()).unwrap();
    let mut paths = files.map(|entry| entry.unwrap().path());
    let is_ledger = |path: &PathBuf| path.extension().is_some_and(|end| end == "sqlite3");
    paths.find(is_ledger).unwrap()
}

async fn migrated() -> World {
    let world = World::new().await;
    world.fill(40);
    world.run("migrate", &[]).await.succeeds();
    world
}

/// All commands say it, none of them panics, and nothing is changed.
async fn all_say(world: &World, texts: &[&str]) {
    for command in [
        &["migrate"][..],
        &["verify"],
        &["verify", "--repair"],
        &["plan"],
    ] {
        let run = world.run(command[0], &command[1..]).await;
        run.fails(3, texts);
        run.fails(3, &["error: ", "remedy: ", "code: "]);
    }
    world.difference().none().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_state() {
    let world = migrated().await;
    let file = ledger(&world);
    let job = JobId::new(file.file_stem().unwrap().to_str().unwrap());
    let store = SqliteStore::new(world.state());
    let held = store.open(&job).await.unwrap();
    let me = std::process::id().to_string();
    let texts = [
        "another process works on this migration",
        &me,
        "Wait until the other run has ended, or stop it",
        "store/locked",
    ];
    all_say(&world, &texts).await;
    drop(held);
    world.run("migrate", &[]).await.succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_copy_everything_once() {
    let world = World::new().await;
    world.fill(300);
    let (one, two) = tokio::join!(world.run("migrate", &[]), world.run("migrate", &[]));
    let codes = [one.code, two.code];
    assert!(codes.contains(&Some(0)), "{one:#?} {two:#?}");
    for run in [&one, &two] {
        if run.code != Some(0) {
            run.fails(
                3,
                &["another process works on this migration", "store/locked"],
            );
        }
    }
    world.difference().none().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_told_and_can_be_moved_away() {
    let world = migrated().await;
    let file = ledger(&world);
    let whole = fs::read(&file).unwrap();
    let mut hole = whole.clone();
    let middle = hole.len() / 2 / 4096 * 4096;
    hole[middle..middle + 4096].fill(0);
    for bytes in [b"not a database, but some text\n".repeat(400), hole] {
        fs::write(&file, bytes).unwrap();
        let texts = [
            "the ledger is damaged",
            "move it and its -wal file away",
            "store/corrupt",
        ];
        all_say(&world, &texts).await;
    }
    // As the remedy says.
    fs::rename(&file, world.directory.path().join("away")).unwrap();
    let run = world.run("migrate", &[]).await;
    run.succeeds();
    world.difference().none().unwrap();
    assert!(run.stdout.contains("0 copied in this pass") || run.stdout.contains("nothing new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_others_and_of_newer_versions_are_left_alone() {
    let world = migrated().await;
    let file = ledger(&world);
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute_batch("PRAGMA user_version = 999").unwrap();
    drop(raw);
    let before = fs::read(&file).unwrap();
    let newer = ["written by a newer version", "format 999", "store/newer"];
    all_say(&world, &newer).await;
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::remove_file(&file).unwrap();
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute_batch("CREATE TABLE addresses (name)").unwrap();
    drop(raw);
    let foreign = ["not a ledger of mailmove", "store/foreign"];
    all_say(&world, &foreign).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_cannot_be() {
    let world = World::new().await;
    world.fill(5);
    let file = world.directory.path().join("file");
    fs::write(&file, "").unwrap();
    for place in [file.clone(), file.join("below")] {
        let place = place.to_str().unwrap();
        let mut command = world.command("migrate", &[]);
        command.args(["--state", place]);
        // The last one counts.
        let run = run(command).await;
        if run.code != Some(2) {
            run.fails(3, &["remedy: "]);
        }
    }
}

/// The program as a user whom the file system refuses something: for root, as nobody.
#[cfg(unix)]
fn as_user(world: &World) -> Option<Command> {
    use std::os::unix::{fs::chown, process::CommandExt as _};
    let mut command = world.command("migrate", &["--quiet"]);
    let probe = world.directory.path().join("probe");
    fs::create_dir(&probe).unwrap();
    set_mode(&probe, 0o500);
    let is_root = fs::write(probe.join("x"), "").is_ok();
    if is_root {
        const NOBODY: u32 = 65534;
        let give = |path: &Path| chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        give(world.directory.path());
        give(&world.state());
        for entry in fs::read_dir(world.state()).unwrap() {
            give(&entry.unwrap().path());
        }
        command.uid(NOBODY).gid(NOBODY);
        let may_start = Command::new(command.get_program())
            .arg("--version")
            .uid(NOBODY)
            .output()
            .is_ok_and(|output| output.status.success());
        if !may_start {
            eprintln!("SKIPPED: the program is in a directory that only root can read");
            return None;
        }
    }
    Some(command)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn read_only_files_and_directories() {
    for (directory, file) in [(0o500, 0o600), (0o700, 0o400), (0o500, 0o400)] {
        let world = migrated().await;
        let Some(command) = as_user(&world) else {
            return;
        };
        set_mode(&ledger(&world), file);
        set_mode(&world.state(), directory);
        let run = run(command).await;
        let texts = ["remedy: ", "writable for this user", "store/read-only"];
        run.fails(3, &texts);
        set_mode(&world.state(), 0o700);
        set_mode(&ledger(&world), 0o600);
        world.run("migrate", &[]).await.succeeds();
        world.difference().none().unwrap();
    }
}

/// A limit on the size of files stands for a full disk: writing fails in the same place, and nobody has to
/// be root. The program is told so by an error, not by a signal.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_stops_the_run_and_space_goes_on() {
    let world = World::new().await;
    world.fill(1500);
    let whole = world.command("migrate", &[]);
    let mut command = Command::new("sh");
    // Blocks of 512 bytes: less than the ledger needs, more than it has at the beginning.
    command.args(["-c", "trap '' XFSZ; ulimit -f 1600; exec \"$@\"", "sh"]);
    command.arg(whole.get_program()).args(whole.get_args());
    for (name, value) in whole.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let run = run(command).await;
    assert_eq!(run.code, Some(3), "{run:#?}");
    let all = format!("{}{}", run.stdout, run.stderr);
    for text in ["the ledger failed", "space", "store/io"] {
        assert!(all.contains(text), "no {text:?} in {run:#?}");
    }
    let appended = world.destination.counters().messages_appended;
    assert!(appended > 0 && appended < 1500, "{appended}");
    world.run("migrate", &[]).await.succeeds();
    world.difference().none().unwrap();
    assert_eq!(world.destination.counters().messages_appended, 1500);
}
