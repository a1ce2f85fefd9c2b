//! Starting and stopping the instances, and telling tests about them.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::dovecot::{Dovecot, Instance, MASTER_PASSWORD, PASSWORD, Ports, Spec};
use super::place::Account;
use super::tls::{self, Certificates};
use super::{Tools, description};
use crate::{Result, process};

/// The instances that tests find by their names.
const INSTANCES: [Spec; 4] = [
    Spec {
        name: "a",
        format: "mdbox",
        separator: '/',
        prefix: "",
        capability: None,
    },
    Spec {
        name: "b",
        format: "maildir",
        separator: '.',
        prefix: "",
        capability: None,
    },
    // An old server: nothing beyond the base protocol is offered.
    Spec {
        name: "c",
        format: "maildir",
        separator: '/',
        prefix: "",
        capability: Some("IMAP4rev1"),
    },
    // As hosting panels configure it: all folders live below INBOX.
    Spec {
        name: "d",
        format: "maildir",
        separator: '.',
        prefix: "INBOX.",
        capability: None,
    },
];

/// Serves nothing but an expired certificate.
const EXPIRED: Spec = Spec {
    name: "expired",
    format: "maildir",
    separator: '/',
    prefix: "",
    capability: None,
};

/// How long an instance may take to greet; a loaded machine is slow, a broken one does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the instances outlive the process that starts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// They stay until `stop`.
    Detached,
    /// They end with the process that started them, however that ends.
    Guarded,
}

/// Running instances; stops them when dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    run: PathBuf,
    stop: bool,
    /// Stops them when this process is killed and drops nothing.
    guard: Option<Child>,
}

impl Servers {
    /// Starts all instances with fresh mail in `run` and writes their description there.
    pub(crate) fn start(
        tools: &Tools,
        run: &Path,
        quota: &str,
        lifetime: Lifetime,
    ) -> Result<Self> {
        stop_all(run)?;
        let account = Account::of_servers()?;
        let certificates = tls::certificates(&tools.dir.join("tls"), &account)?;
        std::fs::create_dir_all(run)?;
        // From here on, an error stops what was started before it.
        let guard = match lifetime {
            Lifetime::Guarded => Some(guard(run)?),
            Lifetime::Detached => None,
        };
        let servers = Self {
            run: run.to_path_buf(),
            stop: true,
            guard,
        };
        let starter = Starter {
            tools,
            run,
            account,
            certificates,
            quota,
        };
        let expired = starter.instance(&EXPIRED)?;
        let mut instances = Vec::new();
        for spec in &INSTANCES {
            instances.push(starter.instance(spec)?);
        }
        let instances: Vec<Value> = instances
            .iter()
            .map(|instance| starter.describe(instance, expired.ports.imaps))
            .collect();
        let text = serde_json::to_string_pretty(&json!({ "instances": instances }))?;
        std::fs::write(description(run), text)?;
        Ok(servers)
    }

    /// Lets the instances run after this process.
    pub(crate) fn leave_running(mut self) {
        self.stop = false;
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if self.stop
            && let Err(error) = end_processes(&self.run)
        {
            eprintln!("xtask: could not stop the servers: {error}");
        }
        if let Some(mut guard) = self.guard.take() {
            // Waiting closes its input, which ends it.
            let _ = guard.wait();
        }
    }
}

/// Starts a process that waits for this one's end, be it by Ctrl-C or `kill -9`.
fn guard(run: &Path) -> Result<Child> {
    // The file may have been replaced by a build since; this names the program that runs.
    let mut command = Command::new("/proc/self/exe");
    command.args(["servers", "guard"]).arg(run);
    command.process_group(0).stdin(Stdio::piped());
    Ok(command.spawn()?)
}

/// What the guard does: reads until the process that has the other end is gone, then stops.
pub(crate) fn guard_until_end_of_input(run: &Path) -> Result<()> {
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    end_processes(run)
}

struct Starter<'a> {
    tools: &'a Tools,
    run: &'a Path,
    account: Account,
    certificates: Certificates,
    quota: &'a str,
}

impl Starter<'_> {
    fn instance<'s>(&'s self, spec: &'s Spec) -> Result<Instance<'s>> {
        // A free port can be taken by somebody else before Dovecot binds it.
        for _ in 0..4 {
            let instance = Instance {
                spec,
                dir: self.run.join(spec.name),
                account: &self.account,
                ports: free_ports()?,
                certificate: match spec.name {
                    "expired" => &self.certificates.expired,
                    _ => &self.certificates.good,
                },
                quota: self.quota,
            };
            let _ = std::fs::remove_dir_all(&instance.dir);
            match self.try_start(&instance) {
                Err(error) if error.to_string().contains("Address already in use") => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(instance),
            }
        }
        Err("four times in a row the chosen ports were taken by other programs".into())
    }

    fn try_start(&self, instance: &Instance<'_>) -> Result<()> {
        let dovecot: &Dovecot = &self.tools.dovecot;
        dovecot.prepare(instance)?;
        let errors = instance.dir.join("stderr");
        let mut command = dovecot.serve(instance);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(&errors)?);
        if self.account.change {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        // An interrupt at the terminal is not for them.
        command.process_group(0);
        let mut child = command.spawn()?;
        wait_for_greeting(&mut child, instance).map_err(|error| {
            // What has not greeted may not have written its process id either.
            let _ = child.kill();
            let read = |file: &Path| std::fs::read_to_string(file).unwrap_or_default();
            let (said, log) = (read(&errors), read(&instance.log()));
            format!(
                "Dovecot `{}` does not start: {error}\n{said}{log}",
                instance.spec.name
            )
            .into()
        })
    }

    fn describe(&self, instance: &Instance<'_>, expired_tls_port: u16) -> Value {
        json!({
            "name": instance.spec.name,
            "format": instance.spec.format,
            "separator": instance.spec.separator.to_string(),
            "prefix": instance.spec.prefix,
            "host": "127.0.0.1",
            "imap_port": instance.ports.imap,
            "imaps_port": instance.ports.imaps,
            "expired_tls_port": expired_tls_port,
            "ca_pem": self.certificates.ca,
            "password": PASSWORD,
            "master_password": MASTER_PASSWORD,
            "quota": self.quota,
            "doveadm": [instance.doveadm()],
            "env": {},
            "log": instance.log(),
            "version": self.tools.dovecot.version,
        })
    }
}

/// Ports that nobody listens on; both are held until both are known, so that they differ.
fn free_ports() -> Result<Ports> {
    let (first, second) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok(Ports {
        imap: first.local_addr()?.port(),
        imaps: second.local_addr()?.port(),
    })
}

fn wait_for_greeting(child: &mut Child, instance: &Instance<'_>) -> Result<()> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(format!("it ended at once ({status})").into());
        }
        match greeting(instance.ports.imap) {
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

/// Stops all instances of `run` and removes their mail.
pub(crate) fn stop_all(run: &Path) -> Result<()> {
    end_processes(run)?;
    match std::fs::remove_dir_all(run) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn end_processes(run: &Path) -> Result<()> {
    let mut masters = Vec::new();
    for spec in INSTANCES.iter().chain([&EXPIRED]) {
        let dir = run.join(spec.name);
        let conf = dir.join("dovecot.conf").to_string_lossy().into_owned();
        let Ok(pid) = std::fs::read_to_string(dir.join("base/master.pid")) else {
            continue;
        };
        let pid = pid.trim().to_owned();
        if process::is_running(&pid, &conf) {
            process::signal(&pid, "TERM")?;
            masters.push((pid, conf));
        }
    }
    let start = Instant::now();
    while masters
        .iter()
        .any(|(pid, conf)| process::is_running(pid, conf))
    {
        if start.elapsed() > PATIENCE {
            return Err(format!("the servers in {} do not end", run.display()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The variables that tests read, for the instances that run in `run`.
pub(crate) fn environment(dir: &Path, run: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let file = description(run);
    if !file.exists() {
        return Err("no servers run; start them with `cargo xtask servers start`".into());
    }
    Ok(vec![
        ("MAILMOVE_TEST_DOVECOT", file),
        ("MAILMOVE_TEST_MBSYNC", dir.join("bin/mbsync")),
        ("MAILMOVE_TEST_PYTHON", dir.join("bin/python3")),
    ])
}
