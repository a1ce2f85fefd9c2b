//! Streams through the framer.

use bytes::BytesMut;
use mailmove_imap::wire::{BodyStart, Event, Framer, Limits, Response, WireError};

/// What a stream said, with the chunks of each body joined.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Response(Response),
    Body(BodyStart, Vec<u8>),
    /// A body whose end never came.
    Cut(BodyStart, Vec<u8>),
    Error(WireError),
}

/// Feeds a stream in these pieces, and sees that the framer keeps its promises on the way.
pub(crate) fn feed<'a>(
    mut framer: Framer,
    limits: Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Seen> {
    let mut buffer = BytesMut::new();
    let mut seen = Vec::new();
    let mut body: Option<(BodyStart, Vec<u8>)> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match framer.next(&mut buffer) {
                Ok(None) => break,
                Ok(Some(event)) => take(event, &mut seen, &mut body),
                Err(error) => {
                    assert_eq!(framer.next(&mut buffer), Err(error.clone()), "errors last");
                    seen.extend(body.map(|(start, octets)| Seen::Cut(start, octets)));
                    seen.push(Seen::Error(error));
                    return seen;
                }
            }
        }
        if framer.body_remaining() > 0 {
            assert!(buffer.is_empty(), "octets of a body are always handed out");
        }
        // More is kept only of a single piece that was larger than that.
        let most = limits.response.max(limits.search_line) + piece.len();
        assert!(buffer.len() <= most, "{} bytes are held", buffer.len());
    }
    seen.extend(body.map(|(start, octets)| Seen::Cut(start, octets)));
    seen
}

fn take(event: Event, seen: &mut Vec<Seen>, body: &mut Option<(BodyStart, Vec<u8>)>) {
    // Formatting must survive it as well: it goes into logs.
    let _ = format!("{event:?}");
    match event {
        Event::Response(response) => {
            assert!(body.is_none(), "a response within a body");
            seen.push(Seen::Response(response));
        }
        Event::BodyStart(start) => {
            assert!(body.is_none(), "a body within a body");
            *body = Some((start, Vec::new()));
        }
        Event::BodyChunk(chunk) => {
            assert!(!chunk.is_empty(), "an empty chunk");
            let (_, octets) = body.as_mut().expect("a chunk of a body that began");
            octets.extend_from_slice(&chunk);
        }
        Event::BodyEnd => {
            let (start, octets) = body.take().expect("the end of a body that began");
            assert_eq!(start.len, octets.len() as u64, "a body of another length");
            seen.push(Seen::Body(start, octets));
        }
        other => panic!("an event that the fuzz targets do not know: {other:?}"),
    }
}
