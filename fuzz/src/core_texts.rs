//! Texts that the core and the program read: flags, folders, dates, patterns, mailbox URLs, and what is
//! shown on a terminal.

use mailmove_core::{
    map::Pattern,
    model::{Flags, FolderPath, Keyword, Role, SystemFlag, Timestamp},
};

use crate::program::{output, table, url::MailboxUrl, value};

/// The bytes as each of these.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    flags(&text);
    folders(&text);
    dates(data);
    urls(&text);
    shown(&text);
}

fn flags(text: &str) {
    let flags = Flags::parse(text);
    assert_eq!(Flags::parse(&flags.to_string()), flags, "{text:?}");
    assert_eq!(flags.union(&flags), flags);
    assert!(flags.difference(&flags).is_empty());
    let other = Flags::new().with(SystemFlag::Seen);
    let both = flags.union(&other);
    assert_eq!(
        both.difference(&other)
            .union(&flags.intersection(&other))
            .union(&other),
        both
    );
    if let Ok(keyword) = Keyword::new(text) {
        assert_eq!(keyword.as_str(), text);
        assert!(Flags::parse(text).contains_keyword(&keyword), "{text:?}");
    }
    let _ = (SystemFlag::parse(text), Role::from_special_use(text));
}

fn folders(text: &str) {
    let path = FolderPath::parse(text);
    assert_eq!(FolderPath::parse(&path.escaped()), path, "{text:?}");
    let json = serde_json::to_string(&path).expect("a path");
    assert_eq!(
        serde_json::from_str::<FolderPath>(&json).expect("the same"),
        path
    );
    let _ = (path.to_string(), path.parent(), path.last());
    assert!(path.starts_with(&path));
    if let Ok(pattern) = Pattern::new(text) {
        let _ = pattern.matches(&path);
    }
}

fn dates(data: &[u8]) {
    let Some((&seconds, rest)) = data.split_first_chunk::<8>() else {
        return;
    };
    let offset = rest
        .first_chunk::<2>()
        .map_or(0, |bytes| i16::from_le_bytes(*bytes));
    let time = Timestamp::new(i64::from_le_bytes(seconds), offset);
    let _ = (time.to_string(), time.civil());
    let (year, month, day, ..) = Timestamp::new(time.seconds(), 0).civil();
    if let Some(midnight) = Timestamp::from_date(year, month, day) {
        assert!(
            (0..86_400).contains(&(time.seconds() - midnight.seconds())),
            "{time}"
        );
    }
}

fn urls(text: &str) {
    match MailboxUrl::parse("--from", text) {
        Ok(url) => {
            assert!(!url.user.contains(char::is_control), "{url}");
            let host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
            assert!(!url.host.is_empty() && url.host.chars().all(host), "{url}");
            let _ = (url.suspicion(), url.to_string());
        }
        Err(error) => {
            // What follows a colon before the host may be a password.
            let secret = text.split_once(':').map_or("", |(_, rest)| rest);
            let shown = format!("{error:?} {}", error.chain());
            assert!(secret.len() < 40 || !shown.contains(secret), "{shown}");
        }
    }
    let _ = (value::size(text), value::rate(text), value::date(text));
}

fn shown(text: &str) {
    let clean = output::clean(text);
    assert!(!clean.contains(char::is_control), "{clean:?}");
    assert_eq!(output::clean(&clean), clean);
    let fitted = table::fit(&clean, 40);
    assert!(
        unicode_width::UnicodeWidthStr::width(fitted.as_str()) <= 40,
        "{fitted:?}"
    );
}

/// One of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "\\Seen \\Flagged $Work sch&APY-n",
        "a/b\\/c/ü/INBOX",
        "imaps://ann%40example.com:hunter2@[2001:db8::1]:993/x?tls=off&as=b&style=master:%25",
        "imap://ann@example.com@host:143?as=bob&style=exchange",
        "(a|b)*c{2,3}$[^x]",
        "1.5GiB/s",
        "2024-02-29",
        "\u{1b}[2J\u{202e}日本\r\n",
        "\0\0\0\0\0\0\0\u{7f}\u{7f}\u{7f}",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
