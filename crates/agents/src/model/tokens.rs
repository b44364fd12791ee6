//! How many tokens a prompt has: counted with OpenAI's own vocabulary where a model of theirs reads it, else estimated.
//!
//! The vocabulary is compiled in and read at its first use, off the async threads: that takes 0.2 s, and 45 MB from then on. Nothing
//! that a workflow decides hangs on it: windows and budgets go by estimates that are the same in every version.

use super::provider::answering;
use super::{ChatMessage, ChatRequest, ToolCall, Usage};
use serde::Serialize;
use tutti_engine::activity::ActivityError;

/// Models of the generation that reads `o200k_base`, by the beginnings of their names.
const O200K: [&str; 8] = ["gpt-4o", "chatgpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "o1", "o3", "o4"];
/// What a message costs beside its texts, and what the beginning of an answer costs, in that generation's chat format.
const MESSAGE_TOKENS: u64 = 3;
const ANSWER_TOKENS: u64 = 3;

/// A prompt's length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Tokens of the prompt.
    pub tokens: u64,
    /// Whether they were counted and not estimated. Tools and calls of tools are written in a form that only the provider knows, so a
    /// prompt with them is estimated.
    pub exact: bool,
    /// The model that would answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// Counts a request's prompt as the model that would answer reads it.
///
/// # Errors
/// The vocabulary cannot be read.
pub async fn count(request: ChatRequest) -> Result<Counted, ActivityError> {
    read_by(answering(request.model.as_deref()), request).await
}

async fn read_by(model: Option<String>, request: ChatRequest) -> Result<Counted, ActivityError> {
    let is_plain = request.tools.is_empty()
        && request.output_schema.is_none()
        && request.messages.iter().all(|message| message.tool_calls.is_empty());
    if !is_plain || !model.as_deref().is_some_and(reads_o200k) {
        let tokens = Usage::estimate(&request, "", &[] as &[ToolCall]).input_tokens;
        return Ok(Counted { tokens, exact: false, model });
    }
    let failed = |why: String| ActivityError::fatal(super::failure::CLASS, format!("tokens cannot be counted: {why}"));
    let counting = tokio::task::spawn_blocking(move || o200k(&request.messages));
    let tokens = counting.await.map_err(|e| failed(e.to_string()))?.map_err(failed)?;
    Ok(Counted { tokens, exact: true, model })
}

fn reads_o200k(model: &str) -> bool {
    // Gateways put whose model it is in front.
    let name = model.rsplit('/').next().unwrap_or(model);
    O200K.iter().any(|begins| name.starts_with(begins))
}

fn o200k(messages: &[ChatMessage]) -> Result<u64, String> {
    static VOCABULARY: std::sync::OnceLock<Result<tiktoken_rs::CoreBPE, String>> = std::sync::OnceLock::new();
    let vocabulary = VOCABULARY.get_or_init(|| tiktoken_rs::o200k_base().map_err(|e| e.to_string()));
    let vocabulary = vocabulary.as_ref().map_err(Clone::clone)?;
    let of = |text: &str| vocabulary.encode_ordinary(text).len() as u64;
    // Its role is one token, its name, where it has one, its own and one more.
    let one = |m: &ChatMessage| MESSAGE_TOKENS + 1 + of(&m.content) + m.name.as_ref().map_or(0, |name| 1 + of(name));
    Ok(messages.iter().map(one).sum::<u64>() + ANSWER_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> ChatRequest {
        // The example of OpenAI's cookbook, "How to count tokens with tiktoken"; its servers count 124 tokens for gpt-4o.
        let system = |name: Option<&str>, text: &str| {
            let message = ChatMessage::system(text);
            name.map_or(message.clone(), |name| message.named(name))
        };
        let messages = vec![
            system(
                None,
                "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
            ),
            system(Some("example_user"), "New synergies will help drive top-line growth."),
            system(Some("example_assistant"), "Things working well together will increase revenue."),
            system(
                Some("example_user"),
                "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
            ),
            system(Some("example_assistant"), "Let's talk later when we're less busy about how to do better."),
            ChatMessage::user("This late pivot means we don't have time to boil the ocean for the client deliverable."),
        ];
        ChatRequest { messages, ..ChatRequest::default() }
    }

    #[tokio::test]
    async fn a_prompt_is_counted_as_its_provider_counts_it() {
        let count = async |model: &str, request| read_by(Some(model.into()), request).await.unwrap();
        let counted = count("gpt-4o-mini", asked()).await;
        assert_eq!((counted.tokens, counted.exact, counted.model.as_deref()), (124, true, Some("gpt-4o-mini")));
        assert!(count("openai/gpt-5-mini", asked()).await.exact);
        for model in ["claude-sonnet", "llama3:8b", "o", "gpt-3.5-turbo"] {
            let counted = count(model, asked()).await;
            assert!(!counted.exact && (90..200).contains(&counted.tokens), "{model}: {counted:?}");
        }
        let form = ChatRequest { output_schema: Some(serde_json::json!({})), ..asked() };
        assert!(!count("gpt-5", form).await.exact);
    }
}
