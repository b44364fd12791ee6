//! The known word that a mistyped one most resembles.

/// The word with the fewest edits (insert, delete, replace, swap of neighbours) from `word`; the first of equals. One that
/// merely continues the other (`timeout`, `timeout_seconds`) counts as one edit.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Longer words resemble nothing; this also bounds the work a stranger can cause.
    const CHARS_MAX: usize = 64;
    let word: Vec<char> = word.to_lowercase().chars().take(CHARS_MAX).collect();
    known.into_iter().min_by_key(|known| {
        let known: Vec<char> = known.chars().take(CHARS_MAX).collect();
        let is_continued = !word.is_empty() && (known.starts_with(&word) || word.starts_with(&known));
        if is_continued { known.len().abs_diff(word.len()).min(1) } else { edits(&word, &known) }
    })
}

fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_fewest_edits_win() {
        let known = ["max_parallel", "max_iterations", "timeout_seconds"];
        assert_eq!(nearest("maxparalel", known), Some("max_parallel"));
        assert_eq!(nearest("Timeout", known), Some("timeout_seconds"));
        assert_eq!(nearest("timeout", ["input", "timeout_seconds"]), Some("timeout_seconds"));
        assert_eq!(nearest("aggergate", ["aggregate", "quorum"]), Some("aggregate"));
        assert_eq!(nearest("x", []), None);
    }
}
