//! What the benchmarks share: mail and server streams that are the same in every run.

pub mod measure;

/// Whether times are measured. `cargo test` only sees whether the benchmarks run at all, for which
/// small numbers will do.
#[must_use]
pub fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The message with this number: a header as mail servers write it, and text up to `len` bytes
/// in all, at least the header's. It ends its last line: what does not is read back, since servers are known to change
/// that.
#[must_use]
pub fn message(number: usize, len: usize) -> Vec<u8> {
    let mut mail = format!(
        "Return-Path: <sender{number}@example.org>\r\n\
         Received: from mx1.example.net (mx1.example.net [192.0.2.7])\r\n\
         \tby mail.example.com with ESMTPS id {number:x};\r\n\
         \tMon, 17 Jul 2023 02:44:25 -0700\r\n\
         Received: from localhost by mx1.example.net; Mon, 17 Jul 2023 02:44:24 -0700\r\n\
         From: \"Sender {number}\" <sender{number}@example.org>\r\n\
         To: user@example.com\r\n\
         Subject: =?utf-8?B?w4RyZ2Vy?= about number {number}\r\n\
         Date: Mon, 17 Jul 2023 02:44:23 -0700\r\n\
         Message-ID: <{number}.bench@example.org>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n"
    )
    .into_bytes();
    let line = b"The quick brown fox jumps over the lazy dog, again and again and again.\r\n";
    let end = len.saturating_sub(2);
    while mail.len() < end {
        let rest = end - mail.len();
        mail.extend_from_slice(line.get(..rest).unwrap_or(line));
    }
    mail.extend_from_slice(b"\r\n");
    mail
}

/// What a server sends in answer to a FETCH of `count` messages with bodies of `len` bytes.
#[must_use]
pub fn fetch_stream(count: usize, len: usize) -> Vec<u8> {
    let mut stream = Vec::with_capacity(count * (len + 128));
    for number in 1..=count {
        let body = message(number, len);
        let size = body.len();
        let uid = number + 4000;
        stream.extend_from_slice(
            format!(
                "* {number} FETCH (UID {uid} FLAGS (\\Seen $Forwarded) \
                 INTERNALDATE \"17-Jul-2023 02:44:25 -0700\" RFC822.SIZE {size} BODY[] {{{size}}}\r\n"
            )
            .as_bytes(),
        );
        stream.extend_from_slice(&body);
        stream.extend_from_slice(b")\r\n");
    }
    stream.extend_from_slice(b"M1 OK Fetch completed.\r\n");
    stream
}

/// The same without bodies, as for a relisting.
#[must_use]
pub fn flags_stream(count: usize) -> Vec<u8> {
    let mut stream = String::new();
    for number in 1..=count {
        stream.push_str(&format!(
            "* {number} FETCH (UID {} FLAGS (\\Seen \\Answered) MODSEQ ({}) \
             INTERNALDATE \"17-Jul-2023 02:44:25 -0700\" RFC822.SIZE 20480)\r\n",
            number + 4000,
            number * 3
        ));
    }
    stream.push_str("M1 OK Fetch completed.\r\n");
    stream.into_bytes()
}

/// An untagged SEARCH that names every second UID up to `2 * count`, in one line.
#[must_use]
pub fn search_stream(count: usize) -> Vec<u8> {
    let mut stream = String::from("* SEARCH");
    for number in 1..=count {
        stream.push_str(&format!(" {}", number * 2));
    }
    stream.push_str("\r\nM1 OK Search completed.\r\n");
    stream.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_size_asked_for() {
        assert_eq!(message(3, 2048).len(), 2048);
        let whole = message(3, 0);
        assert!(whole.ends_with(b"\r\n\r\n") && whole.len() < 1000);
    }

    #[test]
    fn streams_announce_what_they_hold() {
        let stream = fetch_stream(2, 2048);
        let text = String::from_utf8_lossy(&stream);
        assert_eq!(text.matches(" BODY[] {2048}\r\nReturn-Path").count(), 2);
        assert!(text.ends_with(")\r\nM1 OK Fetch completed.\r\n"));
        assert_eq!(flags_stream(7).split(|byte| *byte == b'\n').count(), 9);
        assert!(search_stream(3).starts_with(b"* SEARCH 2 4 6\r\n"));
    }
}
