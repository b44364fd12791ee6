//! What a run came to, read from its journal.

use serde_json::Value;
use std::collections::BTreeMap;
use tutti_engine::event::Kind;
use tutti_engine::journal::Frame;
use tutti_engine::journal::decode_part;
use tutti_engine::ports::store::{Row, RunRow};
use tutti_engine::run::Status;
use tutti_workflows::outcome::{Outcome, StoppedBy};

/// One run, whole.
pub struct Told {
    pub id: String,
    pub workflow: String,
    pub status: Status,
    pub frames: Vec<Frame>,
}

impl Told {
    pub fn of((row, rows): &(RunRow, Vec<Row>)) -> Self {
        let part = |r: &Row| decode_part(r.at, r.first, r.last - r.first + 1, &r.body).unwrap();
        let (id, workflow) = (row.id.to_string(), row.workflow.clone());
        Self { id, workflow, status: row.status, frames: rows.iter().flat_map(part).collect() }
    }

    /// Bodies of entries of a kind, in order.
    pub fn bodies(&self, kind: Kind) -> Vec<Value> {
        let of = self.frames.iter().filter(|f| f.kind == kind);
        of.map(|f| serde_json::from_slice(f.body.text()).unwrap_or_default()).collect()
    }

    /// Keys of entries of a kind, in order.
    pub fn keys(&self, kind: Kind) -> Vec<String> {
        self.frames.iter().filter(|f| f.kind == kind).map(|f| f.key.to_string()).collect()
    }

    /// Lines for people.
    pub fn log(&self) -> String {
        let texts = self.bodies(Kind::Log);
        texts.iter().filter_map(|b| b["message"].as_str()).collect::<Vec<_>>().join("\n")
    }

    pub fn error(&self) -> Value {
        self.bodies(Kind::RunFailed).pop().unwrap_or_default()["error"].clone()
    }

    pub fn outcome(&self) -> Outcome {
        let ended = self.bodies(Kind::RunCompleted).pop().unwrap_or_else(|| panic!("not completed: {}", self.error()));
        serde_json::from_value(ended["output"].clone()).unwrap()
    }

    pub fn stopped_by(&self) -> StoppedBy {
        self.outcome().stopped_by
    }

    /// The output, with answers in the place of references.
    pub fn output(&self) -> Value {
        let mut answers: BTreeMap<String, Value> = BTreeMap::new();
        for frame in &self.frames {
            let body: Value = serde_json::from_slice(frame.body.text()).unwrap_or_default();
            let answer = match frame.kind {
                Kind::AgentMessage if body["output"]["output"].is_null() => body["output"]["text"].clone(),
                Kind::AgentMessage => body["output"]["output"].clone(),
                Kind::StepValue => body,
                Kind::ChildCompleted => body["output"]["output"]["value"].clone(),
                _ => continue,
            };
            answers.insert(frame.key.to_string(), answer);
        }
        self.outcome().resolve(|key| answers.get(key).cloned())
    }
}
