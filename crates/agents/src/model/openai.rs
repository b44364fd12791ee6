//! The OpenAI-compatible dialect: `POST {base_url}/chat/completions`, whole or streamed.

mod stream;
mod wire;

use super::chat::{Call, Pieces};
use super::failure::{self, CLASS};
use super::{ChatReply, Finish, Provider, Usage};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use secrecy::ExposeSecret;
use tutti_engine::activity::ActivityError;
use tutti_engine::ports::outbound::{OutError, OutRequest, OutResponse, Outbound};

/// Most bytes read of an error answer.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// One exchange with the provider.
pub(super) async fn chat(
    call: &Call<'_>,
    outbound: &dyn Outbound,
    pieces: &mut Pieces,
) -> Result<ChatReply, ActivityError> {
    let Some(model) = call.model() else {
        return Err(ActivityError::fatal(CLASS, "no model is named; set LLM_DEFAULT_MODEL or the agent's `model`"));
    };
    let provider = call.provider;
    let request = OutRequest {
        method: Method::POST,
        url: format!("{}/chat/completions", provider.base_url.trim_end_matches('/')),
        headers: headers(call, pieces.wanted())?,
        body: wire::request(call.request, model, pieces.wanted())?,
        idle: provider.timeout,
        body_bytes_max: provider.body_bytes_max,
    };
    let response = outbound.send(request).await.map_err(|e| failure::outbound(&e))?;
    if !(200..300).contains(&response.status) {
        let (status, headers) = (response.status, response.headers.clone());
        let (body, _) = read(response, ERROR_BYTES_MAX).await;
        return Err(failure::status(provider, status, &headers, &text(&body), call.cx.now));
    }
    let answer = if pieces.wanted() && !is_whole(&response.headers) {
        stream::read(provider, response, pieces).await?
    } else {
        let (body, cut) = read(response, usize::MAX).await;
        if let Some(error) = cut {
            return Err(failure::outbound(&error));
        }
        wire::whole(provider, &body)?
    };
    Ok(reply(call, model, answer))
}

/// What both forms of answer come down to.
struct Answer {
    text: String,
    tool_calls: Vec<super::ToolCall>,
    model: Option<String>,
    finish: Finish,
    usage: Option<Usage>,
}

fn reply(call: &Call<'_>, asked: &str, answer: Answer) -> ChatReply {
    let Answer { text, tool_calls, model, finish, usage } = answer;
    let usage = usage.unwrap_or_else(|| Usage::estimate(call.request, &text, &tool_calls));
    // Some servers say `stop` beside tool calls.
    let finish = if tool_calls.is_empty() || finish == Finish::Length { finish } else { Finish::ToolCalls };
    let model = model.filter(|m| !m.is_empty()).unwrap_or_else(|| asked.to_owned());
    ChatReply { text, tool_calls, output: None, model, finish, usage }
}

fn headers(call: &Call<'_>, stream: bool) -> Result<HeaderMap, ActivityError> {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if stream { "text/event-stream" } else { "application/json" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    if let Some(value) = bearer(call.provider)? {
        headers.insert(header::AUTHORIZATION, value);
    }
    let passed = [("idempotency-key", &call.idempotency_key), ("traceparent", &call.cx.traceparent)];
    for (name, value) in passed {
        if let Some(value) = value.as_deref().and_then(|v| HeaderValue::from_str(v).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(headers)
}

fn bearer(provider: &Provider) -> Result<Option<HeaderValue>, ActivityError> {
    let Some(key) = provider.api_key.as_ref().map(|key| key.expose_secret().trim()).filter(|key| !key.is_empty())
    else {
        return Ok(None);
    };
    let mut value = HeaderValue::try_from(format!("Bearer {key}"))
        .map_err(|_| ActivityError::fatal(CLASS, "LLM_API_KEY holds characters that no HTTP header may hold"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Whether a server that was asked for a stream answered in one piece after all.
fn is_whole(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.trim_start().to_ascii_lowercase();
    kind.starts_with("application/json") || kind.starts_with("text/html")
}

/// The body up to `bytes_max`, and what cut it short.
async fn read(mut response: OutResponse, bytes_max: usize) -> (Bytes, Option<OutError>) {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(piece) = response.body.next().await {
        match piece {
            // Mostly there is one piece, which then is not copied.
            Ok(piece) if first.is_empty() => first = piece,
            Ok(piece) => rest.extend_from_slice(&piece),
            Err(error) => return (joined(first, rest), Some(error)),
        }
        if first.len() + rest.len() >= bytes_max {
            break;
        }
    }
    (joined(first, rest), None)
}

fn joined(first: Bytes, rest: BytesMut) -> Bytes {
    if rest.is_empty() {
        return first;
    }
    let mut all = BytesMut::with_capacity(first.len() + rest.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(&rest);
    all.freeze()
}

/// For messages only: enough to quote from.
fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(ERROR_BYTES_MAX)]).into_owned()
}
