//! Clients of EWS that others wrote, against the test server.
//!
//! Nothing is installed: what comes from PyPI and from Debian stays below `target/oracles`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, process, servers, workspace};

/// exchangelib, which brings pyspnego.
const PYTHON: [&str; 2] = ["exchangelib==5.6.0", "pyspnego==0.12.4"];

/// Runs `cargo xtask oracles`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let (fetch_only, only) = match args {
        [] => (false, None),
        ["fetch"] => (true, None),
        ["--only", name] => (false, Some(*name)),
        _ => return Err(format!("unknown: oracles {}\n\n{}", args.join(" "), crate::HELP).into()),
    };
    let dir = workspace::target()?.join("oracles");
    std::fs::create_dir_all(&dir)?;
    let mut environment = Vec::new();
    let mut missing = Vec::new();
    for (name, variable, found) in [
        ("exchangelib", "MAILMOVE_TEST_EXCHANGELIB", python(&dir)),
        ("davmail", "MAILMOVE_TEST_DAVMAIL", davmail(&dir)),
    ] {
        match found {
            Ok(program) => environment.push((variable, program)),
            Err(error) => missing.push(format!("there is no {name}: {error}")),
        }
    }
    for (name, program) in &environment {
        println!("{name}={}", program.display());
    }
    if !missing.is_empty() {
        return Err(missing.join("\n").into());
    }
    if fetch_only {
        return Ok(());
    }
    let mut command = process::cargo();
    command.args(["test", "--locked", "-p", "mailmove-ews-testserver"]);
    if workspace::root()?.join("mailmove-ews/Cargo.toml").exists() {
        command.args(["-p", "mailmove-ews"]);
    }
    command.args(["--tests", "--"]);
    command.args([only.unwrap_or("oracle"), "--nocapture"]);
    command.envs(environment);
    command.env("MAILMOVE_REQUIRE", "exchangelib,davmail");
    match command.status()?.success() {
        true => Ok(()),
        false => Err("they do not get on with the server; see above".into()),
    }
}

/// A Python that has the packages.
fn python(dir: &Path) -> Result<PathBuf> {
    let venv = dir.join("python");
    let python = venv.join("bin/python");
    let done = venv.join("done");
    if std::fs::read_to_string(&done).is_ok_and(|have| have == PYTHON.join("\n")) {
        return Ok(python);
    }
    let base = match process::find("python3") {
        Some(found) => found,
        None => servers::program("python3", "python3")?,
    };
    println!("getting {} from PyPI", PYTHON.join(", "));
    process::capture(
        Command::new(base)
            .args(["-m", "venv", "--clear"])
            .arg(&venv),
    )
    .map_err(|error| format!("{error}\nRemedy: a Python with its module venv (python3-venv)"))?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    process::capture(pip.args(PYTHON))?;
    std::fs::write(done, PYTHON.join("\n"))?;
    Ok(python)
}

/// A script that runs DavMail with the properties that it is given.
fn davmail(dir: &Path) -> Result<PathBuf> {
    let unpacked = servers::unpack("davmail", &["davmail-server"])?;
    let java = match process::find("java") {
        Some(found) => found,
        None => find(&unpacked.join("usr/lib/jvm"), "bin/java")
            .ok_or("no Java came with davmail-server")?,
    };
    // Those of Debian's packages refer to each other as if they were installed: all of them, then.
    let root = unpacked.display();
    let jars = format!("{root}/usr/share/davmail/*:{root}/usr/share/java/*");
    // Debian's JNA looks where the library is installed, and then among the classes.
    let classes = dir.join("classes");
    let place = classes.join("com/sun/jna");
    let place = place.join(format!(
        "linux-{}",
        std::env::consts::ARCH.replace('_', "-")
    ));
    std::fs::create_dir_all(&place)?;
    let jni = find(&unpacked.join("usr/lib"), "jni/libjnidispatch.system.so");
    let jni = jni.ok_or("no libjnidispatch came with davmail-server")?;
    std::fs::copy(jni, place.join("libjnidispatch.so"))?;
    let script = dir.join("davmail");
    let text = format!(
        "#!/bin/sh\nexec '{}' -Xmx256m -cp '{jars}:{}' davmail.DavGateway -notray \"$@\"\n",
        java.display(),
        classes.display()
    );
    servers::write_script(&script, &text)?;
    Ok(script)
}

/// A file below a directory, by the end of its path.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_file() && path.ends_with(name) {
            return Some(path);
        }
        if path.is_dir()
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}
