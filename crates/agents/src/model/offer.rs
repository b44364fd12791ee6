//! What providers offer, and whether they answer.

use super::body::{self, ERROR_BYTES_MAX};
use super::failure;
use super::provider::{self, Provider};
use super::{Chat, ChatMessage, ChatRequest, ModelKind, ProviderRef, anthropic, openai};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError};
use tutti_engine::ports::outbound::{OutRequest, Outbound};
use tutti_engine::run::{Owner, Time};

/// How long one provider may take to list its models.
const LIST_MAX: Duration = Duration::from_secs(5);
/// Most bytes of such a list.
const LIST_BYTES_MAX: usize = 4 << 20;
/// Most models of one provider that are told.
const MODELS_MAX: usize = 1_000;
/// How long a list is told again without asking.
const FRESH: Duration = Duration::from_secs(30);
/// How long the answer of a trial may take.
const TRIAL_MAX: Duration = Duration::from_secs(30);
/// Most tokens of a trial's answer: enough for a model that thinks before it speaks.
const TRIAL_TOKENS: u32 = 64;

/// One provider or route, and what can be asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Its name: what stands before the colon in `NAME:model`.
    pub provider: String,
    /// `openai`, `anthropic`, `offline`, `scripted` or `route`.
    pub kind: &'static str,
    /// Whether it answers where nobody is named.
    pub is_default: bool,
    /// The model that answers where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_model: Option<String>,
    /// The models that it lists, in its own order.
    pub models: Vec<String>,
    /// A route's providers, each with its model where it sets one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<String>,
    /// Why there is no list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a trial went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// Whether an answer came.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
    /// The model that answered, as it names itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why no answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Lists that were fetched lately, by provider.
static FETCHED: Mutex<BTreeMap<String, (Instant, Vec<String>)>> = Mutex::new(BTreeMap::new());

/// Every provider and route, by name, with what it offers. All are asked at once; one that fails says why.
pub async fn offers(outbound: &dyn Outbound, now: Time) -> Vec<Offer> {
    join_all(provider::all().into_iter().map(|(provider, is_default)| offer(provider, is_default, outbound, now))).await
}

async fn offer(provider: Arc<Provider>, is_default: bool, outbound: &dyn Outbound, now: Time) -> Offer {
    let (kind, listed) = match &provider.kind {
        ModelKind::OpenAi => ("openai", fresh(&provider, outbound, now).await),
        ModelKind::Anthropic => ("anthropic", fresh(&provider, outbound, now).await),
        ModelKind::Offline => ("offline", Ok(provider.default_model.iter().cloned().collect())),
        ModelKind::Scripted(_) => ("scripted", Ok(provider.default_model.iter().cloned().collect())),
        ModelKind::Route(_) => ("route", Ok(Vec::new())),
    };
    let hops = match &provider.kind {
        ModelKind::Route(route) => route.hops.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    let (models, error) = match listed {
        Ok(models) => (models, None),
        Err(error) => (Vec::new(), Some(error.message)),
    };
    let (name, default_model) = (provider.name.clone(), provider.default_model.clone());
    Offer { provider: name, kind, is_default, default_model, models, hops, error }
}

/// The provider's list, or the one that it gave a moment ago.
async fn fresh(provider: &Provider, outbound: &dyn Outbound, now: Time) -> Result<Vec<String>, ActivityError> {
    let key = format!("{} {}", provider.name, provider.base_url);
    let known = FETCHED.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some((_, models)) = known.filter(|(at, _)| at.elapsed() < FRESH) {
        return Ok(models);
    }
    let late = || {
        let ms = LIST_MAX.as_millis();
        ActivityError::retry(failure::CLASS, format!("the model provider did not list its models within {ms} ms"))
    };
    let models = tokio::time::timeout(LIST_MAX, list(provider, outbound, now)).await.map_err(|_| late())??;
    FETCHED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (Instant::now(), models.clone()));
    Ok(models)
}

/// `GET {base_url}/models`, which both dialects answer alike.
async fn list(provider: &Provider, outbound: &dyn Outbound, now: Time) -> Result<Vec<String>, ActivityError> {
    #[derive(Deserialize)]
    struct Listed {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let is_anthropic = matches!(provider.kind, ModelKind::Anthropic);
    if is_anthropic {
        anthropic::sign(provider, &mut headers)?
    } else {
        openai::sign(provider, &mut headers)?
    }
    let base = provider.base_url.trim_end_matches('/');
    let url = if is_anthropic { format!("{base}/models?limit={MODELS_MAX}") } else { format!("{base}/models") };
    let (idle, body_bytes_max) = (LIST_MAX, LIST_BYTES_MAX);
    let request = OutRequest { method: Method::GET, url, headers, body: bytes::Bytes::new(), idle, body_bytes_max };
    let response = outbound.send(request).await.map_err(|e| failure::outbound(&e))?;
    let (status, headers) = (response.status, response.headers.clone());
    let is_fine = (200..300).contains(&status);
    let (body, cut) = body::read(response, if is_fine { usize::MAX } else { ERROR_BYTES_MAX }).await;
    if !is_fine {
        return Err(failure::status(provider, status, &headers, &body::text(&body), now));
    }
    if let Some(error) = cut {
        return Err(failure::outbound(&error));
    }
    let listed: Listed = serde_json::from_slice(&body).map_err(|e| {
        failure::garbage(&format!("something else than a list of models ({e})"), provider, &body::text(&body))
    })?;
    Ok(listed.data.into_iter().take(MODELS_MAX).map(|model| model.id).collect())
}

/// Asks a model one short question: a model's name as agents write it, or none for the default.
pub async fn try_out(outbound: Arc<dyn Outbound>, model: Option<String>, owner: Owner, now: Time) -> Trial {
    let request = ChatRequest {
        model,
        messages: vec![ChatMessage::user("Answer with the one word: ready")],
        max_tokens: Some(TRIAL_TOKENS),
        cache_seconds: Some(0),
        ..ChatRequest::default()
    };
    let cx = ActivityCx {
        outbound,
        idempotency_key: None,
        attempt: 1,
        is_paid: false,
        now,
        deadline: Some(now.after(TRIAL_MAX)),
        deltas: None,
        traceparent: None,
        session: None,
        owner,
    };
    let began = Instant::now();
    let answer = Chat { provider: ProviderRef::default(), request }.run(cx).await;
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match answer {
        Ok(reply) => Trial { ok: true, latency_ms, model: Some(reply.model), error: None },
        Err(error) => Trial { ok: false, latency_ms, model: None, error: Some(error.message) },
    }
}
