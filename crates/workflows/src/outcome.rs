//! What a pattern comes to. Answers are stored once, in their `agent.message` entries; a stored outcome points at them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::team::{Message, Source};
use tutti_engine::Error;

/// A pattern's result while its run is alive.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The output.
    pub output: Answer,
    /// Why it ended.
    pub stopped_by: StoppedBy,
    /// Rounds taken.
    pub iterations: u32,
}

/// The output of a living run.
#[derive(Debug, Clone)]
pub enum Answer {
    /// What was said last, or what was chosen.
    Message(Message),
    /// A list with one element per agent.
    Each(Vec<Share>),
    /// One text, each answer under its agent's name.
    Joined(Vec<Share>),
    /// Something made of what was said.
    Value(Value),
}

/// What one agent came to: its answer, or why there is none.
pub type Share = (String, Result<Message, Error>);

impl Ending {
    /// A message as the output.
    #[must_use]
    pub fn message(message: &Message, stopped_by: StoppedBy, iterations: u32) -> Self {
        Self { output: Answer::Message(message.clone()), stopped_by, iterations }
    }

    /// As it is journaled: by reference, or whole for a parent that cannot see this run's answers.
    #[must_use]
    pub fn stored(self, is_whole: bool) -> Outcome {
        let Self { output, stopped_by, iterations } = self;
        let output = if is_whole { Output::Value(output.value()) } else { output.stored() };
        Outcome { output, stopped_by, iterations, path: Vec::new() }
    }
}

impl Answer {
    fn stored(self) -> Output {
        let parts = |shares: Vec<Share>| shares.iter().map(|(agent, answer)| Part::of(agent, answer)).collect();
        match self {
            Self::Message(message) => match key_of(&message) {
                Some(key) => Output::From(key),
                None => Output::Value(message.value()),
            },
            Self::Each(shares) => Output::Each(parts(shares)),
            Self::Joined(shares) => Output::Joined(parts(shares)),
            Self::Value(value) => Output::Value(value),
        }
    }

    /// The output itself.
    #[must_use]
    pub fn value(&self) -> Value {
        let answer_of = |shares: &[Share], key: &str| {
            let found = shares.iter().filter_map(|(_, answer)| answer.as_ref().ok());
            found.clone().find(|m| key_of(m).as_deref() == Some(key)).map(Message::value)
        };
        match self {
            Self::Message(message) => message.value(),
            Self::Each(shares) | Self::Joined(shares) => self.clone().stored().resolve(|key| answer_of(shares, key)),
            Self::Value(value) => value.clone(),
        }
    }
}

/// A pattern's result as journaled in `run.completed`. Fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The output.
    pub output: Output,
    /// Why it ended.
    pub stopped_by: StoppedBy,
    /// Rounds taken.
    pub iterations: u32,
    /// The nodes that a graph's run entered, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
}

/// Where an output is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// The answer of the step with this key.
    From(String),
    /// A list with one element per agent.
    Each(Vec<Part>),
    /// One text, each answer under its agent's name.
    Joined(Vec<Part>),
    /// Here.
    Value(Value),
}

/// One agent's share of an output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The agent.
    pub agent: String,
    /// The key of the step that holds its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Part {
    fn of(agent: &str, answer: &Result<Message, Error>) -> Self {
        let (from, error) = match answer {
            Ok(message) => (key_of(message), None),
            Err(e) => (None, Some(e.to_string())),
        };
        Self { agent: agent.into(), from, error }
    }
}

/// Why a pattern ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// Every member has answered, or the one who had the work has.
    Completed,
    /// The first answer was enough.
    First,
    /// Enough answers had come.
    Quorum,
    /// A member's answer met its `stop_if`.
    StopIf,
    /// `max_iterations`.
    MaxIterations,
    /// The budget has nothing left but the closing share.
    Budget,
    /// A person refused.
    Rejected,
    /// The same agent handed the same work to the same other for the same reason.
    Cycle,
    /// `max_handoffs`.
    MaxHandoffs,
    /// The user had no more to say.
    User,
    /// The manager said that the work is done.
    Manager,
    /// The plan did not get on, also not after it was changed.
    Stalled,
    /// Every speaker failed.
    NoSpeaker,
    /// Termination: so many messages.
    MaxMessages,
    /// Termination: a text was said.
    Mention,
    /// Termination: tokens used.
    Tokens,
    /// Termination: time passed.
    Time,
    /// Termination: enough members agreed.
    Vote,
    /// Termination: a tool was called.
    ToolCalled,
    /// Termination: the work was handed out of the chat.
    Handoff,
    /// Termination: a member has spoken.
    Source,
    /// Termination: all conditions of a list.
    All,
}

impl Outcome {
    /// The output itself, given a way to look answers up by their steps' keys.
    pub fn resolve(&self, answer: impl Fn(&str) -> Option<Value>) -> Value {
        self.output.resolve(answer)
    }
}

impl Output {
    /// The output itself, given a way to look answers up by their steps' keys.
    pub fn resolve(&self, answer: impl Fn(&str) -> Option<Value>) -> Value {
        let part = |part: &Part| part.from.as_deref().and_then(&answer);
        match self {
            Self::From(key) => answer(key).unwrap_or(Value::Null),
            Self::Value(value) => value.clone(),
            Self::Each(parts) => parts
                .iter()
                .map(|p| match &p.error {
                    Some(error) => json!({"agent": p.agent, "output": null, "error": error}),
                    None => json!({"agent": p.agent, "output": part(p)}),
                })
                .collect(),
            Self::Joined(parts) => {
                let said = |p: &Part| match (&p.error, part(p)) {
                    (Some(error), _) => format!("(no answer: {error})"),
                    (None, Some(Value::String(text))) => text,
                    (None, other) => other.unwrap_or_default().to_string(),
                };
                let texts: Vec<_> = parts.iter().map(|p| format!("{}:\n{}", p.agent, said(p))).collect();
                Value::String(texts.join("\n\n"))
            }
        }
    }
}

fn key_of(message: &Message) -> Option<String> {
    match &message.source {
        Source::Step(key) => Some(key.clone()),
        Source::Input | Source::History => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(from: &str, text: &str) -> Message {
        Message { from: Some(from.into()), text: text.into(), value: None, source: Source::Step(format!("{from}/ask")) }
    }

    #[test]
    fn outputs_resolve_to_what_was_said_by_reference_and_whole() {
        let shares =
            || vec![("a".into(), Ok(message("a", "yes"))), ("b".into(), Err(Error::workflow("LlmError", "gone")))];
        let said = |key: &str| (key == "a/ask").then(|| json!("yes"));
        let each = json!([{"agent": "a", "output": "yes"}, {"agent": "b", "output": null, "error": "LlmError: gone"}]);
        for (answer, expected) in [
            (Answer::Message(message("a", "yes")), json!("yes")),
            (Answer::Each(shares()), each),
            (Answer::Joined(shares()), json!("a:\nyes\n\nb:\n(no answer: LlmError: gone)")),
        ] {
            let ending = Ending { output: answer, stopped_by: StoppedBy::Completed, iterations: 1 };
            assert_eq!(ending.clone().stored(false).resolve(said), expected);
            assert_eq!(ending.stored(true).output, Output::Value(expected));
        }
    }
}
