//! Text in columns.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Rows of text, aligned when printed: the first column and the last to the left, numbers between
/// them to the right.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds a line that closes the rows above it.
    pub(crate) fn rule(&mut self) {
        self.rows.push(Vec::new());
    }

    /// The lines, with a rule under the head.
    pub(crate) fn print(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.width()).max().unwrap_or(0)
            })
            .collect();
        // Notes are as long as they are; a rule need not follow them.
        let ruled = widths
            .split_last()
            .map_or(0, |(_, rest)| rest.iter().sum::<usize>() + 2 * rest.len());
        let rule = "-".repeat(ruled.saturating_sub(2));
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            if row.is_empty() {
                out.push_str(&rule);
            }
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let blanks = " ".repeat(width.saturating_sub(cell.width()));
                if column > 0 {
                    line.push_str("  ");
                }
                if column == 0 || column + 1 == columns {
                    line.push_str(cell);
                    line.push_str(&blanks);
                } else {
                    line.push_str(&blanks);
                    line.push_str(cell);
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
            if index == 0 {
                out.push_str(&rule);
                out.push('\n');
            }
        }
        out
    }
}

/// The text in at most `width` columns: what is too much is taken out of its middle, since both ends
/// of a path tell more.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| -> Vec<char> {
        let mut left = room;
        let fits = |c: &char| {
            let width = c.width().unwrap_or(0);
            let fits = width <= left;
            left = left.saturating_sub(width);
            fits
        };
        chars.take_while(fits).collect()
    };
    let head = take(&mut text.chars(), room / 2);
    let tail = take(&mut text.chars().rev(), room - room / 2);
    head.into_iter()
        .chain(['…'])
        .chain(tail.into_iter().rev())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_by_what_is_seen() {
        let mut table = Table::new(&["Folder", "Found", "Notes"]);
        table.row(vec!["日本".to_owned(), "7".to_owned(), "x".to_owned()]);
        table.rule();
        table.row(vec!["total".to_owned(), "1,234".to_owned(), String::new()]);
        assert_eq!(
            table.print(),
            "Folder  Found  Notes\n\
             -------------\n\
             日本        7  x\n\
             -------------\n\
             total   1,234\n"
        );
    }

    #[test]
    fn long_text_keeps_both_ends() {
        assert_eq!(fit("Archive/2024", 12), "Archive/2024");
        assert_eq!(fit("Archive/2024/Letters", 12), "Archi…etters");
        let wide = fit(&"日".repeat(30), 12);
        assert!(wide.width() <= 12 && wide.contains('…'), "{wide}");
    }
}
