//! What can be said about a graph before it runs: names that nobody bears, nodes that nothing reaches, circles without a way
//! out, branches that do not meet, types that do not fit, what it may cost at most.

use super::definition::{END, Graph, Node, Type, Way, Work};
use super::expression;
use super::kinds;
use super::state::NAMES;
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use petgraph::visit::Dfs;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tutti_agents::form::{FieldError, Form, Loc, nearest};
use tutti_engine::Limits;

/// Most branches within branches.
const NESTING_MAX: usize = 8;
/// Fields of nodes that hold templates.
const TEMPLATES: [&str; 9] = ["input", "prompt", "arguments", "values", "ask", "examples", "query", "user", "text"];
/// Fields of nodes that hold expressions.
const EXPRESSIONS: [&str; 3] = ["over", "while", "until"];

/// A graph under examination.
struct Checked<'g, 'f> {
    graph: &'g Graph,
    form: &'g Form<'f>,
    /// The nodes as written, the unreadable ones too: names that only they bear are no second fault.
    written: BTreeMap<&'f str, &'f Value>,
}

/// Says everything that is wrong to the form's errors; answers what is worth saying besides.
pub(super) fn check(graph: &Graph, budget: Option<Limits>, form: &Form<'_>) -> Vec<String> {
    let nodes = form.field("nodes").form();
    let written =
        nodes.iter().flat_map(|nodes| nodes.keys().filter_map(|id| Some((id, nodes.entry(id).value()?)))).collect();
    let checked = Checked { graph, form, written };
    checked.names();
    checked.mentions();
    checked.types();
    // What hangs together is only worth asking of a graph that could be read.
    if graph.nodes.len() == checked.written.len() && checked.written.contains_key(graph.start.as_str()) {
        checked.reach();
        checked.circles();
        checked.branches();
        checked.bodies();
    }
    checked.budgets(budget);
    checked.bound(budget)
}

impl Checked<'_, '_> {
    fn fail(&self, path: &[&str], msg: impl Into<String>) {
        let loc = self.form.loc().iter().cloned().chain(path.iter().map(|step| match step.parse::<usize>() {
            Ok(index) => Loc::from(index),
            Err(_) => Loc::from((*step).to_owned()),
        }));
        self.form.errors().push(FieldError::value(loc.collect(), msg));
    }

    /// Where each way is written.
    fn path_of<'p>(way: Way, id: &'p str, to: &str, node: &Node) -> Vec<std::borrow::Cow<'p, str>> {
        let field = match way {
            Way::Case => "cases",
            Way::Default => "default",
            Way::Next => "next",
            Way::Fallback => "fallback",
            Way::Body => "go",
            Way::Error => "on_error",
        };
        let mut path: Vec<std::borrow::Cow<'p, str>> = vec!["nodes".into(), id.into(), field.into()];
        match way {
            Way::Case => {
                let at = node.flow.cases.iter().position(|case| case.next == to).unwrap_or(0);
                path.extend([at.to_string().into(), "next".into()]);
            }
            Way::Next if node.flow.next.len() > 1 => {
                let at = node.flow.next.iter().position(|next| next == to).unwrap_or(0);
                path.push(at.to_string().into());
            }
            _ => {}
        }
        path
    }

    /// Every node that is named is there.
    fn names(&self) {
        let unknown = |path: &[&str], name: &str| {
            if name != END && !self.written.contains_key(name) {
                let hint = nearest(name, self.written.keys().copied())
                    .map_or(String::new(), |n| format!("; did you mean {n:?}?"));
                self.fail(path, format!("there is no node named {name:?}{hint}"));
            }
        };
        if self.graph.start == END {
            self.fail(&["start"], "a graph begins with a node");
        }
        unknown(&["start"], &self.graph.start);
        for (id, node) in &self.graph.nodes {
            for (way, to) in self.graph.ways(id) {
                let path = Self::path_of(way, id, to, node);
                let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
                if to == END && !way.is_path() {
                    self.fail(&path, "this has to be a node");
                }
                unknown(&path, to);
            }
            if let (Work::Switch, None) = (&node.work, &node.flow.default)
                && node.flow.next.is_empty()
            {
                self.fail(&["nodes", id, "default"], "a switch says where the path goes on when no case holds");
            }
        }
    }

    /// Expressions mention only what is there.
    fn mentions(&self) {
        for (id, node) in &self.written {
            for field in TEMPLATES {
                let Some(mentions) = node.get(field).and_then(|value| expression::mentions_of(value).ok()) else {
                    continue;
                };
                self.mentioned(&["nodes", id, field], &mentions);
            }
            for field in EXPRESSIONS {
                let Some(mentions) = node[field].as_str().and_then(|text| expression::mentions(text).ok()) else {
                    continue;
                };
                self.mentioned(&["nodes", id, field], &mentions);
            }
            for (i, case) in node["cases"].as_array().into_iter().flatten().enumerate() {
                let Some(mentions) = case["when"].as_str().and_then(|text| expression::mentions(text).ok()) else {
                    continue;
                };
                self.mentioned(&["nodes", id, "cases", &i.to_string(), "when"], &mentions);
            }
        }
        if let Some(mentions) = self.graph.output.as_ref().and_then(|output| expression::mentions_of(output).ok()) {
            self.mentioned(&["output"], &mentions);
        }
    }

    fn mentioned(&self, path: &[&str], mentions: &BTreeSet<String>) {
        for name in mentions {
            let mut steps = name.split('.');
            let (first, second) = (steps.next().unwrap_or_default(), steps.next());
            let say = |what: &str, name: &str, known: Vec<&str>| {
                let hint =
                    nearest(name, known.iter().copied()).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
                self.fail(path, format!("{what} {name:?}{hint}"));
            };
            match (first, second) {
                ("state", Some(field)) if !self.graph.state.contains_key(field) => {
                    say("the state has no field", field, self.graph.state.keys().map(String::as_str).collect());
                }
                ("nodes", Some(node)) if !self.written.contains_key(node) => {
                    say("there is no node named", node, self.written.keys().copied().collect());
                }
                (other, _) if !NAMES.contains(&other) => {
                    say(&format!("expressions know {}, not", NAMES.join(", ")), other, NAMES.to_vec());
                }
                _ => {}
            }
        }
    }

    /// What is written fits the fields that take it.
    fn types(&self) {
        for (id, node) in &self.graph.nodes {
            if let Some(save) = &node.flow.save {
                let Some(field) = self.known_field(&["nodes", id, "save"], save) else { continue };
                let comes = self.comes_to(id, node);
                // A reducer that gathers takes single things.
                let gathers = field.reducer.one(Value::Null).is_array();
                if !field.kind.takes(comes) && !gathers {
                    self.fail(
                        &["nodes", id, "save"],
                        format!("the field {save:?} holds {}, this node comes to {}", field.kind.word(), comes.word()),
                    );
                }
            }
            let Work::Set(set) = &node.work else { continue };
            for (name, value) in &set.values {
                let path = ["nodes", id, "values", name];
                let Some(field) = self.known_field(&path, name) else { continue };
                let is_plain = !value.as_str().is_some_and(expression::is_template);
                if is_plain && !field.kind.fits(&field.reducer.one(value.clone())) {
                    self.fail(
                        &path,
                        format!("the field {name:?} holds {}, not {}", field.kind.word(), Type::of(value).word()),
                    );
                }
            }
        }
    }

    fn known_field(&self, path: &[&str], name: &str) -> Option<&super::definition::Field> {
        let field = self.graph.state.get(name);
        if field.is_none() {
            let known = self.graph.state.keys().map(String::as_str);
            let hint = nearest(name, known).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
            self.fail(path, format!("the state has no field {name:?}{hint}"));
        }
        field
    }

    /// What a node comes to, as far as it is known.
    fn comes_to(&self, id: &str, node: &Node) -> Type {
        let word = self.written.get(id).and_then(|node| node["type"].as_str()).unwrap_or_default();
        let schema = match &node.work {
            Work::Agent(ask) => ask.schema.as_ref().or_else(|| self.written.get(id)?.get("output_schema")),
            _ => None,
        };
        match schema.and_then(|schema| schema["type"].as_str()) {
            Some(kind) => Type::WORDS.iter().find(|(word, _)| *word == kind).map_or(Type::Any, |(_, kind)| *kind),
            None if word == "llm" => Type::String,
            None => kinds::find(word).map_or(Type::Any, |kind| kind.output),
        }
    }

    fn ways(&self, keep: impl Fn(Way) -> bool) -> DiGraphMap<&str, ()> {
        let mut map = DiGraphMap::new();
        for id in self.graph.nodes.keys() {
            map.add_node(id.as_str());
            for (_, to) in self.graph.ways(id).into_iter().filter(|(way, to)| keep(*way) && *to != END) {
                map.add_edge(id.as_str(), to, ());
            }
        }
        map
    }

    fn from<'w>(map: &DiGraphMap<&'w str, ()>, start: &'w str) -> BTreeSet<&'w str> {
        let (mut dfs, mut seen) = (Dfs::new(map, start), BTreeSet::new());
        while let Some(id) = dfs.next(map) {
            seen.insert(id);
        }
        seen
    }

    fn reach(&self) {
        let map = self.ways(|_| true);
        let seen = Self::from(&map, &self.graph.start);
        for id in self.graph.nodes.keys().filter(|id| !seen.contains(id.as_str())) {
            self.fail(&["nodes", id], format!("nothing leads to {id:?} from the start"));
        }
    }

    /// A circle needs a way out; the bound of steps caps it.
    fn circles(&self) {
        let map = self.ways(Way::is_path);
        for circle in tarjan_scc(&map) {
            let is_circle = circle.len() > 1 || circle.iter().any(|id| map.contains_edge(id, id));
            if !is_circle {
                continue;
            }
            let leaves = |id: &&str| {
                let node = &self.graph.nodes[*id];
                let ways = self.graph.ways(id);
                let mut paths = ways.iter().filter(|(way, _)| matches!(way, Way::Case | Way::Default | Way::Next));
                // A failure is no way out that anybody plans with; cases without anything behind them end the path.
                let may_end = !node.flow.cases.is_empty() && node.flow.default.is_none() && node.flow.next.is_empty();
                may_end || paths.any(|(_, to)| *to == END || !circle.contains(to))
            };
            if !circle.iter().any(leaves) {
                let mut ids = circle.clone();
                ids.sort_unstable();
                self.fail(
                    &["nodes", ids[0]],
                    format!("the circle {} has no way out: give one of them cases", ids.join(" → ")),
                );
            }
        }
    }

    /// The branches of a fork meet in one join, or none of them does.
    fn branches(&self) {
        for (id, node) in self.graph.nodes.iter().filter(|(_, node)| node.flow.next.len() > 1) {
            let mut ends = BTreeSet::new();
            for branch in &node.flow.next {
                self.meet(branch, &mut BTreeSet::new(), &mut ends, 0);
            }
            if ends.len() > 1 {
                let words: Vec<_> = ends.iter().map(|end| end.unwrap_or(END)).collect();
                self.fail(
                    &["nodes", id, "next"],
                    format!(
                        "these branches end at different places ({}): lead them all to one join, or none",
                        words.join(", ")
                    ),
                );
            }
        }
    }

    /// Where a branch that begins here may end: at a join, or (`None`) nowhere.
    fn meet<'g>(
        &'g self,
        id: &'g str,
        seen: &mut BTreeSet<&'g str>,
        ends: &mut BTreeSet<Option<&'g str>>,
        depth: usize,
    ) {
        if id == END || depth > NESTING_MAX {
            ends.insert(None);
            return;
        }
        let Some((id, node)) = self.graph.nodes.get_key_value(id) else { return };
        if !seen.insert(id) {
            return;
        }
        if matches!(node.work, Work::Join) {
            ends.insert(Some(id));
            return;
        }
        let ways = self.graph.ways(id);
        let paths: Vec<_> = ways.into_iter().filter(|(way, _)| way.is_path()).collect();
        if node.flow.next.is_empty() && node.flow.default.is_none() {
            ends.insert(None);
        }
        if node.flow.next.len() < 2 {
            paths.into_iter().for_each(|(_, to)| self.meet(to, seen, ends, depth));
            return;
        }
        // A fork within a branch: it goes on behind its own join.
        let mut inner = BTreeSet::new();
        node.flow.next.iter().for_each(|to| self.meet(to, seen, &mut inner, depth + 1));
        for end in inner {
            match end.and_then(|join| self.graph.nodes.get(join)) {
                Some(join) if join.flow.next.is_empty() && join.flow.default.is_none() => drop(ends.insert(None)),
                Some(_) => {
                    let after = self.graph.ways(end.unwrap_or(END)).into_iter().filter(|(way, _)| way.is_path());
                    after.for_each(|(_, to)| self.meet(to, seen, ends, depth));
                }
                None => drop(ends.insert(None)),
            }
        }
    }

    /// What is done for each item or round is reached from nowhere else.
    fn bodies(&self) {
        let map = self.ways(|way| way.is_path());
        let main = Self::from(&map, &self.graph.start);
        let mut owned: BTreeMap<&str, &str> = BTreeMap::new();
        for (id, node) in &self.graph.nodes {
            let (Work::Map(super::definition::Map { go, .. }) | Work::Loop(super::definition::Loop { go, .. })) =
                &node.work
            else {
                continue;
            };
            if !self.graph.nodes.contains_key(go) {
                continue;
            }
            for inner in Self::from(&map, go) {
                let other = owned.insert(inner, id);
                if main.contains(inner) {
                    self.fail(
                        &["nodes", id, "go"],
                        format!("{inner:?} is done by {id:?} and stands on the main path, too"),
                    );
                } else if let Some(other) = other.filter(|other| *other != id) {
                    self.fail(&["nodes", id, "go"], format!("{inner:?} is done by {id:?} and by {other:?}"));
                }
            }
        }
    }

    /// A budget is for nodes that ask or call somebody, and part of its graph's.
    fn budgets(&self, whole: Option<Limits>) {
        for (id, node) in self.graph.nodes.iter().filter(|(_, node)| node.flow.budget.is_some()) {
            let spends = !matches!(
                node.work,
                Work::Switch
                    | Work::Set(_)
                    | Work::Human(_)
                    | Work::Wait(_)
                    | Work::Map(_)
                    | Work::Join
                    | Work::Loop(_)
            );
            if !spends {
                let msg = "this node spends nothing itself; give the budget to the nodes that ask or call";
                self.fail(&["nodes", id, "budget"], msg);
            }
        }
        let Some(whole) = whole else { return };
        for (id, node) in &self.graph.nodes {
            let Some(own) = node.flow.budget else { continue };
            let more =
                |own: Option<u64>, whole: Option<u64>| matches!((own, whole), (Some(own), Some(whole)) if own > whole);
            if more(own.tokens, whole.tokens) || more(own.cost, whole.cost) {
                self.fail(&["nodes", id, "budget"], "this is more than the whole graph may spend");
            }
        }
    }

    /// What it takes at most: entries of nodes and answers of models.
    fn bound(&self, budget: Option<Limits>) -> Vec<String> {
        let asks = |node: &&Node| {
            matches!(node.work, Work::Agent(_) | Work::Intent(_) | Work::Plan(_) | Work::Ground(_) | Work::Remember(_))
        };
        let models = self.graph.nodes.values().filter(asks).count();
        let map = self.ways(|_| true);
        let repeats =
            tarjan_scc(&map).iter().any(|circle| circle.len() > 1 || circle.iter().any(|id| map.contains_edge(id, id)))
                || self.graph.nodes.values().any(|node| matches!(node.work, Work::Map(_) | Work::Loop(_)));
        let steps = if repeats {
            self.graph.max_steps as usize
        } else {
            self.graph.nodes.len().min(self.graph.max_steps as usize)
        };
        let turns = if repeats { if models == 0 { 0 } else { steps } } else { models };
        let bounded = match budget {
            Some(_) => "its budget bounds what they cost",
            None if models == 0 => return vec![format!("a run enters at most {steps} nodes and asks no model")],
            None => "nothing bounds what they cost: set a budget",
        };
        vec![format!("a run enters at most {steps} nodes and asks for at most {turns} turns of agents; {bounded}")]
    }
}
