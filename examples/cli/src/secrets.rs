//! Passwords: from a file, the environment, or a prompt. Never from the command line.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _},
    path::Path,
};

use mailmove_core::{Error, ErrorKind, Result, edge::Secret};

use crate::output;

/// One of the two mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `--from`.
    Source,
    /// `--to`.
    Destination,
}

impl Side {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }

    /// The option that gives its URL.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::Source => "--from",
            Self::Destination => "--to",
        }
    }

    /// The variable that its password may be in.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Source => "MAILMOVE_FROM_PASSWORD",
            Self::Destination => "MAILMOVE_TO_PASSWORD",
        }
    }
}

/// Where passwords may come from, in this order: file, variable, prompt.
pub(crate) struct Wallet<'a> {
    /// Reads an environment variable.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Asks the user; `None` if there is no terminal to ask on.
    pub(crate) prompt: &'a dyn Fn(&str) -> Option<io::Result<String>>,
}

impl Wallet<'static> {
    /// The process's own environment and terminal.
    pub(crate) fn of_process() -> Self {
        Self {
            variable: &|name| std::env::var_os(name),
            prompt: &|text| {
                // Without a terminal as input, as under cron, nobody would answer.
                io::stdin()
                    .is_terminal()
                    .then(|| rpassword::prompt_password(text))
            },
        }
    }
}

impl Wallet<'_> {
    /// The password of `user`. `whole`: all of the file counts, not its first line alone.
    pub(crate) fn password(
        &self,
        side: Side,
        user: &str,
        file: Option<&Path>,
        whole: bool,
    ) -> Result<Secret> {
        let (secret, origin) = if let Some(path) = file {
            (read_file(side, path, whole)?, "the password file")
        } else if let Some(value) = (self.variable)(side.variable()) {
            let text = value
                .into_string()
                .map_err(|_| problem(side, "the password is not UTF-8"))?;
            (Secret::new(text), side.variable())
        } else {
            (self.ask(side, user)?, "the prompt")
        };
        if secret.expose().is_empty() {
            return Err(problem(side, "the password is empty").with_context("from", origin));
        }
        Ok(secret)
    }

    fn ask(&self, side: Side, user: &str) -> Result<Secret> {
        let text = format!("Password of {} ({}): ", output::clean(user), side.name());
        match (self.prompt)(&text) {
            Some(Ok(password)) => Ok(Secret::new(password)),
            Some(Err(error)) => {
                Err(problem(side, "the password could not be read").with_source(error))
            }
            None => Err(problem(side, "no password, and no terminal to ask for it")),
        }
    }
}

fn problem(side: Side, message: &'static str) -> Error {
    let (variable, option) = (side.variable(), side.option());
    Error::new(ErrorKind::Config, message)
        .with_code("config/password")
        .with_context("side", side.name())
        .with_remedy(format!(
            "Set {variable}, or give {option}-password-file FILE."
        ))
}

/// The first line of a file, or all of it.
fn read_file(side: Side, path: &Path, whole: bool) -> Result<Secret> {
    let failed = |error: io::Error| {
        problem(side, "cannot read the password file")
            .with_context("file", path.display().to_string())
            .with_source(error)
    };
    let file = File::open(path).map_err(failed)?;
    warn_if_shared(path, &file);
    let mut line = zeroize::Zeroizing::new(String::new());
    // Bounded: a wrong file may be large, and /dev/zero has no end.
    let mut file = BufReader::new(file.take(64 << 10));
    match whole {
        true => file.read_to_string(&mut line).map_err(failed)?,
        false => file.read_line(&mut line).map_err(failed)?,
    };
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

#[cfg(unix)]
fn warn_if_shared(path: &Path, file: &File) {
    use std::os::unix::fs::MetadataExt as _;
    let shared = file
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.mode() & 0o077 != 0);
    if shared {
        output::notice(&format!(
            "warning: other users may read {}; protect it with chmod 600",
            output::clean(&path.display().to_string())
        ));
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_path: &Path, _file: &File) {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn wallet<'a>(
        variable: &'a dyn Fn(&str) -> Option<OsString>,
        prompt: &'a dyn Fn(&str) -> Option<io::Result<String>>,
    ) -> Wallet<'a> {
        Wallet { variable, prompt }
    }

    #[test]
    fn file_before_variable_before_prompt() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"from file \r\nsecond line\n").unwrap();
        let set = |name: &str| (name == "MAILMOVE_TO_PASSWORD").then(|| "from variable".into());
        let prompt = |_: &str| Some(Ok("from prompt".to_owned()));
        let all = wallet(&set, &prompt);
        let get = |side, file| {
            all.password(side, "ann", file, false)
                .unwrap()
                .expose()
                .to_owned()
        };
        // A blank at the end may belong to the password; the line's end does not.
        assert_eq!(get(Side::Destination, Some(file.path())), "from file ");
        assert_eq!(get(Side::Destination, None), "from variable");
        assert_eq!(get(Side::Source, None), "from prompt");
        // A certificate and its key have many lines.
        let whole = all.password(Side::Source, "ann", Some(file.path()), true);
        assert_eq!(whole.unwrap().expose(), "from file \r\nsecond line");
    }

    #[test]
    fn says_how_to_give_one() {
        let nothing = |_: &str| None;
        let nobody = |_: &str| None;
        let none = wallet(&nothing, &nobody);
        let error = none.password(Side::Source, "ann", None, false).unwrap_err();
        assert_eq!(error.code(), "config/password");
        assert!(error.remedy().unwrap().contains("MAILMOVE_FROM_PASSWORD"));
        let missing = Path::new("no such file");
        assert!(
            none.password(Side::Source, "ann", Some(missing), false)
                .is_err()
        );
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert!(
            none.password(Side::Source, "ann", Some(empty.path()), false)
                .is_err()
        );
    }
}
