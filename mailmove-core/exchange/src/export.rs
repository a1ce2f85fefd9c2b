//! Items as Exchange exports them: all of an item, whatever its class, in a form that only Exchange reads.

use mailmove_core::{
    error::Result,
    model::{Content, ItemClass},
};

/// What Exchange exports.
pub const CLASSES: [ItemClass; 6] = [
    ItemClass::Mail,
    ItemClass::Event,
    ItemClass::Contact,
    ItemClass::Task,
    ItemClass::Note,
    ItemClass::Journal,
];

/// What stands at the end of an export that the server did not finish.
const TRUNCATED: &[u8] = b"=== Truncated Data ===";

/// Whether the server did not finish it.
///
/// # Errors
/// If it cannot be read.
pub async fn is_truncated(content: &Content) -> Result<bool> {
    let mut end: Vec<u8> = Vec::new();
    let mut reader = content.reader();
    while let Some(piece) = reader.next().await? {
        let last = piece.get(piece.len().saturating_sub(64)..);
        end.extend_from_slice(last.unwrap_or_default());
        let from = end.len().saturating_sub(64);
        end.drain(..from);
    }
    Ok(end.trim_ascii_end().ends_with(TRUNCATED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_mark_of_a_truncation_is_found_at_the_end_alone() {
        for (text, is) in [
            ("", false),
            ("data", false),
            ("data=== Truncated Data ===", true),
            ("data=== Truncated Data ===\r\n", true),
            ("=== Truncated Data === and more", false),
        ] {
            let found = is_truncated(&Content::from_bytes(text)).await.unwrap();
            assert_eq!(found, is, "{text}");
        }
    }
}
