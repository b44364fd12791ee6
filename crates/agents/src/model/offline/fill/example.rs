//! Examples: lines of the instructions that end in `: VALUE`, or begin with `VALUE: ` and say what it means. Where there are some, the value of those that are nearest to the
//! input is chosen, as a model would that is shown them.

use super::stems;
use std::collections::{BTreeMap, BTreeSet};

/// Most lines that are looked at.
const LINES_MAX: usize = 1_000;

/// A text with the value that it stands for.
#[derive(Debug, Clone)]
pub(in super::super) struct Example {
    words: BTreeSet<String>,
    value: String,
}

/// The examples among the lines of a text: `TEXT: VALUE`, or `VALUE: what it means`.
pub(in super::super) fn read(text: &str) -> Vec<Example> {
    let example = |said: &str, value: &str| Example { words: stems(said), value: value.trim().to_owned() };
    let both = |line: &str| -> Option<[Example; 2]> {
        let line = line.trim().trim_start_matches("- ");
        let ((said, value), (name, meaning)) = (line.rsplit_once(": ")?, line.split_once(": ")?);
        Some([example(said, value), example(meaning, name)])
    };
    text.lines().take(LINES_MAX).filter_map(both).flatten().filter(|example| !example.value.is_empty()).collect()
}

/// The index of the value whose examples are nearest to these words; nothing where none shares a word with them.
pub(super) fn nearest(names: &[String], examples: &[Example], words: &BTreeSet<String>) -> Option<usize> {
    let known: Vec<(usize, &Example)> = examples
        .iter()
        .filter_map(|example| Some((names.iter().position(|name| *name == example.value)?, example)))
        .collect();
    // A word that few examples have says more.
    let mut common: BTreeMap<&str, usize> = BTreeMap::new();
    for word in known.iter().flat_map(|(_, example)| &example.words) {
        *common.entry(word).or_default() += 1;
    }
    let weight = |word: &String| common.get(word.as_str()).map_or(0, |n| 10_000 / n);
    let mut scores: BTreeMap<usize, usize> = BTreeMap::new();
    for (name, example) in &known {
        let shared: usize = example.words.intersection(words).map(weight).sum();
        let all: usize = example.words.iter().map(weight).sum();
        // The square lets a close example outweigh several far ones.
        *scores.entry(*name).or_default() += shared * shared / all.max(1);
    }
    let best = scores.into_iter().max_by_key(|(name, score)| (*score, std::cmp::Reverse(*name)))?;
    (best.1 > 0).then_some(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_example_decides() {
        let text = "Name the intent.\n- I lost my card: lost_card\n- My card was stolen: stolen\n- Where is my money: cash\nDo it: now.";
        let examples = read(text);
        let names: Vec<String> = ["cash", "lost_card", "stolen"].map(String::from).into();
        let near = |input: &str| nearest(&names, &examples, &stems(input)).map(|i| names[i].as_str());
        assert_eq!(near("somebody has stolen it"), Some("stolen"));
        assert_eq!(near("the card is lost"), Some("lost_card"));
        assert_eq!(near("hello"), None);
        let meant = read("The intents:\n- cash: Money and where it is.\n- stolen: Theft, robbery.");
        assert_eq!(nearest(&names, &meant, &stems("a robbery")), Some(2));
    }
}
