//! One question to somebody else's PostgreSQL: a connection of its own, a transaction that only reads.

use super::db::{Place, detail};
use crate::queries::Rows;
use bytes::BytesMut;
use futures_util::TryStreamExt;
use serde_json::Value;
use std::error::Error as StdError;
use std::pin::pin;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Error};
use tutti_engine::ports::queries::{Database, QueryError, Question, Table};

pub(crate) async fn ask(question: Question) -> Result<Table, QueryError> {
    let ms = u64::try_from(question.timeout.as_millis()).unwrap_or(u64::MAX);
    let Database::Postgres { dsn, address } = &question.database else {
        return Err(QueryError::Refused("no address".into()));
    };
    let place = Place::at(dsn, *address, "tutti data source").map_err(QueryError::Refused)?;
    let asked = async {
        let client = place.dial().await.map_err(|e| QueryError::Unreachable(detail(&e)))?;
        read(&client, &question, ms).await
    };
    // The connection goes with the future, and the server ends the statement by itself.
    tokio::time::timeout(question.timeout, asked).await.unwrap_or(Err(QueryError::TooSlow { ms }))
}

async fn read(client: &Client, question: &Question, ms: u64) -> Result<Table, QueryError> {
    let failed = |e: Error| match e.code() {
        Some(&SqlState::QUERY_CANCELED) => QueryError::TooSlow { ms },
        Some(_) => QueryError::Refused(detail(&e)),
        None if e.is_closed() => QueryError::Unreachable(detail(&e)),
        None => QueryError::Refused(detail(&e)),
    };
    let bounds = format!("SET statement_timeout = {ms}; SET lock_timeout = {ms}; BEGIN TRANSACTION READ ONLY");
    client.batch_execute(&bounds).await.map_err(failed)?;
    // Prepared, so it is one statement; as a part of another one, so it can only be a question.
    let sql =
        format!("SELECT row_to_json(asked)::text FROM (\n{}\n) AS asked", question.sql.trim().trim_end_matches(';'));
    let statement = client.prepare(&sql).await.map_err(failed)?;
    let wanted = statement.params().len();
    if wanted > question.params.len() {
        let has = question.params.len();
        return Err(QueryError::Refused(format!("the statement has {wanted} parameters, and {has} are given")));
    }
    let params: Vec<Param<'_>> = question.params.iter().take(wanted).map(Param).collect();
    let mut found = pin!(client.query_raw(&statement, params).await.map_err(failed)?);
    let mut rows = Rows::new(question);
    while let Some(row) = found.try_next().await.map_err(failed)? {
        let text: &str = row.try_get(0).map_err(failed)?;
        let unreadable = |e: serde_json::Error| QueryError::Refused(e.to_string());
        if !rows.take(serde_json::from_str(text).map_err(unreadable)?, text.len()) {
            break;
        }
    }
    Ok(rows.table())
}

/// A value in the words of SQL, which the server reads as whatever it wants there.
#[derive(Debug)]
struct Param<'v>(&'v Value);

impl ToSql for Param<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::String(text) => out.extend_from_slice(text.as_bytes()),
            other => out.extend_from_slice(other.to_string().as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
