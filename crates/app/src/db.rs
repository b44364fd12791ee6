//! `db`: which store this is, how large, and retention by hand.

use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::read_optional;
use crate::{App, Stamp};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tutti_agents::form::Errors;
use tutti_engine::run::Status;

/// The store.
#[derive(Debug, Serialize)]
pub struct DbStatus {
    /// Which store, with its version.
    pub store: String,
    /// The version of its schema: how many migrations have been applied.
    pub schema: u32,
    /// Bytes on disk.
    pub bytes: u64,
    /// Runs by status.
    pub runs: BTreeMap<&'static str, u64>,
    /// When the oldest run was born that is kept.
    pub oldest_run_at: Option<Stamp>,
    /// How long the oldest run that is due has waited for a worker.
    pub oldest_waiting_seconds: Option<f64>,
    /// What is kept.
    pub retention: Kept,
}

/// What retention keeps.
#[derive(Debug, Serialize)]
pub struct Kept {
    /// Ended runs leave after so many days; absent: never.
    pub days: Option<u64>,
    /// And beyond so many; absent: never.
    pub runs_max: Option<u64>,
}

/// What retention removed, or would.
#[derive(Debug, Serialize)]
pub struct Pruned {
    /// How many runs.
    pub runs: u64,
    /// Whether they are still there.
    pub dry_run: bool,
}

impl App {
    /// The store's state.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn db_status(&self) -> Result<DbStatus, Failure> {
        let (store, now) = (self.engine().store(), self.engine().now());
        let stats = store.stats().await?;
        let oldest = store.oldest_runnable(now).await?;
        let retention = self.engine().retention();
        let days = (retention.age != std::time::Duration::MAX).then_some(retention.age.as_secs() / 86_400);
        Ok(DbStatus {
            store: stats.name,
            schema: stats.schema,
            bytes: stats.bytes,
            runs: Status::ALL.iter().map(|s| s.as_str()).zip(stats.runs).collect(),
            oldest_run_at: stats.oldest.map(Stamp),
            oldest_waiting_seconds: oldest.map(|born| born.until(now).as_secs_f64()),
            retention: Kept { days, runs_max: (retention.runs_max != u64::MAX).then_some(retention.runs_max) },
        })
    }

    /// Removes (or counts) ended runs that retention no longer keeps: `{dry_run?}`.
    ///
    /// # Errors
    /// A wrong field, or the store did not do it.
    pub async fn db_prune(&self, caller: &Caller, body: &Value) -> Result<Pruned, Failure> {
        let errors = Errors::default();
        let dry_run = read_optional(body, &errors, |form| {
            let dry_run = form.field("dry_run").boolean();
            form.no_others();
            dry_run
        });
        let dry_run = errors.or(Some(dry_run)).map_err(Failure::invalid)?.unwrap_or(false);
        let runs = self.engine().prune(dry_run).await?;
        if !dry_run {
            tracing::info!(runs, by = %caller.user, "ended runs were removed by hand");
        }
        Ok(Pruned { runs, dry_run })
    }
}
