//! When a group chat ends: conditions as data, joined by `all` and `any`.

use crate::outcome::StoppedBy;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tutti_agents::team::Message;

/// One condition, or several joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Until {
    /// So many messages were said.
    MaxMessages(u32),
    /// Somebody said this text, whatever the case.
    Mention(Mention),
    /// So many tokens were read and written.
    Tokens(u64),
    /// So many seconds have passed.
    Time(u64),
    /// Enough members' last words hold this text.
    Vote(Vote),
    /// A member called this tool.
    ToolCalled(String),
    /// A member handed the work to this place outside the chat, e.g. `user`.
    Handoff(String),
    /// This member has spoken.
    Source(String),
    /// All of these.
    All(Vec<Until>),
    /// At least one of these.
    Any(Vec<Until>),
}

/// A text, said by anybody or by one member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Mention {
    /// By anybody.
    Text(String),
    /// By one member.
    By {
        /// The text.
        text: String,
        /// The member.
        from: String,
    },
}

/// A vote by word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The word that counts as a yes.
    pub word: String,
    /// How many of a hundred members must say it.
    #[serde(default = "majority")]
    pub percent: u32,
}

fn majority() -> u32 {
    51
}

/// How a chat stands.
#[derive(Debug, Default)]
pub struct Standing<'a> {
    /// What members said, oldest first; the question is not among it.
    pub said: &'a [Message],
    /// How many members may speak.
    pub speakers: usize,
    /// Tokens read and written.
    pub tokens: u64,
    /// Time since the chat began, in milliseconds.
    pub ms: u64,
    /// Tools called.
    pub tools: &'a [String],
    /// Where the work was handed to.
    pub handoff: Option<&'a str>,
}

impl Until {
    /// What ends the chat now, if anything does.
    #[must_use]
    pub fn holds(&self, now: &Standing<'_>) -> Option<StoppedBy> {
        let when = |holds: bool, why: StoppedBy| holds.then_some(why);
        match self {
            Self::MaxMessages(n) => when(now.said.len() >= *n as usize, StoppedBy::MaxMessages),
            Self::Mention(mention) => when(now.said.last().is_some_and(|m| mention.is_in(m)), StoppedBy::Mention),
            Self::Tokens(n) => when(now.tokens >= *n, StoppedBy::Tokens),
            Self::Time(seconds) => when(now.ms >= seconds.saturating_mul(1_000), StoppedBy::Time),
            Self::Vote(vote) => when(vote.is_won(now), StoppedBy::Vote),
            Self::ToolCalled(tool) => when(now.tools.contains(tool), StoppedBy::ToolCalled),
            Self::Handoff(to) => when(now.handoff == Some(to), StoppedBy::Handoff),
            Self::Source(name) => {
                when(now.said.last().is_some_and(|m| m.from.as_ref() == Some(name)), StoppedBy::Source)
            }
            Self::All(all) => when(!all.is_empty() && all.iter().all(|u| u.holds(now).is_some()), StoppedBy::All),
            Self::Any(any) => any.iter().find_map(|u| u.holds(now)),
        }
    }

    /// Places outside the chat that members may hand the work to.
    #[must_use]
    pub fn handoffs(&self) -> Vec<String> {
        match self {
            Self::Handoff(to) => vec![to.clone()],
            Self::All(list) | Self::Any(list) => list.iter().flat_map(Self::handoffs).collect(),
            _ => Vec::new(),
        }
    }

    /// What is wrong with it: a list without conditions, a number that ends nothing.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self, members: &[String]) -> Result<(), String> {
        let member = |name: &String| {
            let known = members.is_empty() || members.contains(name);
            if known { Ok(()) } else { Err(format!("there is no member named {name:?}")) }
        };
        match self {
            Self::All(list) | Self::Any(list) if list.is_empty() => {
                Err("a list of conditions must not be empty".into())
            }
            Self::All(list) | Self::Any(list) => list.iter().try_for_each(|until| until.check(members)),
            Self::MaxMessages(0) => Err("max_messages must be at least 1".into()),
            Self::Tokens(0) | Self::Time(0) => Err("tokens and time must be at least 1".into()),
            Self::Vote(vote) if !(1..=100).contains(&vote.percent) => Err("percent must be from 1 to 100".into()),
            Self::Source(name) | Self::Mention(Mention::By { from: name, .. }) => member(name),
            _ => Ok(()),
        }
    }
}

impl Mention {
    fn is_in(&self, said: &Message) -> bool {
        let (text, from) = match self {
            Self::Text(text) => (text, None),
            Self::By { text, from } => (text, Some(from)),
        };
        from.is_none_or(|from| said.from.as_ref() == Some(from))
            && said.text.to_lowercase().contains(&text.to_lowercase())
    }
}

impl Vote {
    fn is_won(&self, now: &Standing<'_>) -> bool {
        let last: BTreeMap<_, _> = now.said.iter().filter_map(|m| Some((m.from.as_deref()?, &m.text))).collect();
        let word = self.word.to_lowercase();
        let yes = last.values().filter(|text| text.to_lowercase().contains(&word)).count();
        yes > 0 && yes * 100 >= now.speakers.max(1) * self.percent as usize
    }
}

/// The JSON Schema of a termination.
#[must_use]
pub fn schema() -> Value {
    json!({"type": "object", "minProperties": 1, "maxProperties": 1, "description":
        "{max_messages: n} | {mention: text or {text, from}} | {tokens: n} | {time: seconds} | {vote: {word, percent}} | \
         {tool_called: name} | {handoff: place} | {source: member} | {all: […]} | {any: […]}"})
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_agents::team::Source;

    fn said(from: &str, text: &str) -> Message {
        Message { from: Some(from.into()), text: text.into(), value: None, source: Source::Input }
    }

    #[test]
    fn each_condition_holds_when_it_should_and_not_before() {
        let talk = [said("a", "I approve"), said("b", "not sure"), said("a", "DONE here")];
        let (none, tools) = (Vec::new(), vec!["calculate".to_owned()]);
        let bare = Standing { speakers: 2, tools: &none, ..Standing::default() };
        let now = Standing { said: &talk, speakers: 2, tokens: 100, ms: 5_000, tools: &tools, handoff: Some("user") };
        for (until, why) in [
            (json!({"max_messages": 3}), StoppedBy::MaxMessages),
            (json!({"mention": "done"}), StoppedBy::Mention),
            (json!({"mention": {"text": "done", "from": "a"}}), StoppedBy::Mention),
            (json!({"tokens": 100}), StoppedBy::Tokens),
            (json!({"time": 5}), StoppedBy::Time),
            (json!({"vote": {"word": "done", "percent": 50}}), StoppedBy::Vote),
            (json!({"tool_called": "calculate"}), StoppedBy::ToolCalled),
            (json!({"handoff": "user"}), StoppedBy::Handoff),
            (json!({"source": "a"}), StoppedBy::Source),
            (json!({"all": [{"tokens": 100}, {"time": 5}]}), StoppedBy::All),
            (json!({"any": [{"tokens": 101}, {"time": 5}]}), StoppedBy::Time),
        ] {
            let until: Until = serde_json::from_value(until).unwrap();
            assert_eq!((until.holds(&now), until.holds(&bare)), (Some(why), None), "{until:?}");
        }
        for until in [
            json!({"max_messages": 4}),
            json!({"mention": {"text": "done", "from": "b"}}),
            json!({"vote": {"word": "done"}}),
            json!({"all": [{"tokens": 101}, {"time": 5}]}),
            json!({"source": "b"}),
        ] {
            assert_eq!(serde_json::from_value::<Until>(until.clone()).unwrap().holds(&now), None, "{until}");
        }
    }

    #[test]
    fn what_could_never_end_or_names_nobody_is_refused() {
        let members = ["a".to_owned()];
        for (until, part) in [
            (json!({"any": []}), "empty"),
            (json!({"max_messages": 0}), "at least 1"),
            (json!({"all": [{"source": "b"}]}), "\"b\""),
            (json!({"vote": {"word": "x", "percent": 101}}), "percent"),
        ] {
            let why = serde_json::from_value::<Until>(until).unwrap().check(&members).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
