//! Clients of EWS and of Graph that others wrote, against the test servers.
//!
//! Nothing is installed: what comes from PyPI, npm, crates.io and Debian stays below `target/oracles`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, corpora, process, servers, workspace};

/// exchangelib, which brings pyspnego.
const EWS: [&str; 2] = ["exchangelib==5.6.0", "pyspnego==0.12.4"];

/// Microsoft's and another client of Graph. The first brings msal, and half a gigabyte.
const GRAPH: [&str; 2] = ["msgraph-sdk==1.65.0", "O365==2.1.10"];

/// Runs `cargo xtask oracles`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let (mut fetch_only, mut only, mut debian) = (false, None, false);
    match args {
        [] => {}
        ["fetch"] => fetch_only = true,
        ["--debian"] => debian = true,
        ["--only", name] => only = Some(*name),
        _ => return Err(format!("unknown: oracles {}\n\n{}", args.join(" "), crate::HELP).into()),
    };
    let dir = workspace::target()?.join("oracles");
    std::fs::create_dir_all(&dir)?;
    let mut environment = Vec::new();
    let mut missing = Vec::new();
    for (name, variable, found) in [
        (
            "exchangelib",
            "MAILMOVE_TEST_EXCHANGELIB",
            python(&dir, "exchangelib", &EWS, debian),
        ),
        ("davmail", "MAILMOVE_TEST_DAVMAIL", davmail(&dir, debian)),
        (
            "msgraph",
            "MAILMOVE_TEST_MSGRAPH",
            python(&dir, "graph", &GRAPH, debian),
        ),
        ("graph-js", "MAILMOVE_TEST_GRAPH_JS", javascript(&dir)),
        ("io-msgraph", "MAILMOVE_TEST_IO_MSGRAPH", io_msgraph(&dir)),
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
    command.args(["test", "--locked", "--no-fail-fast"]);
    for name in ["ews/testserver", "ews", "graph/testserver", "graph"] {
        let directory = format!("mailmove-{name}");
        if workspace::root()?
            .join(&directory)
            .join("Cargo.toml")
            .exists()
        {
            command.args(["-p", &directory.replace('/', "-")]);
        }
    }
    command.args(["--tests", "--"]);
    command.args([only.unwrap_or("oracle"), "--nocapture"]);
    command.envs(environment);
    command.env(
        "MAILMOVE_REQUIRE",
        "exchangelib,davmail,msgraph,graph-js,io-msgraph",
    );
    match command.status()?.success() {
        true => Ok(()),
        false => Err("they do not get on with the servers; see above".into()),
    }
}

/// A Python that has the packages: in an environment of its own, or, where Python came without the
/// means for that, by Debian's pip.
pub(crate) fn python(dir: &Path, name: &str, packages: &[&str], debian: bool) -> Result<PathBuf> {
    let base = match process::find("python3") {
        Some(found) => found,
        None => servers::program("python3", "python3")?,
    };
    let first = match debian {
        true => Err("Debian's pip is asked for".into()),
        false => environment(&dir.join(format!("python-{name}")), &base, packages),
    };
    let second = dir.join(format!("site-{name}"));
    first.or_else(|first: Box<dyn std::error::Error>| {
        with_debian_pip(&second, &base, packages)
            .map_err(|second| format!("{first}\nand then: {second}").into())
    })
}

fn environment(venv: &Path, base: &Path, packages: &[&str]) -> Result<PathBuf> {
    let python = venv.join("bin/python");
    let done = venv.join("done");
    if std::fs::read_to_string(&done).is_ok_and(|have| have == packages.join("\n")) {
        return Ok(python);
    }
    println!("getting {} from PyPI", packages.join(", "));
    let mut make = Command::new(base);
    process::capture(make.args(["-m", "venv", "--clear"]).arg(venv))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet"]);
    process::capture(pip.arg("--disable-pip-version-check").args(packages))?;
    std::fs::write(done, packages.join("\n"))?;
    Ok(python)
}

/// The packages in a directory of their own, and a script that knows it.
fn with_debian_pip(site: &Path, base: &Path, packages: &[&str]) -> Result<PathBuf> {
    let script = site.with_extension("sh");
    let done = site.join("done");
    if std::fs::read_to_string(&done).is_ok_and(|have| have == packages.join("\n")) {
        return Ok(script);
    }
    let unpacked = servers::unpack("pip", &["python3-pip-whl"])?;
    let wheels = std::fs::read_dir(unpacked.join("usr/share/python-wheels"))?;
    let pip = wheels
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("pip-")
        })
        .ok_or("no pip in Debian's package")?;
    println!("getting {} from PyPI, by Debian's pip", packages.join(", "));
    let _ = std::fs::remove_dir_all(site);
    // A wheel of Python alone runs as it is.
    let mut install = Command::new(base);
    install.arg(pip.join("pip")).args(["install", "--quiet"]);
    install.args(["--disable-pip-version-check", "--target"]);
    process::capture(install.arg(site).args(packages))?;
    let text = format!(
        "#!/bin/sh\nPYTHONPATH='{}' exec '{}' \"$@\"\n",
        site.display(),
        base.display()
    );
    servers::write_script(&script, &text)?;
    std::fs::write(done, packages.join("\n"))?;
    Ok(script)
}

/// A directory with Microsoft's client for JavaScript, as the lock beside the test says.
fn javascript(dir: &Path) -> Result<PathBuf> {
    let npm = corpora::npm()?;
    if process::find("node").is_none() {
        return Err("there is no node in the path".into());
    }
    let place = dir.join("javascript");
    std::fs::create_dir_all(&place)?;
    let lock = workspace::root()?.join("mailmove-graph/testserver/tests/javascript");
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(lock.join(file), place.join(file))?;
    }
    let mut install = Command::new(npm);
    install.args([
        "ci",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
    ]);
    process::capture(install.current_dir(&place))?;
    Ok(place)
}

/// A program made of io-msgraph, which keeps its own lock file.
fn io_msgraph(dir: &Path) -> Result<PathBuf> {
    let manifest = workspace::root()?.join("mailmove-graph/testserver/oracle/Cargo.toml");
    let target = dir.join("io-msgraph");
    let mut build = process::cargo();
    build.args(["build", "--quiet", "--locked", "--manifest-path"]);
    build.arg(manifest).env("CARGO_TARGET_DIR", &target);
    process::capture(&mut build)?;
    Ok(target.join("debug/mailmove-graph-oracle"))
}

/// A script that runs DavMail with the properties that it is given.
fn davmail(dir: &Path, debian: bool) -> Result<PathBuf> {
    let unpacked = servers::unpack("davmail", &["davmail-server"])?;
    let java = match process::find("java").filter(|_| !debian) {
        Some(found) => found,
        None => debian_java()?,
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

/// Debian's Java, unpacked; its settings are found where they are unpacked, too.
fn debian_java() -> Result<PathBuf> {
    // Of Debian 12 and of Debian 13.
    let older = servers::unpack("java-17", &["openjdk-17-jre-headless"]);
    let root = older.or_else(|_| servers::unpack("java-21", &["openjdk-21-jre-headless"]))?;
    relink(&root.join("usr/lib/jvm"), &root)?;
    let java = find(&root.join("usr/lib/jvm"), "bin/java").ok_or("no Java in Debian's package")?;
    process::capture(Command::new(&java).arg("-version"))
        .map_err(|error| format!("Debian's Java was unpacked but does not run here: {error}"))?;
    Ok(java)
}

/// Leads links to what is installed to what is unpacked.
fn relink(dir: &Path, root: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_symlink() {
            let target = std::fs::read_link(&path)?;
            let inside = target.strip_prefix("/").map(|rest| root.join(rest));
            if let Ok(inside) = inside
                && !target.starts_with(root)
            {
                std::fs::remove_file(&path)?;
                std::os::unix::fs::symlink(inside, &path)?;
            }
        } else if path.is_dir() {
            relink(&path, root)?;
        }
    }
    Ok(())
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
