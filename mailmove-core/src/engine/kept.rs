//! What servers are known to change without a word, looked at afterwards so that the report says what
//! became of it.

use futures_util::StreamExt as _;

use super::{Engine, fetch::HEADER_MOST, lane::Lane, look_back};
use crate::{
    checkpoint::{ItemRow, ItemState, Record},
    destination::Depth,
    error::Result,
    model::{Alteration, AlterationKind, Content, Form},
};

/// Most messages of a folder that are read back. Mail that is all like this is no mail.
const MOST: usize = 1000;

/// Stored messages with odd bytes.
#[derive(Default)]
pub(super) struct Odd(Vec<ItemRow>);

impl Odd {
    /// Remembers a message that was stored.
    pub(super) fn note(&mut self, row: &ItemRow) {
        if row.state == ItemState::Copied && row.digest.is_some() && self.0.len() < MOST {
            self.0.push(row.clone());
        }
    }

    /// Reads the messages back, and reports those that the server changed.
    pub(super) async fn look(&mut self, engine: &Engine, lane: &Lane) -> Result<()> {
        let mut by_id = look_back::as_recorded(engine, std::mem::take(&mut self.0)).await?;
        if by_id.is_empty() {
            return Ok(());
        }
        let ids = by_id.keys().cloned().collect();
        let probe = engine.probe(&lane.place.id, Depth::Content).with_ids(ids);
        let mut pages = engine.destination.existing(probe);
        let mut records = Vec::new();
        // A failure to look is no failure to store: `verify` still tells.
        while let Some(Ok(page)) = pages.next().await {
            for existing in page {
                let Some(mut row) = by_id.remove(&existing.id) else {
                    continue;
                };
                if existing.digest.is_some() && existing.digest != row.digest {
                    let detail = "the server stored other bytes than it was given";
                    let note = Alteration::new(AlterationKind::ContentRewritten, detail);
                    row.altered.push(note);
                    records.push(Record::Item(Box::new(row)));
                }
            }
        }
        let count = records.len() as u64;
        if count > 0 {
            engine.ledger.commit(records).await?;
            engine.note(lane.row.no, |notes| {
                let sum = notes.altered.entry(AlterationKind::ContentRewritten);
                *sum.or_default() += count;
            });
        }
        Ok(())
    }
}

/// Whether there are servers that change such bytes: NUL, a CR or LF alone, no end of the last line,
/// or bytes above 127 in the header. A content that cannot be read is not.
pub(super) async fn is_odd(content: &Content) -> bool {
    // Nobody rewrites an export.
    if content.form() != Form::Mime {
        return false;
    }
    if content.holds_nul() {
        return true;
    }
    let Ok(start) = content.prefix(HEADER_MOST).await else {
        return false;
    };
    // An empty line that ends otherwise is odd in any case.
    let header = match start.starts_with(b"\r\n") {
        true => 0,
        false => memchr::memmem::find(&start, b"\r\n\r\n").unwrap_or(start.len()),
    };
    if !start.get(..header).unwrap_or_default().is_ascii() {
        return true;
    }
    drop(start);
    let mut before = b'\n';
    let mut reader = content.reader();
    while let Ok(Some(piece)) = reader.next().await {
        if ends_oddly(before, &piece) {
            return true;
        }
        before = piece.last().copied().unwrap_or(before);
    }
    before != b'\n'
}

/// A CR without LF, or an LF without CR, among these bytes; of the last one the next have to tell.
fn ends_oddly(before: u8, piece: &[u8]) -> bool {
    let odd = |before: u8, byte: u8| (before == b'\r') != (byte == b'\n');
    let Some(first) = piece.first() else {
        return false;
    };
    // To the end in any case: so the compiler takes many bytes at a time.
    let pairs = piece.iter().zip(piece.get(1..).unwrap_or_default());
    let start = odd(before, *first);
    pairs.fold(start, |found, (before, byte)| found | odd(*before, *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_servers_change_is_found() {
        for (text, odd) in [
            ("Subject: a\r\n\r\nb\r\n", false),
            ("Subject: a\r\n\r\n\u{e4}\r\n", false),
            ("Subject: \u{e4}\r\n\r\nb\r\n", true),
            ("Subject: a\r\n\r\nb", true),
            ("Subject: a\r\n\r\nb\r", true),
            ("Subject: a\r\n\r\nb\n", true),
            ("Subject: a\r\n\r\nb\rb\r\n", true),
            ("Subject: a\r\n\r\nb\r\r\n", true),
            ("Subject: a\r\n\r\n\0\r\n", true),
            ("\n", true),
            ("\r\n\u{e4}\r\n", false),
        ] {
            assert_eq!(is_odd(&Content::from_bytes(text)).await, odd, "{text:?}");
        }
    }
}
