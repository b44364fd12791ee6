//! `tools`: what agents' models may call. Registered ones are records of their tenant; those of the operator's file and the built-in
//! ones are there for everybody and cannot be changed here.

mod read;
mod view;

pub use read::file_tool;
pub use view::ToolView;

use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::Page;
use crate::start::{Ask, Prepared, Started};
use crate::{App, Class, Role, cursor};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tutti_agents::form::{Errors, Form};
use tutti_agents::registry::{self, Kept};
use tutti_agents::tool::shelf::{self, Shelf, TOOL};
use tutti_agents::tool::{self, Definition, Draft, Pin, ToolBook};
use tutti_agents::vault;
use tutti_engine::ports::records::{Expect, Put};
use tutti_workflows::tool_call;

const LIST: &str = "tools";
/// How often a registration is tried again when others are faster.
const TRIES: usize = 20;

/// What came of a call.
#[derive(Debug, Serialize)]
pub struct Called {
    /// `ok` or `error`.
    pub status: &'static str,
    /// What the tool gave back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// How long it took, in milliseconds, from its acceptance on.
    pub took_ms: i64,
    /// The run of the call.
    pub run_id: String,
}

impl App {
    /// A page of all tools that the tenant has, by name.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_tools(
        &self,
        caller: &Caller,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<ToolView>, Failure> {
        let after = cursor.map(|text| cursor::read_name(LIST, text)).transpose()?;
        let mut all: BTreeMap<String, ToolView> = tool::BUILT_IN.iter().map(ToolView::built_in).map(named).collect();
        for (_, kept) in registry::list::<Definition>(self.records(), TOOL, &caller.tenant, "").await? {
            all.insert(kept.value.name.clone(), ToolView::registered(&caller.tenant, &kept.value));
        }
        if let Some(shelf) = shelf::installed() {
            for name in shelf.file.keys() {
                if let Some(found) = shelf.find(&caller.tenant, name).await? {
                    all.insert(name.clone(), ToolView::of_file(&found.definition));
                }
            }
        }
        let is_later = |name: &str| after.as_deref().is_none_or(|after| name > after);
        let limit = limit.clamp(1, 200) as usize;
        let mut items: Vec<ToolView> = all.into_values().filter(|tool| is_later(&tool.name)).take(limit + 1).collect();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| has_more).map(|tool| cursor::write_name(LIST, &tool.name));
        Ok(Page { items, next_cursor: last })
    }

    /// Registers a tool, or replaces the one with the same name; says which.
    ///
    /// # Errors
    /// Every wrong field at once, or the name is that of a tool of the operator's file.
    pub async fn register_tool(&self, caller: &Caller, body: &Value) -> Result<(ToolView, bool), Failure> {
        caller.must_hold(Role::Admin)?;
        let shelf = installed()?;
        let handle = format!("tool/{}/{}", caller.tenant, uuid::Uuid::now_v7());
        let draft = self.with_agents(caller, |setting| {
            let errors = Errors::default();
            let draft = Form::body(body, &errors).and_then(|form| self.read_tool(&form, setting, &shelf, &handle));
            errors.or(draft).map_err(Failure::invalid)
        });
        let mut draft: Draft = draft.await?;
        if shelf.file.contains_key(&draft.definition.name) {
            return Err(of_file(&draft.definition.name));
        }
        let handles: Vec<String> = draft.secrets.keys().cloned().collect();
        // What a server asks for is needed to look at its tools.
        keep_secrets(std::mem::take(&mut draft.secrets)).await?;
        let book = self.book();
        let done = Box::pin(draft.complete(&shelf.outbound, Some(book.policy()), &shelf.keys)).await;
        let kept = match done {
            Ok(()) => self.keep_tool(caller, draft.definition).await,
            Err(wrong) => Err(Failure::invalid(wrong)),
        };
        if kept.is_err() {
            forget_secrets(handles).await;
        }
        let (definition, is_new) = kept?;
        Ok((ToolView::registered(&caller.tenant, &definition), is_new))
    }

    /// A tool as it would be registered; nothing is fetched and nothing is kept.
    ///
    /// # Errors
    /// Every wrong field at once, or the name is that of a tool of the operator's file.
    pub(crate) async fn check_tool(&self, caller: &Caller, body: &Value) -> Result<Definition, Failure> {
        let shelf = installed()?;
        let draft = self.with_agents(caller, |setting| {
            let errors = Errors::default();
            let draft = Form::body(body, &errors).and_then(|form| self.read_tool(&form, setting, &shelf, "checked"));
            errors.or(draft).map_err(Failure::invalid)
        });
        let definition = draft.await?.definition;
        if shelf.file.contains_key(&definition.name) {
            return Err(of_file(&definition.name));
        }
        Ok(definition)
    }

    /// Takes the tools that a set stands for now as approved: what is new or has changed may be called.
    ///
    /// # Errors
    /// `NotFound`, or the set cannot be reached.
    pub async fn approve_tools(&self, caller: &Caller, name: &str) -> Result<ToolView, Failure> {
        caller.must_hold(Role::Admin)?;
        let (shelf, now) = (installed()?, self.engine().now());
        let unreachable = |wrong: Vec<String>| Failure::new(Class::ToolError, wrong.join("; "));
        if let Some(definition) = shelf.file.get(name) {
            shelf.approve(definition, now).await?.map_err(unreachable)?;
            let found = shelf.find(&caller.tenant, name).await?.ok_or_else(|| unknown(name))?;
            return Ok(ToolView::of_file(&found.definition));
        }
        let Kept { value: mut tool, version } = self.kept_tool(caller, name).await?.ok_or_else(|| unknown(name))?;
        if tool.can_change() {
            let book = self.book();
            let fetched = Box::pin(tool.fetch(&shelf.outbound, Some(book.policy()), &shelf.keys)).await;
            (tool.parts, tool.note) = fetched.map_err(unreachable)?;
            let key = (TOOL, caller.tenant.as_ref(), name);
            if let Put::Conflict(_) = registry::put(self.records(), key, &tool, now, Expect::Version(version)).await? {
                return Err(Failure::conflict(format!("tool {name:?} was changed meanwhile; look at it again")));
            }
        }
        Ok(ToolView::registered(&caller.tenant, &tool))
    }

    async fn keep_tool(&self, caller: &Caller, draft: Definition) -> Result<(Definition, bool), Failure> {
        let (records, now) = (self.records(), self.engine().now());
        for _ in 0..TRIES {
            let found = self.kept_tool(caller, &draft.name).await?;
            let first = found.as_ref().map(|kept| kept.value.registered_at);
            let tool = draft.registered(&caller.user, first, now);
            let expect = found.as_ref().map_or(Expect::Absent, |kept| Expect::Version(kept.version));
            let key = (TOOL, caller.tenant.as_ref(), tool.name.as_str());
            if let Put::Written(_) = registry::put(records, key, &tool, now, expect).await? {
                let is_new = found.is_none();
                forget_secrets(found.map(|kept| kept.value.handles()).unwrap_or_default()).await;
                return Ok((tool, is_new));
            }
        }
        Err(Failure::unavailable("this tool is being changed by too many at once", Duration::from_secs(1)))
    }

    async fn kept_tool(&self, caller: &Caller, name: &str) -> Result<Option<Kept<Definition>>, Failure> {
        Ok(registry::get(self.records(), TOOL, &caller.tenant, name).await?)
    }

    /// Takes a registered tool out. Runs that were told of it hear that it is gone when they call it.
    ///
    /// # Errors
    /// `NotFound`, or it is built in or stands in the operator's file.
    pub async fn delete_tool(&self, caller: &Caller, name: &str) -> Result<(), Failure> {
        caller.must_hold(Role::Admin)?;
        if tool::find(name).is_some() {
            return Err(Failure::conflict(format!("tool {name:?} is built in and cannot be taken out")));
        }
        if installed()?.file.contains_key(name) {
            return Err(of_file(name));
        }
        let found = self.kept_tool(caller, name).await?.ok_or_else(|| unknown(name))?;
        if !self.records().delete(TOOL, &caller.tenant, name, Expect::Version(found.version)).await? {
            return Err(Failure::conflict(format!("tool {name:?} was changed meanwhile; look at it again")));
        }
        forget_secrets(found.value.handles()).await;
        Ok(())
    }

    /// A tool as a run that begins now would hold it: nothing to pin where it is built in.
    ///
    /// # Errors
    /// `NotFound`, or the name is that of a set.
    pub async fn pin_tool(&self, caller: &Caller, name: &str) -> Result<Option<Pin>, Failure> {
        if tool::find(name).is_some() {
            return Ok(None);
        }
        let found = installed()?.find(&caller.tenant, name).await?.ok_or_else(|| unknown(name))?;
        let pins = found.definition.pins(found.tenant.as_deref());
        if let Some(pin) = pins.iter().find(|pin| pin.name == name) {
            return Ok(Some(pin.clone()));
        }
        let barred =
            found.definition.parts.iter().find(|part| part.name == name).and_then(|part| part.disabled.as_ref());
        if let Some(why) = barred {
            let set = &found.definition.name;
            let how = format!("POST /v1/tools/{set}/approve takes it as it is now");
            return Err(Failure::conflict(format!("tool {name:?} cannot be called: {why}; {how}")));
        }
        if found.definition.name != name {
            return Err(unknown(name));
        }
        let names: Vec<_> = pins.iter().take(20).map(|pin| pin.name.as_str()).collect();
        Err(Failure::not_found(format!("{name:?} is a set of tools; call one of them: {}", names.join(", "))))
    }

    /// Reads a call: the body is the arguments.
    ///
    /// # Errors
    /// `NotFound`, or the arguments are no object.
    pub async fn read_tool_call(&self, caller: &Caller, name: &str, body: &Value) -> Result<Prepared, Failure> {
        let pin = self.pin_tool(caller, name).await?;
        let errors = Errors::default();
        let read = Form::body(body, &errors).map(|_| ());
        errors.or(read).map_err(Failure::invalid)?;
        let input = tool_call::Input { tool: name.into(), pin, arguments: body.clone() };
        let input = serde_json::to_vec(&input).map_err(|e| Failure::internal(e.to_string()))?;
        self.submission(caller, &format!("tools.call/{name}"), body, Ask::new(tool_call::NAME, input))
    }

    /// What came of a call that has ended.
    #[must_use]
    pub fn called(&self, started: &Started) -> Called {
        let run = &started.run;
        let output = run.output.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok());
        let failed =
            || serde_json::json!({"class": "ToolError", "message": format!("the call's run is {}", run.status)});
        let error = run.error.as_ref().map(|e| serde_json::json!({"class": e.class, "message": e.message}));
        let is_ok = run.status == "completed";
        let at = |stamp: &crate::Stamp| stamp.0.0;
        let ended = run.ended_at.as_ref().and_then(Option::as_ref).map_or(self.engine().now().0, at);
        Called {
            status: if is_ok { "ok" } else { "error" },
            output: if is_ok { Some(output.unwrap_or(Value::Null)) } else { None },
            error: if is_ok { None } else { Some(error.unwrap_or_else(failed)) },
            took_ms: run.created_at.as_ref().map_or(0, |created| (ended - at(created)).max(0)),
            run_id: run.run_id.clone(),
        }
    }

    /// The tools of these names that the tenant may use, and of the operator's file the names of all.
    pub(crate) async fn tool_book(
        &self,
        caller: &Caller,
        names: &std::collections::BTreeSet<String>,
    ) -> Result<ToolBook, Failure> {
        match shelf::installed() {
            Some(shelf) => Ok(shelf.book(&caller.tenant, names).await?),
            None => Ok(ToolBook::default()),
        }
    }
}

fn named(tool: ToolView) -> (String, ToolView) {
    (tool.name.clone(), tool)
}

fn installed() -> Result<Shelf, Failure> {
    shelf::installed().ok_or_else(|| Failure::internal("no tools are installed"))
}

fn of_file(name: &str) -> Failure {
    Failure::conflict(format!("tool {name:?} stands in the operator's file (TOOLS_CONFIG_PATH) and is changed there"))
}

fn unknown(name: &str) -> Failure {
    let shown: String = name.chars().take(64).collect();
    Failure::not_found(format!("there is no tool named {shown:?}; GET /v1/tools/list shows all"))
}

/// Puts secrets into the vault, which may block.
async fn keep_secrets(secrets: BTreeMap<String, String>) -> Result<(), Failure> {
    if secrets.is_empty() {
        return Ok(());
    }
    let vault = vault::installed().ok_or_else(|| Failure::internal("there is no vault for the secrets of tools"))?;
    let put = move || secrets.iter().try_for_each(|(handle, secret)| vault.put(handle, secret));
    let kept = tokio::task::spawn_blocking(put).await.map_err(|e| Failure::internal(e.to_string()))?;
    kept.map_err(Failure::internal)
}

/// Takes secrets out of the vault. One that stays there is a line in the log: nobody can reach it any more.
async fn forget_secrets(handles: Vec<String>) {
    let Some(vault) = vault::installed().filter(|_| !handles.is_empty()) else { return };
    let remove = move || handles.iter().try_for_each(|handle| vault.remove(handle));
    if let Ok(Err(why)) = tokio::task::spawn_blocking(remove).await {
        tracing::warn!("a secret of a tool stays in the vault: {why}");
    }
}
