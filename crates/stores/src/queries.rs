//! Questions to databases of others: PostgreSQL, and files of SQLite.

mod sqlite;

use crate::postgres::question;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tutti_engine::ports::queries::{Database, Databases, QueryError, Question, Table, check};

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queries;

impl Databases for Queries {
    fn ask(&self, question: Question) -> BoxFuture<'static, Result<Table, QueryError>> {
        Box::pin(async move {
            check(&question.sql).map_err(QueryError::Refused)?;
            match &question.database {
                Database::Postgres { .. } => question::ask(question).await,
                Database::Sqlite { .. } => sqlite::ask(question).await,
            }
        })
    }
}

/// Rows within their bounds.
pub(crate) struct Rows {
    table: Table,
    rows_max: usize,
    bytes_left: usize,
}

impl Rows {
    pub fn new(question: &Question) -> Self {
        let table = Table { rows: Vec::new(), is_cut: false };
        Self { table, rows_max: question.rows_max as usize, bytes_left: question.bytes_max }
    }

    /// Takes a row of so many bytes; false once there is no room for more.
    pub fn take(&mut self, row: Value, bytes: usize) -> bool {
        if self.table.rows.len() == self.rows_max || bytes > self.bytes_left {
            self.table.is_cut = true;
            return false;
        }
        self.bytes_left -= bytes;
        self.table.rows.push(row);
        true
    }

    pub fn table(self) -> Table {
        self.table
    }
}
