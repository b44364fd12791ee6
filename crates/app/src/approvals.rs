//! `approvals`: what waits for a person, and checking what the person says.

use crate::caller::{Caller, Role};
use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, FieldError, Loc, Stamp, cursor};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tutti_engine::driver::Entry;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{ApprovalRequested, Decision, Waiting};
use tutti_engine::ports::store::{ListRuns, RunRow};
use tutti_engine::run::{RunNo, Status, Time};

/// Runs looked up at once.
const RUNS: u32 = 50;
/// Errors of an input that are told at once.
const ERRORS_MAX: usize = 20;
const LIST: &str = "approvals";

/// Something that waits for a person.
#[derive(Debug, Serialize)]
pub struct ApprovalView {
    /// What to name when answering.
    pub approval_id: String,
    /// The run that waits.
    pub run_id: String,
    /// What it is a run of.
    pub workflow: String,
    /// Its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Since when.
    pub requested_at: Stamp,
    /// Until when an answer counts; `null` for ever.
    pub deadline: Option<Stamp>,
    /// What is asked, exactly.
    pub request: Box<RawValue>,
    /// The hash that the answer is bound to.
    pub hash: String,
}

/// An approval as the journal has it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub seq: u32,
    pub at: Time,
    pub asked: ApprovalRequested,
    pub is_decided: bool,
}

/// The fold over a run's journal.
#[derive(Debug, Default)]
struct Approvals {
    all: Vec<Asked>,
    /// Where the run waits outside memory: for what.
    waiting_for: Option<Vec<String>>,
}

impl Approvals {
    fn take(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::ApprovalRequested => {
                if let Ok(asked) = serde_json::from_slice(&entry.body) {
                    self.all.push(Asked { seq: entry.seq, at: entry.at, asked, is_decided: false });
                }
            }
            Kind::ApprovalDecided => {
                let Ok(decision) = serde_json::from_slice::<Decision>(&entry.body) else { return };
                let open = self.all.iter_mut().rev().find(|a| a.asked.approval_id == decision.approval_id);
                if let Some(open) = open {
                    open.is_decided = true;
                }
            }
            Kind::RunWaiting => {
                self.waiting_for = serde_json::from_slice::<Waiting>(&entry.body).ok().map(|w| w.waiting_for);
            }
            _ => {}
        }
    }

    /// What waits, newest first. A workflow may stop waiting for an answer; where the run is parked its last word says so.
    fn open(self, status: Status) -> impl Iterator<Item = Asked> {
        let waiting_for = self.waiting_for.filter(|_| status == Status::Waiting);
        let waits = move |a: &Asked| {
            let word = format!("approval {}", a.asked.approval_id);
            !a.is_decided && waiting_for.as_ref().is_none_or(|all| all.contains(&word))
        };
        self.all.into_iter().rev().filter(waits)
    }
}

impl App {
    /// A page of what waits for a person among the caller's runs (for an admin the tenant's), newest run first.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_approvals(
        &self,
        caller: &Caller,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<ApprovalView>, Failure> {
        let mut at = cursor.map(|text| cursor::read(LIST, text)).transpose()?.unwrap_or((i64::MAX, 0));
        let limit = limit.clamp(1, 200) as usize;
        let mut items: Vec<ApprovalView> = Vec::new();
        loop {
            let rows = self.asking_runs(caller, RunNo(at.0)).await?;
            for row in &rows {
                for open in self.approvals_of(row.run).await?.open(row.status) {
                    // The last page ended inside this run.
                    if row.run.0 == at.0 && open.seq >= at.1 {
                        continue;
                    }
                    if items.len() == limit {
                        return Ok(Page { items, next_cursor: Some(cursor::write(LIST, at)) });
                    }
                    at = (row.run.0, open.seq);
                    items.push(view(row, open));
                }
            }
            match rows.last() {
                // Nothing of the last run is left.
                Some(last) if rows.len() == RUNS as usize => at = (last.run.0, 0),
                _ => return Ok(Page { items, next_cursor: None }),
            }
        }
    }

    /// Runs that wait for a person, from `from` on downwards.
    async fn asking_runs(&self, caller: &Caller, from: RunNo) -> Result<Vec<RunRow>, Failure> {
        let query = ListRuns {
            tenant: Some(caller.tenant.to_string()),
            user: (!caller.roles.hold(Role::Admin)).then(|| caller.user.to_string()),
            asking: true,
            before: Some(RunNo(from.0.saturating_add(1))),
            limit: RUNS,
            ..ListRuns::default()
        };
        Ok(self.engine().store().list(query).await?)
    }

    async fn approvals_of(&self, run: RunNo) -> Result<Approvals, Failure> {
        let mut approvals = Approvals::default();
        self.each_entry(run, |entry| approvals.take(&entry)).await?;
        Ok(approvals)
    }

    /// The approval of that id that a run asked for, the newest of them.
    pub(crate) async fn approval(&self, run: RunNo, approval_id: &str) -> Result<Option<Asked>, Failure> {
        let approvals = self.approvals_of(run).await?;
        Ok(approvals.all.into_iter().rev().find(|a| a.asked.approval_id == approval_id))
    }
}

fn view(row: &RunRow, open: Asked) -> ApprovalView {
    let Asked { at, asked, .. } = open;
    ApprovalView {
        approval_id: asked.approval_id,
        run_id: row.id.to_string(),
        workflow: row.workflow.clone(),
        session_id: row.session.clone(),
        requested_at: Stamp(at),
        deadline: asked.deadline.map(Stamp),
        request: asked.request,
        hash: asked.hash,
    }
}

/// What is wrong with an answer's `input`, where the request says what it must look like.
pub(crate) fn check_input(request: &RawValue, input: Option<&RawValue>) -> Vec<FieldError> {
    let request: Value = serde_json::from_str(request.get()).unwrap_or_default();
    let Some(schema) = request.get("schema") else { return Vec::new() };
    let at = |path: &str| {
        let steps = path.split('/').filter(|step| !step.is_empty());
        let step = |step: &str| step.parse::<usize>().map_or_else(|_| Loc::from(step.to_owned()), Loc::Index);
        ["body".into(), "input".into()].into_iter().chain(steps.map(step)).collect::<Vec<_>>()
    };
    let Some(input) = input else {
        return vec![FieldError { loc: at(""), msg: "field required".into(), kind: "value_error.missing" }];
    };
    // A schema that is none asks for nothing.
    let Ok(form) = jsonschema::validator_for(schema) else { return Vec::new() };
    let input: Value = serde_json::from_str(input.get()).unwrap_or_default();
    let errors = form.iter_errors(&input).take(ERRORS_MAX);
    errors.map(|e| FieldError::value(at(&e.instance_path().to_string()), e.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    #[test]
    fn an_input_is_held_against_the_requests_schema() {
        let schema = json!({"type": "object", "required": ["cents"], "properties": {"cents": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "string"}}}});
        let request = to_raw_value(&json!({"schema": schema})).unwrap();
        let wrong = |input: Option<Value>| {
            let input = input.map(|input| to_raw_value(&input).unwrap());
            let found = check_input(&request, input.as_deref());
            found.iter().map(|e| serde_json::to_value(&e.loc).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(wrong(Some(json!({"cents": 5}))), [] as [Value; 0]);
        assert_eq!(wrong(None), [json!(["body", "input"])]);
        assert_eq!(wrong(Some(json!({}))), [json!(["body", "input"])]);
        assert_eq!(
            wrong(Some(json!({"cents": "5", "list": [1]}))),
            [json!(["body", "input", "cents"]), json!(["body", "input", "list", 0])]
        );
        assert!(check_input(&to_raw_value(&json!("sure?")).unwrap(), None).is_empty());
    }
}
