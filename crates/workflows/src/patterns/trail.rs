//! Where the work of a hand-off has been, and where it may still go.

use super::handoff::Options;
use super::job::Job;
use crate::outcome::StoppedBy;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tutti_agents::team::{Member, Message};
use tutti_agents::turn::{Handoff, Route};
use tutti_engine::Ctx;
use tutti_engine::event::Kind as Event;

/// Where the work has been.
#[derive(Default)]
pub(crate) struct Trail {
    edges: BTreeMap<(String, String), u32>,
    reasons: BTreeSet<(String, String, String)>,
    path: Vec<String>,
    /// Agents that failed: nobody may hand them work again.
    broken: BTreeSet<String>,
}

impl Trail {
    /// Whom this agent may still hand the work to.
    pub fn open(&self, job: &Job<Options>, from: &Member) -> Vec<Route> {
        let mesh = || job.team.members().iter().map(|m| Route { to: m.name().into(), description: m.about().into() });
        let routes: Vec<Route> = match job.options.routes.get(from.name()) {
            Some(routes) => routes.clone(),
            None if !job.options.routes.is_empty() => Vec::new(),
            None if from.routes().is_empty() => mesh().collect(),
            None => mesh().filter(|route| from.routes().contains(&route.to)).collect(),
        };
        let most = job.options.max_per_edge.unwrap_or(2);
        let used = |to: &str| self.edges.get(&(from.name().into(), to.into())).copied().unwrap_or(0);
        routes
            .into_iter()
            .filter(|r| r.to != from.name() && used(&r.to) < most && !self.broken.contains(&r.to))
            .collect()
    }

    /// Writes a hand-off down; answers why the work ends with it, if it does.
    pub fn take(
        &mut self,
        ctx: &Ctx,
        job: &Job<Options>,
        from: &Member,
        handoff: &Handoff,
        talk: &[Message],
    ) -> Option<StoppedBy> {
        let Handoff { to, reason } = handoff;
        let chars: usize = talk.iter().map(|m| m.text.chars().count()).sum();
        ctx.emit(
            Event::Handoff,
            &json!({"from": from.name(), "to": to, "reason": reason,
            "context_messages": talk.len(), "context_chars": chars}),
        );
        let plain: String = reason.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let is_new = self.reasons.insert((from.name().into(), to.clone(), plain));
        *self.edges.entry((from.name().into(), to.clone())).or_default() += 1;
        self.path.push(from.name().into());
        let most = job.options.max_handoffs.unwrap_or(job.max_iterations) as usize;
        match () {
            () if !is_new => Some(StoppedBy::Cycle),
            () if self.path.len() > most => Some(StoppedBy::MaxHandoffs),
            () => None,
        }
    }

    /// The agent that handed the work to one that failed.
    pub fn back<'j>(&mut self, job: &'j Job<Options>, failed: &str) -> Option<&'j Member> {
        self.broken.insert(failed.into());
        job.team.find(&self.path.pop()?)
    }
}
