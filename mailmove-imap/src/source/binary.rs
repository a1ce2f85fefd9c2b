//! Contents that may hold NUL are asked for once more, as BINARY; see [`nul`](crate::nul).

use std::collections::{BTreeMap, VecDeque};

use mailmove_core::{
    error::Result,
    model::{Content, ContentDigest, MessageId},
    source::Fetched,
};

use super::{
    collect::Collector,
    fetch::{AHEAD, Fetching, ask},
    told::{Told, told},
};
use crate::{
    distrust::Feature,
    error::again,
    pool::Lease,
    wire::{FetchItem, Tag, UidSet},
};

const BINARY: &[FetchItem] = &[FetchItem::Uid, FetchItem::Binary];

/// Messages that wait for a second look, by UID.
pub(super) type Doubtful = BTreeMap<u32, (MessageId, Content)>;

impl Fetching {
    /// Takes the second look, one command for each message: a refusal is then about that one.
    ///
    /// # Errors
    /// If the connection breaks. All that waited have been answered then.
    pub(super) async fn binaries(
        &mut self,
        lease: &mut Lease,
        collector: &mut Collector,
    ) -> Result<()> {
        let mut doubtful = std::mem::take(&mut self.doubtful);
        collector.mask(true);
        let looked = self.look(lease, collector, &mut doubtful).await;
        collector.mask(false);
        // What had no second look stays as it is: refused, or at the second broken connection.
        if looked.is_err() {
            self.suspects.binary.note();
        }
        let give_up = looked.is_ok() || !self.suspects.binary.may_ask();
        for (id, content) in doubtful.into_values() {
            let fetched = match &looked {
                Err(error) if !give_up => Fetched::Failed(again(error)),
                _ => Fetched::Content(content),
            };
            self.out.send((id, fetched)).await;
        }
        looked
    }

    async fn look(
        &mut self,
        lease: &mut Lease,
        collector: &mut Collector,
        doubtful: &mut Doubtful,
    ) -> Result<()> {
        let mut later: VecDeque<u32> = doubtful.keys().copied().collect();
        let mut in_flight: Vec<Tag> = Vec::new();
        loop {
            while in_flight.len() < AHEAD
                && let Some(uid) = later.pop_front()
            {
                let set = UidSet::from_iter([uid]);
                in_flight.push(ask(lease, &set, BINARY).await?);
            }
            if in_flight.is_empty() {
                return Ok(());
            }
            match told(&mut lease.connection, collector, |_| true).await? {
                Told::Message(gathered) => {
                    let uid = gathered.fetch.uid.unwrap_or_default();
                    let (Some(content), Some(masked)) = (gathered.content, gathered.masked) else {
                        continue;
                    };
                    if let Some((id, shown)) = doubtful.remove(&uid) {
                        let content = choose(shown, content, masked);
                        self.out.send((id, Fetched::Content(content))).await;
                    }
                }
                Told::Expunged(_) | Told::Vanished(_) => lease.forget_folder(),
                Told::Done(tag, status) => {
                    lease.server.distrust.note(Feature::Binary, &status);
                    in_flight.retain(|sent| *sent != tag);
                    if lease.server.distrust.has(Feature::Binary) {
                        // What was sent ahead is answered alike.
                        later.clear();
                    }
                }
                Told::Unreadable { .. } => {}
            }
        }
    }
}

/// The binary content, if the server showed the same but for NUL.
fn choose(shown: Content, binary: Content, masked: ContentDigest) -> Content {
    if masked == shown.digest() && binary.size() == shown.size() {
        binary
    } else {
        shown
    }
}
