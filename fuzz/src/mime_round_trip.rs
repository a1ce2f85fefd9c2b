//! Mail arrives as it left: byte by byte through spool, command, server and response, and with the
//! same parts for whoever reads them. Headers of any mail can be read.

use std::sync::LazyLock;

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use mailmove_core::edge::{MemoryBudget, Spool};
use mailmove_core::identity::HeaderDigest;
use mailmove_core::model::{Content, ContentDigest};
use mailmove_imap::wire::{
    AppendMessage, Encoder, Framer, Limits, LiteralMode, MailboxName, Response, Segment, Tag,
};
use mailmove_testkit::corpus::Corpus;

use crate::feed::{Seen, feed};
use crate::server::{Token, read};

/// The first two bytes choose how it travels; the rest is the mail.
pub fn check(data: &[u8]) {
    let Some((&[choice, step], mail)) = data.split_first_chunk::<2>() else {
        return;
    };
    if mail.is_empty() {
        return;
    }
    let step = usize::from(step).max(1) * 8;
    let mode = [
        LiteralMode::Any,
        LiteralMode::Small,
        LiteralMode::Synchronizing,
    ];
    let mode = mode[usize::from(choice) % mode.len()];
    let inline = [0, 1 << 20, 300][usize::from(choice / 4) % 3];
    let spool = if choice & 0x80 == 0 {
        &MEMORY.0
    } else {
        &FILES.0
    };

    let content = taken_in(spool, mail, step);
    let sent = appended(mode, &content);
    assert!(sent == mail, "the server got another mail");
    let back = fetched(inline, &sent, step);
    assert!(back == mail, "the server's mail came back as another");
    let again = taken_in(spool, &back, step + 1);
    assert_eq!(again.digest(), content.digest());
    assert_eq!(HeaderDigest::of(&back), HeaderDigest::of(mail));
    parts_are_the_same(mail, &back);
}

/// Reads what is in files.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().expect("a runtime")
});

/// A spool with the directory that its files are in.
static MEMORY: LazyLock<(Spool, tempfile::TempDir)> = LazyLock::new(|| spool(64 << 20));
static FILES: LazyLock<(Spool, tempfile::TempDir)> = LazyLock::new(|| spool(0));

fn spool(budget: u64) -> (Spool, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    (
        Spool::new(directory.path(), MemoryBudget::new(budget)),
        directory,
    )
}

fn taken_in(spool: &Spool, mail: &[u8], step: usize) -> Content {
    let mut writer = spool.writer(mail.len() as u64).expect("a place");
    for piece in mail.chunks(step) {
        writer.write(piece).expect("room");
    }
    let content = writer.finish();
    assert_eq!(content.size(), mail.len() as u64);
    assert_eq!(content.digest(), ContentDigest::of(mail));
    content
}

fn pieces(content: &Content) -> Vec<Bytes> {
    let mut reader = content.reader();
    let mut pieces = Vec::new();
    while let Some(piece) = RUNTIME.block_on(reader.next()).expect("readable") {
        pieces.push(piece);
    }
    pieces
}

/// Sends it, and returns what a server takes for the message.
fn appended(mode: LiteralMode, content: &Content) -> Vec<u8> {
    let message = AppendMessage::new(content.size());
    let command = Encoder::new(mode)
        .append(Tag::new(1), &MailboxName::inbox(), &[message])
        .expect("a message that is not empty");
    let mut wire = Vec::new();
    for segment in command.segments() {
        match segment {
            Segment::Bytes(bytes) => wire.extend_from_slice(bytes),
            Segment::Message { .. } => pieces(content)
                .iter()
                .for_each(|p| wire.extend_from_slice(p)),
            _ => {}
        }
    }
    let (mut tokens, len, _) = read(&wire).expect("a command");
    assert_eq!(len, wire.len(), "the mail runs as commands");
    match tokens.pop() {
        Some(Token::Literal { octets, .. }) => octets,
        other => panic!("no message but {other:?}"),
    }
}

/// Has the server send it; a body that comes inline or streamed.
fn fetched(inline: u64, mail: &[u8], step: usize) -> Vec<u8> {
    let head = format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n", mail.len());
    let stream = [head.as_bytes(), mail, b")\r\nM1 OK\r\n"].concat();
    let limits = Limits::default().with_inline_body(inline);
    let seen = feed(
        Framer::without_greeting(limits),
        limits,
        stream.chunks(step),
    );
    let mut body = None;
    for seen in &seen {
        match seen {
            Seen::Body(_, octets) => body = Some(octets.clone()),
            Seen::Response(Response::Fetch(fetch)) => {
                if let Some(mailmove_imap::wire::BodyContent::Inline(octets)) = fetch.full_body() {
                    body = Some(octets.to_vec());
                }
            }
            _ => {}
        }
    }
    assert!(
        matches!(seen.last(), Some(Seen::Response(Response::Tagged { .. }))),
        "{seen:?}"
    );
    body.expect("a body")
}

/// What a reader of mail sees of it.
fn parts_are_the_same(one: &[u8], other: &[u8]) {
    // Headers of any mail can be read, with the whole mail behind them.
    let read = |mail| {
        MessageParser::default()
            .parse_headers(mail)
            .map(|m| (m.subject().map(str::to_owned), m.date().copied()))
    };
    assert_eq!(read(one), read(other));
    // Bodies only where the nesting was checked first: the parser's stack is not unlimited.
    if nesting(one) > 64 || nesting(other) > 64 {
        return;
    }
    assert_eq!(parts(one), parts(other));
}

/// More than the depth of the MIME tree, which takes a Content-Type for each level.
pub(crate) fn nesting(mail: &[u8]) -> usize {
    let lower = mail.to_ascii_lowercase();
    let count = |word: &[u8]| lower.windows(word.len()).filter(|at| *at == word).count();
    count(b"multipart/") + count(b"message/")
}

pub(crate) fn parts(mail: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    let Some(message) = MessageParser::default().parse(mail) else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    for part in &message.parts {
        let name = part.attachment_name().map(str::to_owned);
        let content = match &part.body {
            PartType::Text(text) | PartType::Html(text) => text.as_bytes().to_vec(),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.to_vec(),
            PartType::Message(inner) => inner.raw_message.to_vec(),
            PartType::Multipart(children) => children.len().to_le_bytes().to_vec(),
        };
        parts.push((name, content));
    }
    parts
}

/// Ugly mail, each on another way.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, message) in Corpus::ugly().enumerate() {
        // Large ones only slow a fuzzer down.
        if message.body.len() <= 4000 {
            let choice = u8::try_from(number * 5 % 256).unwrap_or(0);
            seeds.push([&[choice, choice], &message.body[..]].concat());
        }
    }
    seeds
}
