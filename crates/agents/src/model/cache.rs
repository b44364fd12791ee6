//! Answers that are given again: the very same question, of the same tenant, to the same model, within a time that somebody chose.
//!
//! Nobody's answers are kept unless somebody asked for it: an agent (`cache_seconds`, whatever its temperature), or the operator for
//! a provider or route, and then only where the temperature is 0 and the model means to say the same again.

use super::{ChatReply, ChatRequest, Finish, ModelKind, Provider, Usage};
use crate::cache::{self, Cache};
use crate::digest::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tutti_engine::activity::{ActivityCx, DeltaSink};

/// The largest answer that is kept, as JSON.
const BYTES_MAX: usize = 256 * 1024;
/// A kept answer is streamed in pieces of so many bytes.
const PIECE_BYTES: usize = 256;

static HITS: AtomicU64 = AtomicU64::new(0);
static MISSES: AtomicU64 = AtomicU64::new(0);

/// How often this process found a kept answer, and how often it did not.
#[must_use]
pub fn counts() -> (u64, u64) {
    (HITS.load(Ordering::Relaxed), MISSES.load(Ordering::Relaxed))
}

/// What the keys of a tenant's answers begin with.
#[must_use]
pub fn prefix(tenant: &str) -> String {
    format!("llm:{}:", hex(&Sha256::digest(tenant.as_bytes())[..16]))
}

/// Where the answer to a request is kept.
pub(super) struct Place {
    cache: Arc<dyn Cache>,
    key: String,
    ttl: Duration,
}

/// The place of the answer; none where it is not to be kept.
pub(super) fn place(provider: &Provider, request: &ChatRequest, cx: &ActivityCx) -> Option<Place> {
    let ttl = ttl(provider, request).filter(|ttl| !ttl.is_zero())?;
    let cache = cache::installed()?;
    Some(Place { cache, key: key(provider, request, &cx.owner.tenant), ttl })
}

fn ttl(provider: &Provider, request: &ChatRequest) -> Option<Duration> {
    match request.cache_seconds {
        Some(seconds) => Some(Duration::from_secs(seconds.into())),
        None => provider.cached_for.filter(|_| request.temperature == Some(0.0)),
    }
}

/// Everything that an answer depends on, and the tenant. Equal for equal JSON, whatever its order of keys.
fn key(provider: &Provider, request: &ChatRequest, tenant: &str) -> String {
    let hops = match &provider.kind {
        ModelKind::Route(route) => json!(route.hops),
        _ => Value::Null,
    };
    let model = request.model.as_ref().or(provider.default_model.as_ref());
    let request = ChatRequest { model: model.cloned(), cache_seconds: None, ..request.clone() };
    let mut asked = json!({
        "provider": provider.name, "base_url": provider.base_url, "hops": hops, "request": request,
    });
    asked.sort_all_objects();
    format!("{}{}", prefix(tenant), hex(&Sha256::digest(asked.to_string().as_bytes())))
}

impl Place {
    /// The kept answer, streamed where a stream is wanted. It costs nothing and says where it is from.
    pub async fn find(&self, deltas: Option<&dyn DeltaSink>) -> Option<ChatReply> {
        let kept = self.cache.get(&self.key).await;
        let reply = kept.and_then(|kept| serde_json::from_slice::<ChatReply>(&kept).ok());
        let (outcome, count) = if reply.is_some() { ("hit", &HITS) } else { ("miss", &MISSES) };
        count.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("tutti_llm_cache_total", "outcome" => outcome).increment(1);
        let mut reply = reply?;
        reply.usage = Usage { cost: reply.usage.cost.map(|_| 0), cached: true, ..Usage::default() };
        if let Some(sink) = deltas {
            pieces(&reply.text).for_each(|piece| sink.push(piece));
        }
        Some(reply)
    }

    /// Keeps an answer that is whole.
    pub async fn keep(&self, reply: &ChatReply) {
        let is_whole = matches!(reply.finish, Finish::Stop | Finish::ToolCalls);
        let body = serde_json::to_vec(reply).ok().filter(|body| is_whole && body.len() <= BYTES_MAX);
        if let Some(body) = body {
            self.cache.put(&self.key, body.into(), self.ttl).await;
        }
    }
}

/// The text in pieces that end between two characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, more) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES.min(rest.len())));
        rest = more;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChatMessage, ToolSpec};

    fn asked(text: &str) -> ChatRequest {
        ChatRequest { messages: vec![ChatMessage::user(text)], ..ChatRequest::default() }
    }

    #[test]
    fn the_key_is_everything_that_matters_and_nothing_else() {
        let provider = Provider { name: "a".into(), ..Provider::openai("http://a", None, Some("m".into())) };
        let base = key(&provider, &asked("?"), "acme");
        let tool = |parameters: &str| {
            let parameters = serde_json::from_str(parameters).unwrap();
            let tools = vec![ToolSpec { name: "t".into(), description: String::new(), parameters }];
            key(&provider, &ChatRequest { tools, ..asked("?") }, "acme")
        };
        assert_eq!(tool(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#), tool(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#));
        let same = [
            ChatRequest { cache_seconds: Some(9), ..asked("?") },
            ChatRequest { model: Some("m".into()), ..asked("?") },
        ];
        for request in same {
            assert_eq!(key(&provider, &request, "acme"), base, "{request:?}");
        }
        let other = [
            key(&provider, &asked("!"), "acme"),
            key(&provider, &asked("?"), "umbrella"),
            key(&provider, &ChatRequest { model: Some("n".into()), ..asked("?") }, "acme"),
            key(&provider, &ChatRequest { temperature: Some(0.0), ..asked("?") }, "acme"),
            key(&provider, &ChatRequest { max_tokens: Some(9), ..asked("?") }, "acme"),
            key(&provider, &ChatRequest { output_schema: Some(json!({})), ..asked("?") }, "acme"),
            key(&Provider { base_url: "http://b".into(), ..provider.clone() }, &asked("?"), "acme"),
            tool("{}"),
        ];
        assert!(other.iter().all(|key| *key != base), "{other:?}");
        assert!(base.starts_with(&prefix("acme")) && !base.starts_with(&prefix("umbrella")));
    }

    #[test]
    fn it_is_kept_only_where_somebody_said_so() {
        let provider = |cached_for| Provider { cached_for, ..Provider::offline() };
        let (plain, cold) = (asked("?"), ChatRequest { temperature: Some(0.0), ..asked("?") });
        let warm = ChatRequest { temperature: Some(0.7), cache_seconds: Some(5), ..asked("?") };
        let minute = Some(Duration::from_secs(60));
        assert_eq!((ttl(&provider(None), &plain), ttl(&provider(None), &cold)), (None, None));
        assert_eq!((ttl(&provider(minute), &plain), ttl(&provider(minute), &cold)), (None, minute));
        assert_eq!(ttl(&provider(None), &warm), Some(Duration::from_secs(5)));
        let never = ChatRequest { cache_seconds: Some(0), ..cold };
        assert_eq!(ttl(&provider(minute), &never), Some(Duration::ZERO));
    }

    #[test]
    fn pieces_are_the_text() {
        for text in ["", "x", &"für alle ".repeat(100)] {
            assert_eq!(pieces(text).collect::<String>(), text);
        }
    }
}
