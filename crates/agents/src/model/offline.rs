//! The offline model: answers without a network, a key or chance. It is extractive: it says back the sentences of its
//! instructions and its input that matter most for the question, fills a JSON Schema from them, and picks a tool whose
//! description fits. It reasons about nothing and says so in its name.

mod fill;
mod words;

use super::chat::{Call, Pieces};
use super::{ChatMessage, ChatReply, ChatRequest, Finish, Role, ToolCall, Usage};
use fill::Source;
use serde_json::Value;
use std::collections::BTreeSet;
use tutti_engine::activity::ActivityError;
use words::{keywords, sentences, stems};

/// The name it answers under.
pub const MODEL: &str = "tutti-offline";
/// Most characters of a text that are looked at.
const TEXT_CHARS_MAX: usize = 64 * 1024;
/// Most characters of the question that are said back.
const QUESTION_CHARS_MAX: usize = 160;
/// Most sentences of an answer that come from the material.
const FACTS_MAX: usize = 2;

/// The dialect: [`answer`], handed on word by word where deltas are wanted.
pub(super) async fn chat(call: &Call<'_>, pieces: &mut Pieces) -> Result<ChatReply, ActivityError> {
    let reply = answer(call.request);
    if pieces.wanted() {
        for piece in reply.text.split_inclusive(' ') {
            pieces.push(piece);
            if !call.provider.pace.is_zero() {
                tokio::time::sleep(call.provider.pace).await;
            }
        }
    }
    Ok(reply)
}

/// The answer. A pure function: the same request gives the same reply.
#[must_use]
pub fn answer(request: &ChatRequest) -> ChatReply {
    let talk = Talk::of(request);
    let call = talk.tool_call(request);
    let mut reply = ChatReply {
        text: String::new(),
        tool_calls: Vec::new(),
        output: None,
        model: MODEL.into(),
        finish: Finish::Stop,
        usage: Usage::default(),
    };
    if let Some(call) = call {
        reply.tool_calls.push(call);
        reply.finish = Finish::ToolCalls;
    } else if let Some(schema) = &request.output_schema {
        let told = request.messages.iter().filter(|m| m.role == Role::System).map(|m| bounded(&m.content));
        let examples = told.flat_map(fill::example::read).collect();
        let source = Source::new(&talk.material(), &talk.input).with_examples(examples);
        let output = fill::fill(schema, &source);
        reply.text = output.to_string();
        reply.output = Some(output);
    } else {
        reply.text = talk.text();
        let chars_max = request.max_tokens.map_or(usize::MAX, |t| (t as usize).saturating_mul(4));
        if let Some((at, _)) = reply.text.char_indices().nth(chars_max) {
            reply.text.truncate(at);
            reply.finish = Finish::Length;
        }
    }
    reply.usage = Usage::estimate(request, &reply.text, &reply.tool_calls);
    reply
}

/// The request, read once.
struct Talk {
    /// `support agent`, from `You are a support agent.`
    role: Option<String>,
    /// What the sentence that names the role says besides: `helps with cards`.
    duty: Option<String>,
    /// The other sentences of the instructions.
    instructions: Vec<String>,
    /// What is asked, in the words of who asked first.
    question: String,
    /// Who worked on it before, where the input is an answer of this model.
    before: Vec<String>,
    /// The last user message.
    input: String,
    /// What earlier answers and the rest of the input hold.
    facts: Vec<String>,
    /// Results of tools called for the last user message.
    found: Vec<String>,
}

impl Talk {
    fn of(request: &ChatRequest) -> Self {
        let asked = request.messages.iter().rposition(|m| m.role == Role::User);
        let input = asked.map_or("", |at| bounded(&request.messages[at].content)).trim().to_owned();
        let after = asked.map_or(0, |at| at + 1);
        let results = request.messages[after..].iter().filter(|m| m.role == Role::Tool);
        let found: Vec<String> = results.flat_map(|m| sentences(&flat(bounded(&m.content)))).collect();
        let (role, duty, instructions) = persona(&request.messages);
        let (before, inner, mut facts) = unwrap_own(&input);
        let focus = stems(&instructions.join(" "));
        let question = inner.unwrap_or_else(|| core(&input, &focus));
        let earlier = request.messages[..asked.unwrap_or(0)].iter().filter(|m| m.role != Role::System);
        facts.extend(earlier.rev().take(8).flat_map(|m| unwrap_own(bounded(&m.content)).2));
        Self { role, duty, instructions, question, before, input, facts, found }
    }

    fn text(&self) -> String {
        let asked = stems(&self.question);
        let mut out = self.role.as_deref().map_or_else(|| "On".to_owned(), |role| format!("{} on", capital(role)));
        let question = clip(&self.question, QUESTION_CHARS_MAX);
        out.push_str(&if question.is_empty() { " an empty message".into() } else { format!(" “{question}”") });
        if !self.before.is_empty() {
            out.push_str(&format!(", after {}", self.before.join(" and ")));
        }
        out.push(':');
        let facts = best(&self.found, &asked, FACTS_MAX, 0);
        let facts = if facts.is_empty() { self.facts(&asked) } else { facts };
        for fact in &facts {
            out.push(' ');
            out.push_str(&ended(fact));
        }
        let mut tasks: Vec<String> = self.instructions.iter().filter(|s| words::is_order(s)).cloned().collect();
        tasks.extend(self.duty.clone());
        if tasks.is_empty() {
            tasks = self.instructions.iter().filter(|s| !facts.contains(s)).cloned().collect();
        }
        // Of equals the one that says more: not `Be brief.`
        tasks.sort_by_key(|task| std::cmp::Reverse(stems(task).len()));
        if let Some(task) = best(&tasks, &asked, 1, 0).first() {
            out.push_str(&format!(" {FOCUS}{}", ended(&lower(&clip(task, QUESTION_CHARS_MAX)))));
        }
        let keys = keywords(&self.question, 4);
        if !keys.is_empty() {
            out.push_str(&format!(" {KEYS}{}.", keys.join(", ")));
        }
        out
    }

    /// Sentences of the material that touch the question.
    fn facts(&self, asked: &BTreeSet<String>) -> Vec<String> {
        let told = self.instructions.iter().filter(|s| !words::is_order(s));
        let pool: Vec<String> =
            self.facts.iter().chain(told).filter(|s| !self.question.contains(s.as_str())).cloned().collect();
        best(&pool, asked, FACTS_MAX, 1)
    }

    /// All that a form can be filled from, the question first.
    fn material(&self) -> Vec<String> {
        let mut all = vec![self.question.clone()];
        all.extend(sentences(&self.input));
        all.extend(self.found.iter().chain(&self.facts).cloned());
        let mut seen = BTreeSet::new();
        all.retain(|s| !s.is_empty() && seen.insert(s.clone()));
        all
    }

    /// A tool whose name and description clearly speak of what is asked; none once a result is there.
    fn tool_call(&self, request: &ChatRequest) -> Option<ToolCall> {
        let asked = request.messages.iter().rposition(|m| m.role == Role::User)?;
        if request.messages[asked..].iter().any(|m| m.role == Role::Tool) {
            return None;
        }
        let wish = stems(&self.input);
        let mut choice = None;
        for tool in &request.tools {
            let (name, about) = (stems(&tool.name), stems(&tool.description));
            let named = name.intersection(&wish).count();
            let all = name.union(&about).filter(|w| wish.contains(*w)).count();
            let literal = tool.name.len() > 2 && self.input.contains(&tool.name);
            let score = all + named + if literal { 100 } else { 0 };
            if (literal || all >= 2) && choice.as_ref().is_none_or(|(best, _)| score > *best) {
                choice = Some((score, tool));
            }
        }
        let (_, tool) = choice?;
        let arguments = fill::fill(&tool.parameters, &Source::asking(&self.material(), &self.input));
        let arguments = if arguments.is_object() { arguments } else { Value::Object(serde_json::Map::new()) };
        Some(ToolCall { id: "call_1".into(), name: tool.name.clone(), arguments })
    }
}

const FOCUS: &str = "Focus: ";
const KEYS: &str = "Key points: ";

/// What an answer of this model was about: who gave it, the question, and the sentences in it that say something. For any
/// other text its sentences.
fn unwrap_own(text: &str) -> (Vec<String>, Option<String>, Vec<String>) {
    let told = |text: &str| -> Vec<String> {
        sentences(text).into_iter().filter(|s| !s.starts_with(FOCUS.trim()) && !s.starts_with(KEYS.trim())).collect()
    };
    let mut before = Vec::new();
    let mut question = None;
    let mut facts = Vec::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once("on “") {
        let Some((inner, after)) = tail.split_once('”') else { break };
        let role = head.rsplit(['\n', '.', ':']).next().unwrap_or_default().trim();
        if !role.is_empty() && role.chars().count() <= 80 && !before.iter().any(|b| b == role) && before.len() < 3 {
            before.push(role.to_owned());
        }
        question.get_or_insert_with(|| inner.to_owned());
        let (_, said) = after.split_once(':').unwrap_or(("", after));
        let until = said.find('\n').unwrap_or(said.len());
        facts.extend(told(&said[..until]));
        rest = &said[until..];
    }
    if question.is_none() {
        facts = told(text);
    }
    (before, question, facts)
}

/// The role, what its sentence says besides, and the other sentences of the instructions.
fn persona(messages: &[ChatMessage]) -> (Option<String>, Option<String>, Vec<String>) {
    let (mut role, mut duty) = (None, None);
    let mut rest = Vec::new();
    for sentence in messages.iter().filter(|m| m.role == Role::System).flat_map(|m| sentences(bounded(&m.content))) {
        let bare =
            sentence.strip_prefix("You are ").or_else(|| sentence.strip_prefix("you are ")).filter(|_| role.is_none());
        let Some(bare) = bare else {
            rest.push(sentence);
            continue;
        };
        let bare = ["a ", "an ", "the "].iter().find_map(|a| bare.strip_prefix(a)).unwrap_or(bare);
        let end = bare.find([',', ';', ':', '.', '!', '(']).unwrap_or(bare.len());
        let end = [" who ", " that ", " which "].iter().filter_map(|w| bare.find(w)).fold(end, usize::min);
        role = Some(clip(bare[..end].trim(), 60)).filter(|r| !r.is_empty());
        let more = bare[end..].trim_start_matches([',', ';', ':', '.', '!', ' ']);
        let more = ["who ", "that ", "which "].iter().find_map(|w| more.strip_prefix(w)).unwrap_or(more);
        if !more.trim().is_empty() {
            duty = Some(more.trim().to_owned());
        }
    }
    (role, duty, rest)
}

/// The heart of a message: all of it when it is short, else the sentence nearest to the instructions.
fn core(input: &str, focus: &BTreeSet<String>) -> String {
    let all = sentences(input);
    if input.chars().count() <= QUESTION_CHARS_MAX && all.len() <= 2 {
        return input.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let mut best: Option<(usize, &String)> = None;
    for sentence in &all {
        let score = stems(sentence).intersection(focus).count() + 2 * usize::from(sentence.ends_with('?'));
        if best.is_none_or(|(most, _)| score > most) {
            best = Some((score, sentence));
        }
    }
    best.map(|(_, sentence)| sentence.clone()).unwrap_or_default()
}

/// The sentences that share most words with `about`, and at least `least`, in their order.
fn best(pool: &[String], about: &BTreeSet<String>, count: usize, least: usize) -> Vec<String> {
    let mut ranked: Vec<(usize, &String)> =
        pool.iter().map(|s| (stems(s).intersection(about).count(), s)).filter(|(score, _)| *score >= least).collect();
    let most = ranked.iter().map(|(score, _)| *score).max().unwrap_or(0);
    ranked.retain(|(score, _)| *score == most);
    let mut out: Vec<String> = Vec::new();
    for (_, sentence) in ranked {
        if out.len() < count && !out.contains(sentence) {
            out.push(clip(sentence, 2 * QUESTION_CHARS_MAX));
        }
    }
    out
}

/// A tool's result as prose: JSON becomes `key: value` lines.
fn flat(text: &str) -> String {
    fn walk(key: &str, value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| walk(key, value, out)),
            Value::Array(items) => items.iter().for_each(|value| walk(key, value, out)),
            Value::Null => {}
            Value::String(text) if text.contains(' ') || key.is_empty() => out.push(text.clone()),
            Value::String(text) => out.push(format!("{key}: {text}")),
            other => out.push(format!("{key}: {other}")),
        }
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            let mut out = Vec::new();
            walk("", &value, &mut out);
            out.join("\n")
        }
        Err(_) => text.to_owned(),
    }
}

fn bounded(text: &str) -> &str {
    text.char_indices().nth(TEXT_CHARS_MAX).map_or(text, |(at, _)| &text[..at])
}

fn clip(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars_max).collect();
    // Not in the middle of a word, unless the word is all there is.
    let at = head.rfind(' ').filter(|at| *at > head.len() / 2).unwrap_or(head.len());
    format!("{}…", head[..at].trim_end())
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// First letter small, unless the word is an abbreviation or the pronoun I.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return String::new() };
    if chars.clone().next().is_none_or(|second| !second.is_lowercase()) {
        return text.to_owned();
    }
    first.to_lowercase().chain(chars).collect()
}

fn ended(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…', '。']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests;
