//! `runs`: start one, read one, list them, tell one something.

mod list;
mod tell;
mod view;

pub(crate) use list::{Filling, seen_by};
pub use list::{ListRuns, Page, read_status};
pub use tell::Signalled;
pub(crate) use tell::read_optional;
pub use view::{ErrorView, JournalItem, OwnerView, Run};

use crate::caller::Caller;
use crate::failure::Failure;
use crate::graphs::Loaded;
use crate::result::Digest;
use crate::start::{Ask, Prepared, read_session};
use crate::{App, Class, Stamp};
use serde_json::Value;
use tutti_agents::form::{Errors, Field, Form, nearest};
use tutti_agents::{ask, job};
use tutti_engine::ports::store::RunRow;
use tutti_engine::run::RunId;
use tutti_workflows::patterns::{Setting, TIMEOUT_SECONDS_MAX, find, read_limits};
use tutti_workflows::{agents, graph, research, task, tickets, tool_call};

/// Most characters of an id that are repeated back to whoever sent it.
const ID_SHOWN_MAX: usize = 64;

/// Workflows that only their own surface starts: it checks what they are given, and who may spend.
pub(crate) const OWN_SURFACE: [(&str, &str); 8] = [
    (tickets::NAME, "POST /api/tickets"),
    (research::NAME, "POST /tasks"),
    (research::SETTLEMENT, "POST /tasks/{id}/payments/{source}"),
    (task::NAME, "POST /orchestrator/execute-task"),
    (job::WORKFLOW, "POST /orchestrator/execute-task"),
    (ask::WORKFLOW, "POST /orchestrator/execute-task"),
    (agents::START, "POST /orchestrator/start"),
    (tool_call::NAME, "POST /v1/tools/{name}/call"),
];

impl App {
    /// Workflows that a run may name, with their numbers.
    pub(crate) fn nameable(&self) -> impl Iterator<Item = (&str, u32)> + Clone {
        let all = self.inner.versions.iter().map(|(name, version)| (name.as_str(), *version));
        all.filter(|(name, _)| OWN_SURFACE.iter().all(|(own, _)| own != name))
    }

    /// Reads `{workflow, input?, session_id?, on_busy?, session?, priority?, timeout_seconds?, budget?, schedule_at?}`; other keys are errors.
    ///
    /// # Errors
    /// Every wrong field at once; or `Unavailable` when a named agent lacks a setting.
    pub async fn read_run(&self, caller: &Caller, body: &Value) -> Result<Prepared, Failure> {
        let target = self.target(caller, body).await?;
        self.with_agents(caller, |setting| self.read_run_with(caller, body, &target, setting)).await
    }

    /// What a request wants to run, as far as the store has to be asked for it.
    async fn target(&self, caller: &Caller, body: &Value) -> Result<Target, Failure> {
        match body["workflow"].as_str() {
            Some(graph::NAME) => Ok(Target::Inline(self.load_graphs(caller, &body["input"]["graph"]).await?)),
            Some(name) if !self.knows(name) && name.chars().count() <= 200 => {
                Ok(self.graph_to_run(caller, name).await?.map_or(Target::Workflow, Target::Graph))
            }
            _ => Ok(Target::Workflow),
        }
    }

    fn read_run_with(
        &self,
        caller: &Caller,
        body: &Value,
        target: &Target,
        setting: &Setting<'_>,
    ) -> Result<Prepared, Failure> {
        let errors = Errors::default();
        let ask = Form::body(body, &errors).and_then(|form| {
            let (workflow, input) = (form.field("workflow").required(), form.field("input"));
            let ask = match target {
                Target::Graph((graph, version, loaded)) => {
                    let input = input.value().cloned().unwrap_or_default();
                    loaded.read_kept(graph, setting, &workflow).and_then(|read| Ask::of_graph(read, version, input))
                }
                Target::Inline(loaded) => read_inline(&input.required(), loaded, setting),
                Target::Workflow => self.read_workflow(&workflow).and_then(|name| read_input(name, &input, setting)),
            };
            let (session, terms) = read_session(&form, self.window());
            let priority = form.field("priority").integer(0, 9).and_then(|n| u8::try_from(n).ok()).unwrap_or(5);
            let timeout_ms = form.field("timeout_seconds").seconds(TIMEOUT_SECONDS_MAX);
            let schedule_at = read_time(&form.field("schedule_at"));
            let budget = form.field("budget");
            let budget = if budget.is_present() { read_limits(&budget) } else { None };
            form.no_others();
            let ask = ask?;
            // Both bounds hold, so the tighter one counts.
            let timeout_ms = timeout_ms.into_iter().chain(ask.timeout_ms).min();
            let budget = match (budget, ask.budget) {
                (Some(outer), Some(own)) => Some(outer.within(own)),
                (outer, own) => outer.or(own),
            };
            Some(Ask { session, terms, priority, timeout_ms, schedule_at, budget, ..ask })
        });
        let ask = errors.or(ask).map_err(Failure::invalid)?;
        self.submission(caller, "runs", body, ask)
    }

    fn read_workflow<'a>(&self, field: &Field<'a, '_>) -> Option<&'a str> {
        let name = field.text(200)?;
        if let Some((_, request)) = OWN_SURFACE.iter().find(|(own, _)| *own == name) {
            field.fail(format!("a run of {name} is started with {request}"));
            return None;
        }
        if self.knows(name) {
            return Some(name);
        }
        let known = self.nameable().map(|(name, _)| name);
        let hint = nearest(name, known).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
        field.fail(format!("there is no workflow named {name:?}{hint}"));
        None
    }

    /// A run with what it was given and what came of it; with `journal`, every entry.
    ///
    /// # Errors
    /// `NotFound`, also for a run of somebody else.
    pub async fn run(&self, caller: &Caller, id: &str, journal: bool) -> Result<Run, Failure> {
        let row = self.row(caller, id).await?;
        self.run_of(&row, journal).await
    }

    pub(crate) async fn run_of(&self, row: &RunRow, journal: bool) -> Result<Run, Failure> {
        let mut digest = Digest::default();
        let mut items = journal.then(Vec::new);
        self.each_entry(row.run, |entry| {
            digest.take(&entry);
            if let Some(items) = &mut items {
                items.push(JournalItem::of(entry));
            }
        })
        .await?;
        let mut run = Run::of_row(row).with(digest.finish());
        run.journal = items;
        Ok(run)
    }

    /// The row of a run that exists for the caller.
    pub(crate) async fn row(&self, caller: &Caller, id: &str) -> Result<RunRow, Failure> {
        let unknown = || Failure::not_found(format!("there is no run {}", shown(id)));
        let uuid = id.parse().map_err(|_| unknown())?;
        let row = self.engine().store().run_by_id(RunId(uuid)).await?;
        row.filter(|row| caller.sees(&row.owner)).ok_or_else(unknown)
    }

    /// The same of a run of one workflow, which people know by another word.
    pub(crate) async fn row_of(
        &self,
        caller: &Caller,
        id: &str,
        workflow: &str,
        word: &str,
    ) -> Result<RunRow, Failure> {
        let unknown = || Failure::not_found(format!("there is no such {word}"));
        let row = self.row(caller, id).await.map_err(|failure| match failure.class {
            Class::NotFound => unknown(),
            _ => failure,
        })?;
        if row.workflow == workflow { Ok(row) } else { Err(unknown()) }
    }
}

/// What a request wants to run.
enum Target {
    /// A workflow or a pattern.
    Workflow,
    /// A graph that is kept: it, its version, and what it runs as children.
    Graph((Value, String, Loaded)),
    /// A graph that stands in the request, with what it runs as children.
    Inline(Loaded),
}

/// `{graph, input?}`.
fn read_inline(field: &Field<'_, '_>, loaded: &Loaded, setting: &Setting<'_>) -> Option<Ask> {
    let form = field.form()?;
    let graph = form.field("graph").required().form();
    let input = form.field("input").value().cloned().unwrap_or_default();
    form.no_others();
    let read = loaded.read(&graph?, setting)?;
    Ask::of_graph(read, "", input)
}

/// A pattern checks its input; any other workflow takes any JSON and says for itself what does not fit.
fn read_input(workflow: &str, field: &Field<'_, '_>, setting: &Setting<'_>) -> Option<Ask> {
    let Some(pattern) = find(workflow) else {
        let input = field.value().unwrap_or(&Value::Null);
        return Some(Ask::new(workflow, serde_json::to_vec(input).ok()?));
    };
    field.require();
    let form = field.form()?;
    let checked = (pattern.check)(&form, setting);
    form.no_others();
    Some(Ask::of_pattern(workflow, checked?))
}

fn shown(id: &str) -> String {
    if id.chars().count() <= ID_SHOWN_MAX { id.into() } else { "with that id".into() }
}

fn read_time(field: &Field<'_, '_>) -> Option<Stamp> {
    let text = field.string()?;
    let time = Stamp::parse(text);
    if time.is_none() {
        field.fail("schedule_at is not an RFC 3339 time, such as 2026-01-31T09:00:00Z");
    }
    time
}
