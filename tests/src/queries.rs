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
    let mut queries = banking77_with_intents()?;
    assert!(queries.len() >= n, "the query file has too few rows");
    queries.truncate(n);
    Some(queries.into_iter().map(|(text, _)| text).collect())
}

/// All queries of Banking77's test set with their intents; `None`, said aloud, where the file is absent.
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
    let query = |row: Result<csv::StringRecord, csv::Error>| {
        let row = row.expect("the query file is CSV");
        (row[0].trim().to_owned(), row[1].trim().to_owned())
    };
    Some(rows.records().map(query).collect())
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
