//! Where this process finds tools: the operator's file first, then what a tenant registered.

use super::definition::{Definition, How, What, record_name};
use super::mcp::Failed;
use super::{ALL, CLASS, CallTool, Called, Keys, Shelved, ToolBook, find, sets};
use crate::agent::AgentDefinition;
use crate::registry;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use tutti_engine::activity::{ActivityCx, ActivityError};
use tutti_engine::ports::outbound::Outbound;
use tutti_engine::ports::records::Records;
use tutti_engine::ports::store::StoreError;

/// Records of tools.
pub const TOOL: &str = "tool";

/// What this process needs to find and call tools.
#[derive(Clone)]
pub struct Shelf {
    /// Where registered tools are kept.
    pub records: Arc<dyn Records>,
    /// The operator's own, by name.
    pub file: Arc<BTreeMap<String, Definition>>,
    /// Secrets that registered tools may name.
    pub keys: Keys,
    /// Secrets that the operator's own may name.
    pub file_keys: Keys,
    /// The way out, for what is fetched when a tool is registered.
    pub outbound: Arc<dyn Outbound>,
}

static INSTALLED: RwLock<Option<Shelf>> = RwLock::new(None);

/// Makes it the process's shelf.
pub fn install(shelf: Shelf) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(shelf);
}

/// The process's shelf, where it has one.
#[must_use]
pub fn installed() -> Option<Shelf> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A definition and whose it is; no tenant where it is the operator's.
#[derive(Debug, Clone)]
pub struct Found {
    /// It.
    pub definition: Definition,
    /// Whose.
    pub tenant: Option<String>,
}

impl Shelf {
    /// The definition that a tool's name leads to.
    ///
    /// # Errors
    /// The store does not answer, or the record cannot be read.
    pub async fn find(&self, tenant: &str, tool: &str) -> Result<Option<Found>, StoreError> {
        let name = record_name(tool);
        if let Some(definition) = self.file.get(name) {
            return Ok(Some(Found { definition: self.filled(definition).await?, tenant: None }));
        }
        let kept = registry::get::<Definition>(self.records.as_ref(), TOOL, tenant, name).await?;
        Ok(kept.map(|kept| Found { definition: kept.value, tenant: Some(tenant.into()) }))
    }

    /// The names of every tool and set that a tenant has, the operator's own among them.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn names(&self, tenant: &str) -> Result<BTreeSet<String>, StoreError> {
        let kept = registry::list::<Value>(self.records.as_ref(), TOOL, tenant, "").await?;
        Ok(kept.into_iter().map(|(name, _)| name).chain(self.file.keys().cloned()).collect())
    }

    /// The tools of these names as agents may list them; names that nobody bears are left out.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn book(&self, tenant: &str, names: &BTreeSet<String>) -> Result<ToolBook, StoreError> {
        let mut found = BTreeMap::new();
        let all = if names.contains(ALL) { self.names(tenant).await? } else { BTreeSet::new() };
        for name in names.iter().filter(|name| find(name).is_none() && *name != ALL).chain(&all) {
            let Some(Found { definition, tenant }) = self.find(tenant, name).await? else { continue };
            let mut pins = definition.pins(tenant.as_deref());
            pins.retain(|pin| pin.is_of(name));
            found.insert(name.clone(), Shelved { pins, allow: definition.allow });
        }
        Ok(ToolBook::of(found))
    }
}

/// Pins the tools of an agent that is given work now. What is gone since it was registered is told in the log, and left out.
pub async fn pin(tenant: &str, agent: &mut AgentDefinition) -> Result<(), StoreError> {
    let names = agent.tool_names();
    if names.iter().all(|name| find(name).is_some()) {
        return Ok(());
    }
    let Some(shelf) = installed() else { return Ok(()) };
    let book = shelf.book(tenant, &names).await?;
    let mut pins = Vec::new();
    for name in names.iter().filter(|name| find(name).is_none()) {
        let mut one = AgentDefinition { tools: vec![name.clone()], ..AgentDefinition::llm(&agent.name, "") };
        match book.pin(&mut one) {
            Ok(()) => pins.append(&mut one.pins),
            Err(why) => tracing::warn!(agent = agent.name, "agent {} works without a tool: {why}", agent.name),
        }
    }
    agent.pins = pins;
    Ok(())
}

/// Carries a call out.
pub(super) async fn call(call: &CallTool, cx: &ActivityCx) -> Result<Value, ActivityError> {
    let bad = |message: String| ActivityError::fatal(CLASS, message);
    let shelf = installed().ok_or_else(|| bad(format!("there is no tool named {:?}", call.tool)))?;
    let found = shelf.find(call.tenant.as_deref().unwrap_or_default(), &call.tool).await;
    let found = found.map_err(|e| ActivityError::retry(CLASS, format!("tools cannot be looked up: {e}")))?;
    let Some(Found { definition, tenant }) = found else {
        return Err(bad(format!("tool {:?} is no longer there", call.tool)));
    };
    if let Some(agent) = call.agent.as_deref().filter(|agent| !definition.allows(agent)) {
        return Err(bad(format!("agent {agent:?} may not call tool {:?}", call.tool)));
    }
    let keys = if tenant.is_some() { &shelf.keys } else { &shelf.file_keys };
    let service = format!("tool {:?}", call.tool);
    let called = Called { service: &service, arguments: &call.arguments, keys, cx };
    if let What::Workflow(_) = &definition.what {
        return Err(bad(format!("tool {:?} is a workflow now; begin a new run", call.tool)));
    }
    if let What::Http(http) = &definition.what {
        call.check(&definition.parameters).map_err(bad)?;
        return Box::pin(http.call(&called)).await;
    }
    if let What::WebSearch(search) = &definition.what {
        call.check(&definition.parameters).map_err(bad)?;
        return Box::pin(search.call(&called)).await;
    }
    if let What::Code(code) = &definition.what {
        call.check(&definition.parameters).map_err(bad)?;
        return Box::pin(code.run(&call.arguments)).await;
    }
    if let What::Retrieve(retrieve) = &definition.what {
        call.check(&definition.parameters).map_err(bad)?;
        return Box::pin(retrieve.call(&call.arguments, cx)).await;
    }
    let Some(part) = definition.parts.iter().find(|part| part.name == call.tool) else {
        return Err(bad(format!("tool {:?} is no longer part of {:?}", call.tool, definition.name)));
    };
    if let Some(why) = &part.disabled {
        return Err(bad(format!("tool {:?} cannot be called: {why}", call.tool)));
    }
    call.check(&part.parameters).map_err(bad)?;
    match &part.how {
        Some(How::Request(http)) => Box::pin(http.call(&called)).await,
        Some(How::Remote { tool, hash }) => {
            let What::Mcp(mcp) = &definition.what else {
                return Err(bad(format!("tool {:?} is no longer there", call.tool)));
            };
            let done = Box::pin(mcp.call(&called, tool, hash)).await;
            let trouble = match &done {
                Err(Failed::Error(error)) if error.is_retryable() => Some(error.message.as_str()),
                _ => None,
            };
            sets::note_trouble(tenant.as_deref(), &definition.name, trouble);
            match done {
                Ok(value) => Ok(value),
                Err(Failed::Error(error)) => Err(error),
                Err(Failed::Changed(why)) => {
                    if let Err(e) = shelf.disable(tenant.as_deref(), &definition.name, &call.tool, &why, cx.now).await {
                        tracing::warn!(tool = call.tool, "a tool that has changed cannot be marked: {e}");
                    }
                    let what = format!(
                        "tool {:?} cannot be called: {why}; POST /v1/tools/{}/approve takes it as it is now",
                        call.tool, definition.name
                    );
                    Err(bad(what))
                }
            }
        }
        None => Err(bad(format!("tool {:?} has to be registered again", call.tool))),
    }
}
