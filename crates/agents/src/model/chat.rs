//! The activity `model.chat`: what all dialects share.

use super::failure::CLASS;
use super::limit::{self, Watch};
use super::provider::{self, Provider, ProviderRef};
use super::route;
use super::{ChatMessage, ChatReply, ChatRequest, ModelKind, Usage, cache};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tutti_engine::Amounts;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, DeltaSink, Effect, Next};

/// Most validation errors that are told back to the model.
const ERRORS_MAX: usize = 8;

/// Ask a model. Data only: the provider is a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chat {
    /// Who answers.
    #[serde(default)]
    pub provider: ProviderRef,
    /// What is asked.
    pub request: ChatRequest,
}

impl Activity for Chat {
    type Output = ChatReply;
    const NAME: &'static str = "model.chat";
    const EFFECT: Effect = Effect::Idempotent;

    async fn run(self, cx: ActivityCx) -> Result<ChatReply, ActivityError> {
        let (provider, model) = provider::pick(&self.provider, self.request.model.as_deref());
        let request = ChatRequest { model: model.map(ToOwned::to_owned), ..self.request.clone() };
        let (found, watch) = (provider::find(&provider)?, Watch::start(&cx));
        let place = cache::place(&found, &request, &cx);
        if let Some(place) = &place
            && let Some(reply) = place.find(cx.deltas.as_deref()).await
        {
            return Ok(reply);
        }
        let reply = match &found.kind {
            ModelKind::Route(route) => route::ask(route, &request, &cx, watch).await?,
            _ => {
                limit::admit(&found, &request, watch, left(&cx, watch).unwrap_or(found.total_max)).await?;
                within(&found, &request, &cx, watch, left(&cx, watch)).await?
            }
        };
        if let Some(place) = &place {
            place.keep(&reply).await;
        }
        Ok(reply)
    }

    fn spent(output: &ChatReply) -> Option<Amounts> {
        // A kept answer used nothing, and says so.
        let Usage { input_tokens, output_tokens, cost, .. } = output.usage;
        Some(Amounts {
            tokens: input_tokens.saturating_add(output_tokens),
            cost: cost.unwrap_or(0),
            ..Amounts::default()
        })
    }

    fn strip(output: &mut ChatReply) {
        output.text.clear();
    }

    fn restore(output: &mut ChatReply, streamed: &str) {
        output.text.clear();
        output.text.push_str(streamed);
    }
}

/// One provider's answer, within its time and at most `most`.
pub(super) async fn within(
    provider: &Provider,
    request: &ChatRequest,
    cx: &ActivityCx,
    watch: Watch,
    most: Option<Duration>,
) -> Result<ChatReply, ActivityError> {
    let total = most.map_or(provider.total_max, |most| most.min(provider.total_max));
    match tokio::time::timeout(total, Box::pin(ask(provider, request, cx, watch))).await {
        Ok(Ok(reply)) => {
            limit::settle(provider, request, &reply.usage, watch).await;
            Ok(priced(provider, request, reply))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let what = format!("the model provider's answer was not complete after {} ms", total.as_millis());
            Err(ActivityError::retry(CLASS, what).sent())
        }
    }
}

/// The reply with what it cost, by the price of what was asked for: servers answer under names of their own.
fn priced(provider: &Provider, request: &ChatRequest, mut reply: ChatReply) -> ChatReply {
    let asked = provider::listed(provider, request.model.as_deref());
    let price = asked.or_else(|| provider::listed(provider, Some(&reply.model)));
    let Usage { input_tokens, output_tokens, .. } = reply.usage;
    reply.usage.cost = price.map(|p| p.cost(input_tokens, output_tokens));
    reply
}

/// What is left of the call's time.
pub(super) fn left(cx: &ActivityCx, watch: Watch) -> Option<Duration> {
    let all = cx.deadline?.0.saturating_sub(cx.now.0);
    Some(Duration::from_millis(u64::try_from(all).unwrap_or(0)).saturating_sub(watch.elapsed()))
}

/// One request to a dialect.
pub(super) struct Call<'a> {
    pub provider: &'a Provider,
    pub request: &'a ChatRequest,
    pub cx: &'a ActivityCx,
    pub watch: Watch,
    /// The step's key; another one for a repair, since its body differs.
    pub idempotency_key: Option<String>,
}

impl Call<'_> {
    /// The model to ask for.
    pub fn model(&self) -> Option<&str> {
        self.request.model.as_deref().or(self.provider.default_model.as_deref())
    }
}

/// Where a dialect puts pieces of text. Everything that is in the reply's text is pushed exactly once, so that what was
/// stripped can be restored from the deltas.
pub(super) struct Pieces {
    sink: Option<Arc<dyn DeltaSink>>,
    wanted: bool,
    pushed: bool,
}

impl Pieces {
    /// Whether the dialect should ask for a stream.
    pub fn wanted(&self) -> bool {
        self.wanted
    }

    /// One more piece of the answer's text.
    pub fn push(&mut self, text: &str) {
        if let Some(sink) = self.sink.as_ref().filter(|_| !text.is_empty()) {
            self.pushed = true;
            sink.push(text);
        }
    }
}

async fn ask(
    provider: &Provider,
    request: &ChatRequest,
    cx: &ActivityCx,
    watch: Watch,
) -> Result<ChatReply, ActivityError> {
    let form = request.output_schema.as_ref().map(compile).transpose()?;
    // A structured answer may need repair, so its text goes out only when it is final.
    let sink = cx.deltas.clone().filter(|_| form.is_none());
    let mut pieces = Pieces { sink, wanted: cx.deltas.is_some(), pushed: false };
    let call = Call { provider, request, cx, watch, idempotency_key: cx.idempotency_key.clone() };
    let mut reply = super::dialect(&call, &mut pieces).await?;
    if let Some(form) = &form
        && reply.tool_calls.is_empty()
    {
        reply = fitted(form, &call, reply, &mut pieces).await?;
    }
    if let Some(sink) = cx.deltas.as_ref().filter(|_| !pieces.pushed && !reply.text.is_empty()) {
        sink.push(&reply.text);
    }
    Ok(reply)
}

fn compile(schema: &Value) -> Result<jsonschema::Validator, ActivityError> {
    jsonschema::validator_for(schema).map_err(|e| ActivityError {
        class: CLASS.into(),
        message: format!("output_schema is not a usable JSON Schema: {e}"),
        next: Next::Fix { field: Some("output_schema".into()) },
        may_have_cost: false,
    })
}

/// The reply with its `output`, asked for a second time where the first does not fit.
async fn fitted(
    form: &jsonschema::Validator,
    call: &Call<'_>,
    first: ChatReply,
    pieces: &mut Pieces,
) -> Result<ChatReply, ActivityError> {
    let why = match fit(form, &first.text) {
        Ok(output) => return Ok(with_output(first, output)),
        Err(why) => why,
    };
    if matches!(call.provider.kind, ModelKind::Offline) {
        // It would say the same again.
        return Err(ActivityError::fatal(CLASS, format!("the offline model cannot fill this output_schema: {why}")));
    }
    let mut request = call.request.clone();
    request.messages.push(ChatMessage::assistant(first.text.as_str()));
    request.messages.push(ChatMessage::user(format!(
        "Your answer does not fit the required JSON Schema:\n{why}\nAnswer again with the corrected JSON and nothing else."
    )));
    let idempotency_key = call.idempotency_key.as_ref().map(|key| format!("{key}/repair"));
    let repair = Call { request: &request, idempotency_key, ..*call };
    // The first answer was billed, whatever becomes of the second. How long this may take is bounded outside.
    limit::admit(call.provider, &request, call.watch, call.provider.total_max).await.map_err(ActivityError::sent)?;
    let mut second = super::dialect(&repair, pieces).await.map_err(ActivityError::sent)?;
    second.usage = second.usage.plus(first.usage);
    match fit(form, &second.text) {
        Ok(output) => Ok(with_output(second, output)),
        Err(why) => Err(ActivityError::fatal(
            CLASS,
            format!("the model's answer does not fit output_schema, also not when asked again: {why}"),
        )
        .sent()),
    }
}

fn with_output(mut reply: ChatReply, output: Value) -> ChatReply {
    reply.text = output.to_string();
    reply.output = Some(output);
    reply
}

/// The JSON value in `text` that fits, or what does not fit about it, a line per error.
fn fit(form: &jsonschema::Validator, text: &str) -> Result<Value, String> {
    let value = json_in(text).ok_or_else(|| "- it is not JSON".to_owned())?;
    let errors: Vec<String> = form
        .iter_errors(&value)
        .take(ERRORS_MAX)
        .map(|e| {
            let at = e.instance_path().to_string();
            let what: String = e.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
            format!("- {}: {what}", if at.is_empty() { "/" } else { &at })
        })
        .collect();
    if errors.is_empty() { Ok(value) } else { Err(errors.join("\n")) }
}

/// The JSON in an answer: all of it, or what stands in a code fence or between the outermost brackets.
fn json_in(text: &str) -> Option<Value> {
    let text = text.trim();
    serde_json::from_str(text).ok().or_else(|| {
        let (from, to) = (text.find(['{', '['])?, text.rfind(['}', ']'])?);
        serde_json::from_str(text.get(from..=to)?).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_in_fences_and_prose() {
        for text in ["{\"a\":1}", " ```json\n{\"a\":1}\n``` ", "Here you are: {\"a\":1}. Bye"] {
            assert_eq!(json_in(text), Some(serde_json::json!({"a": 1})), "{text}");
        }
        for text in ["", "no", "} {", "{\"a\":"] {
            assert_eq!(json_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_chat_holds_no_address_and_reads_back() {
        let chat = Chat {
            provider: ProviderRef::default(),
            request: ChatRequest { messages: vec![ChatMessage::user("hi")], ..ChatRequest::default() },
        };
        let text = serde_json::to_string(&chat).unwrap();
        assert_eq!(text, r#"{"provider":"default","request":{"messages":[{"role":"user","content":"hi"}]}}"#);
        assert_eq!(serde_json::from_str::<Chat>(&text).unwrap(), chat);
    }
}
