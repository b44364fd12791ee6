//! A streamed answer: server-sent events under bounds, gathered into one answer.

use super::super::body::{self, text};
use super::super::chat::Pieces;
use super::super::failure;
use super::super::{Finish, Provider, Usage};
use super::Answer;
use super::wire::{self, Chunk, WireCall, WireFunction};
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;
use tutti_engine::activity::ActivityError;
use tutti_engine::ports::outbound::OutResponse;

/// After `[DONE]`, how long to wait for the body's end, so that the connection can be used again.
const END_MAX: Duration = Duration::from_millis(20);
/// Most tool calls in one answer.
const TOOL_CALLS_MAX: usize = 128;

/// What has been gathered so far.
#[derive(Default)]
struct Gathered {
    text: String,
    calls: Vec<WireCall>,
    model: Option<String>,
    finish: Option<Finish>,
    refused: bool,
    usage: Option<Usage>,
}

/// Reads the stream to its end, handing on the text as it comes.
pub(super) async fn read(
    provider: &Provider,
    response: OutResponse,
    pieces: &mut Pieces,
) -> Result<Answer, ActivityError> {
    let mut events = body::events(provider, response);
    let mut gathered = Gathered::default();
    let mut last = String::new();
    let mut done = false;
    while let Some(event) = events.next().await {
        let data = match event {
            Ok(event) => event.data,
            // Whole already: what is missing is only the usage or the farewell.
            Err(_) if gathered.finish.is_some() => break,
            Err(error) => return Err(error),
        };
        if data.trim() == "[DONE]" {
            done = true;
            let rest = async { while let Some(Ok(_)) = events.next().await {} };
            let _ = tokio::time::timeout(END_MAX, rest).await;
            break;
        }
        gathered.take(provider, &data, pieces)?;
        last = data;
    }
    if !done && gathered.finish.is_none() {
        return Err(failure::garbage("a stream that breaks off in the middle", provider, &last));
    }
    gathered.answer(provider)
}

impl Gathered {
    fn take(&mut self, provider: &Provider, data: &str, pieces: &mut Pieces) -> Result<(), ActivityError> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|e| {
            failure::garbage(&format!("a stream with broken JSON in it ({e})"), provider, &text(data.as_bytes()))
        })?;
        if !chunk.error.is_null() {
            let said = failure::said(&chunk.error).unwrap_or_else(|| chunk.error.to_string());
            return Err(failure::garbage("an error within its stream", provider, &said));
        }
        self.model = chunk.model.or(self.model.take());
        self.usage = chunk.usage.map(Usage::from).or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        let (said, refused) = choice.delta.text();
        self.refused |= refused;
        pieces.push(&said);
        self.text.push_str(&said);
        for call in choice.delta.tool_calls.unwrap_or_default() {
            self.call(provider, call)?;
        }
        if let Some(reason) = choice.finish_reason {
            self.finish = Some(wire::finish(&reason));
        }
        Ok(())
    }

    /// A piece of a tool call: the first brings id and name, the others more of the arguments.
    fn call(&mut self, provider: &Provider, piece: WireCall) -> Result<(), ActivityError> {
        let index = piece.index.unwrap_or_else(|| {
            // Servers that send whole calls leave the index out: a new id is a new call.
            let known = |call: &WireCall| piece.id.is_some() && call.id == piece.id;
            self.calls.iter().position(known).unwrap_or(self.calls.len())
        });
        if index >= TOOL_CALLS_MAX {
            return Err(failure::garbage(&format!("more than {TOOL_CALLS_MAX} tool calls"), provider, ""));
        }
        while self.calls.len() <= index {
            self.calls.push(WireCall { index: None, id: None, function: WireFunction::default() });
        }
        let call = &mut self.calls[index];
        call.id = call.id.take().or(piece.id);
        call.function.name = call.function.name.take().filter(|n| !n.is_empty()).or(piece.function.name);
        call.function.arguments = match (call.function.arguments.take(), piece.function.arguments) {
            (Value::String(so_far), Value::String(more)) => Value::String(so_far + &more),
            (so_far, Value::Null) => so_far,
            (_, more) => more,
        };
        Ok(())
    }

    fn answer(self, provider: &Provider) -> Result<Answer, ActivityError> {
        let calls = self.calls.into_iter().enumerate();
        let tool_calls = calls.map(|(n, call)| wire::tool_call(provider, n, call)).collect::<Result<_, _>>()?;
        let finish = if self.refused { Finish::ContentFilter } else { self.finish.unwrap_or(Finish::Stop) };
        Ok(Answer { text: self.text, tool_calls, model: self.model, finish, usage: self.usage })
    }
}
