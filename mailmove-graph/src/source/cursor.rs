//! Where a listing goes on: the server's own link.

use mailmove_core::model::Cursor;

const VERSION: &str = "g1:";

/// Writes a cursor.
pub(super) fn write(link: &str) -> Cursor {
    Cursor::format(format_args!("{VERSION}{link}"))
}

/// Reads one; `None` if it is another version's.
pub(super) fn read(cursor: &Cursor) -> Option<&str> {
    let link = cursor.as_str().strip_prefix(VERSION)?;
    (!link.is_empty()).then_some(link)
}
