//! `memory`: what is remembered of users and conversations, beside the journals: conversations as later runs read them, kept answers,
//! states of graphs, facts. One's own only; an admin clears the tenant's, too.

mod clear;

pub use clear::{Cleared, WHAT};

use crate::caller::{Caller, Role};
use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, Stamp};
use serde::Serialize;
use tutti_agents::memory::facts::{self, Fact};
use tutti_agents::memory::state;
use tutti_agents::model::cache;
use tutti_engine::ports::store::{Label, ListSessions};
use tutti_engine::session::SessionRow;

/// Sessions looked at at once.
const PAGE: u32 = 200;
/// Most sessions that are counted.
const COUNTED_MAX: u64 = 10_000;

/// What a run of a user is found by: a run with a `user_id` is born with it, and its session belongs to that user.
#[must_use]
pub fn label(user_id: &str) -> Label {
    Label::new("memory_user", user_id)
}

/// How much is remembered.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// Conversations.
    pub conversations: Count,
    /// Answers that are given again.
    pub cache: CacheStats,
    /// States of graphs.
    pub state: Count,
    /// Facts about users.
    pub facts: FactStats,
}

/// How many of something.
#[derive(Debug, Serialize)]
pub struct Count {
    /// So many.
    pub count: u64,
    /// And more, that were not counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_more: bool,
}

/// How kept answers fared in this process.
#[derive(Debug, Serialize)]
pub struct CacheStats {
    /// `redis`, shared by all processes, or `memory`, this one's.
    pub place: &'static str,
    /// Answers that were given again.
    pub hits: u64,
    /// Questions that were asked although their answer might have been kept.
    pub misses: u64,
}

/// Facts and whom they are about.
#[derive(Debug, Serialize)]
pub struct FactStats {
    /// Facts.
    pub count: u64,
    /// Users that something is known about.
    pub users: u64,
}

/// A fact for people.
#[derive(Debug, Serialize)]
pub struct FactView {
    /// Its id.
    pub id: String,
    /// About whom.
    pub user_id: String,
    /// One sentence.
    pub text: String,
    /// 0 to 1.
    pub confidence: f32,
    /// When it was first said.
    pub learned_at: Stamp,
    /// When it was last said.
    pub updated_at: Stamp,
    /// Where it was said.
    pub sources: Vec<SourceView>,
}

/// Where a fact was said.
#[derive(Debug, Serialize)]
pub struct SourceView {
    /// In this run.
    pub run_id: String,
    /// In this conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// When.
    pub at: Stamp,
}

fn view(user: &str, fact: Fact) -> FactView {
    let Fact { id, text, confidence, learned_at, updated_at, sources } = fact;
    let source = |s: facts::Source| SourceView { run_id: s.run_id, session_id: s.session_id, at: Stamp(s.at) };
    FactView {
        id,
        user_id: user.into(),
        text,
        confidence,
        learned_at: Stamp(learned_at),
        updated_at: Stamp(updated_at),
        sources: sources.into_iter().map(source).collect(),
    }
}

impl App {
    /// How much is remembered of the caller's, for an admin of the tenant's.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn memory_stats(&self, caller: &Caller) -> Result<Stats, Failure> {
        let only = (!caller.roles.hold(Role::Admin)).then_some(caller.user.as_ref());
        let known = facts::all(self.records(), &caller.tenant, only, None).await?;
        let facts = FactStats {
            count: known.iter().map(|user| user.facts.len() as u64).sum(),
            users: known.iter().filter(|user| !user.facts.is_empty()).count() as u64,
        };
        let state = Count { count: state::count(self.records(), &caller.tenant, only).await?, is_more: false };
        let (hits, misses) = cache::counts();
        let is_redis = self.inner.options.configuration.get("redis").is_some_and(|set| set == "configured");
        let cache = CacheStats { place: if is_redis { "redis" } else { "memory" }, hits, misses };
        Ok(Stats { conversations: self.count_sessions(caller, only).await?, cache, state, facts })
    }

    async fn count_sessions(&self, caller: &Caller, only: Option<&str>) -> Result<Count, Failure> {
        let (mut count, mut before) = (0, None);
        while count < COUNTED_MAX {
            let page = self.conversations_of(caller, only, before.as_ref()).await?;
            count += page.len() as u64;
            before = page.into_iter().next_back();
            if before.is_none() {
                return Ok(Count { count, is_more: false });
            }
        }
        Ok(Count { count, is_more: true })
    }

    /// Sessions of the tenant, or there of one user, opened before this one, newest first.
    async fn conversations_of(
        &self,
        caller: &Caller,
        user: Option<&str>,
        before: Option<&SessionRow>,
    ) -> Result<Vec<SessionRow>, Failure> {
        let (tenant, user) = (caller.tenant.to_string(), user.map(String::from));
        let query = ListSessions { tenant, user, before: before.map(|session| session.no), limit: PAGE };
        Ok(self.engine().store().sessions(query).await?)
    }

    /// What is known about one of the caller's users, what was said last first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn facts(&self, caller: &Caller, user_id: &str) -> Result<Page<FactView>, Failure> {
        let mut known = facts::of(self.records(), &caller.owner(), user_id).await?;
        known.sort_by_key(|fact| std::cmp::Reverse(fact.updated_at));
        Ok(Page { items: known.into_iter().map(|fact| view(user_id, fact)).collect(), next_cursor: None })
    }

    /// Forgets one fact.
    ///
    /// # Errors
    /// `NotFound`, also for a fact of somebody else.
    pub async fn forget_fact(&self, caller: &Caller, id: &str) -> Result<(), Failure> {
        let now = self.engine().now();
        match facts::forget(self.records(), &caller.tenant, id, now, |owner| caller.sees(owner)).await? {
            true => Ok(()),
            false => Err(Failure::not_found("there is no such fact")),
        }
    }
}
