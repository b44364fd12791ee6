//! Questions to databases that are not ours: one statement that only reads, within bounds of rows, bytes and time.

// An address as data: nothing here opens a socket.
use core::net::IpAddr;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Which database.
pub enum Database {
    /// PostgreSQL.
    Postgres {
        /// `postgresql://user:password@host:port/database`: a secret.
        dsn: String,
        /// Where the host is, as it was checked; the host itself is only for certificates.
        address: IpAddr,
    },
    /// A file of SQLite.
    Sqlite {
        /// As it was checked: absolute, and no link.
        file: PathBuf,
    },
}

/// A question.
pub struct Question {
    /// Whom.
    pub database: Database,
    /// One `SELECT`, with `$1`, `$2`… for what varies.
    pub sql: String,
    /// What stands for `$1`, `$2`…: texts, numbers, truth values, nulls.
    pub params: Vec<Value>,
    /// Most rows.
    pub rows_max: u32,
    /// Most bytes of the rows as JSON.
    pub bytes_max: usize,
    /// How long it may take, connecting included.
    pub timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Each row as an object, its columns in order.
    pub rows: Vec<Value>,
    /// There was more than might be read.
    pub is_cut: bool,
}

/// Why there is no answer. Never holds the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The statement is none that may be asked, or the database does not take it.
    #[error("{0}")]
    Refused(String),
    /// The database cannot be reached, or broke off.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the database did not answer within {ms} ms")]
    TooSlow {
        /// The bound.
        ms: u64,
    },
}

/// The port. Implementations live in `tutti-stores`.
pub trait Databases: Send + Sync {
    /// Asks. Nothing that is asked changes anything.
    fn ask(&self, question: Question) -> BoxFuture<'static, Result<Table, QueryError>>;
}

/// Whether a statement is, by its first word, one that reads. What it really does, the database has the last word about.
///
/// # Errors
/// In words.
pub fn check(sql: &str) -> Result<(), String> {
    let word: String = past_comments(sql).chars().take_while(char::is_ascii_alphabetic).collect();
    if ["SELECT", "WITH", "VALUES"].iter().any(|known| known.eq_ignore_ascii_case(&word)) {
        return Ok(());
    }
    Err("only one statement that reads can be asked: SELECT …, WITH … SELECT or VALUES …".into())
}

fn past_comments(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        let after = match rest.as_bytes() {
            [b'-', b'-', ..] => rest.find('\n').map(|at| at + 1),
            [b'/', b'*', ..] => rest.find("*/").map(|at| at + 2),
            _ => return rest,
        };
        let Some(after) = after else { return "" };
        rest = rest[after..].trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_says_whether_a_statement_reads() {
        for good in ["select 1", " -- why\n/* and */ WITH x AS (SELECT 1) SELECT * FROM x", "VALUES (1)", "(SELECT 1)"]
        {
            assert_eq!(check(good).is_ok(), !good.starts_with('('), "{good}");
        }
        for bad in
            ["", "--", "/*", "DELETE FROM x", "SELECTED", "COPY x TO PROGRAM 'sh'", "SET x = 1", "EXPLAIN SELECT 1"]
        {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
