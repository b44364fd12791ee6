//! Reading a tool; what is checked here beyond its kind is what a `workflow` tool runs.

use crate::App;
use serde_json::{Value, json};
use tutti_agents::agent::Nested;
use tutti_agents::form::{Errors, FieldError, Form, Loc};
use tutti_agents::tool::shelf::Shelf;
use tutti_agents::tool::{Definition, Draft, Keys, Reading};
use tutti_workflows::patterns::{Setting, find};

impl App {
    /// Reads a tool that somebody registers.
    pub(super) fn read_tool(
        &self,
        form: &Form<'_>,
        setting: &Setting<'_>,
        shelf: &Shelf,
        handle: &str,
    ) -> Option<Draft> {
        let knows = |name: &str| self.nameable().any(|(known, _)| known == name);
        let workflow = |form: &Form<'_>| read_workflow(form, setting, &knows);
        let policy = Some(setting.agents.policy());
        Definition::read(form, Reading { policy, keys: &shelf.keys, handle: Some(handle.into()), workflow: &workflow })
    }
}

/// Reads one tool of the operator's own file, the `at`-th of its list.
///
/// # Errors
/// All that is wrong, with paths that begin at `tools`.
pub fn file_tool(value: &Value, at: usize, setting: &Setting<'_>, keys: &Keys) -> Result<Definition, Vec<FieldError>> {
    let errors = Errors::default();
    let loc: Vec<Loc> = vec!["file".into(), "tools".into(), at.into()];
    let workflow = |form: &Form<'_>| read_workflow(form, setting, &|name| find(name).is_some() || name == "noop");
    let reading = Reading { policy: None, keys, handle: None, workflow: &workflow };
    let draft = Form::new(value, loc, &errors).and_then(|form| Definition::read(&form, reading));
    errors.or(draft).map(|draft| draft.definition)
}

/// What a `workflow` tool runs: `{workflow, input?}`, or `{workflow, agents, options?}` where it is a pattern. Its team is the one of
/// now, as that of a run is.
fn read_workflow(form: &Form<'_>, setting: &Setting<'_>, knows: &dyn Fn(&str) -> bool) -> Option<Nested> {
    let field = form.field("workflow").required();
    let name = field.text(200)?;
    if !knows(name) {
        field.fail(format!("there is no workflow named {name:?}; GET /v1/workflows lists them"));
        return None;
    }
    let Some(pattern) = find(name) else {
        let input = form.field("input");
        let request = input.form().map(|_| input.value().cloned().unwrap_or_default());
        form.no_others();
        return Some(Nested { workflow: name.into(), request: request.unwrap_or_else(|| json!({})), budget: None });
    };
    // It is asked what the tool is called with, as a team within a team is.
    let setting = Setting { depth: 1, ..*setting };
    let checked = (pattern.check)(form, &setting);
    form.no_others();
    let checked = checked?;
    if let Some(sentence) = checked.unconfigured.first() {
        form.field("agents").fail(sentence.clone());
        return None;
    }
    let request = serde_json::from_slice(&checked.input).ok()?;
    Some(Nested { workflow: name.into(), request, budget: checked.budget })
}
