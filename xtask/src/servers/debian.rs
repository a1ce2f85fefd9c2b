//! Programs from Debian's archive, unpacked instead of installed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, process};

/// The file in such a directory that names the packages.
const CONTENTS: &str = "packages";

/// A directory into which packages were unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    pub(crate) root: PathBuf,
}

impl Unpacked {
    /// A file or directory of the packages, given as if they were installed.
    pub(crate) fn path(&self, installed: &str) -> PathBuf {
        self.root.join(installed.trim_start_matches('/'))
    }

    /// The version of one of the packages.
    pub(crate) fn version(&self, package: &str) -> Result<String> {
        let names = std::fs::read_to_string(self.root.join(CONTENTS))?;
        names
            .lines()
            .filter_map(|name| name.split_once('_'))
            .find(|(name, _)| *name == package)
            .and_then(|(_, rest)| rest.split('_').next())
            .map(|version| version.replace("%3a", ":"))
            .ok_or_else(|| format!("{package} was not unpacked").into())
    }

    /// The directories of unpacked libraries.
    pub(crate) fn library_dirs(&self) -> Result<Vec<PathBuf>> {
        let mut dirs = Vec::new();
        for lib in ["usr/lib", "lib"] {
            let Ok(entries) = std::fs::read_dir(self.root.join(lib)) else {
                continue;
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_name().to_string_lossy().contains("-linux-gnu") {
                    dirs.push(entry.path());
                }
            }
        }
        dirs.sort();
        Ok(dirs)
    }
}

/// Unpacks `packages` with the libraries that this machine lacks into `dir/packages/<name>`, or
/// returns what an earlier call unpacked there.
pub(crate) fn unpack(dir: &Path, name: &str, packages: &[&str]) -> Result<Unpacked> {
    let root = dir.join("packages").join(name);
    let unpacked = Unpacked { root: root.clone() };
    if root.exists() {
        return Ok(unpacked);
    }
    for program in ["apt-get", "apt-cache", "dpkg-deb", "dpkg-query"] {
        if process::find(program).is_none() {
            return Err(format!(
                "cannot get {name}: this machine has no `{program}`. The servers are taken from \
                 Debian's packages; on another system install {name} (Dovecot: 2.3 or 2.4; Cyrus and Courier \
                 cannot be had there) so that it is on PATH, or run `cargo xtask test --quick`, which needs no servers"
            )
            .into());
        }
    }
    println!("getting {name} from Debian's archive");
    let work = dir.join("packages").join(format!("{name}.new"));
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    let debs = download(dir, packages, &work).map_err(|error| {
        format!(
            "cannot get {name} from Debian's archive: {error}\n\
             Remedy: check that the network and `apt-get download {}` work, or install it \
             system-wide, or run `cargo xtask test --quick`, which needs no servers",
            packages.join(" ")
        )
    })?;
    let tree = work.join("tree");
    let mut names = String::new();
    for deb in debs {
        process::capture(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&tree))?;
        names += &format!("{}\n", deb.file_name().unwrap_or_default().display());
    }
    std::fs::write(tree.join(CONTENTS), names)?;
    std::fs::set_permissions(&tree, Permissions::from_mode(0o755))?;
    // The name appears only when everything is there.
    std::fs::rename(&tree, &root)?;
    std::fs::remove_dir_all(&work)?;
    Ok(unpacked)
}

/// Downloads with the machine's package lists; where those are absent or name versions that the
/// archive no longer has, with lists of our own.
fn download(dir: &Path, packages: &[&str], to: &Path) -> Result<Vec<PathBuf>> {
    let first = match download_with(&[], packages, to) {
        Ok(debs) => return Ok(debs),
        Err(error) => error,
    };
    let own = own_lists(dir)?;
    println!("  the machine's package lists did not do; getting fresh ones");
    process::capture(apt("apt-get", &own).arg("update"))
        .and_then(|_| download_with(&own, packages, to))
        .map_err(|second| format!("{first}\nand with fresh package lists: {second}").into())
}

/// Options that keep apt's lists and cache in our directory, which any user may write to.
fn own_lists(dir: &Path) -> Result<Vec<OsString>> {
    let state = dir.join("apt");
    std::fs::create_dir_all(state.join("state/lists/partial"))?;
    std::fs::create_dir_all(state.join("cache/archives/partial"))?;
    let option = |name: &str, value: &Path| {
        let mut word = OsString::from(format!("{name}="));
        word.push(value);
        [OsString::from("-o"), word]
    };
    Ok([
        option("Dir::State", &state.join("state")),
        option("Dir::State::lists", &state.join("state/lists")),
        option("Dir::State::status", Path::new("/var/lib/dpkg/status")),
        option("Dir::Cache", &state.join("cache")),
    ]
    .concat())
}

fn apt(program: &str, options: &[OsString]) -> Command {
    let mut command = Command::new(program);
    // Root's download would otherwise be done by a user who cannot write into our directory.
    command
        .args(options)
        .args(["-q", "-o", "APT::Sandbox::User=root"])
        .env("LC_ALL", "C");
    command
}

fn download_with(options: &[OsString], packages: &[&str], to: &Path) -> Result<Vec<PathBuf>> {
    let wanted = closure(options, packages)?;
    println!(
        "  {}",
        wanted
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    );
    process::capture(
        apt("apt-get", options)
            .arg("download")
            .args(&wanted)
            .current_dir(to),
    )?;
    let mut debs = Vec::new();
    for entry in std::fs::read_dir(to)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "deb") {
            debs.push(path);
        }
    }
    debs.sort();
    Ok(debs)
}

/// How the names of packages begin that hold what a program needs when it runs.
const RUN_TIME: [&str; 7] = [
    "lib", "dovecot-", "cyrus-", "courier-", "gamin", "python3", "node",
];

/// The packages themselves and what they need of libraries that are not installed. Other
/// dependencies (users, init scripts, debconf) serve the installing, not the running.
fn closure(options: &[OsString], packages: &[&str]) -> Result<BTreeSet<String>> {
    let said = process::capture(
        apt("apt-cache", options)
            .args([
                "depends",
                "--recurse",
                "--no-recommends",
                "--no-suggests",
                "--no-conflicts",
            ])
            .args(["--no-breaks", "--no-replaces", "--no-enhances"])
            .args(packages),
    )?;
    let graph = parse_depends(&said);
    let installed = installed()?;
    let mut wanted = BTreeSet::new();
    let mut open: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
    while let Some(name) = open.pop() {
        let Some(needs) = graph.get(&name) else {
            return Err(format!("the package lists do not know {name}").into());
        };
        if !wanted.insert(name) {
            continue;
        }
        let runtime = |name: &&String| {
            RUN_TIME.iter().any(|start| name.starts_with(start))
                // The loader and its C library must be the machine's own.
                && *name != "libc6"
                && !installed.contains(*name)
                && graph.contains_key(*name)
        };
        open.extend(needs.iter().filter(runtime).cloned());
    }
    Ok(wanted)
}

/// Reads `apt-cache depends`: package names at the margin, what they need indented below, with
/// `|` before all but the last of alternatives, of which the first is taken. Below a `<virtual>` one
/// stand those that provide it; the first is taken for modules of node, which are packed several in one.
fn parse_depends(said: &str) -> BTreeMap<String, Vec<String>> {
    let mut graph: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut package = String::new();
    let mut alternatives = false;
    let mut provided = false;
    for line in said.lines() {
        if !line.starts_with(' ') {
            package = line.trim().to_owned();
            alternatives = false;
            graph.entry(package.clone()).or_default();
            continue;
        }
        let Some((kind, name)) = line.split_once("Depends: ") else {
            if std::mem::take(&mut provided) {
                let needs = graph.entry(package.clone()).or_default();
                needs.push(line.trim().to_owned());
            }
            continue;
        };
        let taken = alternatives;
        alternatives = kind.trim_start().starts_with('|');
        provided = !taken && name.starts_with("<node-");
        if !taken && !name.starts_with('<') {
            graph
                .entry(package.clone())
                .or_default()
                .push(name.trim().to_owned());
        }
    }
    graph
}

fn installed() -> Result<BTreeSet<String>> {
    let format = "${Package} ${db:Status-Status}\n";
    let said = process::capture(Command::new("dpkg-query").args(["-W", "-f", format]))?;
    Ok(said
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .map(str::to_owned)
        .collect())
}

/// Puts a program into `bin`: a link to the machine's own, or a script that runs an unpacked one
/// with its libraries, so that tests need to know one path only.
pub(crate) fn client(dir: &Path, bin: &Path, program: &str, package: &str) -> Result<()> {
    let script = bin.join(program);
    if let Some(found) = process::find(program) {
        let text = format!("#!/bin/sh\nexec '{}' \"$@\"\n", found.display());
        return write_script(&script, &text);
    }
    let unpacked = unpack(dir, package, &[package])?;
    let libraries = join(&unpacked.library_dirs()?)?;
    let path = |installed: &str| unpacked.path(installed).display().to_string();
    let mut more = String::new();
    let mut run = format!("'{}'", path(&format!("/usr/bin/{program}")));
    match program {
        "python3" => more = format!("export PYTHONHOME='{}'\n", path("/usr")),
        "valgrind" => {
            more = format!("export VALGRIND_LIB='{}'\n", path("/usr/libexec/valgrind"));
        }
        "npm" => {
            // A script of node's, which looks for modules where they are installed.
            let (share, lib) = (path("/usr/share/nodejs"), path("/usr/lib/nodejs"));
            more = format!(
                "export NODE_PATH='{share}:{lib}'\ncd '{}'\n",
                path("/usr/share")
            );
            let node = match process::find("node") {
                Some(own) => own.display().to_string(),
                None => {
                    stay_below(&unpacked.library_dirs()?)?;
                    path("/usr/bin/node")
                }
            };
            run = format!("'{node}' '{share}/npm/bin/npm-cli.js'");
        }
        _ => {}
    }
    let text =
        format!("#!/bin/sh\nexport LD_LIBRARY_PATH='{libraries}'\n{more}exec {run} \"$@\"\n");
    write_script(&script, &text)?;
    process::capture(Command::new(&script).arg("--version"))
        .map_err(|error| format!("{package} was unpacked but does not run here: {error}"))?;
    Ok(())
}

/// Debian's node reads some of its own modules from a compiled-in directory: gives it one of the same
/// length, below the directory that it is started in.
fn stay_below(libraries: &[PathBuf]) -> Result<()> {
    const COMPILED_IN: (&[u8; 18], &[u8; 18]) = (b"/usr/share/nodejs/", b".//////////nodejs/");
    let (from, to) = COMPILED_IN;
    for dir in libraries {
        for entry in std::fs::read_dir(dir)? {
            let file = entry?;
            if !file.file_name().to_string_lossy().starts_with("libnode.so") {
                continue;
            }
            let mut bytes = std::fs::read(file.path())?;
            let mut at = 0;
            while let Some(found) = bytes.get(at..).and_then(|rest| {
                let mut windows = rest.windows(from.len());
                windows.position(|window| window == from)
            }) {
                at += found;
                bytes[at..at + to.len()].copy_from_slice(to);
            }
            std::fs::write(file.path(), bytes)?;
        }
    }
    Ok(())
}

/// A search path as text; our directories are the user's choice, so say which one is at fault.
pub(crate) fn join(dirs: &[PathBuf]) -> Result<String> {
    let path = std::env::join_paths(dirs)?;
    path.into_string()
        .map_err(|path| format!("not UTF-8: {}", path.display()).into())
}

/// Writes an executable script.
pub(crate) fn write_script(script: &Path, text: &str) -> Result<()> {
    std::fs::write(script, text)?;
    std::fs::set_permissions(script, Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse_depends;

    #[test]
    fn the_first_of_alternatives_is_taken() {
        let said = "dovecot-core\n  PreDepends: init-system-helpers\n |Depends: libsystemd0\n  \
                    Depends: libelogind0\n  Depends: libsodium23\n  Depends: <debconf-2.0>\n    \
                    cdebconf\nlibsodium23\n  Depends: libc6\n\
                    npm\n  Depends: <node-color-support>\n    node-fancy-log\n    node-other\n";
        let graph = parse_depends(said);
        assert_eq!(
            graph["dovecot-core"],
            ["init-system-helpers", "libsystemd0", "libsodium23"]
        );
        assert_eq!(graph["libsodium23"], ["libc6"]);
        assert_eq!(graph["npm"], ["node-fancy-log"]);
    }
}
