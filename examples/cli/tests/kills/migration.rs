//! One migration by the program, killed again and again.

use std::{
    fmt,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use mailmove_testkit::{
    proxy::{Cue, Fault, FaultProxy, Way},
    snapshot::{Compare, Snapshot},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{ground::Ground, ledger::Left, scene};

/// What the kills of all migrations hit.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    kills: AtomicU64,
    chosen: AtomicU64,
    open: AtomicU64,
    landed: AtomicU64,
    begun_anew: AtomicU64,
}

impl Tally {
    pub(crate) fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }

    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn landed(&self) -> u64 {
        self.landed.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} kills ({} at a chosen place), {} with open intents, {} with a batch landed but \
             unconfirmed, {} begun anew because they ended too soon",
            get(&self.kills),
            get(&self.chosen),
            get(&self.open),
            get(&self.landed),
            get(&self.begun_anew)
        )
    }
}

/// When the program is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    After(Duration),
    /// So far into that append.
    Append(u64, u64),
    /// So far into the answer to that append.
    Answer(u64, u64),
}

pub(crate) struct Job<'a> {
    ground: &'a dyn Ground,
    runtime: Handle,
    random: u64,
}

impl<'a> Job<'a> {
    pub(crate) fn new(ground: &'a dyn Ground, runtime: &Handle, seed: u64) -> Self {
        Self {
            ground,
            runtime: runtime.clone(),
            random: seed ^ 0x2545_f491_4f6c_dd1d,
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn moment(&mut self) -> Moment {
        match self.below(3) {
            0 => Moment::After(Duration::from_millis(100 + self.below(900))),
            1 => Moment::Append(1 + self.below(3), self.below(300)),
            _ => Moment::Answer(1 + self.below(2), self.below(14)),
        }
    }

    /// The destination after a run that nobody disturbs.
    pub(crate) fn undisturbed(&self) -> Snapshot {
        let run = Run::new(self);
        run.to_the_end().unwrap();
        self.ground.snapshot(&run.user, false)
    }

    /// Kills so often and more, goes on until it is complete, and compares.
    pub(crate) fn check(
        &mut self,
        expected: &Snapshot,
        least: u64,
        tally: &Tally,
    ) -> Result<(), String> {
        for _ in 0..20 {
            let run = Run::new(self);
            let most = least + self.below(3);
            let killed = (0..most).take_while(|_| run.kill(self.moment(), tally));
            if (killed.count() as u64) < least {
                tally.begun_anew.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            run.to_the_end()?;
            run.compare(expected)?;
            let copied = run.to_the_end()?;
            if copied > 0 {
                return Err(format!("a further run copied {copied} messages"));
            }
            return run.compare(expected);
        }
        Err("it was always complete before it could be killed".to_owned())
    }
}

/// A destination, a state directory, a way to both sides.
struct Run<'a> {
    ground: &'a dyn Ground,
    runtime: Handle,
    proxy: FaultProxy,
    from: String,
    to: String,
    user: String,
    state: TempDir,
}

impl<'a> Run<'a> {
    fn new(job: &Job<'a>) -> Self {
        let ground = job.ground;
        let ((from, source), (to, user)) = (ground.source(), ground.destination());
        let proxy = job.runtime.block_on(FaultProxy::start(to)).unwrap();
        let url = |user: &str, port: u16| format!("imap://{user}@127.0.0.1:{port}?tls=off");
        Self {
            ground,
            runtime: job.runtime.clone(),
            from: url(&source, from.port()),
            to: url(&user, proxy.address().port()),
            proxy,
            user,
            state: TempDir::new().unwrap(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailmove"));
        let (old, place) = scene::MERGED;
        command
            .args(["migrate", "--json", "--from", &self.from, "--to", &self.to])
            .args(["--connections", "2", "--map", &format!("{old}={place}")])
            // These servers store at once what they store at all.
            .args(["--late", "10"])
            .arg("--state")
            .arg(self.state.path())
            .env("MAILMOVE_FROM_PASSWORD", self.ground.password())
            .env("MAILMOVE_TO_PASSWORD", self.ground.password())
            .stdin(Stdio::null());
        command
    }

    /// Starts the program and kills it. False: it ended before that.
    fn kill(&self, moment: Moment, tally: &Tally) -> bool {
        let faults = self.proxy.faults();
        let (words, nth, after, way) = match moment {
            Moment::Append(nth, after) => (" APPEND ", nth, after, Way::ToServer),
            Moment::Answer(nth, after) => ("[APPENDUID ", nth, after, Way::ToClient),
            Moment::After(_) => ("", 0, 0, Way::ToServer),
        };
        if nth > 0 {
            let cue = Cue::new(way, words, nth, Fault::Cut);
            self.proxy.cue(cue.with_after(after));
        }
        let mut command = self.command();
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let wait = match moment {
            Moment::After(wait) => wait,
            // A run begins with the wait for what may land late.
            _ => Duration::from_secs(40),
        };
        let until = Instant::now() + wait;
        while Instant::now() < until && self.proxy.faults() == faults && !ended(&mut child) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if ended(&mut child) {
            return false;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        tally.kills.fetch_add(1, Ordering::Relaxed);
        let chosen = self.proxy.faults() > faults;
        tally.chosen.fetch_add(u64::from(chosen), Ordering::Relaxed);
        self.proxy.disarm();
        let left = Left::read(self.state.path());
        if !left.intents.is_empty() {
            tally.open.fetch_add(1, Ordering::Relaxed);
        }
        if left.landed(&self.ground.snapshot(&self.user, false)) > 0 {
            tally.landed.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Runs it until it says that it is complete; how many messages it copied at last.
    fn to_the_end(&self) -> Result<u64, String> {
        let mut said = String::new();
        for _ in 0..4 {
            let output = self.runtime.block_on(async {
                let mut command = tokio::process::Command::from(self.command());
                let ended = tokio::time::timeout(Duration::from_secs(300), command.output());
                ended.await.unwrap().unwrap()
            });
            let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
            let last = stdout.lines().last().unwrap_or_default();
            if output.status.code() == Some(0) {
                let report: Value = serde_json::from_str(last).map_err(|e| e.to_string())?;
                return Ok(copied(&report));
            }
            said = format!("{last}\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(format!("not complete after four runs: {said}"))
    }

    fn compare(&self, expected: &Snapshot) -> Result<(), String> {
        let found = self.ground.snapshot(&self.user, false);
        let difference = Compare::all().diff(expected, &found);
        difference
            .none()
            .map_err(|difference| difference.to_string())
    }
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

fn copied(report: &Value) -> u64 {
    let report = match report["folders"].is_array() {
        true => report,
        false => &report["report"],
    };
    let folders = report["folders"].as_array().into_iter().flatten();
    folders.filter_map(|folder| folder["copied"].as_u64()).sum()
}
