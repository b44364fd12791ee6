//! Routes: providers that stand in for each other, tried in order; one that keeps failing rests for a while.

use super::chat::{left, within};
use super::failure::CLASS;
use super::provider::{self, ProviderRef};
use super::{ChatReply, ChatRequest, Usage, bound};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tutti_engine::activity::{ActivityCx, ActivityError};

/// Most tokens of an answer where nobody sets a bound, for what a lost answer may have cost.
const OUTPUT_TOKENS: u32 = 4_096;
/// Failures in a row after which a hop rests.
const FAILURES_MAX: u32 = 3;

/// One provider of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Who is asked.
    pub provider: ProviderRef,
    /// For which model; the request's, or the provider's default.
    pub model: Option<String>,
}

/// Providers in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The hops.
    pub hops: Vec<Hop>,
    /// How long a hop rests that failed several times in a row.
    pub cooldown: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Strain {
    failures: u32,
    rests_until: Option<Instant>,
}

/// How hops have fared: a matter of this process, of no run.
static STRAIN: Mutex<BTreeMap<String, Strain>> = Mutex::new(BTreeMap::new());

/// Asks one hop after the other until one answers; each attempt begins one hop further. Once a piece of an answer was
/// handed on, its failure is the route's: the attempt is retracted. Where a budget pays, so is a failure that may have cost.
pub(super) async fn ask(route: &Route, request: &ChatRequest, cx: &ActivityCx) -> Result<ChatReply, ActivityError> {
    let mut failed = ActivityError::fatal(CLASS, "this route has no provider");
    // What hops that failed may have cost all the same.
    let mut lost = Usage::default();
    let (began, all, hops) = (Instant::now(), left(cx), in_order(route, cx.attempt));
    for (n, hop) in hops.iter().enumerate() {
        let provider = provider::find(&hop.provider)?;
        let model = hop.model.clone().or_else(|| request.model.clone());
        let request = ChatRequest { model, ..request.clone() };
        // Another body needs another key.
        let key =
            cx.idempotency_key.as_ref().map(|key| if n == 0 { key.clone() } else { format!("{key}/{}", name(hop)) });
        let cx = ActivityCx { idempotency_key: key, ..cx.clone() };
        // A silent hop leaves time for the next ones.
        let share = u32::try_from(hops.len() - n).unwrap_or(1);
        let most = all.map(|all| all.saturating_sub(began.elapsed()) / share);
        let answer = within(&provider, &request, &cx, most).await;
        note(route, hop, &answer);
        match answer {
            Ok(mut reply) => {
                let cost = reply.usage.cost.map(|cost| cost.saturating_add(lost.cost.unwrap_or(0)));
                reply.usage = Usage { cost, ..reply.usage.plus(lost) };
                return Ok(reply);
            }
            Err(error) => {
                if error.may_have_cost {
                    let (input_tokens, output_tokens) =
                        (bound(&request), request.max_tokens.unwrap_or(OUTPUT_TOKENS).into());
                    let cost = provider::price_of(&provider, request.model.as_deref());
                    let cost = cost.map_or(0, |price| price.cost(input_tokens, output_tokens));
                    let cost = Some(lost.cost.unwrap_or(0).saturating_add(cost));
                    lost = Usage { cost, ..lost.plus(Usage { input_tokens, output_tokens, estimated: true, cost }) };
                }
                let has_spoken = cx.deltas.as_ref().is_some_and(|sink| sink.pushed() > 0);
                let is_final = !error.is_retryable() || has_spoken || (cx.is_paid && error.may_have_cost);
                failed = ActivityError { may_have_cost: failed.may_have_cost || error.may_have_cost, ..error };
                if is_final {
                    break;
                }
            }
        }
    }
    Err(failed)
}

/// Those that are not resting, or all where all do; a later attempt begins further on.
fn in_order(route: &Route, attempt: u32) -> Vec<&Hop> {
    let strain = STRAIN.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let rests = |hop: &&Hop| strain.get(&name(hop)).is_some_and(|s| s.rests_until.is_some_and(|until| until > now));
    let (resting, ready): (Vec<_>, Vec<_>) = route.hops.iter().partition(rests);
    let mut hops = if ready.is_empty() { resting } else { ready };
    let ahead = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0) % hops.len().max(1);
    hops.rotate_left(ahead);
    hops
}

fn note(route: &Route, hop: &Hop, answer: &Result<ChatReply, ActivityError>) {
    let mut strain = STRAIN.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = strain.entry(name(hop)).or_default();
    match answer {
        Err(error) if error.is_retryable() => {
            entry.failures += 1;
            if entry.failures >= FAILURES_MAX {
                entry.rests_until = Some(Instant::now() + route.cooldown);
                tracing::warn!(
                    hop = name(hop),
                    "this provider failed {} times in a row and rests: {error}",
                    entry.failures
                );
            }
        }
        Ok(_) => *entry = Strain::default(),
        // The request's own fault says nothing about the hop.
        Err(_) => {}
    }
}

fn name(hop: &Hop) -> String {
    format!("{}:{}", hop.provider.as_str(), hop.model.as_deref().unwrap_or_default())
}
