//! Records in memory.

use crate::ports::records::{Expect, Put, Record, Records};
use crate::ports::store::Read;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Kind, tenant, name.
type Key = (String, String, String);

/// The last number that a name was given, and its record unless it was deleted.
#[derive(Debug, Default)]
struct Slot {
    version: u64,
    record: Option<Record>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryRecords {
    slots: Mutex<BTreeMap<Key, Slot>>,
}

impl MemoryRecords {
    /// No records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(kind: &str, tenant: &str, name: &str) -> Key {
    (kind.into(), tenant.into(), name.into())
}

fn now<T: Send + 'static>(answer: T) -> Read<T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl Records for MemoryRecords {
    fn get(&self, kind: &str, tenant: &str, name: &str) -> Read<Option<Record>> {
        now(self.slots().get(&key(kind, tenant, name)).and_then(|slot| slot.record.clone()))
    }

    fn put(&self, record: Record, expect: Expect) -> Read<Put> {
        let mut slots = self.slots();
        let slot = slots.entry(key(&record.kind, &record.tenant, &record.name)).or_default();
        let found = slot.record.as_ref().map(|record| record.version);
        if !expect.is_met(found) {
            return now(Put::Conflict(found));
        }
        slot.version += 1;
        slot.record = Some(Record { version: slot.version, ..record });
        now(Put::Written(slot.version))
    }

    fn delete(&self, kind: &str, tenant: &str, name: &str, expect: Expect) -> Read<bool> {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&key(kind, tenant, name)) else { return now(false) };
        let found = slot.record.as_ref().map(|record| record.version);
        let is_met = found.is_some() && expect.is_met(found);
        if is_met {
            slot.record = None;
        }
        now(is_met)
    }

    fn list(&self, kind: &str, tenant: &str, after_name: Option<String>, limit: u32) -> Read<Vec<Record>> {
        let slots = self.slots();
        let from = match after_name {
            Some(name) => Bound::Excluded(key(kind, tenant, &name)),
            None => Bound::Included(key(kind, tenant, "")),
        };
        let ours = slots.range((from, Bound::Unbounded)).take_while(|((k, t, _), _)| k == kind && t == tenant);
        now(ours.filter_map(|(_, slot)| slot.record.clone()).take(limit as usize).collect())
    }
}
