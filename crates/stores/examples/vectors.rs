//! How long the nearest of 50 000 passages take to be found on SQLite, and those that share words with a question:
//! `cargo run --release -p tutti-stores --example vectors [LENGTH]`.
#![allow(clippy::expect_used, reason = "a measurement that cannot go on should say why")]

use std::time::Instant;
use tutti_engine::ports::index::{Document, Filter, Index, Passage, Vector};
use tutti_engine::run::Time;
use tutti_stores::index::SqliteIndex;

const DOCUMENTS: u32 = 500;
const PASSAGES: u32 = 100;
const WORDS: [&str; 16] = [
    "card", "fee", "refund", "transfer", "account", "limit", "abroad", "branch", "app", "balance", "loan", "rate",
    "cash", "block", "arrive", "days",
];

#[tokio::main]
async fn main() {
    let length = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(384);
    let dir = std::env::temp_dir().join(format!("tutti-vectors-{}", std::process::id()));
    let index = SqliteIndex::open(&dir).expect("a directory that can be written");
    let mut dice = 0x9e37_79b9_7f4a_7c15;
    let begun = Instant::now();
    for n in 0..DOCUMENTS {
        let passages = (0..PASSAGES).map(|at| passage(at, length, &mut dice)).collect();
        let (id, content, metadata) = (n.to_string(), String::new(), serde_json::Map::new());
        let document = Document { title: format!("Document {n}"), id, content, metadata, at: Time(0) };
        index.put("acme", document, passages).await.expect("a write");
    }
    let all = f64::from(DOCUMENTS * PASSAGES);
    println!("{all} passages of {length} numbers: {:.0} passages/s written", all / begun.elapsed().as_secs_f64());
    let mut times: [Vec<f64>; 2] = Default::default();
    for _ in 0..20 {
        let begun = Instant::now();
        let found = index.by_vector("acme", vector(length, &mut dice), &Filter::default(), 20).await.expect("a read");
        times[0].push(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!(found.len(), 20);
        let begun = Instant::now();
        let asked = format!("{} {} {}", word(&mut dice), word(&mut dice), word(&mut dice));
        index.by_words("acme", &asked, &Filter::default(), 20).await.expect("a read");
        times[1].push(begun.elapsed().as_secs_f64() * 1e3);
    }
    for (what, mut times) in ["by vector", "by words "].into_iter().zip(times) {
        times.sort_by(f64::total_cmp);
        println!("{what}: median {:.1} ms, longest {:.1} ms", times[times.len() / 2], times[times.len() - 1]);
    }
    let bytes = std::fs::metadata(dir.join("documents.db")).map_or(0, |file| file.len());
    println!("{:.0} bytes per passage", bytes as f64 / all);
    let _ = std::fs::remove_dir_all(dir);
}

fn roll(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice
}

fn word(dice: &mut u64) -> &'static str {
    WORDS[(roll(dice) % 16) as usize]
}

fn vector(length: usize, dice: &mut u64) -> Vector {
    let mut values: Vec<f32> = (0..length).map(|_| (roll(dice) % 2_001) as f32 / 1_000.0 - 1.0).collect();
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter_mut().for_each(|value| *value /= norm);
    Vector { model: "measured".into(), values }
}

/// About a hundred and fifty words, of which three say something.
fn passage(at: u32, length: usize, dice: &mut u64) -> Passage {
    let filler = (0..147).map(|_| format!("w{}", roll(dice) % 5_000)).collect::<Vec<_>>().join(" ");
    let text = format!("{} {} {} {filler}", word(dice), word(dice), word(dice));
    Passage { start: at, end: at + 1, text, vector: Some(vector(length, dice)) }
}
