//! Real input: questions that customers asked a bank. And the way to say that it is not there.

use crate::workspace;
use std::path::PathBuf;

/// Where data lies that is not in the repository: `TUTTI_SHARED`, else `../shared` beside the workspace.
#[must_use]
pub fn shared() -> PathBuf {
    std::env::var_os("TUTTI_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from)
}

/// The first `n` queries of Banking77's test set; `None`, said aloud, where the file is absent.
///
/// # Panics
/// When the file is there and cannot be read.
#[must_use]
pub fn banking77(n: usize) -> Option<Vec<String>> {
    let path = shared().join("data/banking77_test.csv");
    if !path.is_file() {
        skipped(&format!("{} is absent; TUTTI_SHARED names the folder it lies in", path.display()));
        return None;
    }
    let mut rows = csv::Reader::from_path(&path).expect("the query file can be opened");
    let text = |row: Result<csv::StringRecord, csv::Error>| row.expect("the query file is CSV")[0].trim().to_owned();
    let queries: Vec<String> = rows.records().take(n).map(text).collect();
    assert_eq!(queries.len(), n, "{} has too few rows", path.display());
    Some(queries)
}

/// All queries of Banking77's test set, each with its intent; `None`, said aloud, where the file is absent.
///
/// # Panics
/// When the file is there and cannot be read.
#[must_use]
pub fn banking77_with_intents() -> Option<Vec<(String, String)>> {
    let path = shared().join("data/banking77_test.csv");
    if !path.is_file() {
        skipped(&format!("{} is absent; TUTTI_SHARED names the folder it lies in", path.display()));
        return None;
    }
    let mut rows = csv::Reader::from_path(&path).expect("the query file can be opened");
    let pair = |row: Result<csv::StringRecord, csv::Error>| {
        let row = row.expect("the query file is CSV");
        (row[0].trim().to_owned(), row[1].trim().to_owned())
    };
    Some(rows.records().map(pair).collect())
}

/// Says aloud that a test was not run, and why.
pub fn skipped(why: &str) {
    aloud(&format!("skipped: {why}"));
}

/// Says something that stands in the output of a passing test too.
pub fn aloud(line: &str) {
    // Straight to the terminal: the test runner keeps what a passing test prints to itself.
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
