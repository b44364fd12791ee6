//! `orchestrate`: run a pattern with a team and answer with its result.

use crate::App;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::result::Orchestration;
use crate::start::{Ask, Prepared, Started, read_session};
use serde_json::Value;
use tutti_agents::form::{Errors, Field, Form, nearest};
use tutti_workflows::patterns::{PATTERNS, Pattern, Setting, check_asked, find};

impl App {
    /// Reads `{pattern, input, agents, session_id?, on_busy?, session?, options?}`. With `stream`, answers are journaled as they arrive.
    ///
    /// # Errors
    /// Every wrong field at once; or `Unavailable` when a named agent lacks a setting.
    pub async fn read_orchestrate(&self, caller: &Caller, body: &Value, stream: bool) -> Result<Prepared, Failure> {
        self.with_agents(caller, |setting| self.read_orchestrate_with(caller, body, stream, setting)).await
    }

    fn read_orchestrate_with(
        &self,
        caller: &Caller,
        body: &Value,
        stream: bool,
        setting: &Setting<'_>,
    ) -> Result<Prepared, Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| {
            let pattern = self.read_pattern(&form.field("pattern").required());
            let (session, terms) = read_session(&form, self.window());
            let Some(pattern) = pattern else {
                check_asked(&form, setting);
                return None;
            };
            let checked = (pattern.check)(&form, setting);
            Some(Ask { session, terms, stream, ..Ask::of_pattern(pattern.name, checked?) })
        });
        let ask = errors.or(read).map_err(Failure::invalid)?;
        let route = if stream { "orchestrate.stream" } else { "orchestrate" };
        self.submission(caller, route, body, ask)
    }

    fn read_pattern(&self, field: &Field<'_, '_>) -> Option<&'static Pattern> {
        let name = field.text(200)?;
        let pattern = find(name).filter(|p| self.knows(p.name));
        if pattern.is_none() {
            let known = PATTERNS.iter().map(|p| p.name).filter(|name| self.knows(name));
            let hint = nearest(name, known).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
            field.fail(format!("there is no pattern named {name:?}{hint}"));
        }
        pattern
    }

    /// The result of an orchestration that has ended, read from its journal.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn orchestration(&self, started: &Started) -> Result<Orchestration, Failure> {
        let digest = self.digest_of(started).await?;
        Ok(Orchestration::of(&started.run, digest))
    }
}
