//! Ugly real mail: a public corpus of spam and ham, and the test mails of a parser. Nothing of it is
//! part of this repository; `cargo xtask corpora` fetches it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mailmove_core::model::Timestamp;

use crate::world::Mail;

/// Names the directory that the mails are in.
const VARIABLE: &str = "MAILMOVE_TEST_CORPORA";

/// So many mails, spread evenly over all there are, as IMAP takes them; `None`, said aloud, if
/// they were not fetched.
pub(crate) fn mails(most: usize) -> Option<Vec<Mail>> {
    let required = std::env::var("MAILMOVE_REQUIRE").is_ok_and(|all| all.contains("corpora"));
    let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        assert!(
            !required,
            "{VARIABLE} is not set, and the corpora are required"
        );
        eprintln!("SKIPPED: {VARIABLE} is not set; see `cargo xtask corpora`");
        return None;
    };
    let mut files = Vec::new();
    collect(&dir, &mut files);
    files.sort();
    assert!(
        files.len() > 6000,
        "{} holds {} mails only",
        dir.display(),
        files.len()
    );
    let step = (files.len() / most.max(1)).max(1);
    let chosen = files.into_iter().step_by(step).enumerate();
    Some(chosen.map(|(index, file)| mail(index, &file)).collect())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|end| end == "txt" || end == "eml")
        {
            files.push(path);
        }
    }
}

fn mail(index: usize, file: &Path) -> Mail {
    let raw = fs::read(file).unwrap();
    let folders = ["INBOX", "Ham", "Spam"];
    Mail {
        folder: (*folders.get(index % 3).unwrap_or(&"INBOX")).to_owned(),
        flags: Vec::new(),
        received: Timestamp::new(1_030_000_000 + i64::try_from(index).unwrap() * 60, 0),
        body: for_imap(&raw).into(),
    }
}

/// Without the line that mbox writes before a mail, and with CRLF at the ends of lines.
fn for_imap(raw: &[u8]) -> Vec<u8> {
    let rest = match raw.strip_prefix(b"From ") {
        Some(line) => {
            let end = line.iter().position(|byte| *byte == b'\n');
            end.and_then(|end| line.get(end + 1..)).unwrap_or_default()
        }
        None => raw,
    };
    let mut out = Vec::with_capacity(rest.len() + rest.len() / 32);
    let mut before = 0;
    for &byte in rest {
        if byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        before = byte;
    }
    out
}

#[test]
fn the_line_of_mbox_goes_and_line_ends_are_crlf() {
    let raw = b"From ann@x Thu\nSubject: a\r\n\nFrom here\n";
    assert_eq!(for_imap(raw), b"Subject: a\r\n\r\nFrom here\r\n");
    assert_eq!(for_imap(b"a\nb"), b"a\r\nb");
}
