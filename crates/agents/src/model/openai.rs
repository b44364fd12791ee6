//! The OpenAI-compatible dialect: `POST {base_url}/chat/completions`, whole or streamed.

mod stream;
mod wire;

use super::body::{self, ERROR_BYTES_MAX};
use super::chat::{Call, Pieces};
use super::failure::{self, CLASS};
use super::{ChatReply, Finish, Provider, Usage};
use http::{HeaderMap, Method, header};
use tutti_engine::activity::ActivityError;
use tutti_engine::ports::outbound::{OutRequest, Outbound};

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
    let mut headers = body::headers(call, pieces.wanted());
    sign(provider, &mut headers)?;
    // OpenAI's newer models refuse the old name; other servers know only that.
    let is_openai = provider.base_url.starts_with("https://api.openai.com/");
    let bound_name = if is_openai { "max_completion_tokens" } else { "max_tokens" };
    let request = OutRequest {
        method: Method::POST,
        url: format!("{}/chat/completions", provider.base_url.trim_end_matches('/')),
        headers,
        body: wire::request(call.request, model, pieces.wanted(), bound_name)?,
        idle: provider.timeout,
        body_bytes_max: provider.body_bytes_max,
    };
    let response = outbound.send(request).await.map_err(|e| failure::outbound(&e))?;
    if !(200..300).contains(&response.status) {
        let (status, headers) = (response.status, response.headers.clone());
        let (body, _) = body::read(response, ERROR_BYTES_MAX).await;
        return Err(failure::status(provider, status, &headers, &body::text(&body), call.cx.now));
    }
    let answer = if pieces.wanted() && !body::is_whole(&response.headers) {
        stream::read(provider, response, pieces).await?
    } else {
        let (body, cut) = body::read(response, usize::MAX).await;
        if let Some(error) = cut {
            return Err(failure::outbound(&error));
        }
        wire::whole(provider, &body)?
    };
    Ok(reply(call, model, answer))
}

/// The headers that this API wants with every request.
pub(super) fn sign(provider: &Provider, headers: &mut HeaderMap) -> Result<(), ActivityError> {
    if let Some(key) = body::key(provider, "Bearer ")? {
        headers.insert(header::AUTHORIZATION, key);
    }
    Ok(())
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
