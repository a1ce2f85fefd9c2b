//! Messages in a form of the mailbox's own: all of a message, in bytes that say whether they are whole.

use mailmove_core::model::ContentDigest;

use crate::mailbox::{InternalDate, Message, NewMessage};

/// Before a line with the digest of all that follows it.
const MAGIC: &[u8] = b"memory-stream-1\n";

/// A message with its flags and its date.
pub(super) fn encode(message: &Message) -> Vec<u8> {
    let flags: Vec<&str> = message.flags.iter().collect();
    let date = message.date;
    let head = format!(
        "{} {}\n{}\n",
        date.unix,
        date.offset_minutes,
        flags.join(" ")
    );
    let rest = [head.as_bytes(), &message.body].concat();
    let digest = format!("{}\n", ContentDigest::of(&rest));
    [MAGIC, digest.as_bytes(), &rest].concat()
}

/// The message that such bytes hold; `None` if they are not whole.
pub(super) fn decode(stream: &[u8]) -> Option<NewMessage> {
    let stream = stream.strip_prefix(MAGIC)?;
    let end = stream.iter().position(|byte| *byte == b'\n')?;
    let (digest, rest) = (stream.get(..end)?, stream.get(end + 1..)?);
    if digest != ContentDigest::of(rest).to_string().as_bytes() {
        return None;
    }
    let mut lines = rest.splitn(3, |byte| *byte == b'\n');
    let (date, flags) = (lines.next()?, lines.next()?);
    let body = lines.next()?;
    let (unix, offset) = std::str::from_utf8(date).ok()?.split_once(' ')?;
    let date = InternalDate::new(unix.parse().ok()?, offset.parse().ok()?);
    let flags = std::str::from_utf8(flags).ok()?.split_ascii_whitespace();
    // The server's own.
    let flags = flags.filter(|flag| *flag != "\\Recent").map(str::to_owned);
    let mut message = NewMessage::new(body.to_vec()).with_date(date);
    message.flags = flags.collect();
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Store;

    #[test]
    fn what_is_cut_or_changed_is_no_stream() {
        let account = Store::new().add_account("ann");
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        let given = NewMessage::new("Subject: x\r\n\r\ny\n\n")
            .with_flags(["\\Seen", "Work"])
            .with_date(InternalDate::new(1_000_000_000, 90));
        account.append(inbox, vec![given]).unwrap();
        let message = account.messages(inbox).unwrap().pop().unwrap();
        let stream = encode(&message);
        let read = decode(&stream).unwrap();
        assert_eq!((read.body, read.date), (message.body, Some(message.date)));
        assert_eq!(read.flags, ["\\Seen", "Work"]);
        for at in 0..stream.len() {
            assert!(decode(&stream[..at]).is_none(), "{at}");
            let mut other = stream.clone();
            other[at] ^= 1;
            assert!(decode(&other).is_none(), "{at}");
        }
    }
}
