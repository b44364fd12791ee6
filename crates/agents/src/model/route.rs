//! Routes: providers that stand in for each other, tried in order; one that keeps failing rests for a while.

use super::chat::within;
use super::failure::CLASS;
use super::provider::{self, ProviderRef};
use super::{ChatReply, ChatRequest};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tutti_engine::activity::{ActivityCx, ActivityError};

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

/// Asks one hop after the other until one answers. Once a piece of an answer was handed on, its failure is the route's:
/// the attempt is retracted and the next one begins with whoever is not resting.
pub(super) async fn ask(route: &Route, request: &ChatRequest, cx: &ActivityCx) -> Result<ChatReply, ActivityError> {
    let mut failed = ActivityError::fatal(CLASS, "this route has no provider");
    for hop in in_order(route) {
        let provider = provider::find(&hop.provider)?;
        let model = hop.model.clone().or_else(|| request.model.clone());
        let request = ChatRequest { model, ..request.clone() };
        let answer = within(&hop.provider, &provider, &request, cx).await;
        note(route, hop, &answer);
        match answer {
            Err(error) if error.is_retryable() => {
                let has_spoken = cx.deltas.as_ref().is_some_and(|sink| sink.pushed() > 0);
                let may_have_cost = failed.may_have_cost || error.may_have_cost;
                failed = ActivityError { may_have_cost, ..error };
                if has_spoken {
                    break;
                }
            }
            other => return other,
        }
    }
    Err(failed)
}

/// Those that are not resting first; then, if nothing else is left, the others.
fn in_order(route: &Route) -> Vec<&Hop> {
    let strain = STRAIN.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let rests = |hop: &&Hop| strain.get(&name(hop)).is_some_and(|s| s.rests_until.is_some_and(|until| until > now));
    let (resting, ready): (Vec<_>, Vec<_>) = route.hops.iter().partition(rests);
    if ready.is_empty() { resting } else { ready }
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
        _ => *entry = Strain::default(),
    }
}

fn name(hop: &Hop) -> String {
    format!("{}:{}", hop.provider.as_str(), hop.model.as_deref().unwrap_or_default())
}
