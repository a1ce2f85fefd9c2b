//! Server processes: how they are started, found again and ended.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::place::Account;
use super::tls::Pair;
use crate::{Result, process};

/// How long a server may take to greet; a loaded machine is slow, a broken one does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ports of an instance on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// Plain and STARTTLS.
    pub(crate) imap: u16,
    /// TLS from the first byte.
    pub(crate) imaps: u16,
}

/// Where an instance lives and what it is given.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) dir: PathBuf,
    pub(crate) account: &'a Account,
    pub(crate) ports: Ports,
    pub(crate) certificate: &'a Pair,
    /// Storage of users whose name starts with `quota`.
    pub(crate) quota: &'a str,
}

impl Place<'_> {
    /// What the server's processes say.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Where the main process wrote before it had a log.
    fn errors(&self) -> PathBuf {
        self.dir.join("stderr")
    }

    /// Starts a process of the instance with the rights of the servers, in a process group of its
    /// own. `mark` is one of its arguments, which no other program has.
    pub(crate) fn spawn(&self, command: &mut Command, mark: &str) -> Result<Child> {
        let errors = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.errors())?;
        command
            .stdin(Stdio::null())
            .stdout(errors.try_clone()?)
            .stderr(errors);
        if self.account.change {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        // An interrupt at the terminal is not for them, and what they start ends with them.
        let child = command.process_group(0).spawn()?;
        let mut pids = OpenOptions::new()
            .append(true)
            .create(true)
            .open(pids(&self.dir))?;
        writeln!(pids, "{} {mark}", child.id())?;
        Ok(child)
    }

    /// Waits until both ports answer, while the process runs.
    pub(crate) fn wait_for_greeting(&self, child: &mut Child) -> Result<()> {
        wait(child, self.ports.imap).map_err(|error| {
            let read = |file: &Path| std::fs::read_to_string(file).unwrap_or_default();
            let (said, log) = (read(&self.errors()), read(&self.log()));
            format!(
                "the server in {} does not start: {error}\n{said}{log}",
                self.dir.display()
            )
            .into()
        })
    }
}

fn pids(dir: &Path) -> PathBuf {
    dir.join("pids")
}

/// Ports that nobody listens on; both are held until both are known, so that they differ.
pub(crate) fn free_ports() -> Result<Ports> {
    let (first, second) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok(Ports {
        imap: first.local_addr()?.port(),
        imaps: second.local_addr()?.port(),
    })
}

fn wait(child: &mut Child, port: u16) -> Result<()> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(format!("it ended at once ({status})").into());
        }
        match greeting(port) {
            Ok(line) if line.starts_with("* OK") => return Ok(()),
            Ok(line) if start.elapsed() > PATIENCE => {
                return Err(format!("it greets with `{}`", line.trim()).into());
            }
            Err(error) if start.elapsed() > PATIENCE => return Err(error),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn greeting(port: u16) -> Result<String> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

/// Ends all processes of the instances below `run`.
pub(crate) fn end_all(run: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(run) else {
        return Ok(());
    };
    let mut groups = Vec::new();
    for entry in entries {
        groups.extend(groups_of(&entry?.path()));
    }
    end_groups(&groups, run)
}

/// Ends the processes of one instance.
pub(crate) fn end(dir: &Path) -> Result<()> {
    end_groups(&groups_of(dir), dir)
}

/// Process groups that still run: id and mark.
fn groups_of(dir: &Path) -> Vec<(String, String)> {
    let Ok(file) = File::open(pids(dir)) else {
        return Vec::new();
    };
    let lines = BufReader::new(file).lines().map_while(std::io::Result::ok);
    lines
        .filter_map(|line| {
            let (pid, mark) = line.split_once(' ')?;
            Some((pid.to_owned(), mark.to_owned()))
        })
        .filter(|(pid, mark)| process::is_running(pid, mark))
        .collect()
}

fn end_groups(groups: &[(String, String)], place: &Path) -> Result<()> {
    for (pid, _) in groups {
        process::signal_group(pid, "TERM")?;
    }
    let start = Instant::now();
    while groups
        .iter()
        .any(|(pid, mark)| process::is_running(pid, mark))
    {
        if start.elapsed() > PATIENCE {
            return Err(format!("the servers in {} do not end", place.display()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
