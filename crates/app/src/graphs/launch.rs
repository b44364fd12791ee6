//! How a graph becomes a run: with everything that it names in place, as it is now.

use crate::App;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::OWN_SURFACE;
use crate::start::Ask;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tutti_agents::agent::{AgentBook, AgentDefinition};
use tutti_agents::form::{Errors, Field, FieldError, Form, nearest};
use tutti_engine::ports::store::Label;
use tutti_workflows::graph::definition::Work;
use tutti_workflows::graph::{self, Input, Read};
use tutti_workflows::patterns::{self, Setting};

/// Graphs within graphs, at most.
const NESTING_MAX: usize = 4;

/// What will be there when a graph is run, by name.
#[derive(Debug, Default)]
pub(crate) struct Coming {
    pub agents: Vec<String>,
    pub tools: Vec<String>,
    pub graphs: Vec<String>,
}

impl Coming {
    /// The agents and tools that there are, and those that will be.
    pub fn beside(&self, book: &AgentBook) -> AgentBook {
        let agents = self.agents.iter().map(|name| AgentDefinition::llm(name, ""));
        let tools = book.tools().clone().with_coming(&self.tools);
        book.clone().with_found(agents).with_tools(tools)
    }
}

/// Graphs that a graph runs as children, theirs too, as they are kept; and the workflows that there are.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    graphs: BTreeMap<String, (Value, String)>,
    workflows: BTreeSet<String>,
}

impl App {
    /// Loads what a graph may run as children.
    pub(crate) async fn load_graphs(&self, caller: &Caller, graph: &Value) -> Result<Loaded, Failure> {
        let workflows = self.nameable().map(|(name, _)| name.to_owned()).filter(|name| name != graph::NAME).collect();
        let mut loaded = Loaded { graphs: BTreeMap::new(), workflows };
        let mut open: Vec<(String, usize)> = names_of(graph).map(|name| (name, 1)).collect();
        while let Some((name, depth)) = open.pop() {
            if loaded.workflows.contains(&name) || loaded.graphs.contains_key(&name) || depth > NESTING_MAX {
                continue;
            }
            match self.graph(caller, &name, None).await {
                Ok(view) => {
                    open.extend(names_of(&view.graph).map(|name| (name, depth + 1)));
                    loaded.graphs.insert(name, (view.graph, view.version));
                }
                Err(failure) if failure.class == crate::Class::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(loaded)
    }

    /// A kept graph of this name, to be run; nothing where there is none.
    pub(crate) async fn graph_to_run(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Option<(Value, String, Loaded)>, Failure> {
        match self.graph(caller, name, None).await {
            Ok(view) => {
                let loaded = self.load_graphs(caller, &view.graph).await?;
                Ok(Some((view.graph, view.version, loaded)))
            }
            Err(failure) if failure.class == crate::Class::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn names_of(graph: &Value) -> impl Iterator<Item = String> + '_ {
    let nodes = graph["nodes"].as_object().into_iter().flatten();
    nodes
        .filter(|(_, node)| node["type"] == "workflow")
        .filter_map(|(_, node)| node["workflow"].as_str().map(String::from))
}

impl Loaded {
    /// These will be there.
    pub fn expect(&mut self, names: &[String]) {
        self.workflows.extend(names.iter().cloned());
    }

    /// Reads a graph that is kept; what is wrong with it is told at the field that names it.
    pub fn read_kept(&self, graph: &Value, setting: &Setting<'_>, named: &Field<'_, '_>) -> Option<Read> {
        let errors = Errors::default();
        let read = Form::body(graph, &errors).and_then(|form| self.read(&form, setting));
        errors.or(read).map_err(|wrong| named.fail(format!("this graph cannot be run now: {}", in_words(&wrong)))).ok()
    }

    /// Reads a graph with its children in place.
    pub fn read(&self, form: &Form<'_>, setting: &Setting<'_>) -> Option<Read> {
        self.read_within(form, setting, &mut Vec::new())
    }

    fn read_within(&self, form: &Form<'_>, setting: &Setting<'_>, around: &mut Vec<String>) -> Option<Read> {
        let mut read = graph::read(form, setting)?;
        around.push(read.graph.name.clone());
        let mut more = Vec::new();
        for (id, node) in &mut read.graph.nodes {
            let Work::Workflow(child) = &mut node.work else { continue };
            match self.child(&child.workflow, setting, around) {
                Ok(None) => {}
                Ok(Some((input, unconfigured))) => {
                    child.graph = Some(Box::new(input));
                    more.extend(unconfigured);
                }
                Err(why) => form.errors().push(FieldError::value(
                    vec!["body".into(), "nodes".into(), id.clone().into(), "workflow".into()],
                    why,
                )),
            }
        }
        around.pop();
        read.unconfigured.extend(more);
        Some(read)
    }

    /// A graph as a child, or nothing where the name is a workflow's.
    fn child(
        &self,
        name: &str,
        setting: &Setting<'_>,
        around: &mut Vec<String>,
    ) -> Result<Option<(Input, Vec<String>)>, String> {
        if patterns::find(name).is_some() {
            return Err(format!("{name:?} is a pattern; use a node of type `pattern`"));
        }
        if let Some((_, surface)) = OWN_SURFACE.iter().find(|(own, _)| *own == name) {
            return Err(format!("a run of {name} is started with {surface}"));
        }
        if self.workflows.contains(name) {
            return Ok(None);
        }
        if around.iter().any(|outer| outer == name) || around.len() >= NESTING_MAX {
            return Err(format!(
                "graphs within graphs: {} → {name}; at most {NESTING_MAX} deep, and none within itself",
                around.join(" → ")
            ));
        }
        let Some((graph, version)) = self.graphs.get(name) else {
            let known = self.graphs.keys().chain(&self.workflows).map(String::as_str);
            let hint = nearest(name, known).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
            return Err(format!("there is no graph or workflow named {name:?}{hint}"));
        };
        let errors = Errors::default();
        let read = Form::body(graph, &errors).and_then(|form| self.read_within(&form, setting, around));
        let read = errors.or(read).map_err(|wrong| format!("graph {name:?} cannot be run: {}", in_words(&wrong)))?;
        let Read { mut graph, agents, unconfigured, .. } = read;
        graph.version.clone_from(version);
        Ok(Some((Input::new(graph, agents, Value::Null), unconfigured)))
    }
}

/// What is wrong, in one line.
pub(crate) fn in_words(wrong: &[FieldError]) -> String {
    wrong.iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect::<Vec<_>>().join("; ")
}

impl Ask {
    /// A run of a graph.
    pub fn of_graph(read: Read, version: &str, input: Value) -> Option<Self> {
        let Read { mut graph, agents, timeout_ms, budget, unconfigured, .. } = read;
        version.clone_into(&mut graph.version);
        let labels = vec![Label::new(graph::GRAPH, graph.name.clone())];
        let input = serde_json::to_vec(&Input::new(graph, agents, input)).ok()?;
        Some(Self { timeout_ms, budget, unconfigured, labels, ..Self::new(graph::NAME, input) })
    }
}
