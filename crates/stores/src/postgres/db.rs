//! One connection with its prepared statements, and what its errors mean.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tutti_engine::ports::store::StoreError;

/// The longest that a new connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Hears the text of each notification; must not wait.
pub(super) type Ear = Box<dyn Fn(&str) + Send + Sync>;

/// A connection's other half: moves its bytes until it ends, and tells what others notify.
async fn drive<S, T>(mut connection: Connection<S, T>, ear: Ear)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notification(notification)) => ear(notification.payload()),
            Ok(_) => {}
            // Whoever uses the client hears of it.
            Err(e) => return tracing::debug!("a connection to PostgreSQL has ended: {}", detail(&e)),
        }
    }
}

/// Where the database is, and how to speak to it.
#[derive(Clone)]
pub(super) struct Place {
    config: Config,
    schema: String,
    tls: Option<MakeRustlsConnect>,
}

impl Place {
    /// # Errors
    /// One line: what is wrong with the address, or with this machine's certificates.
    pub fn new(dsn: &str, schema: &str, name: &str) -> Result<Self, String> {
        let mut config: Config = dsn.parse().map_err(|e: Error| format!("POSTGRES_DSN: {}", detail(&e)))?;
        config.connect_timeout(CONNECT_MAX).keepalives_idle(Duration::from_secs(15)).application_name(name);
        config.tcp_user_timeout(Duration::from_secs(15));
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(tls()?),
        };
        Ok(Self { config, schema: schema.to_owned(), tls })
    }

    /// Somebody else's database, at an address that was checked.
    ///
    /// # Errors
    /// One line: what is wrong with the name, or with this machine's certificates.
    pub fn at(dsn: &str, address: IpAddr, name: &str) -> Result<Self, String> {
        let mut place = Self::new(dsn, "public", name).map_err(|why| why.replace("POSTGRES_DSN", "dsn"))?;
        place.config.hostaddr(address);
        Ok(place)
    }

    /// Host and database, for people.
    pub fn shown(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                tokio_postgres::config::Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        format!("{} on {}", self.config.get_dbname().unwrap_or("postgres"), hosts.join(","))
    }

    /// A connection of its own. Its other half ends when it is dropped.
    pub async fn connect(&self, settings: &str) -> Result<Db, Error> {
        self.connect_hearing(settings, Box::new(|_| {})).await
    }

    /// The same, with an ear for what others notify.
    pub async fn connect_hearing(&self, settings: &str, ear: Ear) -> Result<Db, Error> {
        let client = self.dial_hearing(ear).await?;
        client.batch_execute(&format!("{}; {settings}", self.session())).await?;
        Ok(Db { client, statements: HashMap::new() })
    }

    /// A connection that is not set up.
    pub async fn dial(&self) -> Result<Client, Error> {
        self.dial_hearing(Box::new(|_| {})).await
    }

    async fn dial_hearing(&self, ear: Ear) -> Result<Client, Error> {
        Ok(match &self.tls {
            None => Self::plain(&self.config, ear).await?,
            Some(tls) => match self.config.connect(tls.clone()).await {
                Ok((client, connection)) => {
                    tokio::spawn(drive(connection, ear));
                    client
                }
                // `prefer` is the default, and many servers come with a certificate that nobody can check.
                Err(e) if self.config.get_ssl_mode() == SslMode::Prefer && e.as_db_error().is_none() => {
                    let mut plain = self.config.clone();
                    plain.ssl_mode(SslMode::Disable);
                    Self::plain(&plain, ear).await?
                }
                Err(e) => return Err(e),
            },
        })
    }

    async fn plain(config: &Config, ear: Ear) -> Result<Client, Error> {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(drive(connection, ear));
        Ok(client)
    }

    /// How every connection is set up. No transaction of ours waits for anything outside the database. Our statements take less
    /// than a millisecond, and compiling one of them that the planner thinks dear takes half a second.
    fn session(&self) -> String {
        format!(
            "SET search_path = \"{}\"; SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '30s'; \
             SET lock_timeout = '10s'; SET jit = off; SET client_min_messages = warning",
            self.schema
        )
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Connections for questions; they never write, and nothing that writes waits behind them.
    pub fn pool(&self, size: usize) -> Result<Pool, String> {
        let hook = self.session();
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), recycling),
            None => Manager::from_config(self.config.clone(), NoTls, recycling),
        };
        Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT_MAX))
            .create_timeout(Some(CONNECT_MAX))
            .post_create(deadpool_postgres::Hook::async_fn(move |client, _| {
                let hook = hook.clone();
                Box::pin(async move {
                    client.batch_execute(&hook).await.map_err(deadpool_postgres::HookError::Backend)?;
                    Ok(())
                })
            }))
            .build()
            .map_err(|e| e.to_string())
    }

    /// Goes on without encryption where the server offers none, as `prefer` means.
    pub async fn settle_tls(&mut self) -> Result<(), Error> {
        if let Some(tls) = &self.tls
            && self.config.get_ssl_mode() == SslMode::Prefer
        {
            match self.config.connect(tls.clone()).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    drop(client);
                }
                Err(e) if e.as_db_error().is_none() => {
                    self.config.ssl_mode(SslMode::Disable);
                    self.tls = None;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn tls() -> Result<MakeRustlsConnect, String> {
    let (tls, unread) =
        MakeRustlsConnect::with_native_certs().map_err(|e| format!("TLS cannot be set up for PostgreSQL: {e:?}"))?;
    for e in unread {
        tracing::debug!("one of this machine's certificates cannot be read: {e}");
    }
    Ok(tls)
}

/// A connection for one user at a time.
pub(super) struct Db {
    pub client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Db {
    /// A prepared statement, prepared when first used.
    pub async fn statement(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub async fn query(&mut self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, params).await
    }

    pub async fn row(&mut self, sql: &'static str, params: Params<'_>) -> Result<Option<Row>, Error> {
        let statement = self.statement(sql).await?;
        self.client.query_opt(&statement, params).await
    }

    pub async fn execute(&mut self, sql: &'static str, params: Params<'_>) -> Result<u64, Error> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, params).await
    }
}

/// What an error says, with the server's own words where it has any.
pub(super) fn detail(e: &Error) -> String {
    match e.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => {
            let mut text = e.to_string();
            let mut cause = std::error::Error::source(e);
            while let Some(inner) = cause {
                let more = inner.to_string();
                if !text.contains(&more) {
                    text = format!("{text}: {more}");
                }
                cause = inner.source();
            }
            text
        }
    }
}

/// An error as the port's.
pub(super) fn error(e: &Error) -> StoreError {
    match e.code() {
        Some(&SqlState::DISK_FULL) => StoreError::Unavailable("the disk of PostgreSQL is full".into()),
        Some(&SqlState::LOCK_NOT_AVAILABLE) => StoreError::Unavailable(format!(
            "PostgreSQL: another session holds a lock on our tables (pg_locks and pg_stat_activity show which): {}",
            detail(e)
        )),
        Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => StoreError::Damaged(detail(e)),
        _ => StoreError::Unavailable(format!("PostgreSQL: {}", detail(e))),
    }
}

/// Whether the connection, and not the statement, has failed: nobody knows what the server did last.
pub(super) fn is_lost(e: &Error) -> bool {
    // A server that stops says so in class 57P, and closes.
    e.is_closed() || e.as_db_error().is_none() || e.code().is_some_and(|code| code.code().starts_with("57P"))
}
