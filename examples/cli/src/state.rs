//! Where the ledger is kept.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use mailmove_core::{
    Error, ErrorKind, Result,
    model::{ContentDigest, Endpoint},
};

/// The default directory of a job, named after both mailboxes, so that the same command finds its
/// ledger again: below `XDG_STATE_HOME`, or `~/.local/state`.
pub(crate) fn default_directory(
    variable: &dyn Fn(&str) -> Option<OsString>,
    from: &Endpoint,
    to: &Endpoint,
) -> Result<PathBuf> {
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let root = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")))
        .or_else(|| absolute("LOCALAPPDATA"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                "there is no home directory to keep the ledger in",
            )
            .with_code("config/state")
            .with_remedy("Give a directory with --state.")
        })?;
    Ok(root.join("mailmove").join(name(from, to)))
}

/// Readable, and unique by a digest of what the readable part leaves out.
fn name(from: &Endpoint, to: &Endpoint) -> String {
    let digest = ContentDigest::of(format!("{from}\n{to}").as_bytes()).to_string();
    let side = |endpoint: &Endpoint| {
        let keep = |c: char| {
            if c.is_ascii_alphanumeric() || "@.-_".contains(c) {
                c
            } else {
                '_'
            }
        };
        let text: String = format!("{}@{}", endpoint.user, endpoint.host)
            .chars()
            .map(keep)
            .collect();
        text.trim_start_matches('.')
            .chars()
            .take(60)
            .collect::<String>()
    };
    let short: String = digest.chars().take(16).collect();
    format!("{}--{}--{short}", side(from), side(to))
}

/// Makes the directory, for this user alone.
pub(crate) fn create(directory: &Path) -> Result<()> {
    let made = {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)
    };
    made.map_err(|error| {
        Error::new(ErrorKind::Io, "cannot make the state directory")
            .with_code("config/state")
            .with_context("directory", directory.display().to_string())
            .with_remedy("Give a writable directory with --state.")
            .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(user: &str, host: &str) -> Endpoint {
        Endpoint::new("imap", host, Some(993), user)
    }

    #[test]
    fn the_same_mailboxes_find_the_same_directory_and_others_do_not() {
        let home = |name: &str| (name == "HOME").then(|| "/home/ann".into());
        let get = |from: &Endpoint, to: &Endpoint| default_directory(&home, from, to).unwrap();
        let (a, b) = (
            endpoint("ann@example.com", "old.example"),
            endpoint("ann", "new.example"),
        );
        assert_eq!(get(&a, &b), get(&a.clone(), &b.clone()));
        assert_ne!(get(&a, &b), get(&b, &a));
        assert_ne!(
            get(&endpoint("a/b", "h"), &b),
            get(&endpoint("a_b", "h"), &b)
        );
        let path = get(&a, &b);
        assert!(
            path.starts_with("/home/ann/.local/state/mailmove"),
            "{path:?}"
        );
        assert!(
            path.to_string_lossy()
                .contains("ann@example.com@old.example--ann@new.example--")
        );
    }

    #[test]
    fn names_stay_one_short_component() {
        let odd = endpoint(&format!("../../{}", "ü".repeat(500)), "h");
        let name = name(&odd, &odd);
        assert!(
            name.len() < 200 && !name.contains('/') && !name.starts_with('.'),
            "{name}"
        );
    }

    #[test]
    fn xdg_comes_first_and_relative_values_do_not_count() {
        let (a, b) = (endpoint("a", "h"), endpoint("b", "h"));
        let xdg = |name: &str| {
            Some(
                if name == "HOME" {
                    "/home/ann"
                } else {
                    "/state"
                }
                .into(),
            )
        };
        assert!(
            default_directory(&xdg, &a, &b)
                .unwrap()
                .starts_with("/state/mailmove")
        );
        let relative = |name: &str| Some(if name == "HOME" { "/home/ann" } else { "state" }.into());
        assert!(
            default_directory(&relative, &a, &b)
                .unwrap()
                .starts_with("/home/ann")
        );
        assert_eq!(
            default_directory(&|_| None, &a, &b).unwrap_err().kind(),
            ErrorKind::Config
        );
    }
}
