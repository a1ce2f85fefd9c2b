//! `kill -9` at moments that nobody chose, and started again at once.

use std::time::Duration;

use crate::world::{Job, assert_equal, fresh, server, sum};

/// As many kills as the promise names.
const KILLS: u32 = 10;
/// Kills after which it is no bad luck any more that none hit an open intent.
const MOST: u32 = 60;

#[test]
fn killed_ten_times_and_restarted_at_once() {
    let (Some(source), Some(destination)) = (server("a"), server("b")) else {
        return;
    };
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    source.fill(&ann, 1500, 15);
    let job = Job::new(source.tls(&ann), destination.tls(&bob), &source.ca);
    let (mut kills, mut open, mut wait) = (0, 0, 150_u64);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    while kills < KILLS || (open == 0 && kills < MOST) {
        let mut child = job
            .command("migrate")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_millis(wait + (random >> 33) % 200));
        if child.try_wait().unwrap().is_some() {
            // It was faster: kill it earlier next time, in a mailbox with something left to do.
            wait = wait.saturating_sub(60);
            source.fill_more(&ann, kills);
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if intents(&job) > 0 {
            open += 1;
        } else {
            // Too early, on a machine with much to do.
            wait += 40;
        }
    }
    println!("{kills} kills, {open} of them with open intents");
    let report = job.migrate();
    assert_equal(&source.dump(&ann), &destination.dump(&bob));
    assert_eq!(sum(&report, "doubled") + sum(&report, "perhaps_doubled"), 0);
    let again = job.migrate();
    assert_eq!(sum(&again, "copied"), 0);
    assert!(open > 0, "no kill hit an open intent: this proved little");
}

/// Open intents in the state that a killed run left behind.
fn intents(job: &Job) -> u64 {
    let files = std::fs::read_dir(job.state.path()).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    let file = paths.find(|path| path.extension().is_some_and(|end| end == "sqlite3"));
    let Some(file) = file else { return 0 };
    let store = rusqlite::Connection::open(file).unwrap();
    let count = store.query_row("SELECT count(*) FROM intent", [], |row| {
        row.get::<_, i64>(0)
    });
    count
        .ok()
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or(0)
}
