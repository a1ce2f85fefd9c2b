//! Mail that went wrong somewhere once.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{
    Kind,
    letter::{Recipe, plain},
    mime::Mail,
    rng::Rng,
    text::words,
};

/// Makes a message of a special kind; kinds that are special in date or flags alone are letters.
pub(super) fn special(kind: Kind, mut recipe: Recipe<'_>) -> Bytes {
    let recipe = &mut recipe;
    match kind {
        Kind::NoMessageId | Kind::NoDate | Kind::BadDate => without_fields(kind, recipe),
        Kind::EightBitBody
        | Kind::Nul
        | Kind::BareCr
        | Kind::NoFinalNewline
        | Kind::LongLine
        | Kind::ImapCommands
        | Kind::MboxFrom
        | Kind::Dots => odd_body(kind, recipe),
        Kind::EightBitHeader
        | Kind::NulInHeader
        | Kind::BrokenHeader
        | Kind::LongHeader
        | Kind::ManyHeaders => odd_header(kind, recipe),
        Kind::BareLf => with_line_ends(&recipe.letter(), |_| false),
        Kind::MixedLineEnds => with_line_ends(&recipe.letter(), |line| line % 3 != 1),
        Kind::Empty => Bytes::new(),
        Kind::HeaderOnly => recipe.mail().build(),
        Kind::HeaderWithoutEnd => recipe.mail().header_alone(),
        Kind::NoHeader => {
            let mut mail = Mail::default();
            mail.text(recipe.ascii());
            mail.build()
        }
        Kind::DeepMime => nested(recipe, 60, true),
        Kind::VeryDeepMime => nested(recipe, 500, true),
        Kind::UnclosedMime => nested(recipe, 3, false),
        Kind::Forwarded => forwarded(recipe, 60),
        _ => recipe.letter(),
    }
}

fn without_fields(kind: Kind, recipe: &mut Recipe<'_>) -> Bytes {
    let subject = words(&mut recipe.rng, 4);
    let text = recipe.ascii();
    let id = recipe.message_id.clone();
    let date = super::mime::rfc5322(recipe.received);
    let mut mail = recipe.unsigned(&subject);
    match kind {
        Kind::NoMessageId => mail.field("Date", date),
        Kind::NoDate => mail.field("Message-ID", id),
        _ => {
            const DATES: [&str; 4] = [
                "Fri, 31 Feb 2012 25:61:61 +9999",
                "yesterday",
                "",
                "2012-02-30T12:00:00",
            ];
            let bad = *recipe.rng.pick(&DATES);
            mail.field("Date", bad).field("Message-ID", id)
        }
    };
    plain(&mut mail, "us-ascii", "7bit").text(text);
    mail.build()
}

/// Lines that a server may take for what a client says, or for where a message ends.
const COMMANDS: &str = "a1 DELETE INBOX\r\na2 LOGOUT\r\n{10+}\r\n0123456789\r\n{99999999}\r\n\
    a3 SELECT INBOX\r\na4 STORE 1:* +FLAGS.SILENT (\\Deleted)\r\na5 EXPUNGE\r\n+ go ahead\r\n\
    * BYE\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\na6 OK done\r\n)\r\n\"\r\n\\\r\nDONE\r\n\
    A0001 CREATE pwned\r\nA0002 APPEND INBOX (\\Seen) {5+}\r\nowned\r\n";

fn odd_body(kind: Kind, recipe: &mut Recipe<'_>) -> Bytes {
    let text = recipe.ascii();
    let mut mail = recipe.mail();
    let without_charset = kind == Kind::EightBitBody;
    if !without_charset {
        plain(&mut mail, "us-ascii", "7bit");
    }
    match kind {
        Kind::EightBitBody => {
            let all: Vec<u8> = (0x80..=0xff).collect();
            mail.text(all).text("\r\n").text(text)
        }
        Kind::Nul => mail
            .text("before\0after\r\n\0\0\0\r\n")
            .text(text)
            .text("\0"),
        Kind::BareCr => mail
            .text("one\rtwo\r\r\nthree\r\r\n\r")
            .text(text)
            .text("end\r"),
        Kind::NoFinalNewline => mail.text(text).text("no line end here"),
        Kind::LongLine => mail.text(vec![b'x'; 10_000]).text("\r\n").text(text),
        Kind::ImapCommands => {
            // The first line is one too: the body may begin where a literal was announced wrongly.
            let mut commands = Mail::default();
            commands.raw(COMMANDS.as_bytes()).text(COMMANDS);
            return commands.build();
        }
        Kind::MboxFrom => mail
            .text("From ann@example.org Thu Jan  1 00:00:00 1970\r\n>From here\r\nFrom \r\n")
            .text(text),
        _ => mail
            .text(".\r\n..\r\n...\r\n.\r\nQUIT\r\n.hidden\r\n")
            .text(text)
            .text(".\r\n"),
    };
    mail.build()
}

fn odd_header(kind: Kind, recipe: &mut Recipe<'_>) -> Bytes {
    let text = recipe.ascii();
    let mut mail = recipe.mail();
    match kind {
        Kind::EightBitHeader => mail
            .raw(b"X-Raw: caf\xe9 \xff\xfe\r\n")
            .raw("Comments: grüße, 日本語\r\n".as_bytes()),
        Kind::NulInHeader => mail.raw(b"X-Nul: a\0b\r\n"),
        Kind::BrokenHeader => mail
            .raw(b">From ann@example.org Thu Jan  1 00:00:00 1970\r\n")
            .raw(b"this is no field\r\n: no name\r\nX Y Z: blanks\r\n \r\n\tfolded nothing\r\n"),
        Kind::LongHeader => {
            let address = "somebody.with.a.long.name@example.com,\r\n ";
            let many = address.repeat(40_000 / address.len());
            mail.field("Cc", many.trim_end().trim_end_matches(','))
                .field("X-Long", vec![b'y'; 12_000])
        }
        _ => {
            for n in 0..1500 {
                mail.field(&format!("X-Field-{n}"), format!("value {n}"));
            }
            &mut mail
        }
    };
    plain(&mut mail, "us-ascii", "7bit").text(text);
    mail.build()
}

/// The same text with CRLF where `crlf` says so for the line's number, and LF elsewhere.
fn with_line_ends(message: &[u8], crlf: impl Fn(usize) -> bool) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len());
    for (number, line) in message.split_inclusive(|b| *b == b'\n').enumerate() {
        match line.strip_suffix(b"\r\n") {
            Some(text) if !crlf(number) => {
                out.put_slice(text);
                out.put_u8(b'\n');
            }
            _ => out.put_slice(line),
        }
    }
    out.freeze()
}

/// Multiparts within each other; boundaries are prefixes of each other, as real ones are.
fn nested(recipe: &mut Recipe<'_>, levels: usize, closed: bool) -> Bytes {
    let mut mail = recipe.mail();
    mail.multipart("mixed", "b0");
    for level in 1..levels {
        mail.text(format!(
            "--b{}\r\nContent-Type: multipart/mixed; boundary=\"b{level}\"\r\n\r\n",
            level - 1
        ));
    }
    let innermost = format!("b{}", levels - 1);
    mail.part(&innermost, "Content-Type: text/plain\r\n", "at the bottom");
    if closed {
        for level in (0..levels).rev() {
            mail.close(&format!("b{level}"));
        }
    }
    mail.build()
}

fn forwarded(recipe: &mut Recipe<'_>, levels: usize) -> Bytes {
    let mut mail = recipe.mail();
    mail.field("MIME-Version", "1.0")
        .field("Content-Type", "message/rfc822");
    for level in 1..levels {
        mail.text(format!(
            "Subject: level {level}\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n"
        ));
    }
    mail.text("Subject: innermost\r\n\r\nhello\r\n");
    mail.build()
}

/// A message with one attachment, of exactly `size` bytes if that is enough for its frame.
pub(super) fn huge(recipe: &mut Recipe<'_>, size: usize) -> Bytes {
    let mut mail = recipe.mail_with("as large as asked");
    mail.multipart("mixed", "huge").part(
        "huge",
        "Content-Type: text/plain\r\n",
        "See the attachment.",
    );
    mail.text(
        "--huge\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: \
         base64\r\n\r\n",
    );
    let frame = mail.build();
    const END: &[u8] = b"\r\n--huge--\r\n";
    let body = size.saturating_sub(frame.len() + END.len());
    let mut out = BytesMut::with_capacity(frame.len() + body + END.len() + 128);
    out.put_slice(&frame);
    let block = recipe.pools.base64(&mut recipe.rng, 256 * 1024);
    let full = frame.len() + body;
    while out.len() < full {
        let piece = block.len().min(full - out.len());
        out.put_slice(&block[..piece]);
    }
    out.put_slice(END);
    out.freeze()
}

/// Flags as people and programs set them.
pub(super) fn usual_flags(rng: &mut Rng) -> Vec<String> {
    const CHANCES: [(&str, usize); 10] = [
        ("\\Seen", 800),
        ("\\Answered", 200),
        ("\\Flagged", 50),
        ("\\Draft", 10),
        ("\\Deleted", 5),
        ("$Forwarded", 40),
        ("$MDNSent", 20),
        ("NonJunk", 60),
        ("$Label1", 30),
        ("Work", 10),
    ];
    CHANCES
        .iter()
        .filter(|(_, per_mille)| rng.chance(*per_mille))
        .map(|(flag, _)| (*flag).to_owned())
        .collect()
}

/// Keywords that are atoms, if unusual ones. With the usual ones there are fewer than 26 in all:
/// Maildir has no room for more.
pub(super) fn odd_keywords() -> Vec<String> {
    let odd = [
        "$Forwarded",
        "$MDNSent",
        "NonJunk",
        "Junk",
        "x.y_z-1",
        "a+b",
        "k=v",
        "me@example.com",
        "sch&APY-n",
        "path/like",
        "NIL",
        "UID",
        "$",
        "#1",
        "what?!",
        "`tick`",
        "<angle>",
        "[bracket",
        "~",
        "}",
    ];
    let long = "k".repeat(60);
    odd.iter().map(|k| (*k).to_owned()).chain([long]).collect()
}
