//! Activities: what a workflow asks the world to do. An activity is data; the driver runs it outside the shard.

use crate::ledger::Amounts;
use crate::ports::outbound::Outbound;
use crate::run::{Owner, Time};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What may happen when a call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Touches nothing that counts; may leave before its intent is durable, carries no key.
    Pure,
    /// The other side knows the `Idempotency-Key`; repeated after a crash under the same key.
    Idempotent,
    /// An intent without an outcome is never sent again: its outcome is `unknown` until a person says.
    AtMostOnce,
}

/// What a caller can do about a failure. Data, never read out of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Try again, not before `after_ms` where the other side said so.
    Retry {
        /// From `Retry-After`, in milliseconds.
        after_ms: Option<u64>,
    },
    /// The input is wrong: repeat only when `field` is mended.
    Fix {
        /// The offending field, if known.
        field: Option<String>,
    },
    /// A person has to decide: the outcome is not known.
    Person,
    /// Give up.
    Never,
}

/// Why an activity failed, as it is journaled and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class}: {message}")]
pub struct ActivityError {
    /// The contract's error class, e.g. `LlmError`.
    pub class: String,
    /// What failed, where, what to do. Never holds a secret.
    pub message: String,
    /// What can be done about it.
    pub next: Next,
    /// It was sent and no complete answer came: it may have happened, and cost, all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_have_cost: bool,
}

impl ActivityError {
    /// A failure that may pass by itself.
    pub fn retry(class: &str, message: impl Into<String>) -> Self {
        Self {
            class: class.into(),
            message: message.into(),
            next: Next::Retry { after_ms: None },
            may_have_cost: false,
        }
    }

    /// A failure that repeating does not mend.
    pub fn fatal(class: &str, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: message.into(), next: Next::Never, may_have_cost: false }
    }

    /// The same failure of something that was sent and may have cost what it costs.
    #[must_use]
    pub fn sent(self) -> Self {
        Self { may_have_cost: true, ..self }
    }

    /// Whether another attempt makes sense.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.next, Next::Retry { .. })
    }
}

/// When and how often a failed call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub tries_max: u32,
    /// The first wait, doubled each time.
    pub first_ms: u64,
    /// The longest wait, `Retry-After` included.
    pub cap_ms: u64,
}

impl Retry {
    /// One attempt.
    pub const NEVER: Self = Self { tries_max: 1, first_ms: 0, cap_ms: 0 };
    /// The contract's defaults: three tries after the first, 1 s, 2 s, 4 s with jitter, capped at 30 s.
    pub const DEFAULT: Self = Self { tries_max: 4, first_ms: 1_000, cap_ms: 30_000 };

    /// The wait before attempt `next` (2 is the first repeat). Equal jitter: half fixed, half by `dice` (0..=u32::MAX),
    /// which comes from a hash, so that replay waits the same.
    #[must_use]
    pub fn wait(&self, next: u32, after_ms: Option<u64>, dice: u32) -> Duration {
        let doubled = self.first_ms.saturating_mul(1_u64.checked_shl(next.saturating_sub(2)).unwrap_or(u64::MAX));
        let base = doubled.min(self.cap_ms);
        let jittered = base / 2 + (base - base / 2) * u64::from(dice) / u64::from(u32::MAX);
        Duration::from_millis(jittered.max(after_ms.unwrap_or(0)).min(self.cap_ms.max(base)))
    }
}

/// Where pieces of an answer go while it arrives. Never blocks; the engine gathers pieces into journaled chunks.
pub trait DeltaSink: Send + Sync {
    /// One more piece of text.
    fn push(&self, text: &str);
    /// Bytes pushed so far.
    fn pushed(&self) -> usize;
}

/// All that an activity may touch. There is no other way out of the process.
#[derive(Clone)]
pub struct ActivityCx {
    /// The one client for everything that goes out.
    pub outbound: Arc<dyn Outbound>,
    /// `<run>/<step>`, the same on every attempt; absent for pure activities.
    pub idempotency_key: Option<String>,
    /// 1 for the first try.
    pub attempt: u32,
    /// A budget holds what one answer may cost: a failure that may have cost ends the attempt, and the next is paid anew.
    pub is_paid: bool,
    /// The moment this attempt began.
    pub now: Time,
    /// The moment by which it must be done (call and run bounds together).
    pub deadline: Option<Time>,
    /// Present when somebody wants the answer as it arrives.
    pub deltas: Option<Arc<dyn DeltaSink>>,
    /// W3C trace context to pass on.
    pub traceparent: Option<String>,
    /// The conversation that the run belongs to. No part of what is asked, so that a replay asks the same.
    pub session: Option<String>,
    /// Whose run it is: what an activity keeps or finds for somebody, it keeps and finds for this owner alone. No part of what is
    /// asked, either.
    pub owner: Owner,
}

impl ActivityCx {
    /// What a call may touch that belongs to no run: a try-out, or something that is done before an answer is given.
    #[must_use]
    pub fn outside(
        outbound: Arc<dyn Outbound>,
        owner: Owner,
        now: Time,
        deadline: Time,
        traceparent: Option<String>,
    ) -> Self {
        Self {
            outbound,
            idempotency_key: None,
            attempt: 1,
            is_paid: false,
            now,
            deadline: Some(deadline),
            deltas: None,
            traceparent,
            session: None,
            owner,
        }
    }
}

/// One thing the world is asked to do. Serialised into the journal's intent (as a hash) and run by the driver.
pub trait Activity: Serialize + DeserializeOwned + Send + 'static {
    /// What comes back; journaled.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// The kind's name in the journal, e.g. `model.chat`.
    const NAME: &'static str;
    /// What may happen when it is repeated.
    const EFFECT: Effect = Effect::Idempotent;

    /// The effect of this very request, where the kind alone does not say.
    fn effect(&self) -> Effect {
        Self::EFFECT
    }

    /// Do it. Dropping the future is how it is cancelled, so its sockets must close with it.
    fn run(self, cx: ActivityCx) -> impl Future<Output = Result<Self::Output, ActivityError>> + Send;

    /// What it cost, where the result says so; for calls that a budget pays.
    fn spent(_output: &Self::Output) -> Option<Amounts> {
        None
    }

    /// Take out of the result what was already journaled as deltas.
    fn strip(_output: &mut Self::Output) {}

    /// Put back what [`strip`](Self::strip) took out.
    fn restore(_output: &mut Self::Output, _streamed: &str) {}
}

/// A journaled result: JSON text.
pub type Outcome = Result<Bytes, ActivityError>;

/// A boxed activity in flight.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// An activity as data: what the shard hands to whoever runs it. `start` is the typed body behind the bytes.
#[derive(Clone)]
pub struct Request {
    /// [`Activity::NAME`].
    pub name: &'static str,
    /// The activity as JSON.
    pub args: Bytes,
    /// Runs the typed activity behind the bytes.
    pub start: fn(Bytes, ActivityCx) -> Running,
    /// What a journaled result says that it cost.
    pub spent: fn(&[u8]) -> Option<Amounts>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("name", &self.name).field("args", &self.args.len()).finish()
    }
}

impl Request {
    /// The data form of a typed activity.
    pub fn of<A: Activity>(activity: &A) -> Result<Self, ActivityError> {
        let args = serde_json::to_vec(activity).map_err(|e| {
            ActivityError::fatal("InternalError", format!("{} cannot be written as JSON: {e}", A::NAME))
        })?;
        Ok(Self { name: A::NAME, args: args.into(), start: start::<A>, spent: spent::<A> })
    }
}

fn spent<A: Activity>(output: &[u8]) -> Option<Amounts> {
    A::spent(&serde_json::from_slice(output).ok()?)
}

fn start<A: Activity>(args: Bytes, cx: ActivityCx) -> Running {
    Box::pin(async move {
        let activity: A = serde_json::from_slice(&args)
            .map_err(|e| ActivityError::fatal("InternalError", format!("{} cannot be read back: {e}", A::NAME)))?;
        let deltas = cx.deltas.clone();
        let mut output = activity.run(cx).await?;
        if deltas.is_some_and(|d| d.pushed() > 0) {
            A::strip(&mut output);
        }
        serde_json::to_vec(&output).map(Bytes::from).map_err(|e| {
            ActivityError::fatal("InternalError", format!("the result of {} cannot be written: {e}", A::NAME)).sent()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_stay_within_half_and_whole_and_honour_retry_after() {
        let r = Retry::DEFAULT;
        assert_eq!(r.wait(2, None, 0), Duration::from_millis(500));
        assert_eq!(r.wait(2, None, u32::MAX), Duration::from_millis(1_000));
        assert_eq!(r.wait(4, None, u32::MAX), Duration::from_millis(4_000));
        assert_eq!(r.wait(60, None, u32::MAX), Duration::from_secs(30));
        assert_eq!(r.wait(2, Some(7_000), 0), Duration::from_secs(7));
        assert_eq!(r.wait(2, Some(1_000_000_000), 0), Duration::from_secs(30), "a hostile Retry-After is capped");
    }
}
