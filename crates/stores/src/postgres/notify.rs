//! The bus over PostgreSQL: `NOTIFY` on a channel that is called as the schema is, on one connection beside all others.
//!
//! Nothing here is within a transaction: a notification takes a lock of the whole database at its commit, and the writer must not
//! wait for it. So what was said is said after it is true, gathered, and never again.
//!
//! Needs a session of its own. A pooler between us that gives each transaction another session loses all that is said; then
//! [`Bus::condition`](tutti_engine::ports::bus::Bus::condition) says so, because what we say does not come back to us.

use crate::hub::{Core, Hub, Outgoing};
use crate::link::{Backoff, Health};
use crate::postgres::PostgresOptions;
use crate::postgres::db::{Db, Ear, Params, Place, detail};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tutti_engine::ports::bus::Call;

/// As it is called in the link's condition.
const PART: &str = "notifications";
/// How often we say something to ourselves. A connection that only hears cannot tell silence from death.
const LOOK: Duration = Duration::from_secs(10);
/// The longest that it may take to come back.
const ECHO_MAX: Duration = Duration::from_secs(5);
/// How the session is set up, beside what all have.
const SETTINGS: &str = "SET statement_timeout = '5s'";

/// Starts a bus over the database that holds the runs. Whether it is connected is seen in its condition. Needs a tokio runtime around
/// it.
///
/// # Errors
/// One line: what is wrong with the address.
pub fn bus(options: &PostgresOptions) -> Result<Hub, String> {
    let place = Place::new(&options.dsn, &options.schema, &format!("{} notify", options.name))?;
    let what = format!("NOTIFY of PostgreSQL ({})", place.shown());
    let health = Arc::new(Health::new(what, "readers and workers look by themselves meanwhile", &[PART]));
    let core = Core::new(health);
    let task = tokio::spawn(run(place, Arc::clone(&core))).abort_handle();
    Ok(Hub::new(core, vec![task]))
}

/// Connects again for ever.
async fn run(place: Place, core: Arc<Core>) {
    let (mut outgoing, mut backoff, mut was_up) = (Outgoing::of(&core), Backoff::new(), false);
    loop {
        let reason = match Session::open(&place, &core).await {
            Ok(session) => {
                core.health.set(PART, Ok(()));
                backoff.reset();
                if std::mem::replace(&mut was_up, true) {
                    // What was said meanwhile was heard by nobody: neither here nor, if it was ours, there.
                    core.missed();
                    core.say(Call::Look);
                }
                session.follow(&mut outgoing).await
            }
            Err(reason) => reason,
        };
        core.health.set(PART, Err(reason));
        tokio::select! {
            () = sleep(backoff.pause()) => {}
            () = forget(&mut outgoing) => {}
        }
    }
}

/// Lets go of what is said while nobody can hear it; never ends.
async fn forget(outgoing: &mut Outgoing) {
    loop {
        drop(outgoing.next().await);
    }
}

/// One connection's life.
struct Session<'a> {
    db: Db,
    channel: &'a str,
    core: &'a Core,
    /// Something of ours has come back.
    echo: Arc<Notify>,
    /// Ends with the connection: its other half holds the ear, and the ear holds this one's.
    ended: oneshot::Receiver<()>,
}

impl<'a> Session<'a> {
    /// Connects, listens, and hears itself.
    async fn open(place: &'a Place, core: &'a Arc<Core>) -> Result<Self, String> {
        let echo = Arc::new(Notify::new());
        let (lives, ended) = oneshot::channel();
        let (ear_core, ear_echo) = (Arc::clone(core), Arc::clone(&echo));
        let ear: Ear = Box::new(move |text| {
            let _held = &lives;
            if ear_core.hear(text) {
                ear_echo.notify_one();
            }
        });
        let opened = async {
            let db = place.connect_hearing(SETTINGS, ear).await?;
            db.client.batch_execute(&format!("LISTEN \"{}\"", place.schema().replace('"', "\"\""))).await?;
            Ok(db)
        };
        let db = match timeout(ECHO_MAX * 2, opened).await {
            Ok(opened) => opened.map_err(|e: tokio_postgres::Error| detail(&e))?,
            Err(_) => return Err(format!("no answer within {} s", (ECHO_MAX * 2).as_secs())),
        };
        let mut this = Self { db, channel: place.schema(), core, echo, ended };
        this.probe().await?;
        Ok(this)
    }

    /// Says what is said here, until the connection is of no use any more; answers why.
    async fn follow(mut self, outgoing: &mut Outgoing) -> String {
        let mut look_at = Instant::now() + LOOK;
        loop {
            let done = tokio::select! {
                texts = outgoing.next() => self.say(&texts).await,
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + LOOK;
                    self.probe().await
                }
                _ = &mut self.ended => Err("the connection has ended".to_owned()),
            };
            if let Err(reason) = done {
                return reason;
            }
        }
    }

    async fn say(&mut self, texts: &[String]) -> Result<(), String> {
        for text in texts {
            let params: Params<'_> = &[&self.channel, text];
            match timeout(ECHO_MAX, self.db.execute("SELECT pg_notify($1, $2)", params)).await {
                Ok(said) => said.map_err(|e| detail(&e))?,
                Err(_) => return Err(format!("no answer within {} s", ECHO_MAX.as_secs())),
            };
        }
        Ok(())
    }

    /// Says nothing, and hears it.
    async fn probe(&mut self) -> Result<(), String> {
        // Whatever of ours came back before says nothing about now.
        let _ = timeout(Duration::ZERO, self.echo.notified()).await;
        let silence = self.core.silence();
        self.say(&[silence]).await?;
        match timeout(ECHO_MAX, self.echo.notified()).await {
            Ok(()) => Ok(()),
            Err(_) => {
                Err("what is said does not come back; LISTEN needs a session of its own, which a pooler that works \
                 by transactions does not give (point POSTGRES_DSN at the database itself)"
                    .to_owned())
            }
        }
    }
}
