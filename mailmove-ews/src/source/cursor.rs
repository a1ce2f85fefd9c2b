//! Where a listing goes on: the server's sync state, as it is.

use mailmove_core::model::Cursor;

const VERSION: &str = "s1:";

/// Writes a cursor.
pub(super) fn write(state: &str) -> Cursor {
    Cursor::format(format_args!("{VERSION}{state}"))
}

/// Writes one of a listing that always begins anew.
pub(super) fn whole() -> Cursor {
    Cursor::new("f1")
}

/// Reads one; `None` if it is another version's.
pub(super) fn read(cursor: &Cursor) -> Option<&str> {
    let state = cursor.as_str().strip_prefix(VERSION)?;
    (!state.is_empty()).then_some(state)
}
