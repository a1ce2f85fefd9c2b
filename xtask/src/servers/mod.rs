//! Real servers and independent clients for the tests, unpacked under `target/` and run from there.
//!
//! Nothing is installed: Debian's packages are unpacked, not configured, and everything runs with
//! the rights of the user who asked. What was started is published in a JSON file whose path is
//! in `MAILMOVE_TEST_DOVECOT`; see [`instances`].

mod config;
mod courier;
mod cyrus;
mod daemon;
mod debian;
mod dovecot;
mod instances;
mod place;
mod tls;

pub(crate) use debian::write_script;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::Result;
pub(crate) use instances::{Lifetime, Servers, environment};

/// Storage of users whose name starts with `quota`, unless asked otherwise.
pub(crate) const QUOTA: &str = "1M";

/// Runs `cargo xtask servers …`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    match args {
        ["fetch"] => {
            let tools = fetch()?;
            println!(
                "{} and clients are in {}",
                tools.versions(),
                tools.dir.display()
            );
            Ok(())
        }
        ["start", rest @ ..] => start(rest),
        ["env"] => {
            let dir = place::servers_dir()?;
            for (name, value) in environment(&dir, &dir.join("run"))? {
                println!("export {name}='{}'", value.display());
            }
            Ok(())
        }
        ["guard", run] => instances::guard_until_end_of_input(Path::new(run)),
        ["courier-auth", dir, quota] => courier::authenticate(Path::new(dir), quota),
        ["stop"] => instances::stop_all(&place::servers_dir()?.join("run")),
        _ => Err(format!("unknown: servers {}\n\n{}", args.join(" "), crate::HELP).into()),
    }
}

fn start(args: &[&str]) -> Result<()> {
    let quota = match args {
        [] => QUOTA,
        ["--quota", size] => size,
        _ => return Err(format!("unknown: servers start {}", args.join(" ")).into()),
    };
    let tools = fetch()?;
    let run = tools.dir.join("run");
    Servers::start(&tools, &run, quota, Lifetime::Detached)?.leave_running();
    println!(
        "{} run; they stay until `cargo xtask servers stop`.",
        tools.versions()
    );
    for (name, reason) in tools.absent() {
        println!("There is no {name}: {reason}");
    }
    println!("For the tests: eval \"$(cargo xtask servers env)\"");
    Ok(())
}

/// What was unpacked or found.
#[derive(Debug)]
pub(crate) struct Tools {
    /// The directory that holds everything of the servers.
    pub(crate) dir: PathBuf,
    pub(crate) dovecot: dovecot::Dovecot,
    cyrus: Result<cyrus::Cyrus, String>,
    courier: Result<courier::Courier, String>,
}

impl Tools {
    /// What could not be had: name and reason.
    pub(crate) fn absent(&self) -> BTreeMap<&'static str, &str> {
        let cyrus = self.cyrus.as_ref().err().map(|why| ("cyrus", why.as_str()));
        let courier = self.courier.as_ref().err();
        let courier = courier.map(|why| ("courier", why.as_str()));
        let shared = (!self.dovecot.is_v23()).then_some(("shared", dovecot::NO_SHARED));
        let all = cyrus.into_iter().chain(courier).chain(shared);
        all.collect()
    }

    /// Names and versions of the servers that there are.
    pub(crate) fn versions(&self) -> String {
        let mut all = vec![format!("Dovecot {}", self.dovecot.version)];
        all.extend(
            self.cyrus
                .as_ref()
                .map(|one| format!("Cyrus {}", one.version)),
        );
        all.extend(
            self.courier
                .as_ref()
                .map(|one| format!("Courier {}", one.version)),
        );
        all.join(", ")
    }
}

/// Makes the programs available; does nothing but look when they already are.
pub(crate) fn fetch() -> Result<Tools> {
    let dir = place::servers_dir()?;
    let lock = File::create(dir.join("lock"))?;
    // Two test runs on one checkout would otherwise unpack over each other.
    lock.lock()?;
    let dovecot = dovecot::Dovecot::obtain(&dir)?;
    let cyrus = cyrus::Cyrus::obtain(&dir).map_err(|error| error.to_string());
    let courier = courier::Courier::obtain(&dir).map_err(|error| error.to_string());
    let bin = dir.join("bin");
    std::fs::create_dir_all(&bin)?;
    debian::client(&dir, &bin, "mbsync", "isync")?;
    debian::client(&dir, &bin, "python3", "python3")?;
    Ok(Tools {
        dir,
        dovecot,
        cyrus,
        courier,
    })
}

/// Debian's npm, unpacked, for a machine that has none.
pub(crate) fn npm() -> Result<PathBuf> {
    client("npm")
}

/// A program of the Debian package of the same name: the machine's own, or unpacked.
pub(crate) fn client(name: &str) -> Result<PathBuf> {
    program(name, name)
}

/// A program out of this package of Debian's, unpacked, for a machine that has none.
pub(crate) fn program(program: &str, package: &str) -> Result<PathBuf> {
    let dir = place::servers_dir()?;
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    let bin = dir.join("bin");
    std::fs::create_dir_all(&bin)?;
    debian::client(&dir, &bin, program, package)?;
    Ok(bin.join(program))
}

/// The directory into which packages of Debian's were unpacked, with what they need.
pub(crate) fn unpack(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let dir = place::servers_dir()?;
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    Ok(debian::unpack(&dir, name, packages)?.root)
}

/// The file that tells tests what runs.
pub(crate) fn description(run: &Path) -> PathBuf {
    run.join("servers.json")
}
