//! An aligned table for people.

use super::{Ink, Paint, columns, cut, line, size};
use std::io::IsTerminal;

/// Rows under headings, two spaces apart. On a terminal no row is longer than a line; elsewhere the last column is as long
/// as it likes.
#[must_use]
pub fn table(paint: Paint, headings: &[&str], rows: &[Vec<String>]) -> String {
    let columns_max = if std::io::stdout().is_terminal() { size().0 } else { usize::MAX };
    table_within(paint, headings, rows, columns_max)
}

fn table_within(paint: Paint, headings: &[&str], rows: &[Vec<String>], columns_max: usize) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(n, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| columns(cell));
            cells.chain([heading.len()]).max().unwrap_or(0)
        })
        .collect();
    let join = |cells: &[String]| {
        let last = cells.len().saturating_sub(1);
        let padded = cells.iter().zip(&widths).enumerate().map(|(n, (cell, width))| {
            if n == last { cell.clone() } else { cell.clone() + &" ".repeat(width - columns(cell)) }
        });
        let row = padded.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        if columns(&row) > columns_max { cut(&row, columns_max) } else { row }
    };
    let headings: Vec<String> = headings.iter().map(ToString::to_string).collect();
    let mut text = paint.ink(Ink::Bold, &join(&headings));
    for row in &rows {
        text.push('\n');
        text.push_str(&join(row));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_are_one_line() {
        let rows = [vec!["a".into(), "x\ny".into()], vec!["long".into(), String::new()]];
        assert_eq!(table(Paint::PLAIN, &["ID", "TEXT"], &rows), "ID    TEXT\na     x y\nlong\n");
    }

    #[test]
    fn wide_letters_are_aligned_and_rows_end_with_the_line() {
        let rows = [vec!["会議".into(), "one two three".into()], vec!["a".into(), "b".into()]];
        assert_eq!(table_within(Paint::PLAIN, &["ID", "TEXT"], &rows, 12), "ID    TEXT\n会議  one t…\na     b\n");
    }
}
