//! An aligned table for people.

use super::{Ink, Paint, line};

/// Rows under headings, two spaces apart; the last column is as long as it likes.
#[must_use]
pub fn table(paint: Paint, headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(n, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count());
            cells.chain([heading.len()]).max().unwrap_or(0)
        })
        .collect();
    let join = |cells: &[String]| {
        let last = cells.len().saturating_sub(1);
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(n, (cell, width))| if n == last { cell.clone() } else { format!("{cell:<width$}") });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
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
}
