//! Small states that graphs keep for a conversation or a user, each under a key and with a version.

use super::{CLASS, failed, installed};
use crate::digest::short;
use crate::registry::{self, Kept};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};
use tutti_engine::ports::records::{Expect, Put, Records};
use tutti_engine::ports::store::StoreError;
use tutti_engine::run::Owner;

/// Records of states.
pub const KIND: &str = "memory.state";
/// Most bytes of one value, as JSON.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of a key.
pub const KEY_BYTES_MAX: usize = 200;

/// What a state belongs to, within its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A conversation.
    Session(String),
    /// A user that the owner serves.
    User(String),
}

/// A state, as kept: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Whose.
    pub owner: String,
    /// What it belongs to.
    pub scope: Scope,
    /// Its key there.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The step that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A value with its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versioned {
    /// The value.
    pub value: Value,
    /// Rises with every write, and is never used again.
    pub version: u64,
}

/// Reads a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetState {
    /// What it belongs to.
    pub scope: Scope,
    /// Its key there.
    pub key: String,
}

impl Activity for GetState {
    type Output = Option<Versioned>;
    const NAME: &'static str = "memory.get";
    const EFFECT: Effect = Effect::Pure;

    async fn run(self, cx: ActivityCx) -> Result<Self::Output, ActivityError> {
        let name = name(&cx.owner, &self.scope, &self.key)?;
        let found = registry::get::<State>(installed()?.as_ref(), KIND, &cx.owner.tenant, &name).await;
        let found = found.map_err(|e| failed(&e))?;
        Ok(found.map(|Kept { value, version }| Versioned { value: value.value, version }))
    }
}

/// Writes a state, or removes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetState {
    /// What it belongs to.
    pub scope: Scope,
    /// Its key there.
    pub key: String,
    /// The new value; without one it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The version that must be there, 0 for none; without it the last writer wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u64>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// It stands, under this version; a state that was removed has none.
    Done(Option<u64>),
    /// Another version is there, or none: nothing was written.
    Conflict(Option<u64>),
}

impl Activity for SetState {
    type Output = Written;
    const NAME: &'static str = "memory.set";

    async fn run(self, cx: ActivityCx) -> Result<Written, ActivityError> {
        let Self { scope, key, value, expect } = self;
        let (records, name) = (installed()?, name(&cx.owner, &scope, &key)?);
        let expect = match expect {
            None => Expect::Any,
            Some(0) => Expect::Absent,
            Some(version) => Expect::Version(version),
        };
        let Owner { tenant, user: owner } = cx.owner;
        let Some(value) = value else {
            let is_gone = records.delete(KIND, &tenant, &name, expect).await.map_err(|e| failed(&e))?;
            let there = records.get(KIND, &tenant, &name).await.map_err(|e| failed(&e))?.map(|record| record.version);
            // What is not there, whoever removed it, is removed.
            return Ok(if is_gone || there.is_none() { Written::Done(None) } else { Written::Conflict(there) });
        };
        if serde_json::to_vec(&value).map_or(usize::MAX, |text| text.len()) > VALUE_BYTES_MAX {
            let why = format!("the state {key:?} is larger than {VALUE_BYTES_MAX} bytes as JSON");
            return Err(ActivityError::fatal(CLASS, why));
        }
        let by = cx.idempotency_key;
        let state = State { owner, scope, key, value, by: by.clone() };
        let put = registry::put(records.as_ref(), (KIND, &tenant, &name), &state, cx.now, expect).await;
        match put.map_err(|e| failed(&e))? {
            Put::Written(version) => Ok(Written::Done(Some(version))),
            Put::Conflict(there) => {
                // Sent twice, it finds itself.
                let found =
                    registry::get::<State>(records.as_ref(), KIND, &tenant, &name).await.map_err(|e| failed(&e))?;
                let own = found.filter(|found| by.is_some() && found.value.by == by);
                Ok(own.map_or(Written::Conflict(there), |own| Written::Done(Some(own.version))))
            }
        }
    }
}

/// What the names of all states of a scope begin with.
fn prefix(owner: &str, scope: &Scope) -> String {
    let (kind, id) = match scope {
        Scope::Session(id) => ("session", id),
        Scope::User(id) => ("user", id),
    };
    format!("{}{}/", short(&[owner]), short(&[kind, id]))
}

fn name(owner: &Owner, scope: &Scope, key: &str) -> Result<String, ActivityError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
        let why = format!("the key of a state must have 1 to {KEY_BYTES_MAX} bytes without control characters");
        return Err(ActivityError::fatal(CLASS, why));
    }
    Ok(format!("{}{key}", prefix(&owner.user, scope)))
}

/// How many states a tenant has, or one owner there, or one scope of that owner.
///
/// # Errors
/// The store does not answer.
pub async fn count(records: &dyn Records, tenant: &str, owner: Option<&str>) -> Result<u64, StoreError> {
    Ok(found(records, tenant, owner, None).await?.len() as u64)
}

/// Removes all states of a scope, of an owner, or of a tenant; answers how many.
///
/// # Errors
/// The store did not do it.
pub async fn clear(
    records: &dyn Records,
    tenant: &str,
    owner: Option<&str>,
    scope: Option<&Scope>,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for name in found(records, tenant, owner, scope).await? {
        count += u64::from(records.delete(KIND, tenant, &name, Expect::Any).await?);
    }
    Ok(count)
}

async fn found(
    records: &dyn Records,
    tenant: &str,
    owner: Option<&str>,
    scope: Option<&Scope>,
) -> Result<Vec<String>, StoreError> {
    let prefix = match (owner, scope) {
        (Some(owner), Some(scope)) => prefix(owner, scope),
        (Some(owner), None) => short(&[owner]),
        (None, _) => String::new(),
    };
    let is_theirs = |state: &State| {
        owner.is_none_or(|owner| state.owner == owner) && scope.is_none_or(|scope| state.scope == *scope)
    };
    let all = registry::list::<State>(records, KIND, tenant, &prefix).await?;
    Ok(all.into_iter().filter(|(_, kept)| is_theirs(&kept.value)).map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests;
