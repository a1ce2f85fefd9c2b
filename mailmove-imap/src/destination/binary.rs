//! A second look, as BINARY, at contents that may hold NUL; see [`nul`](crate::nul).

use mailmove_core::{
    destination::Existing,
    error::{Error, Result},
    model::ContentDigest,
};

use super::{Inner, look::Found};
use crate::{
    connection::Incoming,
    distrust::Feature,
    nul::Masked,
    pool::Lease,
    session,
    wire::{BodyContent, Fetch, FetchItem, FetchParams, Response, Section, UidSet},
};

/// Commands sent ahead.
const AHEAD: usize = 4;

/// Puts right the digests of these messages, where BINARY shows the same but for NUL.
///
/// # Errors
/// If the connection breaks. At the second time it is done without.
pub(super) async fn look_again(
    inner: &Inner,
    lease: &mut Lease,
    found: &mut Found,
    uids: &[u32],
) -> Result<()> {
    for part in uids.chunks(AHEAD) {
        if !lease.offers("BINARY", Feature::Binary) || !inner.known.binary().may_ask() {
            return Ok(());
        }
        let looked = look(lease, found, part).await;
        if let Err(error) = looked {
            return broken(inner, error);
        }
    }
    Ok(())
}

fn broken(inner: &Inner, error: Error) -> Result<()> {
    inner.known.binary().note();
    Err(error)
}

async fn look(lease: &mut Lease, found: &mut Found, uids: &[u32]) -> Result<()> {
    let mut tags = Vec::new();
    for uid in uids {
        let tag = lease.connection.tag();
        let items = [FetchItem::Uid, FetchItem::Binary];
        let command = lease.connection.encoder().uid_fetch(
            tag,
            &UidSet::from_iter([*uid]),
            &items,
            FetchParams::default(),
        );
        lease
            .connection
            .send(command.map_err(session::encode)?)
            .await?;
        tags.push(tag);
    }
    let mut body = Body::default();
    while !tags.is_empty() {
        match lease.connection.next().await? {
            // A refusal leaves the first look as it was.
            Incoming::Done(done, status) => {
                lease.server.distrust.note(Feature::Binary, &status);
                tags.retain(|tag| *tag != done);
            }
            Incoming::BodyStart(start) => body.start(start.section == Section::Full),
            Incoming::BodyChunk(octets) => body.chunk(&octets),
            Incoming::Untagged(Response::Fetch(fetch)) => {
                let digests = body.take(&fetch);
                let existing = fetch.uid.and_then(|uid| found.get_mut(&uid));
                if let (Some(digests), Some(existing)) = (digests, existing) {
                    digests.correct(existing);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A content as it passes by.
#[derive(Default)]
struct Body {
    taken: bool,
    whole: bool,
    hasher: Box<blake3::Hasher>,
    masked: Masked,
}

struct Digests {
    binary: ContentDigest,
    masked: ContentDigest,
}

impl Digests {
    fn correct(&self, existing: &mut Existing) {
        if existing.digest == Some(self.masked) {
            existing.digest = Some(self.binary);
        }
    }
}

impl Body {
    fn start(&mut self, whole: bool) {
        self.taken = whole;
        self.whole |= whole;
    }

    fn chunk(&mut self, octets: &[u8]) {
        if self.taken {
            self.hasher.update(octets);
            self.masked.note(octets);
        }
    }

    /// The response is complete; begins anew.
    fn take(&mut self, fetch: &Fetch) -> Option<Digests> {
        for part in &fetch.sections {
            if let (Section::Full, BodyContent::Inline(octets)) = (&part.section, &part.content) {
                self.start(true);
                self.chunk(octets);
            }
        }
        let mut body = std::mem::take(self);
        let binary = ContentDigest::from_bytes(*body.hasher.finalize().as_bytes());
        let masked = body.masked.take();
        body.whole.then_some(Digests { binary, masked })
    }
}
