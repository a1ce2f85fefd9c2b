//! Text that a server sends in place of a message that it cannot convert.

use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry},
    model::Content,
};

/// Larger than any such text.
const MOST: u64 = 16 << 10;

/// Exchange in English: the subject, and one of these in the text.
const SUBJECT: &str =
    "subject: retrieval using the imap4 protocol failed for the following message";
const TEXT: [&str; 2] = [
    "retrieve the following message",
    "the message hasn't been deleted",
];

/// Whether it reads like such a text. A genuine message may too, e.g. one that another program once
/// stored as it came.
///
/// # Errors
/// If the content cannot be read.
pub(super) async fn is_suspect(content: &Content) -> Result<bool> {
    if content.size() > MOST {
        return Ok(false);
    }
    let text = content.prefix(MOST as usize).await?;
    Ok(reads_like_one(&text))
}

fn reads_like_one(text: &[u8]) -> bool {
    in_english(text) || by_the_server_itself(text)
}

/// In any language it is from the server, and has neither date nor id: genuine mail has both.
fn by_the_server_itself(text: &[u8]) -> bool {
    let mut from_server = false;
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        let line = line.trim_ascii_end();
        if line.is_empty() {
            break;
        }
        if starts_with(line, "date:") || starts_with(line, "message-id:") {
            return false;
        }
        if starts_with(line, "from:") {
            let line = String::from_utf8_lossy(line).to_ascii_lowercase();
            from_server |= line.contains("microsoft exchange server");
        }
    }
    from_server
}

/// In any case of letters.
fn starts_with(line: &[u8], name: &str) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether the word of the subject that is rarest elsewhere is there: each message is looked at.
fn has_the_word(text: &[u8]) -> bool {
    const WORD: &[u8] = b"retrieval";
    // Its rarest letter, and where that stands.
    const V: usize = 6;
    memchr::memchr2_iter(b'v', b'V', text).any(|at| {
        let start = at.checked_sub(V);
        let word = start.and_then(|start| text.get(start..start + WORD.len()));
        word.is_some_and(|word| word.eq_ignore_ascii_case(WORD))
    })
}

fn in_english(text: &[u8]) -> bool {
    if !has_the_word(text) {
        return false;
    }
    // Long lines are folded.
    let words: Vec<String> = String::from_utf8_lossy(text)
        .to_ascii_lowercase()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let plain = words.join(" ");
    plain.contains(SUBJECT) && TEXT.iter().any(|part| plain.contains(part))
}

/// Why such a message fails.
pub(super) fn substituted() -> Error {
    Error::new(
        ErrorKind::Refused,
        "the server cannot convert the message, and sends an explanation in its place",
    )
    .with_code("imap/substituted")
    .with_retry(Retry::Never)
    .with_remedy(
        "Open the message in Outlook or webmail and save or forward it by hand, or copy this \
         mailbox by EWS or Graph.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_and_not_those_about_them() {
        let exchange = b"From: Microsoft Exchange Server\r\nTo: ann@example.com\r\n\
            Subject: Retrieval using the IMAP4 protocol failed for the following message:\r\n\
            \t752\r\n\r\nThe server couldn't retrieve the following message:\r\n\r\n\
            Subject: x\r\n\r\nThe message hasn't been deleted.\r\n";
        assert!(reads_like_one(exchange));
        assert!(reads_like_one(&exchange.to_ascii_uppercase()));
        let reply =
            b"Subject: Retrieval using the IMAP4 protocol failed\r\n\r\nDo you know that?\r\n";
        assert!(!reads_like_one(reply));
        let quoted =
            b"Subject: Re: what is this?\r\n\r\n> Retrieval using the IMAP4 protocol failed \
            for the following message: 3\r\n";
        assert!(!reads_like_one(quoted));
    }

    #[test]
    fn in_any_language_it_comes_from_the_server_without_date_and_id() {
        let from = "From: Microsoft Exchange Server <x@example.com>\r\nSubject: \u{c9}chec\r\n";
        assert!(reads_like_one(
            format!("{from}\r\nVoil\u{e0}\r\n").as_bytes()
        ));
        for genuine in ["Date: today\r\n", "MESSAGE-ID: <1@x>\r\n"] {
            assert!(!reads_like_one(format!("{from}{genuine}\r\n").as_bytes()));
        }
        // In the text it says nothing.
        assert!(!reads_like_one(
            format!("Subject: x\r\n\r\n{from}").as_bytes()
        ));
    }
}
