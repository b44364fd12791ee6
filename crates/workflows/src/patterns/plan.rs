//! A plan in the terms of the patterns: typed, checked before it runs, compared when it is changed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most steps of a plan.
pub const STEPS_MAX: usize = 12;

/// What a team is going to do: its task ledger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is known and what has to be found out.
    #[serde(default)]
    pub facts: Vec<String>,
    /// What is done, in this order.
    pub steps: Vec<PlanStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Its name within the plan.
    pub id: String,
    /// What is to be done.
    pub task: String,
    /// How the agents work together.
    pub how: How,
    /// Who does it.
    pub agents: Vec<String>,
    /// Steps whose results it needs; all before it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Vec<String>>,
    /// Most turns of a discussion or a hand-off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
}

/// How the agents of a step work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// One agent answers.
    Ask,
    /// One after the other.
    Sequential,
    /// All at once; the manager makes one answer of theirs.
    Concurrent,
    /// They discuss.
    GroupChat,
    /// The first answers or hands over.
    Handoff,
}

impl PlanStep {
    /// The most turns it takes.
    #[must_use]
    pub fn turns(&self) -> u32 {
        let agents = u32::try_from(self.agents.len()).unwrap_or(u32::MAX);
        match self.how {
            How::Ask => 1,
            How::Sequential | How::Concurrent => agents,
            How::GroupChat | How::Handoff => self.bound(),
        }
    }

    /// The bound of a discussion or a hand-off.
    #[must_use]
    pub fn bound(&self) -> u32 {
        self.rounds.unwrap_or(4).clamp(1, 20)
    }
}

impl Plan {
    /// Each agent once, in the team's order: what is done when no plan can be had.
    #[must_use]
    pub fn plain(agents: &[String], task: &str) -> Self {
        let step = |(i, agent): (usize, &String)| PlanStep {
            id: format!("s{}", i + 1),
            task: task.into(),
            how: How::Ask,
            agents: vec![agent.clone()],
            needs: None,
            rounds: None,
        };
        Self { facts: Vec::new(), steps: agents.iter().enumerate().take(STEPS_MAX).map(step).collect() }
    }

    /// With small slips mended: one agent is asked, several that are to be asked are asked at once.
    #[must_use]
    pub fn normal(mut self) -> Self {
        for step in &mut self.steps {
            step.how = match (step.how, step.agents.len()) {
                (_, 1) => How::Ask,
                (How::Ask, 2..) => How::Concurrent,
                (how, _) => how,
            };
        }
        self
    }

    /// Everything that is wrong with it, in words a planner can act on.
    #[must_use]
    pub fn wrongs(&self, agents: &[String], turns_max: u32) -> Vec<String> {
        let mut wrongs = Vec::new();
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            wrongs.push(format!("a plan has 1 to {STEPS_MAX} steps, this one has {}", self.steps.len()));
        }
        let mut before: BTreeSet<&str> = BTreeSet::new();
        for step in &self.steps {
            let id = &step.id;
            for name in step.agents.iter().filter(|name| !agents.contains(name)) {
                wrongs.push(format!("step {id}: there is no agent {name:?}; there are: {}", agents.join(", ")));
            }
            if step.agents.is_empty() {
                wrongs.push(format!("step {id}: it names no agent"));
            }
            for need in step.needs.iter().flatten().filter(|need| !before.contains(need.as_str())) {
                wrongs.push(format!("step {id}: it needs {need:?}, which is no step before it"));
            }
            if !before.insert(id) {
                wrongs.push(format!("step {id}: the id is used twice"));
            }
        }
        let turns: u32 = self.steps.iter().map(PlanStep::turns).fold(0, u32::saturating_add);
        if turns > turns_max {
            wrongs.push(format!("the plan takes up to {turns} turns, at most {turns_max} are allowed"));
        }
        wrongs
    }

    /// What changes from this plan to `next`, by step.
    #[must_use]
    pub fn diff(&self, next: &Self) -> Value {
        let find = |plan: &Self, id: &str| plan.steps.iter().find(|s| s.id == id).cloned();
        let ids = |plan: &Self, other: &Self, keep: &dyn Fn(&PlanStep, Option<&PlanStep>) -> bool| -> Vec<String> {
            let hit = |s: &&PlanStep| keep(s, find(other, &s.id).as_ref());
            plan.steps.iter().filter(hit).map(|s| s.id.clone()).collect()
        };
        json!({
            "added": ids(next, self, &|_, old| old.is_none()),
            "removed": ids(self, next, &|_, new| new.is_none()),
            "changed": ids(next, self, &|step, old| old.is_some_and(|old| old != step)),
            "kept": ids(next, self, &|step, old| old == Some(step)),
        })
    }
}

/// The JSON Schema a planner fills; its default is the plain plan.
#[must_use]
pub fn schema(agents: &[String], task: &str) -> Value {
    json!({"type": "object", "required": ["facts", "steps"], "properties": {
        "facts": {"type": "array", "items": {"type": "string"}, "description": "What is known, and what must be found out."},
        "steps": {"type": "array", "default": Plan::plain(agents, task).steps, "minItems": 1, "maxItems": STEPS_MAX, "items": {
            "type": "object", "required": ["id", "task", "how", "agents"], "properties": {
                "id": {"type": "string"}, "task": {"type": "string"},
                "how": {"type": "string", "enum": ["ask", "sequential", "concurrent", "group_chat", "handoff"]},
                "agents": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": agents}},
                "needs": {"type": "array", "items": {"type": "string"}, "description": "Ids of earlier steps."},
                "rounds": {"type": "integer", "minimum": 1, "maximum": 20}}}}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, how: How, agents: &[&str]) -> PlanStep {
        let agents = agents.iter().map(|a| (*a).to_owned()).collect();
        PlanStep { id: id.into(), task: "x".into(), how, agents, needs: None, rounds: None }
    }

    #[test]
    fn everything_wrong_with_a_plan_is_said_at_once() {
        let agents = ["a".to_owned(), "b".to_owned()];
        let mut late = step("s2", How::GroupChat, &["a", "b"]);
        late.needs = Some(vec!["s3".into()]);
        late.rounds = Some(9);
        let plan =
            Plan { facts: vec![], steps: vec![step("s1", How::Ask, &["a", "z"]), late, step("s1", How::Ask, &[])] };
        let wrongs = plan.wrongs(&agents, 10);
        for part in ["no agent \"z\"", "\"s3\"", "used twice", "names no agent", "up to 11 turns"] {
            assert!(wrongs.iter().any(|w| w.contains(part)), "{part}: {wrongs:?}");
        }
        assert_eq!(wrongs.len(), 5, "{wrongs:?}");
        assert_eq!(Plan::plain(&agents, "x").wrongs(&agents, 10), Vec::<String>::new());
        assert!(!Plan::default().wrongs(&agents, 10).is_empty());
    }

    #[test]
    fn a_diff_names_each_step_once() {
        let old = Plan {
            facts: vec![],
            steps: vec![step("a", How::Ask, &["x"]), step("b", How::Ask, &["x"]), step("c", How::Ask, &["x"])],
        };
        let new = Plan {
            facts: vec![],
            steps: vec![step("a", How::Ask, &["x"]), step("b", How::Ask, &["y"]), step("d", How::Ask, &["x"])],
        };
        assert_eq!(old.diff(&new), json!({"added": ["d"], "removed": ["c"], "changed": ["b"], "kept": ["a"]}));
    }
}
