//! A server's bytes mean the same however they arrive, and cost no more than the limits allow.

use mailmove_imap::wire::{Framer, Limits};

use crate::feed::feed;

/// The first four bytes choose limits, greeting and where the stream is cut; the rest is the stream.
pub fn check(data: &[u8]) {
    let Some((&[choice, greeting, first, step], stream)) = data.split_first_chunk::<4>() else {
        return;
    };
    let limits = limits(choice);
    let framer = || {
        if greeting % 4 == 0 {
            Framer::new(limits)
        } else {
            Framer::without_greeting(limits)
        }
    };
    let whole = feed(framer(), limits, [stream]);
    let (head, tail) = stream.split_at(usize::from(first).min(stream.len()));
    let pieces = [head]
        .into_iter()
        .chain(tail.chunks(usize::from(step).max(1)));
    assert_eq!(whole, feed(framer(), limits, pieces), "in pieces");
    // Byte by byte would take too long for a large input.
    if stream.len() <= 2000 {
        assert_eq!(
            whole,
            feed(framer(), limits, stream.chunks(1)),
            "byte by byte"
        );
    }
    linear(framer(), stream);
}

/// The framer looks at no byte more than a few times, however they arrive.
fn linear(mut framer: Framer, stream: &[u8]) {
    let mut buffer = bytes::BytesMut::new();
    for piece in stream.chunks(16) {
        buffer.extend_from_slice(piece);
        while let Ok(Some(_)) = framer.next(&mut buffer) {}
    }
    let most = 4 * stream.len() as u64 + 64;
    assert!(
        framer.scanned() <= most,
        "{} bytes scanned",
        framer.scanned()
    );
}

fn limits(choice: u8) -> Limits {
    let limits = match choice % 4 {
        0 => Limits::default(),
        1 => Limits::default().with_sizes(24, 40, 60),
        2 => Limits::default().with_sizes(100, 100, 80),
        _ => Limits::default().with_sizes(1000, 4000, 2000),
    };
    let inline = [0, 4, 50, 1 << 20];
    limits.with_inline_body(inline[usize::from(choice / 4) % inline.len()])
}

/// Streams of several servers, with each kind of limits.
pub fn seeds() -> Vec<Vec<u8>> {
    let streams: [&[u8]; 6] = [
        b"* OK [CAPABILITY IMAP4rev1 LITERAL+] ready\r\nM1 OK [READ-ONLY] done\r\n* BYE\r\n",
        b"* 1 FETCH (UID 7 FLAGS (\\Seen) BODY[] {5}\r\nab\r\nc INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n",
        b"* LIST (\\HasNoChildren) \"/\" {3}\r\na\"b\r\n* STATUS \"x y\" (MESSAGES 3)\r\nM2 OK\r\n",
        b"* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12 13\r\n* VANISHED (EARLIER) 1:5\r\n+ go on\r\n",
        b"* 3 FETCH (X-GM-LABELS ({2}\r\n\\a \"b c\") BINARY[] ~{3}\r\na\0b RFC822.SIZE 4)\n",
        b"* 2 FETCH (BODY[HEADER.FIELDS (A B)] {0}\r\n ENVELOPE ((NIL)) BODY[] NIL UID 5)\r\n",
    ];
    let mut seeds = Vec::new();
    for (number, stream) in streams.into_iter().enumerate() {
        let choice = [12, 0, 4, 3, 15, 1][number];
        seeds.push([&[choice, u8::from(number > 0), 3, 7], stream].concat());
    }
    seeds
}
