//! What servers are known to change without a word, looked at afterwards so that the report says what
//! became of it.

use futures_util::StreamExt as _;

use super::{Engine, lane::Lane, look_back};
use crate::{
    checkpoint::{ItemRow, ItemState, Record},
    destination::{Depth, Probe},
    error::Result,
    model::{Alteration, AlterationKind, Content},
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
        let probe = Probe::new(lane.place.id.clone(), Depth::Content).with_ids(ids);
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
    let mut scan = Scan::default();
    let mut reader = content.reader();
    while let Ok(Some(piece)) = reader.next().await {
        if scan.finds(&piece) {
            return true;
        }
    }
    scan.before != b'\n'
}

/// What of the bytes before matters for the next.
struct Scan {
    before: u8,
    header: bool,
    /// Since the start of the line there was nothing, or a CR alone.
    empty_line: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            before: b'\n',
            header: true,
            empty_line: true,
        }
    }
}

impl Scan {
    fn finds(&mut self, piece: &[u8]) -> bool {
        let mut from = 0;
        for at in memchr::memchr3_iter(b'\r', b'\n', 0, piece) {
            if self.text(piece.get(from..at).unwrap_or_default()) {
                return true;
            }
            let byte = piece.get(at).copied().unwrap_or_default();
            if byte == 0 || (byte == b'\n') != (self.before == b'\r') {
                return true;
            }
            if byte == b'\n' {
                self.header &= !self.empty_line;
                self.empty_line = true;
            }
            self.before = byte;
            from = at + 1;
        }
        self.text(piece.get(from..).unwrap_or_default())
    }

    /// Bytes of a line without its end.
    fn text(&mut self, text: &[u8]) -> bool {
        let Some(last) = text.last() else {
            return false;
        };
        let alone = self.before == b'\r';
        self.before = *last;
        self.empty_line = false;
        alone || (self.header && !text.is_ascii())
    }
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
