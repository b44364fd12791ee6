//! Facts about a user, each with where it is from. All facts of one user are one record, so that adding, replacing and bounding
//! them is one change.

use super::{change, failed, installed};
use crate::digest::short;
use crate::registry::{self, Kept};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};
use tutti_engine::ports::records::{Expect, Records};
use tutti_engine::ports::store::StoreError;
use tutti_engine::run::{Owner, Time};

/// Records of facts.
pub const KIND: &str = "memory.facts";
/// Most facts of one user; beyond it the least certain and oldest go.
pub const FACTS_MAX: usize = 200;
/// Most characters of one fact.
pub const FACT_CHARS_MAX: usize = 500;
/// Most places that a fact remembers to be from; the first and the latest stay.
const SOURCES_MAX: usize = 8;
/// Characters of the id of a user's record.
const NAME_CHARS: usize = 32;

/// Something known about a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Its name, by which it is deleted.
    pub id: String,
    /// One sentence.
    pub text: String,
    /// How certain it is, 0 to 1.
    pub confidence: f32,
    /// When it was first said.
    pub learned_at: Time,
    /// When it was last said.
    pub updated_at: Time,
    /// Where it was said, in order.
    pub sources: Vec<Source>,
}

/// Where a fact was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// In this run.
    pub run_id: String,
    /// In this conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// When.
    pub at: Time,
}

/// A fact to be remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewFact {
    /// One sentence.
    pub text: String,
    /// How certain it is, 0 to 1.
    pub confidence: f32,
    /// Ids of facts that it makes wrong: they go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

/// All facts of one user, as kept: fields are only ever added, with defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UserFacts {
    /// Whose memory it is.
    pub owner: String,
    /// About whom.
    pub user: String,
    /// In the order in which they were learned.
    pub facts: Vec<Fact>,
}

/// Finds what is known about a user: what has to do with the query first, then what was said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecallFacts {
    /// About whom.
    pub user: String,
    /// A question in anybody's words; may be empty.
    pub query: String,
    /// Most facts.
    pub limit: u32,
}

impl Activity for RecallFacts {
    type Output = Vec<Fact>;
    const NAME: &'static str = "memory.recall";
    const EFFECT: Effect = Effect::Pure;

    async fn run(self, cx: ActivityCx) -> Result<Vec<Fact>, ActivityError> {
        let known = of(installed()?.as_ref(), &cx.owner, &self.user).await.map_err(|e| failed(&e))?;
        Ok(ranked(known, &self.query, usize::try_from(self.limit).unwrap_or(FACTS_MAX)))
    }
}

/// Remembers facts about a user, and answers them as they stand then. Remembering them twice changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RememberFacts {
    /// About whom.
    pub user: String,
    /// What.
    pub facts: Vec<NewFact>,
    /// The run in which they were said.
    pub from_run: String,
}

impl Activity for RememberFacts {
    type Output = Vec<Fact>;
    const NAME: &'static str = "memory.remember";

    async fn run(self, cx: ActivityCx) -> Result<Vec<Fact>, ActivityError> {
        let Self { user, facts, from_run } = self;
        let name = name(&cx.owner.user, &user);
        let source = Source { run_id: from_run, session_id: cx.session, at: cx.now };
        let remember = |kept: &mut UserFacts| {
            let before = kept.facts.clone();
            (kept.owner, kept.user) = (cx.owner.user.clone(), user.clone());
            let ids: Vec<_> = facts.iter().filter_map(|fact| kept.learn(&name, fact, &source)).collect();
            kept.bound();
            let told = kept.facts.iter().filter(|fact| ids.contains(&fact.id)).cloned().collect();
            (told, kept.facts != before)
        };
        let records = installed()?;
        change(records.as_ref(), (KIND, &cx.owner.tenant, &name), cx.now, remember).await.map_err(|e| failed(&e))
    }
}

impl UserFacts {
    /// Takes a fact in, as a new one or as one that was said again; answers its id, or nothing where it is no fact.
    fn learn(&mut self, record: &str, new: &NewFact, source: &Source) -> Option<String> {
        let (text, words) = (new.text.trim(), plain(&new.text));
        if words.is_empty() || text.chars().count() > FACT_CHARS_MAX {
            return None;
        }
        let id = format!("{record}{}", short(&[&words]));
        self.facts.retain(|fact| fact.id == id || !new.replaces.contains(&fact.id));
        let confidence = if new.confidence.is_finite() { new.confidence.clamp(0.0, 1.0) } else { 0.0 };
        let Some(known) = self.facts.iter_mut().find(|fact| fact.id == id) else {
            let (learned_at, updated_at, sources) = (source.at, source.at, vec![source.clone()]);
            self.facts.push(Fact { id: id.clone(), text: text.into(), confidence, learned_at, updated_at, sources });
            return Some(id);
        };
        // Said again within one run is said once: an activity may be sent twice.
        if known.sources.iter().all(|known| known.run_id != source.run_id) {
            if known.sources.len() >= SOURCES_MAX {
                known.sources.remove(1);
            }
            known.sources.push(source.clone());
            known.updated_at = source.at;
            known.confidence = known.confidence.max(confidence);
        }
        Some(id)
    }

    /// Drops what is beyond the bound: the least certain first, of those the oldest.
    fn bound(&mut self) {
        while self.facts.len() > FACTS_MAX {
            let worth = |fact: &Fact| (fact.confidence, fact.updated_at);
            let least = (0..self.facts.len()).min_by(|a, b| {
                let (a, b) = (worth(&self.facts[*a]), worth(&self.facts[*b]));
                a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
            });
            self.facts.remove(least.unwrap_or_default());
        }
    }
}

/// The name of a user's record: the same beginning for all users of one owner.
fn name(owner: &str, user: &str) -> String {
    format!("{}{}", short(&[owner]), short(&[user]))
}

/// What is known about a user of this owner, in the order in which it was learned.
///
/// # Errors
/// The store does not answer.
pub async fn of(records: &dyn Records, owner: &Owner, user: &str) -> Result<Vec<Fact>, StoreError> {
    let found = registry::get::<UserFacts>(records, KIND, &owner.tenant, &name(&owner.user, user)).await?;
    Ok(found.map(|Kept { value, .. }| value.facts).unwrap_or_default())
}

/// All that is known in a tenant, or there to one owner, or about one user.
///
/// # Errors
/// The store does not answer.
pub async fn all(
    records: &dyn Records,
    tenant: &str,
    owner: Option<&str>,
    user: Option<&str>,
) -> Result<Vec<UserFacts>, StoreError> {
    let prefix = owner.map(|owner| short(&[owner])).unwrap_or_default();
    let is_theirs =
        |kept: &UserFacts| owner.is_none_or(|owner| kept.owner == owner) && user.is_none_or(|user| kept.user == user);
    let found = registry::list::<UserFacts>(records, KIND, tenant, &prefix).await?;
    Ok(found.into_iter().map(|(_, Kept { value, .. })| value).filter(is_theirs).collect())
}

/// Forgets one fact; `may` says whose it may be. False where there is none.
///
/// # Errors
/// The store did not do it.
pub async fn forget(
    records: &dyn Records,
    tenant: &str,
    id: &str,
    at: Time,
    may: impl Fn(&Owner) -> bool + Send + Sync,
) -> Result<bool, StoreError> {
    let Some(name) = id.get(..NAME_CHARS) else { return Ok(false) };
    let forget = |kept: &mut UserFacts| {
        let owner = Owner { tenant: tenant.into(), user: kept.owner.clone() };
        let before = kept.facts.len();
        kept.facts.retain(|fact| fact.id != id || !may(&owner));
        let is_gone = kept.facts.len() < before;
        (is_gone, is_gone)
    };
    change(records, (KIND, tenant, name), at, forget).await
}

/// Forgets all that is known in a tenant, or there to one owner, or about one user; answers how many facts it were.
///
/// # Errors
/// The store did not do it.
pub async fn clear(
    records: &dyn Records,
    tenant: &str,
    owner: Option<&str>,
    user: Option<&str>,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for known in all(records, tenant, owner, user).await? {
        records.delete(KIND, tenant, &name(&known.owner, &known.user), Expect::Any).await?;
        count += known.facts.len() as u64;
    }
    Ok(count)
}

/// A text as its words alone: what differs in case, spaces and marks only is the same fact.
fn plain(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Words that may say what a text is about: the shortest ones hold sentences together.
fn telling(text: &str) -> impl Iterator<Item = String> {
    words(text).filter(|word| word.len() > 2)
}

/// The facts that share most with the query, rare words counting more, and then those that were said last.
fn ranked(facts: Vec<Fact>, query: &str, limit: usize) -> Vec<Fact> {
    let asked: BTreeSet<String> = telling(query).collect();
    let said: Vec<BTreeSet<String>> = facts.iter().map(|fact| telling(&fact.text).collect()).collect();
    let mut known_by: BTreeMap<&str, usize> = BTreeMap::new();
    for word in said.iter().flatten().filter(|word| asked.contains(*word)) {
        *known_by.entry(word).or_default() += 1;
    }
    let all = facts.len() as f64;
    let weight = |word: &String| known_by.get(word.as_str()).map_or(0.0, |facts| (1.0 + all / *facts as f64).ln());
    let mut scored: Vec<(f64, Fact)> =
        said.iter().map(|words| words.iter().map(weight).sum()).zip(facts.iter().cloned()).collect();
    scored.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(y.updated_at.cmp(&x.updated_at)).then(x.id.cmp(&y.id)));
    scored.into_iter().map(|(_, fact)| fact).take(limit).collect()
}

#[cfg(test)]
mod tests;
