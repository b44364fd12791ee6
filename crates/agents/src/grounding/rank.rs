//! One order out of several.

use std::collections::BTreeMap;
use tutti_engine::ports::index::{At, Hit};

/// How little the first place counts more than the second. Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms
/// Condorcet and individual Rank Learning Methods", SIGIR 2009.
const K: f64 = 60.0;

/// The best of several lists by reciprocal rank fusion: what counts is the place in each list, not its scores, which cannot be
/// compared. The best has the score 1. One list stays as it is, and its scores stay in proportion.
pub(super) fn fuse(lists: Vec<Vec<Hit>>, limit: usize) -> Vec<Hit> {
    let is_alone = lists.iter().filter(|list| !list.is_empty()).count() == 1;
    let mut hits: BTreeMap<At, Hit> = BTreeMap::new();
    for list in lists {
        for (rank, hit) in list.into_iter().enumerate() {
            let gain = if is_alone { hit.score.max(0.0) } else { 1.0 / (K + 1.0 + rank as f64) };
            hits.entry(hit.at).or_insert(Hit { score: 0.0, ..hit }).score += gain;
        }
    }
    let mut hits: Vec<Hit> = hits.into_values().collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.at.cmp(&b.at)));
    hits.truncate(limit);
    let best = hits.first().map_or(1.0, |hit| hit.score.max(f64::MIN_POSITIVE));
    for hit in &mut hits {
        hit.score = (hit.score / best * 1_000.0).round() / 1_000.0;
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(scored: &[(u64, f64)]) -> Vec<Hit> {
        let (document, title, text) = (String::new(), String::new(), String::new());
        let hit = Hit { at: (0, 0), document, title, start: 0, end: 0, text, score: 0.0 };
        scored.iter().map(|(revision, score)| Hit { at: (*revision, 0), score: *score, ..hit.clone() }).collect()
    }

    fn order(lists: Vec<Vec<Hit>>, limit: usize) -> Vec<(u64, f64)> {
        fuse(lists, limit).into_iter().map(|hit| (hit.at.0, hit.score)).collect()
    }

    #[test]
    fn what_both_know_comes_before_what_one_knows() {
        let (words, vectors) = (list(&[(1, 9.0), (2, 8.0), (3, 1.0)]), list(&[(3, 0.9), (4, 0.8), (2, 0.1)]));
        let fused = order(vec![words, vectors], 3);
        assert_eq!(fused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(fused[0].1, 1.0);
    }

    #[test]
    fn one_list_keeps_its_order_and_its_proportions() {
        assert_eq!(order(vec![list(&[(7, 8.0), (1, 4.0)]), Vec::new()], 9), [(7, 1.0), (1, 0.5)]);
        assert!(order(vec![Vec::new(), Vec::new()], 9).is_empty());
        assert_eq!(order(vec![list(&[(7, -0.5)])], 9), [(7, 0.0)]);
    }
}
