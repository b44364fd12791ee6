//! Registered agents as they are kept: what was registered, which instances live, which sessions are open. Everything stands in
//! records, so that every process on the same store knows the same.

mod kept;
mod places;

pub use kept::{Agent, InstanceSpec, Protocol, State};
pub use places::{Instance, Slot, Slots, instance_name};

use crate::agent::AgentDefinition;
use crate::book::Listed;
use crate::discovery::Books;
use crate::tool::shelf;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError};
use tutti_engine::ports::records::{Expect, Put, Record, Records};
use tutti_engine::ports::store::StoreError;
use tutti_engine::run::Time;

/// Records of agents.
pub const AGENT: &str = "agent";
/// Records of instances.
pub const INSTANCE: &str = "agent.instance";
/// Records of open sessions.
pub const SLOTS: &str = "agent.slots";
/// Tenants that have agents, under the tenant `""`.
pub const TENANT: &str = "agent.tenant";
/// How often a change is tried again when others are faster.
const TRIES: usize = 50;

/// What activities of this process need of the registry.
#[derive(Clone)]
pub struct Installed {
    /// Where it is kept.
    pub records: Arc<dyn Records>,
    /// Agents that nobody registered.
    pub books: Books,
    /// How long an instance may be silent.
    pub silence: Duration,
}

static INSTALLED: RwLock<Option<Installed>> = RwLock::new(None);

/// Makes it the process's registry.
pub fn install(installed: Installed) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(installed);
}

fn installed() -> Option<Installed> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Told whenever there may be something to do for whoever gives agents their tasks. Only a hint: it looks by itself, too.
static POKED: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::channel(0).0);

/// A task waits, an agent has room, or an agent has changed.
pub fn poke() {
    POKED.send_modify(|n| *n += 1);
}

/// Hears of every poke from now on.
#[must_use]
pub fn poked() -> watch::Receiver<u64> {
    POKED.subscribe()
}

/// A record with its meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept<T> {
    /// What it says.
    pub value: T,
    /// Its version.
    pub version: u64,
}

/// The record of a name, read.
///
/// # Errors
/// The store does not answer, or the record cannot be read.
pub async fn get<T: DeserializeOwned>(
    records: &dyn Records,
    kind: &str,
    tenant: &str,
    name: &str,
) -> Result<Option<Kept<T>>, StoreError> {
    records.get(kind, tenant, name).await?.map(|record| read(&record)).transpose()
}

fn read<T: DeserializeOwned>(record: &Record) -> Result<Kept<T>, StoreError> {
    let Record { kind, name, body, version, .. } = record;
    let value = serde_json::from_slice(body)
        .map_err(|e| StoreError::Damaged(format!("the record {kind} {name:?} cannot be read: {e}")))?;
    Ok(Kept { value, version: *version })
}

/// Every record of a kind whose name begins with `prefix`, by name.
///
/// # Errors
/// As [`get`].
pub async fn list<T: DeserializeOwned>(
    records: &dyn Records,
    kind: &str,
    tenant: &str,
    prefix: &str,
) -> Result<Vec<(String, Kept<T>)>, StoreError> {
    const PAGE: u32 = 500;
    let (mut all, mut after) = (Vec::new(), (!prefix.is_empty()).then(|| prefix.to_owned()));
    loop {
        let page = records.list(kind, tenant, after, PAGE).await?;
        let is_end = page.len() < PAGE as usize;
        after = page.last().map(|record| record.name.clone());
        for record in page {
            if !record.name.starts_with(prefix) {
                return Ok(all);
            }
            all.push((record.name.clone(), read(&record)?));
        }
        if is_end {
            return Ok(all);
        }
    }
}

/// Writes a record.
///
/// # Errors
/// The store did not do it.
pub async fn put<T: Serialize>(
    records: &dyn Records,
    (kind, tenant, name): (&str, &str, &str),
    value: &T,
    at: Time,
    expect: Expect,
) -> Result<Put, StoreError> {
    let body = serde_json::to_vec(value).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let (kind, tenant, name) = (kind.into(), tenant.into(), name.into());
    records.put(Record { kind, tenant, name, body: body.into(), at, version: 0 }, expect).await
}

/// Changes an agent, however many others do at the same time; `change` says whether there is something to change. Answers the
/// agent as it is then, and whether it was changed; nothing where it is not there.
///
/// # Errors
/// The store did not do it.
pub async fn change(
    records: &dyn Records,
    tenant: &str,
    agent_id: &str,
    at: Time,
    mut change: impl FnMut(&mut Agent) -> bool + Send,
) -> Result<Option<(Agent, bool)>, StoreError> {
    for _ in 0..TRIES {
        let Some(Kept { value: mut agent, version }) = get::<Agent>(records, AGENT, tenant, agent_id).await? else {
            return Ok(None);
        };
        if !change(&mut agent) {
            return Ok(Some((agent, false)));
        }
        agent.updated_at = at;
        let put = put(records, (AGENT, tenant, agent_id), &agent, at, Expect::Version(version)).await?;
        if let Put::Written(_) = put {
            poke();
            return Ok(Some((agent, true)));
        }
    }
    Err(StoreError::Unavailable(format!("agent {agent_id} is being changed by too many at once")))
}

/// The same for what is kept of an instance; of one that nothing is kept of yet, `change` is given no more than its name. Answers
/// whether it was changed.
///
/// # Errors
/// The store did not do it.
pub async fn change_instance(
    records: &dyn Records,
    tenant: &str,
    (agent_id, instance_id): (&str, &str),
    at: Time,
    mut change: impl FnMut(&mut Instance) -> bool + Send,
) -> Result<bool, StoreError> {
    let name = instance_name(agent_id, instance_id);
    for _ in 0..TRIES {
        let found = get::<Instance>(records, INSTANCE, tenant, &name).await?;
        let expect = found.as_ref().map_or(Expect::Absent, |kept| Expect::Version(kept.version));
        let unheard = || Instance { instance_id: instance_id.into(), ..Instance::default() };
        let mut instance = found.map_or_else(unheard, |kept| kept.value);
        if !change(&mut instance) {
            return Ok(false);
        }
        if let Put::Written(_) = put(records, (INSTANCE, tenant, &name), &instance, at, expect).await? {
            return Ok(true);
        }
    }
    Err(StoreError::Unavailable(format!(
        "instance {instance_id} of agent {agent_id} is being changed by too many at once"
    )))
}

/// An agent that may be asked by its name now: a registered one, else one of the configuration.
pub(crate) async fn find(tenant: &str, name: &str) -> Result<Option<AgentDefinition>, StoreError> {
    let Some(Installed { records, books, .. }) = installed() else { return Ok(None) };
    match get::<Agent>(records.as_ref(), AGENT, tenant, name).await? {
        Some(found) if found.value.state.takes_work() => {
            let mut agent = found.value.definition(tenant, None);
            shelf::pin(tenant, &mut agent).await?;
            Ok(Some(agent))
        }
        Some(_) => Ok(None),
        None => Ok(match books.now().get(name) {
            Some(Listed::Ready(agent)) => {
                let mut agent = agent.clone();
                shelf::pin(tenant, &mut agent).await?;
                Some(agent)
            }
            _ => None,
        }),
    }
}

/// Whether an instance has given a sign of life lately.
pub(crate) async fn is_alive(tenant: &str, agent_id: &str, instance_id: &str, now: Time) -> Result<bool, StoreError> {
    let Some(Installed { records, silence, .. }) = installed() else { return Ok(false) };
    let name = instance_name(agent_id, instance_id);
    let found = get::<Instance>(records.as_ref(), INSTANCE, tenant, &name).await?;
    Ok(found.is_some_and(|instance| instance.value.is_heard(now, silence)))
}

/// A task says that it waits, once that is durable.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Enter {}

impl Activity for Enter {
    type Output = ();
    // Not pure: whoever is woken by it must find the task.
    const NAME: &'static str = "task.enter";

    async fn run(self, _: ActivityCx) -> Result<(), ActivityError> {
        poke();
        Ok(())
    }
}

/// Says how the start of an agent went: `running`, or `failed` with the reason. A start that was given up meanwhile changes
/// nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Settle {
    /// Whose agent.
    pub tenant: String,
    /// Which.
    pub agent_id: String,
    /// Which start.
    pub token: String,
    /// Where it is asked now, if somewhere else; or why it is not.
    pub outcome: Result<Option<String>, String>,
}

impl Activity for Settle {
    /// Why it has failed all the same.
    type Output = Option<String>;
    const NAME: &'static str = "agent.settle";

    async fn run(self, cx: ActivityCx) -> Result<Option<String>, ActivityError> {
        let failed =
            |e: &dyn std::fmt::Display| ActivityError::retry("AgentError", format!("the registry failed: {e}"));
        let Some(Installed { records, books, .. }) = installed() else { return Err(failed(&"there is none")) };
        let outcome = match self.outcome {
            Ok(Some(endpoint)) => match books.now().admits(&endpoint) {
                Ok(()) => Ok(Some(endpoint)),
                Err(why) => Err(format!("it was put to {endpoint}, which may not be called: {why}")),
            },
            other => other,
        };
        let settle = |agent: &mut Agent| agent.settle_start(&self.token, &outcome);
        change(records.as_ref(), &self.tenant, &self.agent_id, cx.now, settle).await.map_err(|e| failed(&e))?;
        Ok(outcome.err())
    }
}
