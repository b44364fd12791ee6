//! `data_sources`: places outside that answers may be grounded in; kept without ever showing their secrets, and tried.

use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, Caller, Role, Stamp, cursor};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;
use tutti_agents::form::{Errors, Field, Form};
use tutti_agents::registry;
pub(crate) use tutti_agents::sources::DATA_SOURCE as RECORD;
use tutti_agents::sources::{self, Access, AskSource, DATA_SOURCE, DEFAULT, DataSource, Http, Installed, Sql};
use tutti_engine::activity::{Activity, ActivityCx};
use tutti_engine::ports::queries;
use tutti_engine::ports::records::{Expect, Put};
use tutti_engine::run::Time;
use url::Url;

const LIST: &str = "data_sources";
const NAME_CHARS_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 2_000;
const SQL_CHARS_MAX: usize = 20_000;
const LIST_MAX: usize = 20;
/// Most rows of an answer, and how many where nobody says.
const ROWS_MAX: i64 = 1_000;
const ROWS: u32 = 50;
/// How long an answer may take, in seconds, and how long where nobody says, in milliseconds.
const SECONDS_MAX: u32 = 30;
const TIMEOUT_MS: u64 = 5_000;
/// What stands for a secret.
const HIDDEN: &str = "***";

/// A source as it is shown.
#[derive(Debug, Serialize)]
pub struct DataSourceView {
    /// Its name.
    pub name: String,
    /// `http` or `sql`.
    pub kind: &'static str,
    /// What it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it is asked; secrets are `***`.
    pub config: Value,
    /// When it was written; absent for one of the operator's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Stamp>,
}

impl App {
    /// Keeps `{name, kind, description?, config}`, in the place of the source of this name; says whether it is new. A secret that
    /// is `***` stays as it is.
    ///
    /// # Errors
    /// Every wrong field at once.
    pub async fn put_data_source(
        &self,
        caller: &Caller,
        name: Option<&str>,
        body: &Value,
    ) -> Result<(DataSourceView, bool), Failure> {
        caller.must_hold(Role::Admin)?;
        let (installed, tenant) = (installed()?, caller.tenant.as_ref());
        let (source, is_new) = self.read_data_source(caller, name, body).await?;
        let key = (DATA_SOURCE, tenant, source.name.as_str());
        let written = registry::put(installed.records.as_ref(), key, &source, source.updated_at, Expect::Any).await?;
        Ok((view(source), is_new && matches!(written, Put::Written(_))))
    }

    /// A source as [`put_data_source`](Self::put_data_source) would keep it.
    ///
    /// # Errors
    /// Every wrong field at once.
    pub(crate) async fn check_data_source(&self, caller: &Caller, body: &Value) -> Result<DataSourceView, Failure> {
        Ok(view(self.read_data_source(caller, None, body).await?.0))
    }

    async fn read_data_source(
        &self,
        caller: &Caller,
        name: Option<&str>,
        body: &Value,
    ) -> Result<(DataSource, bool), Failure> {
        let (installed, tenant) = (installed()?, caller.tenant.as_ref());
        let wanted = name.or(body["name"].as_str()).unwrap_or_default();
        let old = registry::get::<DataSource>(installed.records.as_ref(), DATA_SOURCE, tenant, wanted).await?;
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| {
            let reader = Reader { installed: &installed, app: self, old: old.as_ref().map(|kept| &kept.value.access) };
            reader.read(&form, name)
        });
        let mut source = errors.or(read).map_err(Failure::invalid)?;
        source.updated_at = self.engine().now();
        Ok((source, old.is_none()))
    }

    /// A page of the tenant's sources, by name; the operator's own comes first.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_data_sources(
        &self,
        caller: &Caller,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<DataSourceView>, Failure> {
        let (installed, limit) = (installed()?, limit.clamp(1, 200));
        let after = cursor.as_deref().map(|text| cursor::read_name(LIST, text)).transpose()?;
        let mut items: Vec<DataSourceView> = Vec::new();
        let records = installed.records.list(DATA_SOURCE, &caller.tenant, after.clone(), limit + 1).await?;
        let has_more = records.len() > limit as usize;
        let next_cursor = records.iter().take(limit as usize).last().filter(|_| has_more);
        let next_cursor = next_cursor.map(|last| cursor::write_name(LIST, &last.name));
        let is_kept = records.iter().any(|record| record.name == DEFAULT);
        items.extend(installed.default_source().filter(|_| after.is_none() && !is_kept).map(view));
        for record in records.into_iter().take(limit as usize) {
            let source = installed.find(&caller.tenant, &record.name).await?;
            items.extend(source.map(view));
        }
        Ok(Page { items, next_cursor })
    }

    /// A source, without its secrets.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn data_source(&self, caller: &Caller, name: &str) -> Result<DataSourceView, Failure> {
        installed()?.find(&caller.tenant, name).await?.map(view).ok_or_else(|| unknown(name))
    }

    /// Takes a source out.
    ///
    /// # Errors
    /// `NotFound`, or it is the operator's own.
    pub async fn delete_data_source(&self, caller: &Caller, name: &str) -> Result<(), Failure> {
        caller.must_hold(Role::Admin)?;
        let installed = installed()?;
        if installed.records.delete(DATA_SOURCE, &caller.tenant, name, Expect::Any).await? {
            return Ok(());
        }
        match installed.find(&caller.tenant, name).await? {
            Some(_) => Err(Failure::conflict("this source is that of DATASOURCE_BASE_URL; unset it there")),
            None => Err(unknown(name)),
        }
    }

    /// Asks a source, to try it: the body is the arguments. What it answers, or why it does not, is data.
    ///
    /// # Errors
    /// `NotFound`, or the body is no object.
    pub async fn try_data_source(&self, caller: &Caller, name: &str, body: &Value) -> Result<Value, Failure> {
        caller.must_hold(Role::Operator)?;
        let installed = installed()?;
        let errors = Errors::default();
        let arguments = Form::body(body, &errors).and_then(|_| body.as_object().cloned());
        let arguments = errors.or(arguments).map_err(Failure::invalid)?;
        if installed.find(&caller.tenant, name).await?.is_none() {
            return Err(unknown(name));
        }
        let (tenant, begin) = (caller.tenant.to_string(), Instant::now());
        let now = self.engine().now();
        let deadline = Time(now.0 + i64::from(SECONDS_MAX) * 1_000);
        let (outbound, traceparent) = (installed.egress.clone(), caller.traceparent.clone());
        let cx = ActivityCx::outside(outbound, caller.owner(), now, deadline, traceparent);
        let asked = AskSource { tenant, source: name.to_owned(), arguments }.run(cx).await;
        let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(match asked {
            Ok(answer) => json!({"status": "ok", "items": answer.items, "is_cut": answer.is_cut, "took_ms": took_ms}),
            Err(e) => {
                json!({"status": "error", "error": {"class": e.class, "message": e.message}, "took_ms": took_ms})
            }
        })
    }
}

fn installed() -> Result<Installed, Failure> {
    sources::installed().ok_or_else(|| Failure::internal("there are no data sources"))
}

fn unknown(name: &str) -> Failure {
    let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    Failure::not_found(format!("there is no data source named {shown:?}"))
}

fn view(source: DataSource) -> DataSourceView {
    let DataSource { name, description, access, updated_at } = source;
    let hidden = |secret: &Option<String>| secret.as_ref().map(|_| HIDDEN);
    let (kind, config) = match access {
        Access::Http(http) => {
            let headers: BTreeMap<&String, &str> = http.headers.keys().map(|name| (name, HIDDEN)).collect();
            ("http", json!({"url": http.url, "headers": headers, "token": hidden(&http.token), "items": http.items}))
        }
        Access::Sql(sql) => {
            let seconds = sql.timeout_ms as f64 / 1_000.0;
            (
                "sql",
                json!({"dsn": hidden(&sql.dsn), "file": sql.file, "sql": sql.sql, "params": sql.params,
                "rows": sql.rows_max, "timeout_seconds": seconds}),
            )
        }
    };
    let mut config = config.as_object().cloned().unwrap_or_default();
    config.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|object| !object.is_empty()));
    let updated_at = (updated_at != Time(0)).then_some(Stamp(updated_at));
    DataSourceView { name, kind, description, config: Value::Object(config), updated_at }
}

/// Reads a source.
struct Reader<'a> {
    installed: &'a Installed,
    app: &'a App,
    /// What is kept under its name.
    old: Option<&'a Access>,
}

impl Reader<'_> {
    fn read(&self, form: &Form<'_>, in_path: Option<&str>) -> Option<DataSource> {
        let field = form.field("name");
        if in_path.is_none() {
            field.require();
        }
        let name = if field.is_present() { field.text(NAME_CHARS_MAX) } else { in_path };
        if in_path.is_some() && field.is_present() && name != in_path {
            field.fail("name is not that of the address");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_some_and(|name| !name.chars().all(plain) || name.chars().count() > NAME_CHARS_MAX) {
            field.fail("name may hold letters, digits, - _ . only, at most 64");
        }
        if name == Some(DEFAULT) && self.installed.default.is_some() {
            field.fail("the source \"default\" is that of DATASOURCE_BASE_URL; choose another name");
        }
        let description = form.field("description").text(TEXT_CHARS_MAX).map(String::from);
        let is_sql = form.field("kind").required().choice(&[("http", false), ("sql", true)]);
        let config = form.field("config").required().form();
        form.no_others();
        let (config, is_sql) = (config?, is_sql?);
        let access =
            if is_sql { self.read_sql(&config).map(Access::Sql) } else { self.read_http(&config).map(Access::Http) };
        config.no_others();
        Some(DataSource { name: name?.to_owned(), description, access: access?, updated_at: Time(0) })
    }

    fn read_http(&self, form: &Form<'_>) -> Option<Http> {
        let field = form.field("url").required();
        let url = field.text(TEXT_CHARS_MAX);
        // Nobody may choose with an argument whom to call.
        if let Some(url) = url {
            let origin = url.split_once("://").map_or(url, |(_, rest)| rest);
            let origin = origin.split(['/', '?', '#']).next().unwrap_or_default();
            match self.app.book().admits(&url.replace("{{", "").replace("}}", "")) {
                _ if origin.contains("{{") => field.fail("arguments may stand behind the host only"),
                Err(why) => field.fail(why),
                Ok(()) => {}
            }
        }
        let old = match self.old {
            Some(Access::Http(http)) => Some(http),
            _ => None,
        };
        let mut headers = BTreeMap::new();
        if let Some(form) = form.field("headers").form() {
            for key in form.keys().take(LIST_MAX) {
                let kept = old.and_then(|old| old.headers.get(key));
                headers.extend(secret(&form.entry(key), kept).map(|value| (key.to_owned(), value)));
            }
        }
        let token = form.field("token");
        let token = if token.is_present() { secret(&token, old.and_then(|old| old.token.as_ref())) } else { None };
        let items = form.field("items");
        let pointer = items.text(TEXT_CHARS_MAX).map(String::from);
        if pointer.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
            items.fail("items must be a JSON pointer, such as /results");
        }
        Some(Http { url: url?.to_owned(), headers, token, items: pointer })
    }

    fn read_sql(&self, form: &Form<'_>) -> Option<Sql> {
        let old = match self.old {
            Some(Access::Sql(sql)) => sql.dsn.as_ref(),
            _ => None,
        };
        let (dsn, file) = (form.field("dsn"), form.field("file"));
        if dsn.is_present() == file.is_present() {
            dsn.fail("one of dsn and file must say which database is meant");
        }
        let address = if dsn.is_present() { secret(&dsn, old) } else { None };
        if let Some(why) = address.as_deref().and_then(|dsn| wrong_dsn(dsn)) {
            dsn.fail(why);
        }
        let path = if file.is_present() { file.text(TEXT_CHARS_MAX).map(PathBuf::from) } else { None };
        if let Some(Err(why)) = path.as_ref().map(|path| sources::is_allowed_file(path, &self.installed.files)) {
            file.fail(why);
        }
        let statement = form.field("sql").required();
        let sql = statement.text(SQL_CHARS_MAX);
        if let Some(Err(why)) = sql.map(queries::check) {
            statement.fail(why);
        }
        let params = form.field("params");
        let params = match params.is_present() {
            true => params.list(LIST_MAX)?.items().filter_map(|item| item.text(64).map(String::from)).collect(),
            false => vec!["query".to_owned()],
        };
        let rows_max = form.field("rows").integer(1, ROWS_MAX).and_then(|n| u32::try_from(n).ok()).unwrap_or(ROWS);
        let timeout_ms = form.field("timeout_seconds").seconds(SECONDS_MAX).unwrap_or(TIMEOUT_MS);
        Some(Sql { dsn: address, file: path, sql: sql?.to_owned(), params, rows_max, timeout_ms })
    }
}

/// A secret as it is sent, or as it is kept where `***` is sent back.
fn secret(field: &Field<'_, '_>, kept: Option<&String>) -> Option<String> {
    let text = field.text(TEXT_CHARS_MAX)?;
    if text != HIDDEN {
        return Some(text.to_owned());
    }
    if kept.is_none() {
        field.fail("*** stands for a secret that is kept, and there is none");
    }
    kept.cloned()
}

fn wrong_dsn(dsn: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(dsn) else {
        return Some("this is no address like postgresql://user:password@host/database");
    };
    let has_host = url.host_str().is_some_and(|host| !host.is_empty() && !host.contains(','));
    if !matches!(url.scheme(), "postgresql" | "postgres") || !has_host {
        return Some("this is no address of one host like postgresql://user:password@host/database");
    }
    let is_elsewhere = url.query_pairs().any(|(name, _)| matches!(&*name, "host" | "hostaddr" | "port" | "service"));
    is_elsewhere.then_some("the host must stand in the address, not in its parameters")
}
