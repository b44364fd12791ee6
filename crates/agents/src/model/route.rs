//! Routes: providers that stand in for each other and share the work; one that keeps failing rests for a while.

use super::chat::{left, within};
use super::failure::CLASS;
use super::limit::{self, Watch};
use super::provider::{self, ProviderRef};
use super::{ChatReply, ChatRequest, Usage, bound};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tutti_engine::activity::{ActivityCx, ActivityError};

/// Most tokens of an answer where nobody sets a bound, for what a lost answer may have cost.
const OUTPUT_TOKENS: u32 = 4_096;
/// Failures in a row after which a hop rests.
const FAILURES_MAX: u32 = 3;

/// One provider of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Who is asked.
    pub provider: ProviderRef,
    /// For which model; the request's, or the provider's default.
    pub model: Option<String>,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{}:{model}", self.provider.as_str()),
            None => f.write_str(self.provider.as_str()),
        }
    }
}

/// Which of a route's hops is asked first; the others stand in, in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first one.
    #[default]
    Order,
    /// Each as often as its weight says. Which, is settled by the call's key, so that a call that is sent again after a crash comes
    /// to the provider that may know it.
    Weighted,
    /// The one with the fewest open calls for its weight.
    LeastBusy,
}

/// Providers that stand in for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The hops.
    pub hops: Vec<Hop>,
    /// Who is asked first.
    pub balance: Balance,
    /// What share of the calls each hop gets, in the hops' order; 1 where there is none.
    pub weights: Vec<u32>,
    /// How long a hop rests that failed several times in a row.
    pub cooldown: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Strain {
    failures: u32,
    rests_until: Option<Instant>,
    /// Calls that are open.
    open: u64,
}

/// An open call of a hop.
struct Open(String);

impl Open {
    fn of(hop: &Hop) -> Self {
        let name = name(hop);
        STRAIN.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default().open += 1;
        Self(name)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(strain) = STRAIN.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&self.0) {
            strain.open = strain.open.saturating_sub(1);
        }
    }
}

/// How hops have fared: a matter of this process, of no run.
static STRAIN: Mutex<BTreeMap<String, Strain>> = Mutex::new(BTreeMap::new());

/// Asks one hop after the other until one answers; each attempt begins one hop further. Once a piece of an answer was
/// handed on, its failure is the route's: the attempt is retracted. Where a budget pays, so is a failure that may have cost. A hop
/// whose limit is used up is passed over; only the last one is waited for.
pub(super) async fn ask(
    route: &Route,
    request: &ChatRequest,
    cx: &ActivityCx,
    watch: Watch,
) -> Result<ChatReply, ActivityError> {
    let mut failed = ActivityError::fatal(CLASS, "this route has no provider");
    // What hops that failed may have cost all the same.
    let mut lost = Usage::default();
    let hops = in_order(route, request, cx);
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
        let patience = if share == 1 { left(&cx, watch).unwrap_or(provider.total_max) } else { Duration::ZERO };
        if let Err(full) = limit::admit(&provider, &request, watch, patience).await {
            failed = ActivityError { may_have_cost: failed.may_have_cost, ..full };
            continue;
        }
        let open = Open::of(hop);
        let most = left(&cx, watch).map(|left| left / share);
        let answer = within(&provider, &request, &cx, watch, most).await;
        drop(open);
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
                    lost = Usage {
                        cost,
                        ..lost.plus(Usage { input_tokens, output_tokens, estimated: true, cost, cached: false })
                    };
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

/// Those that are not resting, or all where all do, as the route balances them; a later attempt begins further on.
fn in_order<'r>(route: &'r Route, request: &ChatRequest, cx: &ActivityCx) -> Vec<&'r Hop> {
    let strain = STRAIN.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, of) = (Instant::now(), |hop: &Hop| strain.get(&name(hop)).copied().unwrap_or_default());
    let rests = |(hop, _): &(&Hop, u64)| of(hop).rests_until.is_some_and(|until| until > now);
    let weights = route.weights.iter().copied().chain(std::iter::repeat(1)).map(u64::from);
    let (resting, ready): (Vec<_>, Vec<_>) = route.hops.iter().zip(weights).partition(rests);
    let mut hops = if ready.is_empty() { resting } else { ready };
    match route.balance {
        Balance::Order => {}
        Balance::Weighted => {
            let chosen = chosen(&hops, dice(request, cx));
            if let Some(upto) = hops.get_mut(..=chosen) {
                upto.rotate_right(1);
            }
        }
        // A thousandth of a call tells weights apart where nobody is busy.
        Balance::LeastBusy => hops.sort_by_key(|(hop, weight)| (of(hop).open + 1) * 1_000 / (*weight).max(1)),
    }
    let ahead = usize::try_from(cx.attempt.saturating_sub(1)).unwrap_or(0) % hops.len().max(1);
    hops.rotate_left(ahead);
    hops.into_iter().map(|(hop, _)| hop).collect()
}

/// Whose share of the weights a number falls into.
fn chosen(hops: &[(&Hop, u64)], dice: u64) -> usize {
    let sum: u64 = hops.iter().map(|(_, weight)| weight).sum();
    let mut left = dice % sum.max(1);
    let falls = |(_, weight): &(&Hop, u64)| {
        let is_here = left < *weight;
        left = left.saturating_sub(*weight);
        is_here
    };
    hops.iter().position(falls).unwrap_or_default()
}

/// A number that looks random, and is the same whenever the same call is sent.
fn dice(request: &ChatRequest, cx: &ActivityCx) -> u64 {
    let key = cx.idempotency_key.clone().or_else(|| serde_json::to_string(request).ok()).unwrap_or_default();
    let hash = Sha256::digest(key.as_bytes());
    hash.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
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
        Ok(_) => *entry = Strain { open: entry.open, ..Strain::default() },
        // The request's own fault says nothing about the hop.
        Err(_) => {}
    }
}

fn name(hop: &Hop) -> String {
    format!("{}:{}", hop.provider.as_str(), hop.model.as_deref().unwrap_or_default())
}
