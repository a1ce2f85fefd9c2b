//! No file names a place that exists on one person's machine only.

use std::path::Path;
use std::process::Command;

use crate::test::{Context, Outcome};
use crate::{Result, process, workspace};

/// Where people and build machines keep their files, without the slash at the end, so that this
/// list does not find itself.
const PLACES: [&str; 4] = ["/home", "/root", "/work", "/Users"];

/// Searches the files that git keeps.
pub(crate) fn check(_: &mut Context) -> Result<Outcome> {
    let root = workspace::root()?;
    if !root.join(".git").exists() {
        return Ok(Outcome::Skipped("not a git checkout".into()));
    }
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let files = process::capture(git.current_dir(&root))?;
    let files: Vec<&str> = files.split('\0').filter(|name| !name.is_empty()).collect();
    let mut wrong = Vec::new();
    for name in &files {
        // A file that was removed but not yet committed names nothing.
        let Ok(bytes) = std::fs::read(root.join(Path::new(name))) else {
            continue;
        };
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            if let Some(place) = names_place(line) {
                wrong.push(format!("{name}:{}: names {place}", index + 1));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(Outcome::Passed(format!("{} files", files.len())));
    }
    Err(wrong.join("\n").into())
}

fn names_place(line: &str) -> Option<&'static str> {
    PLACES.into_iter().find(|place| {
        let inside = format!("{place}/");
        line.match_indices(&inside).any(|(at, found)| {
            let (before, after) = (line.get(..at), line.get(at + found.len()..));
            // `a/work/b` is a relative path, and `https://host/home/` a web page.
            let continues = |c: char| c.is_alphanumeric() || "._-}/".contains(c);
            let absolute = !before.is_some_and(|text| text.ends_with(continues));
            absolute && !after.is_some_and(is_invented)
        })
    })
}

/// Whether the path goes on with a name that only examples have.
fn is_invented(after: &str) -> bool {
    let name = after
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default();
    let invented = ["", "alice", "ann", "bob", "user", "you"].contains(&name);
    // Hidden files are real: caches, settings.
    invented && !after.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::names_place;

    #[test]
    fn only_absolute_places_count() {
        let absolute = ["/ho", "me/jdoe3/mail"].concat();
        assert_eq!(names_place(&format!("see {absolute}")), Some("/home"));
        assert_eq!(names_place(&format!("\"{absolute}\"")), Some("/home"));
        assert_eq!(names_place(&format!("https://example.org{absolute}")), None);
        assert_eq!(names_place(&format!("target{absolute}")), None);
        assert_eq!(names_place("/homework"), None);
        assert_eq!(names_place("HOME=/home/ann"), None);
        assert_eq!(names_place(&["/ro", "ot/.cache"].concat()), Some("/root"));
    }
}
