//! UTF8=ACCEPT (RFC 6855): once enabled, mailbox names travel in UTF-8.
//!
//! Everywhere else they are in modified UTF-7, so that a folder has the same id whatever was enabled:
//! names are turned as they come, and turned back as they go.

use super::{response::Response, utf7};

impl Response {
    /// The same with mailbox names in modified UTF-7, where they came in UTF-8.
    #[must_use]
    pub fn in_utf7(self) -> Self {
        match self {
            Self::List(mut entry) => {
                turn(&mut entry.name);
                entry.old_name.iter_mut().for_each(turn);
                Self::List(entry)
            }
            Self::Lsub(mut entry) => {
                turn(&mut entry.name);
                Self::Lsub(entry)
            }
            Self::MailboxStatus(mut status) => {
                turn(&mut status.name);
                Self::MailboxStatus(status)
            }
            Self::MyRights(mut rights) => {
                turn(&mut rights.mailbox);
                Self::MyRights(rights)
            }
            Self::Metadata(mut metadata) => {
                turn(&mut metadata.mailbox);
                Self::Metadata(metadata)
            }
            Self::Namespace(mut spaces) => {
                let personal = spaces.personal.iter_mut();
                let all = personal.chain(&mut spaces.others).chain(&mut spaces.shared);
                all.for_each(|space| turn(&mut space.prefix));
                Self::Namespace(spaces)
            }
            other => other,
        }
    }
}

/// What is no UTF-8 stays as it is.
fn turn(name: &mut Box<[u8]>) {
    if let Ok(text) = std::str::from_utf8(name) {
        let encode = |part: &[u8]| std::str::from_utf8(part).ok().map(utf7::encode);
        *name = parts(text.as_bytes(), |part| encode(part).map(String::into_bytes)).into();
    }
}

/// A name as it is sent; what is no modified UTF-7 stays as it is.
pub(super) fn sent(name: &[u8]) -> Vec<u8> {
    parts(name, |part| utf7::decode(part).ok().map(String::into_bytes))
}

/// Turns what is between control characters: such a one separates levels, if it stands for anything.
fn parts(name: &[u8], turn: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for part in name.chunk_by(|one, next| !one.is_ascii_control() && !next.is_ascii_control()) {
        match turn(part).filter(|_| !part.iter().any(u8::is_ascii_control)) {
            Some(turned) => out.extend(turned),
            None => out.extend_from_slice(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{LiteralMode, MailboxName, Segment, Tag, encode::Encoder, response::parse};
    use super::*;

    fn turned(line: &str) -> Response {
        parse(line.as_bytes()).unwrap().in_utf7()
    }

    #[test]
    fn names_are_turned_and_turned_back() {
        let Response::List(entry) = turned("* LIST () \"\x01\" \"\u{fc}\x01&\"") else {
            panic!("no LIST")
        };
        assert_eq!(*entry.name, *b"&APw-\x01&-");
        assert_eq!(sent(&entry.name), "\u{fc}\x01&".as_bytes());
        for name in ["Entw\u{fc}rfe & Co", "A&-B", "plain", "\u{65e5}\u{672c}"] {
            let Response::List(entry) = turned(&format!("* LIST () \"/\" \"{name}\"")) else {
                panic!("no LIST")
            };
            assert_eq!(entry.name, utf7::encode(name).into_bytes().into());
            assert_eq!(sent(&entry.name), name.as_bytes());
            let Response::MailboxStatus(status) =
                turned(&format!("* STATUS \"{name}\" (MESSAGES 1)"))
            else {
                panic!("no STATUS")
            };
            assert_eq!(status.name, entry.name);
        }
        // What is neither stays as it is.
        assert_eq!(sent(b"a&b"), b"a&b");
        assert_eq!(sent(b"caf\xe9"), b"caf\xe9");
    }

    #[test]
    fn commands_say_it_in_utf8_where_that_is_enabled() {
        let name = MailboxName::new(utf7::encode("\u{fc}&").into_bytes()).unwrap();
        let text = |utf8| {
            let encoder = Encoder::new(LiteralMode::Any).with_utf8(utf8);
            let command = encoder.examine(Tag::new(1), &name, &Default::default());
            let mut out = Vec::new();
            for segment in command.unwrap().into_segments() {
                if let Segment::Bytes(bytes) = segment {
                    out.extend_from_slice(&bytes);
                }
            }
            String::from_utf8(out).unwrap()
        };
        assert!(
            text(false).ends_with(" EXAMINE \"&APw-&-\"\r\n"),
            "{}",
            text(false)
        );
        assert!(
            text(true).ends_with(" EXAMINE {3+}\r\n\u{fc}&\r\n"),
            "{}",
            text(true)
        );
    }
}
