//! One question to a file of SQLite, opened for reading only.

use super::Rows;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, Value as Sql, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Row, ToSql};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::sync::oneshot;
use tutti_engine::ports::queries::{Database, QueryError, Question, Table};

pub(super) async fn ask(question: Question) -> Result<Table, QueryError> {
    let ms = u64::try_from(question.timeout.as_millis()).unwrap_or(u64::MAX);
    let (tell, told) = oneshot::channel();
    let timeout = question.timeout;
    let mut asked = tokio::task::spawn_blocking(move || {
        let db = open(&question)?;
        // Whoever waits may stop it from now on.
        let _ = tell.send(db.get_interrupt_handle());
        read(&db, &question)
    });
    let failed = |e: tokio::task::JoinError| QueryError::Unreachable(e.to_string());
    if let Ok(answer) = tokio::time::timeout(timeout, &mut asked).await {
        return answer.map_err(failed)?;
    }
    if let Ok(handle) = told.await {
        handle.interrupt();
    }
    let _ = asked.await.map_err(failed)?;
    Err(QueryError::TooSlow { ms })
}

fn open(question: &Question) -> Result<Connection, QueryError> {
    let Database::Sqlite { file } = &question.database else { return Err(QueryError::Refused("no file".into())) };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(file, flags)?;
        db.busy_timeout(question.timeout.min(Duration::from_secs(5)))?;
        db.execute_batch("PRAGMA query_only=1; PRAGMA trusted_schema=0;")?;
        db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        let bytes = i32::try_from(question.bytes_max).unwrap_or(i32::MAX);
        // No single value, and no text that is put together, is larger than the whole answer.
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, bytes.max(4_096))?;
        Ok(db)
    };
    connect().map_err(|e| QueryError::Unreachable(said(&e)))
}

fn read(db: &Connection, question: &Question) -> Result<Table, QueryError> {
    let refused = |e: Error| match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::DatabaseBusy) => {
            QueryError::Unreachable(said(&e))
        }
        _ => QueryError::Refused(said(&e)),
    };
    let mut statement = db.prepare(&question.sql).map_err(refused)?;
    if !statement.readonly() {
        return Err(QueryError::Refused("this statement writes".into()));
    }
    for (n, value) in question.params.iter().enumerate() {
        let name = format!("${}", n + 1);
        if let Some(at) = statement.parameter_index(&name).map_err(refused)? {
            statement.raw_bind_parameter(at, Param(value)).map_err(refused)?;
        }
    }
    let names: Vec<String> = statement.column_names().map(String::from).collect();
    let mut found = statement.raw_query();
    let mut rows = Rows::new(question);
    while let Some(row) = found.next().map_err(refused)? {
        let row = object(&names, row).map_err(refused)?;
        let bytes = row.to_string().len();
        if !rows.take(row, bytes) {
            break;
        }
    }
    Ok(rows.table())
}

fn object(names: &[String], row: &Row<'_>) -> rusqlite::Result<Value> {
    let mut object = Map::new();
    for (n, name) in names.iter().enumerate() {
        let value = match row.get_ref(n)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => json!(number),
            ValueRef::Real(number) => json!(number),
            ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => json!(format!("({} bytes)", bytes.len())),
        };
        object.insert(name.clone(), value);
    }
    Ok(Value::Object(object))
}

fn said(e: &Error) -> String {
    match e {
        Error::SqliteFailure(_, Some(words)) => words.clone(),
        other => other.to_string(),
    }
}

struct Param<'v>(&'v Value);

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self.0 {
            Value::Null => Sql::Null,
            Value::Bool(is) => Sql::Integer(i64::from(*is)),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Sql::Integer(whole),
                None => Sql::Real(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => return Ok(ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))),
            other => Sql::Text(other.to_string()),
        }))
    }
}
