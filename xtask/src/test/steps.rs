//! The steps that run cargo.

use std::path::{Path, PathBuf};

use super::{Context, Outcome};
use crate::process::{self, cargo};
use crate::servers::{self, Lifetime, Servers};
use crate::{Result, corpora, workspace};

/// The crates that are published, in the order of their dependencies.
pub(crate) const PUBLISHED: [&str; 6] = [
    "mailmove-core",
    "mailmove-testkit",
    "mailmove-exchange",
    "mailmove-imap",
    "mailmove-ews",
    "mailmove-graph",
];

/// Names of servers, clients and mails, and of the conformance suite's harnesses.
const NOTHING_MISSING: &str = "dovecot,dovecot-maildir,dovecot-slash,dovecot-prefix,cyrus,\
                               cyrus-dots,courier,corpora,mbsync,python";

fn simple(context: &Context, name: &str, args: &[&str]) -> Result<Outcome> {
    context.run(name, cargo().args(args))?;
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn fmt(context: &mut Context) -> Result<Outcome> {
    simple(context, "fmt", &["fmt", "--all", "--check"])
}

pub(super) fn clippy(context: &mut Context) -> Result<Outcome> {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    simple(context, "clippy", &args)
}

/// Clippy for one library as an embedder gets it: in a workspace build its features would be
/// united with those that other members ask for.
fn alone(context: &Context, package: &str, features: &[&str]) -> Result<Outcome> {
    let name = format!("clippy-{package}{}", features.concat());
    let mut command = cargo();
    command
        .args(["clippy", "--locked", "-p", package])
        .args(features);
    context.run(&name, command.args(["--", "-D", "warnings"]))?;
    Ok(Outcome::Passed(String::new()))
}

pub(super) fn clippy_core(context: &mut Context) -> Result<Outcome> {
    alone(context, "mailmove-core", &[])
}

pub(super) fn clippy_core_bare(context: &mut Context) -> Result<Outcome> {
    alone(context, "mailmove-core", &["--no-default-features"])
}

pub(super) fn clippy_testkit(context: &mut Context) -> Result<Outcome> {
    alone(context, "mailmove-testkit", &[])
}

pub(super) fn clippy_exchange(context: &mut Context) -> Result<Outcome> {
    alone(context, "mailmove-exchange", &[])
}

pub(super) fn clippy_imap(context: &mut Context) -> Result<Outcome> {
    alone(context, "mailmove-imap", &[])
}

pub(super) fn clippy_ews(context: &mut Context) -> Result<Outcome> {
    alone(context, "mailmove-ews", &[])
}

pub(super) fn clippy_graph(context: &mut Context) -> Result<Outcome> {
    alone(context, "mailmove-graph", &[])
}

pub(super) fn build(context: &mut Context) -> Result<Outcome> {
    simple(
        context,
        "build",
        &[
            "test",
            "--workspace",
            "--all-targets",
            "--locked",
            "--no-run",
        ],
    )
}

pub(super) fn servers(context: &mut Context) -> Result<Outcome> {
    // Apart from `cargo xtask servers start`, so that neither disturbs the other.
    let started = servers::fetch().and_then(|tools| {
        let run = tools.dir.join("test");
        let running = Servers::start(&tools, &run, servers::QUOTA, Lifetime::Guarded)?;
        let environment = servers::environment(&tools.dir, &run)?;
        Ok((running, environment, tools))
    });
    match started {
        Ok((running, environment, tools)) => {
            context.servers = Some(running);
            context.environment = environment;
            let absent = tools.absent();
            let missing: String = absent
                .iter()
                .map(|(name, reason)| format!("; no {name}: {reason}"))
                .collect();
            let note = format!("{}{missing}", tools.versions());
            match context.require && !absent.is_empty() {
                true => Err(note.into()),
                false => Ok(Outcome::Passed(note)),
            }
        }
        Err(error) if context.require => Err(error),
        Err(error) => Ok(Outcome::Skipped(error.to_string())),
    }
}

pub(super) fn corpora(context: &mut Context) -> Result<Outcome> {
    match corpora::fetch() {
        Ok(dir) => {
            context.environment.push(("MAILMOVE_TEST_CORPORA", dir));
            Ok(Outcome::Passed(String::new()))
        }
        Err(error) if context.require => Err(error),
        Err(error) => Ok(Outcome::Skipped(error.to_string())),
    }
}

pub(super) fn tests(context: &mut Context) -> Result<Outcome> {
    let mut command = cargo();
    command.args([
        "test",
        "--workspace",
        "--all-targets",
        "--locked",
        "--no-fail-fast",
    ]);
    command.envs(
        context
            .environment
            .iter()
            .map(|(name, value)| (name, value)),
    );
    if context.require {
        command.env("MAILMOVE_REQUIRE", NOTHING_MISSING);
    }
    Ok(Outcome::Passed(count(&context.run("tests", &mut command)?)))
}

/// `cargo xtask peers` in its smallest form, with what `tests` built.
pub(super) fn peers(context: &mut Context) -> Result<Outcome> {
    match servers::fetch().and_then(|_| crate::peers::smoke()) {
        Ok(note) => Ok(Outcome::Passed(note)),
        Err(error) if context.require || context.servers.is_some() => Err(error),
        Err(error) => Ok(Outcome::Skipped(error.to_string())),
    }
}

pub(super) fn doc_tests(context: &mut Context) -> Result<Outcome> {
    let args = ["test", "--workspace", "--doc", "--locked", "--no-fail-fast"];
    Ok(Outcome::Passed(count(
        &context.run("doc-tests", cargo().args(args))?,
    )))
}

/// Adds up the lines that each test program ends with.
fn count(output: &str) -> String {
    let mut sums = [("passed", 0_u64), ("failed", 0), ("ignored", 0)];
    for line in output
        .lines()
        .filter(|line| line.starts_with("test result: "))
    {
        let words: Vec<&str> = line.split([' ', ';', '.']).collect();
        for (name, sum) in &mut sums {
            for pair in words.windows(2) {
                if let [number, word] = pair
                    && word == name
                {
                    *sum += number.parse::<u64>().unwrap_or(0);
                }
            }
        }
    }
    sums.map(|(name, sum)| format!("{sum} {name}")).join(", ")
}

pub(super) fn docs(context: &mut Context) -> Result<Outcome> {
    let mut command = cargo();
    command.args(["doc", "--workspace", "--no-deps", "--locked"]);
    context.run("docs", command.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed(String::new()))
}

/// How long each fuzz target is tried.
const SMOKE_SECONDS: &str = "10";

/// The fuzz targets' own workspace: their checks over the seeds and over changed ones, by the stable
/// compiler, since a nightly one may not be there; and the targets themselves where a C++ compiler can
/// build the fuzzer. `cargo xtask fuzz` is for more.
pub(super) fn fuzz(context: &mut Context) -> Result<Outcome> {
    let manifest = workspace::root()?.join("fuzz/Cargo.toml");
    let target = workspace::target()?;
    let run = |log: &str, args: &[&str], rest: &[&str]| {
        let mut command = cargo();
        command.args(args).arg("--manifest-path").arg(&manifest);
        // With the same profile, most dependencies are built already.
        command.args(rest).env("CARGO_TARGET_DIR", &target);
        command.env("MAILMOVE_FUZZ_SECONDS", SMOKE_SECONDS);
        context.run(log, &mut command)
    };
    run("fuzz-fmt", &["fmt"], &["--check"])?;
    let checks = ["--locked", "--no-default-features"];
    let lints = ["--all-targets", "--", "-D", "warnings"];
    run("fuzz-clippy", &["clippy"], &[&checks[..], &lints].concat())?;
    let seeds = count(&run("fuzz", &["test"], &checks)?);
    if process::find("c++").is_none() {
        let note = format!(
            "{seeds}, {SMOKE_SECONDS} s each; targets NOT CHECKED, since there is no C++ compiler"
        );
        return Ok(Outcome::Passed(note));
    }
    run("fuzz-targets", &["check"], &["--locked", "--bins"])?;
    Ok(Outcome::Passed(format!(
        "{seeds}, {SMOKE_SECONDS} s each; targets compile"
    )))
}

/// Cargo takes a package of a registry for unchanged as long as its version is: what it unpacked and
/// built of ours in an earlier run would be checked instead of what there is now.
fn forget_packages(target: &Path) -> Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    // Sources of registries without a name, as `cargo package` makes one.
    let unpacked = home
        .iter()
        .flat_map(|home| entries(&home.join("registry/src")));
    let unpacked = unpacked.filter(|dir| begins(dir, "-")).collect::<Vec<_>>();
    let built = target.join("debug/.fingerprint");
    let ours = unpacked
        .iter()
        .flat_map(|dir| entries(dir))
        .chain(entries(&built));
    for dir in ours.filter(|dir| {
        PUBLISHED
            .iter()
            .any(|name| begins(dir, &format!("{name}-")))
    }) {
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}

/// What is in a directory; nothing, if it is not there.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn begins(path: &Path, with: &str) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(with)
}

/// What would be uploaded builds from its own files.
pub(super) fn package(context: &mut Context) -> Result<Outcome> {
    let mut command = cargo();
    // Before a commit, too, one wants to know.
    command.args(["package", "--locked", "--allow-dirty"]);
    for package in PUBLISHED {
        command.args(["-p", package]);
    }
    let target = workspace::target()?.join("packages");
    forget_packages(&target)?;
    command.env("CARGO_TARGET_DIR", &target);
    context.run("package", &mut command)?;
    Ok(Outcome::Passed(PUBLISHED.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn test_results_are_added_up() {
        let output = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured\nnoise 5 passed\n\
                      test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured\n";
        assert_eq!(count(output), "13 passed, 2 failed, 3 ignored");
    }
}
