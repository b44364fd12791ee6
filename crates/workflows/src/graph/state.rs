//! A graph's state: typed fields, each with the way in which what is written joins what is there.

use super::definition::{Field, Graph, Type};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tutti_agents::team::Message;
use tutti_engine::{Error, Result};

/// What a walk through a graph knows. Branches have their own; what they wrote joins their graph's when they meet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    fields: Map<String, Value>,
    /// What each node came to last.
    outputs: BTreeMap<String, Value>,
    /// What was written since the branch began, in order.
    #[serde(skip)]
    written: Vec<(String, Value)>,
    /// What the node before came to.
    pub last: Value,
    /// The same as somebody said it, where it was said.
    #[serde(skip)]
    pub said: Option<Message>,
}

/// What only stands around: the input, the item of a `map`, the round of a `loop`, the error that led here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Around {
    pub input: Value,
    /// How many work at the same time on what is left of the budget.
    #[serde(skip)]
    pub siblings: u32,
    pub item: Option<(usize, Value)>,
    pub round: Option<u32>,
    pub error: Option<Value>,
}

/// The names that an expression may mention.
pub(super) const NAMES: [&str; 9] = ["input", "state", "nodes", "last", "output", "item", "index", "round", "error"];

impl State {
    /// Every field with its default.
    pub fn new(graph: &Graph) -> Self {
        let first = |(name, field): (&String, &Field)| (name.clone(), field.default.clone().unwrap_or(Value::Null));
        Self { fields: graph.state.iter().map(first).collect(), ..Self::default() }
    }

    /// What expressions see.
    pub fn scope(&self, around: &Around) -> Value {
        let (index, item) = around.item.clone().map_or((Value::Null, Value::Null), |(i, item)| (json!(i), item));
        json!({"input": around.input, "state": self.fields, "nodes": self.outputs, "last": self.last, "output": self.last,
            "item": item, "index": index, "round": around.round, "error": around.error})
    }

    /// What the conditions behind a node see: `output` is its own.
    pub fn scope_of(&self, node: &str, around: &Around) -> Value {
        let mut scope = self.scope(around);
        scope["output"] = self.outputs.get(node).cloned().unwrap_or_default();
        scope
    }

    /// A node came to this.
    pub fn came(&mut self, node: &str, output: Value, said: Option<Message>) {
        self.outputs.insert(node.into(), output.clone());
        (self.last, self.said) = (output, said);
    }

    /// A node came to this, and the next one is asked what was said before it all the same.
    pub fn note(&mut self, node: &str, output: Value) {
        self.outputs.insert(node.into(), output);
    }

    /// Writes a field by its reducer.
    ///
    /// # Errors
    /// The value is not of the field's type.
    pub fn write(&mut self, graph: &Graph, name: &str, value: Value) -> Result<()> {
        let Some(field) = graph.state.get(name) else {
            return Err(Error::workflow("WorkflowError", format!("the state has no field {name:?}")));
        };
        let before = self.fields.remove(name).filter(|value| !value.is_null());
        let joined = match before {
            Some(before) => field.reducer.join(before, value.clone()),
            None => field.reducer.one(value.clone()),
        };
        if !field.kind.fits(&joined) {
            let kind = field.kind.word();
            let got = Type::of(&joined).word();
            return Err(Error::workflow(
                "WorkflowError",
                format!("the state's field {name:?} holds {kind}, not {got}"),
            ));
        }
        self.fields.insert(name.into(), joined);
        self.written.push((name.into(), value));
        Ok(())
    }

    /// The same, for a branch.
    pub fn branch(&self) -> Self {
        Self { written: Vec::new(), ..self.clone() }
    }

    /// What is left of a branch that has ended: what it wrote and came to, and nothing that was there before it.
    pub fn left(self, before: &Self) -> Self {
        let Self { mut outputs, written, last, .. } = self;
        outputs.retain(|node, output| before.outputs.get(node) != Some(output));
        Self { outputs, written, last, ..Self::default() }
    }

    /// What a branch wrote and came to.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn join(&mut self, graph: &Graph, branch: Self) -> Result<()> {
        for (name, value) in branch.written {
            self.write(graph, &name, value)?;
        }
        self.outputs.extend(branch.outputs);
        Ok(())
    }
}
