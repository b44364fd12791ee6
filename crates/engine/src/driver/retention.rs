//! Ended runs leave after a time, oldest first, in chunks, so that no commit waits long behind them.

use crate::driver::engine::Ports;
use crate::driver::options::Retention;
use crate::ports::store::{Prune, StoreError};
use crate::run::Time;
use std::time::Duration;

/// Runs removed between two commits.
const CHUNK: u32 = 200;
/// How often to look.
const PAUSE: Duration = Duration::from_secs(600);

/// Removes what is too old or too many; answers how many runs. A dry run counts at most `u32::MAX` of them.
pub(crate) async fn prune(ports: &Ports, keep: Retention, dry_run: bool) -> Result<u64, StoreError> {
    let age_ms = i64::try_from(keep.age.as_millis()).unwrap_or(i64::MAX);
    let ended_before = Time(ports.clock.now().0.saturating_sub(age_ms));
    let limit = if dry_run { u32::MAX } else { CHUNK };
    let mut total = 0;
    loop {
        let removed = ports.store.prune(Prune { ended_before, keep_max: keep.runs_max, limit, dry_run }).await?;
        total += removed;
        if dry_run || removed < u64::from(CHUNK) {
            return Ok(total);
        }
        tokio::task::yield_now().await;
    }
}

/// Prunes now and then until it is aborted.
pub(crate) async fn keep_pruning(ports: Ports, keep: Retention) {
    loop {
        match prune(&ports, keep, false).await {
            Ok(0) => {}
            Ok(n) => tracing::info!(runs = n, "ended runs were removed; see retention"),
            Err(e) => tracing::error!("ended runs could not be removed, trying again in {PAUSE:?}: {e}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
