//! The interpreter: follows a graph's ways from node to node. An ordinary workflow; each choice of a way is a step, so that a
//! run's journal tells the path that it took.

use super::definition::{END, Graph, Loop, Map, Node, OnError, OnItemError, Work};
use super::expression;
use super::state::{Around, State};
use super::work::Came;
use crate::patterns::job::within;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tutti_agents::team::{Asking, Team};
use tutti_engine::{Branch, Ctx, Error, Result};

/// Where a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// At the end of its path.
    End,
    /// Before the join where its branch meets others.
    Join(String),
}

/// One walk through a graph, with all its branches.
pub(super) struct Walker<'g> {
    pub graph: &'g Graph,
    pub team: &'g Team,
    pub asking: &'g Asking,
    /// Nodes entered so far.
    pub entered: Cell<u32>,
    /// The nodes entered, in the order in which the workflow came to them.
    pub path: RefCell<Vec<String>>,
}

pub(super) fn failed(message: impl Into<String>) -> Error {
    Error::workflow("WorkflowError", message)
}

impl Walker<'_> {
    /// Follows the path from a node on.
    ///
    /// # Errors
    /// A node failed for good and nothing catches it, an expression failed, or the graph took more steps than it may.
    pub fn walk<'w>(
        &'w self,
        ctx: &'w Ctx,
        start: &'w str,
        state: &'w mut State,
        around: &'w Around,
        is_branch: bool,
    ) -> Branch<'w, Stop> {
        Box::pin(async move {
            let (mut at, mut around) = (start.to_owned(), around.clone());
            loop {
                if at == END {
                    return Ok(Stop::End);
                }
                let (id, node) = self.find(&at)?;
                if is_branch && matches!(node.work, Work::Join) {
                    return Ok(Stop::Join(at));
                }
                let scope = ctx.scope("node", id);
                self.enter(id)?;
                let ways = match self.attempt(&scope, id, node, state, &around).await {
                    Ok(came) => {
                        self.take(id, node, state, came)?;
                        self.choose(&scope, id, node, state, &around).await?
                    }
                    Err(e) => {
                        around.error = Some(json!({"node": id, "class": e.class(), "message": e.to_string()}));
                        match &node.flow.on_error {
                            OnError::Fail => return Err(e),
                            OnError::To(to) => vec![to.clone()],
                            OnError::Continue => {
                                state.came(id, Value::Null, None);
                                self.choose(&scope, id, node, state, &around).await?
                            }
                        }
                    }
                };
                at = match ways.as_slice() {
                    [] => return Ok(Stop::End),
                    [one] => one.clone(),
                    many => match self.fork(&scope, id, many, state, &around).await? {
                        Some(next) => next,
                        None => return Ok(Stop::End),
                    },
                };
            }
        })
    }

    fn find<'s>(&'s self, id: &str) -> Result<(&'s str, &'s Node)> {
        let found = self.graph.nodes.get_key_value(id).map(|(id, node)| (id.as_str(), node));
        found.ok_or_else(|| failed(format!("the graph has no node {id:?}")))
    }

    fn enter(&self, id: &str) -> Result<()> {
        let entered = self.entered.get() + 1;
        if entered > self.graph.max_steps {
            return Err(failed(format!(
                "the graph entered more than {} nodes (max_steps), at last {id:?}",
                self.graph.max_steps
            )));
        }
        self.entered.set(entered);
        self.path.borrow_mut().push(id.into());
        Ok(())
    }

    /// What a node came to is known, and saved where it says.
    fn take(&self, id: &str, node: &Node, state: &mut State, came: Came) -> Result<()> {
        if let Some(field) = &node.flow.save {
            state.write(self.graph, field, came.output.clone())?;
        }
        if came.is_quiet {
            state.note(id, came.output);
        } else {
            state.came(id, came.output, came.said);
        }
        Ok(())
    }

    /// Where the path goes on; written down, so that the journal tells it and a replay need not reckon anew.
    async fn choose(&self, ctx: &Ctx, id: &str, node: &Node, state: &State, around: &Around) -> Result<Vec<String>> {
        let flow = &node.flow;
        let choose = || -> Result<Vec<String>, String> {
            if flow.cases.is_empty() {
                return Ok(flow.default.iter().chain(&flow.next).cloned().collect());
            }
            let scope = state.scope_of(id, around);
            for case in &flow.cases {
                if expression::holds(&case.when, &scope).map_err(|why| format!("{}: {why}", case.when))? {
                    return Ok(vec![case.next.clone()]);
                }
            }
            Ok(flow.default.clone().map_or_else(|| flow.next.clone(), |to| vec![to]))
        };
        ctx.step("next", choose).await?.map_err(failed)
    }

    /// The node's work, tried as often and as long as it may, and then its stand-in's.
    fn attempt<'w>(
        &'w self,
        ctx: &'w Ctx,
        id: &'w str,
        node: &'w Node,
        state: &'w mut State,
        around: &'w Around,
    ) -> Branch<'w, Came> {
        Box::pin(async move {
            let (times, delay_ms) = node.flow.retry.map_or((0, 0), |again| (again.times, again.delay_ms));
            let mut last = failed("nothing was tried");
            for attempt in 0..=times {
                let scope = if attempt == 0 { ctx.clone() } else { ctx.scope("again", attempt) };
                if attempt > 0 && delay_ms > 0 {
                    scope
                        .sleep("delay", Duration::from_millis(delay_ms.saturating_mul(1 << (attempt - 1).min(16))))
                        .await?;
                }
                // What a failed try wrote does not count.
                let mut fresh = state.branch();
                let work = Box::pin(self.work(&scope, id, node, &mut fresh, around));
                match within(&scope, node.flow.timeout_ms, work).await {
                    Ok(came) => {
                        state.join(self.graph, fresh)?;
                        return Ok(came);
                    }
                    Err(e) => last = e,
                }
            }
            let Some(stand_in) = &node.flow.fallback else { return Err(last) };
            let (other, node) = self.find(stand_in)?;
            self.enter(other)?;
            self.attempt(&ctx.scope("fallback", other), other, node, state, around).await
        })
    }

    /// Several ways at once. Answers where the path goes on behind the join, or nothing where no branch meets another.
    async fn fork(
        &self,
        ctx: &Ctx,
        id: &str,
        ways: &[String],
        state: &mut State,
        around: &Around,
    ) -> Result<Option<String>> {
        let siblings = u32::try_from(ways.len()).unwrap_or(u32::MAX);
        let before = state.branch();
        let work = async |ctx: Ctx, way: &String| {
            let (mut state, around) = (before.branch(), Around { siblings, ..around.clone() });
            let stop = self.walk(&ctx, way, &mut state, &around, true).await?;
            Ok((stop, state.left(&before)))
        };
        let ended = ctx.map("branch", ways.iter().collect(), ways.len(), work).await?;
        let (mut outputs, mut meeting) = (Vec::new(), None);
        for (stop, branch) in ended {
            outputs.push(branch.last.clone());
            state.join(self.graph, branch)?;
            match (stop, &meeting) {
                (Stop::Join(join), None) => meeting = Some(join),
                (Stop::Join(join), Some(other)) if join != *other => {
                    return Err(failed(format!("the branches of {id:?} ended at {other:?} and {join:?}")));
                }
                _ => {}
            }
        }
        let Some(join) = meeting else {
            state.came(id, Value::Array(outputs), None);
            return Ok(None);
        };
        let (join, node) = self.find(&join)?;
        let scope = ctx.scope("node", join);
        self.enter(join)?;
        self.take(join, node, state, Came::value(Value::Array(outputs)))?;
        let mut ways = self.choose(&scope, join, node, state, around).await?;
        match ways.len() {
            0 => Ok(None),
            1 => Ok(ways.pop()),
            _ => Box::pin(self.fork(&scope, join, &ways, state, around)).await,
        }
    }

    /// The nodes from `go` on for each item.
    pub(super) async fn each(&self, ctx: &Ctx, map: &Map, state: &mut State, around: &Around) -> Result<Value> {
        let items =
            expression::evaluate(&map.over, &state.scope(around)).map_err(|why| failed(format!("over: {why}")))?;
        let Value::Array(items) = items else { return Err(failed(format!("over: {} gives no list", map.over))) };
        if items.len() > map.max_items as usize {
            return Err(failed(format!("over: {} items, at most {} (max_items)", items.len(), map.max_items)));
        }
        let siblings = map.max_parallel.min(u32::try_from(items.len()).unwrap_or(u32::MAX)).max(1);
        let before = state.branch();
        let work = async |ctx: Ctx, (index, item): (usize, Value)| {
            let mut state = before.branch();
            let around = Around { item: Some((index, item)), siblings, ..around.clone() };
            match self.walk(&ctx, &map.go, &mut state, &around, false).await {
                Ok(_) => Ok(Ok(state.left(&before))),
                Err(e) if map.on_item_error == OnItemError::Fail => Err(e),
                Err(e) => Ok(Err(e)),
            }
        };
        let done = ctx.map("item", items.into_iter().enumerate().collect(), map.max_parallel as usize, work).await?;
        let mut outputs = Vec::new();
        for item in done {
            match item {
                Ok(branch) => {
                    outputs.push(branch.last.clone());
                    state.join(self.graph, branch)?;
                }
                Err(e) if map.on_item_error == OnItemError::Keep => outputs.push(json!({"error": e.to_string()})),
                Err(_) => {}
            }
        }
        Ok(Value::Array(outputs))
    }

    /// The nodes from `go` on, round after round; the last round's output.
    pub(super) async fn rounds(&self, ctx: &Ctx, turns: &Loop, state: &mut State, around: &Around) -> Result<Value> {
        for round in 0..turns.max {
            let around = Around { round: Some(round), ..around.clone() };
            let holds = |condition: &Option<String>, state: &State, word: &str| match condition {
                None => Ok(None),
                Some(text) => expression::holds(text, &state.scope(&around))
                    .map(Some)
                    .map_err(|why| failed(format!("{word}: {why}"))),
            };
            if holds(&turns.while_, state, "while")? == Some(false) {
                break;
            }
            self.walk(&ctx.scope("round", round), &turns.go, state, &around, false).await?;
            if holds(&turns.until, state, "until")? == Some(true) {
                break;
            }
        }
        Ok(state.last.clone())
    }
}
