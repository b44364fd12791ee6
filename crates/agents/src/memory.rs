//! What is remembered beyond one conversation: facts about users, and small states that graphs keep. Both stand in records, under
//! the owner of the run that wrote them: an activity finds its owner in its context, so nothing that a model or a graph says can
//! lead into somebody else's memory.
//!
//! A `user` here is a label that an owner gives to whom it serves, no identity: two owners' users of one name are two users.

pub mod facts;
pub mod state;

use crate::registry::{self, Kept};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, PoisonError, RwLock};
use tutti_engine::activity::ActivityError;
use tutti_engine::ports::records::{Expect, Put, Records};
use tutti_engine::ports::store::StoreError;
use tutti_engine::run::Time;

/// The class of what goes wrong here.
const CLASS: &str = "DataError";
/// How often a change is tried again when others are faster.
const TRIES: usize = 50;

static INSTALLED: RwLock<Option<Arc<dyn Records>>> = RwLock::new(None);

/// Makes it the place of this process's memory.
pub fn install(records: Arc<dyn Records>) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(records);
}

fn installed() -> Result<Arc<dyn Records>, ActivityError> {
    let found = INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone();
    found.ok_or_else(|| ActivityError::fatal(CLASS, "this process has no memory"))
}

fn failed(error: &StoreError) -> ActivityError {
    ActivityError::retry(CLASS, format!("the memory failed: {error}"))
}

/// Changes a record, however many others do at the same time, and answers what `change` made of it; a record that is not there
/// begins as `T::default()`. Nothing is written where `change` says that there is nothing to write.
async fn change<T: Default + Serialize + DeserializeOwned, R>(
    records: &dyn Records,
    (kind, tenant, name): (&str, &str, &str),
    at: Time,
    mut change: impl FnMut(&mut T) -> (R, bool) + Send,
) -> Result<R, StoreError> {
    for _ in 0..TRIES {
        let found = registry::get::<T>(records, kind, tenant, name).await?;
        let expect = found.as_ref().map_or(Expect::Absent, |found| Expect::Version(found.version));
        let mut value = found.map(|Kept { value, .. }| value).unwrap_or_default();
        let (answer, is_changed) = change(&mut value);
        if !is_changed {
            return Ok(answer);
        }
        if let Put::Written(_) = registry::put(records, (kind, tenant, name), &value, at, expect).await? {
            return Ok(answer);
        }
    }
    Err(StoreError::Unavailable(format!("the record {kind} {name} is being changed by too many at once")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use tutti_engine::activity::ActivityCx;
    use tutti_engine::memory::outbound::NoOutbound;
    use tutti_engine::memory::records::MemoryRecords;
    use tutti_engine::run::Owner;

    /// One place for the whole process; each test has a tenant of its own.
    pub fn records() -> Arc<dyn Records> {
        static ONCE: OnceLock<Arc<dyn Records>> = OnceLock::new();
        let records = ONCE.get_or_init(|| Arc::new(MemoryRecords::new()));
        install(Arc::clone(records));
        Arc::clone(records)
    }

    /// What an activity of this owner's run finds around it.
    pub fn cx(owner: &Owner) -> ActivityCx {
        ActivityCx {
            outbound: Arc::new(NoOutbound),
            idempotency_key: None,
            attempt: 1,
            is_paid: false,
            now: Time(0),
            deadline: None,
            deltas: None,
            traceparent: None,
            session: None,
            owner: owner.clone(),
        }
    }
}
