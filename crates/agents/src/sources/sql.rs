//! A source that is a database: one question, to a host or a file that may be asked.

use super::{ANSWER_BYTES_MAX, Answer, CLASS, Installed, Sql};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tutti_engine::activity::ActivityError;
use tutti_engine::ports::queries::{Database, QueryError, Question};
use url::Url;

pub(super) async fn ask(
    installed: &Installed,
    name: &str,
    sql: &Sql,
    arguments: &Map<String, Value>,
) -> Result<Answer, ActivityError> {
    let fatal = |why: String| ActivityError::fatal(CLASS, format!("data source {name:?}: {why}"));
    let missing = |param: &String| fatal(format!("the argument {param:?} is missing"));
    let param = |param: &String| arguments.get(param).cloned().ok_or_else(|| missing(param));
    let params = sql.params.iter().map(param).collect::<Result<Vec<_>, _>>()?;
    let question = Question {
        database: database(installed, sql).await.map_err(fatal)?,
        sql: sql.sql.clone(),
        params,
        rows_max: sql.rows_max,
        bytes_max: ANSWER_BYTES_MAX,
        timeout: Duration::from_millis(sql.timeout_ms),
    };
    let asked = installed.databases.ask(question).await.map_err(|error| match error {
        QueryError::Refused(why) => fatal(why),
        other => ActivityError::retry(CLASS, format!("data source {name:?}: {other}")),
    });
    asked.map(|table| Answer { items: table.rows, is_cut: table.is_cut })
}

async fn database(installed: &Installed, sql: &Sql) -> Result<Database, String> {
    if let Some(file) = &sql.file {
        return Ok(Database::Sqlite { file: is_allowed_file(file, &installed.files)? });
    }
    let dsn = sql.dsn.clone().ok_or("it has neither dsn nor file")?;
    let url = Url::parse(&dsn).map_err(|_| "its dsn is no address".to_owned())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("its dsn names no host")?;
    let address = installed.egress.address(host).await?;
    Ok(Database::Postgres { dsn, address })
}

/// The file itself, wherever links lead, if it or a folder that it lies in is among `allowed`.
///
/// # Errors
/// In words, naming `DATASOURCE_FILES`.
pub fn is_allowed_file(file: &Path, allowed: &[PathBuf]) -> Result<PathBuf, String> {
    // The same words whether it is there or not: nobody learns what lies elsewhere.
    let refused =
        || format!("{} is no file that may be asked; the operator can allow it in DATASOURCE_FILES", file.display());
    let real = file.canonicalize().map_err(|_| refused())?;
    let is_below = |allowed: &PathBuf| allowed.canonicalize().is_ok_and(|allowed| real.starts_with(allowed));
    if real.is_file() && allowed.iter().any(is_below) { Ok(real) } else { Err(refused()) }
}
