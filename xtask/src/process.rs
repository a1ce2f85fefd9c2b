//! Running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// Runs `command` to its end and returns what it wrote to standard output; an error says what it
/// wrote to standard error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "`{}` failed ({}):\n{}",
        line(command),
        output.status,
        said.trim_end()
    )
    .into())
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Finds a program as the shell would, and also where only root's PATH looks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether a process with this id exists and was started with `mark` among its arguments, so that
/// an id that was given to another program since is not taken for ours.
pub(crate) fn is_running(pid: &str, mark: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|words| words.split(|b| *b == 0).any(|word| word == mark.as_bytes()))
}

/// Sends a signal to a process group by the shell's own `kill`, which is there when the program is
/// not.
pub(crate) fn signal_group(leader: &str, name: &str) -> Result<()> {
    let script = "kill -\"$1\" \"-$2\"";
    capture(Command::new("sh").args(["-c", script, "sh", name, leader])).map(|_| ())
}

/// A cargo that sees the environment as if it had been called from the shell.
///
/// `cargo run` tells xtask its own package's name and version; build scripts that watch those
/// variables would run again, and everything above them be compiled again.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    as_from_the_shell(&mut command);
    command
}

/// Takes out of the environment what `cargo run` put there.
pub(crate) fn as_from_the_shell(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let told = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ];
        if told.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command.env_remove("CARGO").env_remove("LD_LIBRARY_PATH");
}
