//! What was asked so far, in numbers.

use crate::fault::{Fault, KINDS};
use crate::role::Role;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most idempotency keys that are remembered to count repeats; what comes under a later key is no repeat.
const KEYS_MAX: usize = 1_000_000;
/// Most repeated keys that are named.
const NAMED_MAX: usize = 100;

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    requests: AtomicU64,
    roles: [AtomicU64; Role::ALL.len()],
    faults: [AtomicU64; KINDS.len()],
    /// How often each key came.
    keys: Mutex<HashMap<Box<str>, u64>>,
}

impl Stats {
    /// A request came, under this key where it had one.
    pub fn asked(&self, role: Role, key: Option<&str>) {
        self.roles[role as usize].fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let Some(key) = key else { return };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = keys.get_mut(key) {
            *times += 1;
        } else if keys.len() < KEYS_MAX {
            keys.insert(key.into(), 1);
        }
    }

    /// A request went wrong.
    pub fn faulty(&self, fault: &Fault) {
        self.faults[fault.kind()].fetch_add(1, Ordering::Relaxed);
    }

    /// For `GET /stats`.
    pub fn json(&self) -> Value {
        let counts = self.faults.each_ref().map(|count| count.load(Ordering::Relaxed));
        let by_fault: Map<String, Value> =
            KINDS.iter().zip(counts).filter(|(_, n)| *n > 0).map(|(kind, n)| ((*kind).to_owned(), n.into())).collect();
        let asked = Role::ALL.into_iter().map(|role| (role, self.roles[role as usize].load(Ordering::Relaxed)));
        let by_role: Map<String, Value> =
            asked.filter(|(_, n)| *n > 0).map(|(role, n)| (role.as_str().to_owned(), n.into())).collect();
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut repeated: Vec<(&str, u64)> =
            keys.iter().filter(|(_, times)| **times > 1).map(|(key, times)| (&**key, *times)).collect();
        let repeats: u64 = repeated.iter().map(|(_, times)| times - 1).sum();
        repeated.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let named: Map<String, Value> =
            repeated.iter().take(NAMED_MAX).map(|(key, times)| ((*key).to_owned(), (*times).into())).collect();
        json!({
            "requests": self.requests.load(Ordering::Relaxed),
            "faults": counts.iter().sum::<u64>(),
            "by_fault": by_fault,
            "by_role": by_role,
            "keys": keys.len(),
            "repeats": repeats,
            "repeated": named,
        })
    }
}
