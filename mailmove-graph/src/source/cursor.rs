//! Where a listing goes on: the server's own link, and of which interface.

use mailmove_core::model::Cursor;

/// Of messages.
const MAIL: &str = "g1:";
/// Of items of all classes, by the interface for exports.
const ITEMS: &str = "g1x:";

fn version(items: bool) -> &'static str {
    match items {
        true => ITEMS,
        false => MAIL,
    }
}

/// Writes a cursor.
pub(super) fn write(link: &str, items: bool) -> Cursor {
    Cursor::format(format_args!("{}{link}", version(items)))
}

/// Reads one; `None` if it is another version's, or the other interface's: what is listed there is something else.
pub(super) fn read(cursor: &Cursor, items: bool) -> Option<&str> {
    let link = cursor.as_str().strip_prefix(version(items))?;
    (!link.is_empty()).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_one_interfaces() {
        for items in [false, true] {
            let cursor = write("https://h/x", items);
            assert_eq!(read(&cursor, items), Some("https://h/x"));
            assert_eq!(read(&cursor, !items), None);
        }
        assert_eq!(read(&Cursor::new("g1:"), false), None);
    }
}
