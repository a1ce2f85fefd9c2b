//! `cargo xtask mutants`: does a test hold each line of the ledger, and of what tells messages apart?
//!
//! cargo-mutants changes one expression at a time, in a copy of the workspace; a test must notice.
//! A mutant meets the tests beside the code or those of the stores, and only if these miss it all of
//! them and the engine's. What survives has its reason in `MUTANTS.md`, or is told as new.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, process, workspace};

/// What is installed where there is none.
const CARGO_MUTANTS: &str = "27.1.0";

const PACKAGE: &str = "mailmove-core";

/// Below `src`, what decides whether a message was copied, is the same as another, or is counted; with
/// the tests that are most likely to notice, and quickly built.
const STAGES: [Stage; 3] = [
    Stage {
        files: &[
            "checkpoint.rs",
            "checkpoint/item.rs",
            "engine/decide.rs",
            "engine/retry.rs",
            "identity/body.rs",
            "identity/header.rs",
            "identity/message.rs",
            "model/content.rs",
            "model/ids.rs",
            "store/sqlite/error.rs",
            "store/sqlite/file.rs",
        ],
        programs: &["--lib"],
        tests: &[
            "checkpoint::",
            "content::",
            "decide::",
            "identity::",
            "retry::",
            "spool::",
            "store::",
        ],
    },
    Stage {
        files: &[
            "checkpoint/scan.rs",
            "store/memory.rs",
            "store/memory/tables.rs",
            "store/mod.rs",
            "store/sqlite/items.rs",
            "store/sqlite/mod.rs",
            "store/sqlite/read.rs",
            "store/sqlite/rows.rs",
            "store/sqlite/write.rs",
        ],
        programs: &["--test=stores"],
        tests: &[],
    },
    // Whatever was missed by the others comes here, too.
    Stage {
        files: &["engine/claims.rs", "engine/close.rs"],
        programs: &["--lib", "--test=stores", "--test=engine"],
        tests: &[],
    },
];

struct Stage {
    files: &'static [&'static str],
    /// Test programs.
    programs: &'static [&'static str],
    /// Parts of their tests' names; all tests if there are none.
    tests: &'static [&'static str],
}

/// Mutants that return what these types do not have, and would not compile.
const NO_SUCH_VALUE: &str = "(MutexGuard|BoxStream)<.*> with \\
     |(Count|Digest|Error|Existing|Intent|Ledger|Row|Stored)[>)]* with .*Default::default";

/// libtest stops at the first failure only where it is allowed what is not stable; that is asked for
/// when a test program starts, so that nothing is built otherwise.
const RUNNER: &str = r#"target."cfg(unix)".runner = ["env", "RUSTC_BOOTSTRAP=1"]"#;
const STOP_EARLY: [&str; 3] = ["--", "-Zunstable-options", "--fail-fast"];

/// What came of mutants, as cargo-mutants names them, in the order of the sources.
#[derive(Default)]
struct Found {
    caught: Vec<String>,
    /// A test did not end: noticed as well.
    timeout: Vec<String>,
    /// Does not compile.
    unviable: Vec<String>,
    missed: Vec<String>,
}

impl Found {
    fn add(&mut self, more: Self) {
        self.caught.extend(more.caught);
        self.timeout.extend(more.timeout);
        self.unviable.extend(more.unviable);
        self.missed.extend(more.missed);
    }
}

/// Runs `cargo xtask mutants`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let (wanted, more) = match args.iter().position(|arg| *arg == "--") {
        Some(at) => (&args[..at], &args[at + 1..]),
        None => (args, &[][..]),
    };
    let files = chosen(wanted)?;
    let ground = Ground::new()?;
    let [early @ .., last] = &STAGES;
    if more.contains(&"--list") {
        return ground.run(last, &files, more);
    }
    let mut found = Found::default();
    for stage in early {
        let files: Vec<&str> = of(stage, &files);
        if !files.is_empty() {
            ground.run(stage, &files, more)?;
            found.add(ground.found()?);
        }
    }
    let missed = std::mem::take(&mut found.missed);
    if !missed.is_empty() || !of(last, &files).is_empty() {
        ground.write_noticed(&found)?;
        ground.run(last, &files, &[more, &["--iterate"]].concat())?;
        found.add(ground.found()?);
    }
    println!("\n{}", table(&found));
    judge(&found.missed)
}

/// Fails for what survived without a reason.
fn judge(survived: &[String]) -> Result<()> {
    let document = workspace::root()?.join(PACKAGE).join("MUTANTS.md");
    let new = unexplained(survived, &std::fs::read_to_string(document)?);
    if new.is_empty() {
        println!("{PACKAGE}/MUTANTS.md explains all that survived");
        return Ok(());
    }
    Err(format!("survived without a reason:\n  {}", new.join("\n  ")).into())
}

/// All files, or those whose names hold one of `wanted`.
fn chosen(wanted: &[&str]) -> Result<Vec<&'static str>> {
    let all = || STAGES.iter().flat_map(|stage| stage.files).copied();
    let is_wanted =
        |file: &&str| wanted.is_empty() || wanted.iter().any(|part| file.contains(part));
    let chosen: Vec<&str> = all().filter(is_wanted).collect();
    if chosen.is_empty() {
        let all: Vec<&str> = all().collect();
        return Err(format!("no such file; there are:\n  {}", all.join("\n  ")).into());
    }
    Ok(chosen)
}

/// Those of the files that are a stage's.
fn of<'a>(stage: &Stage, files: &[&'a str]) -> Vec<&'a str> {
    let is_its = |file: &&&str| stage.files.contains(*file);
    files.iter().filter(is_its).copied().collect()
}

/// A copy of the workspace, with a target directory of its own that stays: what has not changed is
/// not built again.
struct Ground {
    dir: PathBuf,
    tools: PathBuf,
    /// Where tests put what they are about to remove; one that is stopped does not.
    temporary: PathBuf,
    /// Whoever changes the copy has it alone.
    _lock: File,
}

impl Ground {
    fn new() -> Result<Self> {
        let dir = workspace::target()?.join("mutants");
        let tools = cargo_mutants()?;
        std::fs::create_dir_all(&dir)?;
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock()
            .map_err(|error| format!("{}: {error}", dir.display()))?;
        workspace::copy(&dir.join("tree"))?;
        let name = format!("mailmove-mutants-{}", std::process::id());
        let temporary = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&temporary)?;
        Ok(Self {
            dir,
            tools,
            temporary,
            _lock: lock,
        })
    }

    fn run(&self, stage: &Stage, files: &[&str], more: &[&str]) -> Result<()> {
        let mut command = Command::new(self.tools.join("cargo-mutants"));
        process::as_from_the_shell(&mut command);
        command.current_dir(self.dir.join("tree"));
        command.env("TMPDIR", &self.temporary);
        command.env("CARGO_TARGET_DIR", self.dir.join("target"));
        // Nobody looks at a mutant in a debugger.
        command.env("CARGO_PROFILE_DEV_DEBUG", "0");
        command.env_remove("CARGO_MUTANTS_JOBS");
        command.args(["mutants", "--no-config", "--in-place", "--package", PACKAGE]);
        command.arg("--output").arg(&self.dir);
        // A busy machine must not be taken for a test that hangs.
        command.args(["--timeout-multiplier", "6", "--minimum-test-timeout", "90"]);
        command.args(["--exclude-re", NO_SUCH_VALUE]);
        for file in files {
            command.arg(format!("--file={PACKAGE}/src/{file}"));
        }
        // For building, too: no other test program is built.
        for arg in stage.programs.iter().chain(&["--config", RUNNER]) {
            command.arg(format!("--cargo-arg={arg}"));
        }
        for arg in STOP_EARLY.iter().chain(stage.tests) {
            command.arg(format!("--cargo-test-arg={arg}"));
        }
        let status = command.args(more).stdin(Stdio::null()).status()?;
        match status.code() {
            // All caught, some missed, some timed out.
            Some(0 | 2 | 3) => Ok(()),
            _ => Err(format!("cargo-mutants: {status}").into()),
        }
    }

    fn found(&self) -> Result<Found> {
        let list = |name: &str| -> Result<Vec<String>> {
            let text = std::fs::read_to_string(self.dir.join("mutants.out").join(name))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        Ok(Found {
            caught: list("caught.txt")?,
            timeout: list("timeout.txt")?,
            unviable: list("unviable.txt")?,
            missed: list("missed.txt")?,
        })
    }

    /// Where cargo-mutants looks for what it need not try again.
    fn write_noticed(&self, found: &Found) -> Result<()> {
        let dir = self.dir.join("mutants.out");
        std::fs::create_dir_all(&dir)?;
        let mut lines = String::new();
        for name in [&found.caught, &found.timeout, &found.unviable]
            .into_iter()
            .flatten()
        {
            lines += &format!("{name}\n");
        }
        for file in ["caught.txt", "unviable.txt"] {
            std::fs::write(dir.join(file), "")?;
        }
        Ok(std::fs::write(dir.join("previously_caught.txt"), lines)?)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // What is left is in the way of nobody.
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}

/// Sees that there is the cargo-mutants that the figures are of; returns where it is.
fn cargo_mutants() -> Result<PathBuf> {
    let tools = workspace::target()?.join("tools");
    let bin = tools.join("bin");
    let version = |bin: &Path| {
        let program = bin.join("cargo-mutants");
        process::capture(Command::new(program).args(["mutants", "--version"]))
    };
    if !version(&bin).is_ok_and(|said| said.trim_end().ends_with(CARGO_MUTANTS)) {
        println!(
            "installing cargo-mutants {CARGO_MUTANTS} in {}",
            tools.display()
        );
        let mut install = process::cargo();
        install.args(["install", "cargo-mutants", "--locked"]);
        install.args(["--version", CARGO_MUTANTS, "--root"]);
        process::capture(install.arg(&tools))?;
    }
    Ok(bin)
}

/// `file.rs: what was done`, without the place: lines move, and the document names mutants so.
fn name(mutant: &str) -> String {
    let start = format!("{PACKAGE}/src/");
    let short = mutant.strip_prefix(&start).unwrap_or(mutant);
    match *short.splitn(4, ':').collect::<Vec<_>>() {
        [file, _, _, what] => format!("{file}: {}", what.trim_start()),
        _ => short.to_owned(),
    }
}

fn unexplained(survived: &[String], document: &str) -> Vec<String> {
    let is_new = |mutant: &&String| !document.contains(&format!("`{}`", name(mutant)));
    survived.iter().filter(is_new).cloned().collect()
}

/// Figures for each file and all of them, as in the document.
fn table(found: &Found) -> String {
    let mut files: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    let lists = [
        &found.caught,
        &found.timeout,
        &found.unviable,
        &found.missed,
    ];
    for (column, list) in lists.into_iter().enumerate() {
        for mutant in list {
            let name = name(mutant);
            let file = name.split(':').next().unwrap_or_default();
            files.entry(format!("`{file}`")).or_default()[column] += 1;
        }
    }
    let sum = |column: usize| files.values().map(|row| row[column]).sum();
    let all = [sum(0), sum(1), sum(2), sum(3)];
    let mut text = "| File | Mutants | Caught | Timed out | Unviable | Survived |\n\
                    |---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for (file, row) in files.into_iter().chain([("all".to_owned(), all)]) {
        let [caught, timeout, unviable, missed] = row;
        let mutants: usize = row.iter().sum();
        text += &format!("| {file} | {mutants} | {caught} | {timeout} | {unviable} | {missed} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files are renamed; a name that leads nowhere would leave out its mutants silently.
    #[test]
    fn every_file_is_there() {
        let source = workspace::root().unwrap().join(PACKAGE).join("src");
        for file in chosen(&[]).unwrap() {
            assert!(source.join(file).is_file(), "{file}");
        }
        let sqlite = chosen(&["store/sqlite"]).unwrap();
        assert!(sqlite.len() > 1 && sqlite.iter().all(|file| file.contains("/sqlite/")));
        assert!(chosen(&["nowhere"]).is_err());
    }

    #[test]
    fn survivors_are_known_by_what_was_done() {
        let one = "mailmove-core/src/model/ids.rs:5:9: replace <impl A for B>::c -> D with E::f()";
        let other = "mailmove-core/src/model/ids.rs:7:1: replace + with - in g";
        assert_eq!(
            name(one),
            "model/ids.rs: replace <impl A for B>::c -> D with E::f()"
        );
        let document = format!("- `{}`: no test can tell.\n", name(one));
        let survived = [one.to_owned(), other.to_owned()];
        assert_eq!(unexplained(&survived, &document), [other]);
    }

    #[test]
    fn figures_add_up() {
        let found = Found {
            caught: vec!["mailmove-core/src/a.rs:1:1: x".to_owned()],
            missed: vec!["mailmove-core/src/b.rs:1:1: x".to_owned()],
            ..Found::default()
        };
        let text = table(&found);
        assert!(text.ends_with("| `b.rs` | 1 | 0 | 0 | 0 | 1 |\n| all | 2 | 1 | 0 | 0 | 1 |\n"));
    }
}
