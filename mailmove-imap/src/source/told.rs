//! What a server says while it answers FETCH commands.

use mailmove_core::error::Result;

use super::collect::{Collector, Gathered};
use crate::{
    connection::{Connection, Incoming},
    wire::{Response, Status, Tag, UidSet},
};

/// Something that matters to who lists or fetches.
#[derive(Debug)]
pub(super) enum Told {
    /// A FETCH response.
    Message(Gathered),
    /// A FETCH response that makes no sense.
    Unreadable { seq: Option<u32>, uid: Option<u32> },
    /// A message went, by sequence number.
    Expunged(u32),
    /// Messages went, by UID.
    Vanished(UidSet),
    /// A command is answered.
    Done(Tag, Status),
}

/// Waits for the next of it. `wanted`: whether the body of that message is to be kept; the UID may
/// not be known yet. Cancel safe as long as connection and collector stay together.
///
/// # Errors
/// If the connection fails, or there is no place for a body.
pub(super) async fn told(
    connection: &mut Connection,
    collector: &mut Collector,
    wanted: impl Fn(Option<u32>) -> bool,
) -> Result<Told> {
    loop {
        match connection.next().await? {
            Incoming::BodyStart(start) => collector.start(&start, wanted(start.uid))?,
            Incoming::BodyChunk(octets) => collector.chunk(&octets)?,
            Incoming::BodyEnd => collector.end(),
            Incoming::Untagged(Response::Fetch(fetch)) => {
                return Ok(Told::Message(collector.finish(fetch)?));
            }
            Incoming::Untagged(Response::Malformed(malformed)) => {
                collector.discard();
                if malformed.seq.is_some() || malformed.uid.is_some() {
                    return Ok(Told::Unreadable {
                        seq: malformed.seq,
                        uid: malformed.uid,
                    });
                }
            }
            Incoming::Untagged(Response::Expunge(seq)) => return Ok(Told::Expunged(seq)),
            // An earlier one is no news of this session.
            Incoming::Untagged(Response::Vanished(gone)) if !gone.earlier => {
                return Ok(Told::Vanished(gone.uids));
            }
            Incoming::Done(tag, status) => return Ok(Told::Done(tag, status)),
            Incoming::Untagged(_) | Incoming::Continue(_) => {}
        }
    }
}
