//! How often a provider may be asked: so many requests and tokens in any minute, whoever asks.
//!
//! The minute is counted in slots of ten seconds. Whoever asks looks at the current slot and the six before it, which hold at least
//! the last 60 seconds whatever the moment, so the limit holds in *every* minute and not only in each full one; the price is that a
//! used-up minute is free again after 60 to 70 seconds. Counters stand in the cache: over Redis all processes count together, and a
//! process that finds nobody to count for it counts for itself.

use super::failure::CLASS;
use super::{ChatRequest, Provider, Usage};
use crate::cache;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tutti_engine::activity::{ActivityCx, ActivityError, Next};
use tutti_engine::run::Time;

/// A slot, in milliseconds.
const SLOT_MS: i64 = 10_000;
/// Slots that are looked at: the current one, and those that hold the last minute.
const SLOTS: i64 = 7;

/// How often a provider may be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any minute.
    pub requests: Option<u32>,
    /// Tokens in any minute, read and written.
    pub tokens: Option<u32>,
}

/// The time as an attempt reads it: what it was when it began, and what has passed since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    at: Time,
    began: Instant,
}

impl Watch {
    /// From now on.
    pub fn start(cx: &ActivityCx) -> Self {
        Self { at: cx.now, began: Instant::now() }
    }

    fn now(self) -> Time {
        self.at.after(self.began.elapsed())
    }

    /// How long ago it was started.
    pub fn elapsed(self) -> Duration {
        self.began.elapsed()
    }
}

/// Who waits for one provider: first come, first served, so that only the first of them has to count.
#[derive(Default)]
struct Line {
    turn: tokio::sync::Mutex<()>,
    /// What was counted here while nobody else counted, by key.
    here: Mutex<BTreeMap<String, u64>>,
}

static LINES: Mutex<BTreeMap<String, Arc<Line>>> = Mutex::new(BTreeMap::new());

fn line(provider: &str) -> Arc<Line> {
    Arc::clone(LINES.lock().unwrap_or_else(PoisonError::into_inner).entry(provider.to_owned()).or_default())
}

/// Waits until the provider may be asked, at most `patience`, and counts the request.
///
/// # Errors
/// Its minute is used up for longer than that; says when it will not be.
pub(super) async fn admit(
    provider: &Provider,
    request: &ChatRequest,
    watch: Watch,
    patience: Duration,
) -> Result<(), ActivityError> {
    let wants = wanted(provider, request);
    if wants.is_empty() {
        return Ok(());
    }
    let (line, patience_from) = (line(&provider.name), Instant::now());
    let left = || patience.saturating_sub(patience_from.elapsed());
    // Only the time in the line is bounded here: a full line is as good as a full minute.
    let Ok(_turn) = tokio::time::timeout(left(), line.turn.lock()).await else {
        return Err(refused(provider, SLOT_MS));
    };
    while let Some(wait) = enter(&line, provider, &wants, watch.now()).await {
        if wait > left() {
            return Err(refused(provider, i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
        }
        metrics::counter!("tutti_llm_rate_waits_total", "provider" => provider.name.clone()).increment(1);
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

/// Counts a request where there is room for it; else answers after how long to look again.
async fn enter(line: &Line, provider: &Provider, wants: &[Want], now: Time) -> Option<Duration> {
    let slot = now.0.div_euclid(SLOT_MS);
    let (mut wait_ms, mut before) = (0, Vec::with_capacity(wants.len()));
    for want in wants {
        let used = join_all((slot - SLOTS + 1..=slot).map(|slot| count(line, provider, want.unit, slot, 0))).await;
        wait_ms = wait_ms.max(want.wait_ms(now, &used));
        before.push(used[..used.len() - 1].iter().sum::<u64>());
    }
    if wait_ms > 0 {
        return Some(Duration::from_millis(wait_ms.unsigned_abs()));
    }
    let mut is_in = true;
    for (want, before) in wants.iter().zip(before) {
        // Other processes looked and counted meanwhile: the number that the counter gives out settles who was first, and who was
        // not looks again.
        let counted = count(line, provider, want.unit, slot, want.amount).await;
        is_in &= want.is_within(before.saturating_add(counted));
    }
    (!is_in).then_some(Duration::ZERO)
}

/// Counts what an answer used beyond what was counted when it was asked for.
pub(super) async fn settle(provider: &Provider, request: &ChatRequest, usage: &Usage, watch: Watch) {
    let Some(want) = wanted(provider, request).into_iter().find(|want| want.unit == TOKENS) else { return };
    let more = usage.input_tokens.saturating_add(usage.output_tokens).saturating_sub(want.amount);
    if more > 0 {
        let slot = watch.now().0.div_euclid(SLOT_MS);
        count(&line(&provider.name), provider, TOKENS, slot, more).await;
    }
}

const REQUESTS: &str = "requests";
const TOKENS: &str = "tokens";

/// What one request takes of a minute.
struct Want {
    unit: &'static str,
    amount: u64,
    limit: u64,
}

impl Want {
    /// Whether a minute with so much in it, this request included, keeps to the limit. What is more than a whole minute's share goes
    /// alone.
    fn is_within(&self, sum: u64) -> bool {
        sum <= self.limit.max(self.amount)
    }

    /// How long until there is room for it, given what was used in each slot, the oldest first; 0 is now.
    fn wait_ms(&self, now: Time, used: &[u64]) -> i64 {
        let fits = |used: &[u64]| {
            let sum: u64 = used.iter().fold(0, |sum, n| sum.saturating_add(*n));
            self.is_within(sum.saturating_add(self.amount))
        };
        match (0..SLOTS).zip(0..).find(|(_, gone)| fits(&used[*gone..])).map_or(SLOTS, |(slots, _)| slots) {
            0 => 0,
            slots => (now.0.div_euclid(SLOT_MS) + slots) * SLOT_MS - now.0,
        }
    }
}

fn wanted(provider: &Provider, request: &ChatRequest) -> Vec<Want> {
    let Limits { requests, tokens } = provider.limits;
    let want = |unit, amount, limit: Option<u32>| limit.map(|limit| Want { unit, amount, limit: limit.into() });
    // As providers do it: an answer is counted at its bound, where it has one, and at what it took once that is known.
    let answer = request.max_tokens.unwrap_or(0);
    let prepaid = || Usage::estimate(request, "", &[]).input_tokens.saturating_add(answer.into());
    [want(REQUESTS, 1, requests), tokens.and_then(|limit| want(TOKENS, prepaid(), Some(limit)))]
        .into_iter()
        .flatten()
        .collect()
}

/// Adds to the counter of a slot, and answers what it is then.
async fn count(line: &Line, provider: &Provider, unit: &str, slot: i64, by: u64) -> u64 {
    let key = format!("rate:{}:{unit}:{slot}", provider.name);
    // Twice as long as it is looked at: clocks of other processes may be behind.
    let kept = Duration::from_secs(140);
    let shared = match cache::installed() {
        Some(cache) => cache.add(&key, by, kept).await,
        None => None,
    };
    if let Some(count) = shared {
        return count;
    }
    let mut here = line.here.lock().unwrap_or_else(PoisonError::into_inner);
    let is_old = |key: &String| {
        key.rsplit(':').next().and_then(|n| n.parse::<i64>().ok()).is_some_and(|n| n <= slot - 2 * SLOTS)
    };
    here.retain(|key, _| !is_old(key));
    let count = here.entry(key).or_default();
    *count = count.saturating_add(by);
    *count
}

fn refused(provider: &Provider, wait_ms: i64) -> ActivityError {
    let Limits { requests, tokens } = provider.limits;
    let of = |limit: Option<u32>, unit: &str| limit.map(|limit| format!("{limit} {unit}"));
    let limits: Vec<_> = [of(requests, REQUESTS), of(tokens, TOKENS)].into_iter().flatten().collect();
    let wait_ms = u64::try_from(wait_ms).unwrap_or_default().max(1);
    let message = format!(
        "the limit of provider {:?} ({} in any minute) is used up for another {:.1} s",
        provider.name,
        limits.join(", "),
        Duration::from_millis(wait_ms).as_secs_f64()
    );
    ActivityError { next: Next::Retry { after_ms: Some(wait_ms) }, ..ActivityError::retry(CLASS, message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ChatMessage;

    fn provider(name: &str, requests: Option<u32>, tokens: Option<u32>) -> Provider {
        Provider { name: name.into(), limits: Limits { requests, tokens }, ..Provider::openai("http://x", None, None) }
    }

    fn asked(text: &str) -> ChatRequest {
        ChatRequest { messages: vec![ChatMessage::user(text)], ..ChatRequest::default() }
    }

    /// So many seconds after some moment.
    fn at(seconds: i64) -> Watch {
        Watch { at: Time(1_445_412_480_000 + seconds * 1_000), began: Instant::now() }
    }

    #[test]
    fn no_minute_sees_more_than_the_limit_whatever_comes() {
        let want = Want { unit: REQUESTS, amount: 1, limit: 5 };
        let (mut now, mut used, mut went) = (7_777, BTreeMap::<i64, u64>::new(), Vec::new());
        while went.len() < 400 {
            let slot = now / SLOT_MS;
            let seen: Vec<_> = (slot - SLOTS + 1..=slot).map(|slot| used.get(&slot).copied().unwrap_or(0)).collect();
            match want.wait_ms(Time(now), &seen) {
                0 => {
                    *used.entry(slot).or_default() += 1;
                    went.push(now);
                    // Bursts, and pauses of every length.
                    now += [0, 7, 1_300, 0, 11_000, 0, 59_999, 3][went.len() % 8];
                }
                wait => now += wait,
            }
        }
        for six in went.windows(6) {
            assert!(six[5] - six[0] >= 60_000, "six requests within {} ms", six[5] - six[0]);
            assert!(six[5] - six[4] <= 70_000, "used up no longer than 70 s");
        }
    }

    #[tokio::test]
    async fn who_cannot_wait_hears_when_to_come_back() {
        let provider = provider("impatient", Some(1), None);
        admit(&provider, &asked("?"), at(0), Duration::ZERO).await.unwrap();
        let error = admit(&provider, &asked("?"), at(1), Duration::from_secs(3)).await.unwrap_err();
        let Next::Retry { after_ms: Some(after) } = error.next else { panic!("{error:?}") };
        assert!((59_000..=70_000).contains(&after) && !error.may_have_cost, "{error:?}");
        assert!(error.message.contains("\"impatient\" (1 requests in any minute)"), "{error}");
        admit(&provider, &asked("?"), at(71), Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn tokens_are_counted_before_and_after_and_the_largest_request_goes_alone() {
        let provider = provider("tokens", None, Some(100));
        // 50 tokens by estimate, 30 more than that once it is answered.
        let request = asked(&"four".repeat(50));
        admit(&provider, &request, at(0), Duration::ZERO).await.unwrap();
        let usage = Usage { input_tokens: 50, output_tokens: 30, ..Usage::default() };
        settle(&provider, &request, &usage, at(0)).await;
        assert!(admit(&provider, &asked(&"four".repeat(21)), at(0), Duration::ZERO).await.is_err());
        admit(&provider, &asked(&"four".repeat(20)), at(0), Duration::ZERO).await.unwrap();
        let large = asked(&"four".repeat(500));
        assert!(admit(&provider, &large, at(30), Duration::from_secs(3)).await.is_err());
        admit(&provider, &large, at(71), Duration::ZERO).await.unwrap();
        assert!(admit(&provider, &asked("?"), at(72), Duration::ZERO).await.is_err());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        assert!(wanted(&provider("free", None, None), &asked("?")).is_empty());
    }
}
