//! `graphs`: what is kept of them, and how one becomes a run.
//!
//! A graph's version is the hash of its content. Every version that was ever put is kept; a run has its graph in its input, so
//! nobody who changes a graph changes what runs.

mod launch;
mod shipped;

pub(crate) use launch::{Coming, Loaded};

use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, Class, Role, Stamp, json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as value};
use std::collections::BTreeMap;
use tutti_agents::form::{Errors, FieldError, Form};
use tutti_agents::registry::{self, Kept};
use tutti_engine::ports::records::{Expect, Put};
use tutti_engine::run::Time;
use tutti_workflows::graph::{self, draw};
use tutti_workflows::patterns::Setting;

/// Kind of a graph's record.
pub(crate) const GRAPH: &str = "graph";
/// Kind of the records of its versions, `name@version`.
const VERSION: &str = "graph_version";

/// What is kept of a graph.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// As it was put.
    pub graph: Value,
    /// Its content's hash.
    version: String,
    /// When.
    updated_at: Time,
    /// By whom.
    updated_by: String,
}

/// A graph as a list shows it.
#[derive(Debug, Serialize)]
pub struct GraphItem {
    /// Its name, which a run names as its workflow.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its content's hash.
    pub version: String,
    /// `shipped` with this binary, or `own`.
    pub source: &'static str,
    /// When it was put; absent for a shipped one.
    pub updated_at: Option<Stamp>,
    /// By whom.
    pub updated_by: Option<String>,
}

/// A graph with its version.
#[derive(Debug)]
pub struct GraphView {
    /// As it was put.
    pub graph: Value,
    /// Its content's hash.
    pub version: String,
}

/// What became of a put.
#[derive(Debug)]
pub struct GraphPut {
    /// Its content's hash.
    pub version: String,
    /// Whether there was none of this name.
    pub is_new: bool,
    /// What is worth knowing about it.
    pub notes: Vec<String>,
}

/// What must hold for a graph to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// It has one of these versions (`If-Match`).
    pub versions: Option<Vec<String>>,
    /// There is none of this name (`If-None-Match: *`).
    pub is_absent: bool,
}

/// How a graph is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// For documents.
    Mermaid,
    /// For pages.
    Svg,
}

/// The version of a content.
fn version_of(graph: &Value) -> String {
    json::hash(graph).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn unknown(name: &str) -> Failure {
    let shown: String = name.chars().take(64).collect();
    Failure::not_found(format!("there is no graph {shown:?}"))
}

impl App {
    /// The JSON Schema of a graph.
    #[must_use]
    pub fn graph_schema() -> Value {
        graph::schema()
    }

    /// Every graph, by name; one of the tenant's own stands in the place of a shipped one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn graphs(&self, caller: &Caller) -> Result<Page<GraphItem>, Failure> {
        let item = |graph: &Value, name: &str, version: String| GraphItem {
            name: name.into(),
            description: graph["description"].as_str().map(String::from),
            version,
            source: "shipped",
            updated_at: None,
            updated_by: None,
        };
        let mut all: BTreeMap<String, GraphItem> = shipped::all()
            .iter()
            .map(|(name, graph)| ((*name).to_owned(), item(graph, name, version_of(graph))))
            .collect();
        for (name, Kept { value: stored, .. }) in
            registry::list::<Stored>(self.records(), GRAPH, &caller.tenant, "").await?
        {
            let own = GraphItem {
                source: "own",
                updated_at: Some(Stamp(stored.updated_at)),
                updated_by: Some(stored.updated_by),
                ..item(&stored.graph, &name, stored.version)
            };
            all.insert(name, own);
        }
        Ok(Page { items: all.into_values().collect(), next_cursor: None })
    }

    /// A graph as it was put, now or in an earlier version.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn graph(&self, caller: &Caller, name: &str, version: Option<&str>) -> Result<GraphView, Failure> {
        let now = self.kept_graph(caller, name).await?;
        let shipped = shipped::find(name).map(|graph| GraphView { version: version_of(graph), graph: graph.clone() });
        let Some(wanted) = version else { return now.or(shipped).ok_or_else(|| unknown(name)) };
        if let Some(found) = now.into_iter().chain(shipped).find(|view| view.version == wanted) {
            return Ok(found);
        }
        let old = registry::get::<Stored>(self.records(), VERSION, &caller.tenant, &format!("{name}@{wanted}")).await?;
        let missing = || {
            Failure::not_found(format!(
                "there is no version {:?} of graph {name:?}",
                wanted.chars().take(64).collect::<String>()
            ))
        };
        old.map(|Kept { value, .. }| GraphView { graph: value.graph, version: value.version }).ok_or_else(missing)
    }

    async fn kept_graph(&self, caller: &Caller, name: &str) -> Result<Option<GraphView>, Failure> {
        let found = registry::get::<Stored>(self.records(), GRAPH, &caller.tenant, name).await?;
        Ok(found.map(|Kept { value, .. }| GraphView { graph: value.graph, version: value.version }))
    }

    /// A graph as a picture.
    ///
    /// # Errors
    /// `NotFound`, or it cannot be read any more.
    pub async fn graph_picture(
        &self,
        caller: &Caller,
        name: &str,
        version: Option<&str>,
        picture: Picture,
    ) -> Result<String, Failure> {
        let view = self.graph(caller, name, version).await?;
        self.draw_graph(caller, &view.graph, picture).await
    }

    /// A graph that is not kept as a picture.
    ///
    /// # Errors
    /// Everything that is wrong with it at once.
    pub async fn draw_graph(&self, caller: &Caller, graph: &Value, picture: Picture) -> Result<String, Failure> {
        let read = self.read_graph(caller, graph).await?;
        Ok(match picture {
            Picture::Mermaid => draw::mermaid(&read.graph),
            Picture::Svg => draw::svg(&read.graph),
        })
    }

    /// Puts a graph, or with `dry_run` only checks it.
    ///
    /// # Errors
    /// Everything that is wrong with it at once; `PreconditionFailed` where it is not what was expected.
    pub async fn put_graph(
        &self,
        caller: &Caller,
        name: &str,
        body: &Value,
        when: &Precondition,
        dry_run: bool,
    ) -> Result<GraphPut, Failure> {
        caller.must_hold(if dry_run { Role::Operator } else { Role::Admin })?;
        let mut graph = body.clone();
        if let Some(fields) = graph.as_object_mut() {
            fields.entry("name").or_insert_with(|| value!(name));
        }
        let read = self.read_graph(caller, &graph).await?;
        if read.graph.name != name {
            let msg = format!("the graph is named {:?}, the address says {name:?}", read.graph.name);
            return Err(Failure::invalid(vec![FieldError::value(vec!["body".into(), "name".into()], msg)]));
        }
        let version = version_of(&graph);
        let found = registry::get::<Stored>(self.records(), GRAPH, &caller.tenant, name).await?;
        let shipped = shipped::find(name).map(version_of);
        let current = found.as_ref().map(|kept| kept.value.version.clone()).or(shipped);
        check_precondition(when, current.as_deref())?;
        let put = GraphPut { version: version.clone(), is_new: current.is_none(), notes: read.notes };
        if dry_run || found.as_ref().is_some_and(|kept| kept.value.version == version) {
            return Ok(put);
        }
        let expect = found.map_or(Expect::Absent, |kept| Expect::Version(kept.version));
        match self.write_graph(caller, name, graph, expect).await? {
            Put::Written(_) => Ok(put),
            Put::Conflict(_) => Err(Failure::conflict(format!(
                "graph {name:?} was changed by somebody else at the same time; read it again"
            ))),
        }
    }

    /// Keeps a graph that was checked before.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn keep_graph(&self, caller: &Caller, name: &str, graph: Value) -> Result<(), Failure> {
        self.write_graph(caller, name, graph, Expect::Any).await.map(drop)
    }

    async fn write_graph(&self, caller: &Caller, name: &str, graph: Value, expect: Expect) -> Result<Put, Failure> {
        let (records, at, version) = (self.records(), self.engine().now(), version_of(&graph));
        let stored = Stored { graph, version, updated_at: at, updated_by: caller.user.to_string() };
        let versioned = format!("{name}@{}", stored.version);
        // The version first: whoever sees the graph finds it.
        registry::put(records, (VERSION, caller.tenant.as_ref(), &versioned), &stored, at, Expect::Any).await?;
        Ok(registry::put(records, (GRAPH, caller.tenant.as_ref(), name), &stored, at, expect).await?)
    }

    /// Removes a graph of the tenant's own; a shipped one of its name is there again. Versions stay readable.
    ///
    /// # Errors
    /// `NotFound`; `PreconditionFailed`.
    pub async fn remove_graph(&self, caller: &Caller, name: &str, when: &Precondition) -> Result<(), Failure> {
        caller.must_hold(Role::Admin)?;
        let found = registry::get::<Stored>(self.records(), GRAPH, &caller.tenant, name).await?.ok_or_else(|| {
            match shipped::find(name) {
                Some(_) => {
                    Failure::conflict(format!("graph {name:?} is shipped with this binary; put your own in its place"))
                }
                None => unknown(name),
            }
        })?;
        check_precondition(when, Some(&found.value.version))?;
        self.records().delete(GRAPH, &caller.tenant, name, Expect::Version(found.version)).await?;
        Ok(())
    }

    /// Reads a graph with the agents and graphs that it may name.
    pub(crate) async fn read_graph(&self, caller: &Caller, graph: &Value) -> Result<graph::Read, Failure> {
        self.read_graph_with(caller, graph, &Coming::default()).await
    }

    /// As [`read_graph`](Self::read_graph), where more will be there than there is.
    pub(crate) async fn read_graph_with(
        &self,
        caller: &Caller,
        graph: &Value,
        coming: &Coming,
    ) -> Result<graph::Read, Failure> {
        let mut loaded = self.load_graphs(caller, graph).await?;
        loaded.expect(&coming.graphs);
        self.with_agents(caller, |setting| {
            let book = coming.beside(setting.agents);
            let setting = Setting { agents: &book, ..*setting };
            let errors = Errors::default();
            let read = Form::body(graph, &errors).and_then(|form| loaded.read(&form, &setting));
            errors.or(read).map_err(Failure::invalid)
        })
        .await
    }
}

fn check_precondition(when: &Precondition, current: Option<&str>) -> Result<(), Failure> {
    let is_met = match (&when.versions, current) {
        (Some(versions), Some(current)) => versions.iter().any(|version| version == current || version == "*"),
        (Some(_), None) => false,
        (None, current) => !when.is_absent || current.is_none(),
    };
    if is_met {
        return Ok(());
    }
    let is = current.map_or_else(|| "there is none".into(), |version| format!("its version is {version}"));
    Err(Failure::new(Class::PreconditionFailed, format!("the graph is not what the request expects: {is}")))
}
