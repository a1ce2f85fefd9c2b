//! Tests of the wire layer as its users see it.

mod dialects;
mod encode;
mod fetch;
mod frame;
mod props;
mod response;
mod text;

use bytes::BytesMut;

use super::*;

/// What a stream said, with the chunks of each body joined.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Response(Response),
    Body(BodyStart, Vec<u8>),
    /// A body whose end never came.
    Cut(BodyStart, Vec<u8>),
    Error(WireError),
}

/// Feeds `pieces` one after the other.
fn feed<'a>(framer: &mut Framer, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut buf = BytesMut::new();
    let mut seen = Vec::new();
    let mut body: Option<(BodyStart, Vec<u8>)> = None;
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match framer.next(&mut buf) {
                Ok(None) => break,
                Ok(Some(Event::Response(response))) => seen.push(Seen::Response(response)),
                Ok(Some(Event::BodyStart(start))) => body = Some((start, Vec::new())),
                Ok(Some(Event::BodyChunk(chunk))) => {
                    assert!(!chunk.is_empty());
                    body.as_mut()
                        .expect("a body began")
                        .1
                        .extend_from_slice(&chunk);
                }
                Ok(Some(Event::BodyEnd)) => {
                    let (start, octets) = body.take().expect("a body began");
                    assert_eq!(start.len, octets.len() as u64);
                    seen.push(Seen::Body(start, octets));
                }
                Err(error) => {
                    assert_eq!(framer.next(&mut buf), Err(error.clone()), "errors last");
                    seen.push(Seen::Error(error));
                    return seen;
                }
            }
        }
        if framer.body_remaining() > 0 {
            assert!(buf.is_empty(), "pending body octets are always handed out");
        }
    }
    seen.extend(body.map(|(start, octets)| Seen::Cut(start, octets)));
    seen
}

fn framer() -> Framer {
    Framer::without_greeting(Limits::default())
}

fn see(stream: &[u8]) -> Vec<Seen> {
    feed(&mut framer(), [stream])
}

/// The one response of a stream.
fn one(stream: &[u8]) -> Response {
    let mut seen = see(stream);
    assert_eq!(seen.len(), 1, "{seen:?}");
    match seen.remove(0) {
        Seen::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

/// The one FETCH of a stream of inline bodies.
fn one_fetch(stream: &[u8]) -> Fetch {
    let mut framer = Framer::without_greeting(Limits::default().with_inline_body(1 << 20));
    match feed(&mut framer, [stream]).as_slice() {
        [Seen::Response(Response::Fetch(fetch))] => (**fetch).clone(),
        other => panic!("{other:?}"),
    }
}

fn set(text: &str) -> UidSet {
    UidSet::parse(text.as_bytes()).expect("a set")
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text.as_bytes()).expect("a name")
}
