//! How the answers of a team become one output.

use super::concurrent::{Aggregate, Options};
use super::condition::data;
use super::job::Job;
use super::request::Cast;
use crate::outcome::{Answer, Share};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tutti_agents::form::Field;
use tutti_agents::team::Message;
use tutti_agents::turn::Turn;
use tutti_engine::event::Kind as Event;

/// How `merge` joins a field that several answers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reducer {
    /// The value of the first who has it.
    First,
    /// The value of the last who has it.
    Last,
    /// All values in a list, lists opened.
    Append,
    /// As `append`, equal values once.
    Union,
    /// Numbers added.
    Sum,
    /// The smallest number.
    Min,
    /// The largest number.
    Max,
    /// Texts, one after the other.
    Concat,
}

/// The output that `aggregate` asks for. An aggregate that cannot be had falls back to a simpler one and says so.
pub(crate) async fn put_together(job: &Job<Options>, shares: Vec<Share>) -> Answer {
    let said: Vec<Message> = shares.iter().filter_map(|(_, answer)| answer.as_ref().ok()).cloned().collect();
    match (job.options.aggregate, said.first()) {
        (Aggregate::All, _) | (_, None) => Answer::Each(shares),
        (Aggregate::Concat, _) => Answer::Joined(shares),
        (Aggregate::First, Some(first)) => Answer::Message(first.clone()),
        (Aggregate::Merge, _) => Answer::Value(merge(job, &said)),
        (Aggregate::Vote, Some(_)) => Answer::Message(vote(job, &said)),
        (Aggregate::Best, Some(first)) => Answer::Message(best(job, &said).await.unwrap_or_else(|| first.clone())),
        (Aggregate::Llm, _) => match cite(job, &said).await {
            Some(message) => Answer::Message(message),
            None => Answer::Joined(shares),
        },
    }
}

fn log(job: &Job<Options>, message: String) {
    job.ctx.emit(Event::Log, &json!({"message": message}));
}

/// One object of all answers that are objects.
fn merge(job: &Job<Options>, said: &[Message]) -> Value {
    let mut merged: Map<String, Value> = Map::new();
    for message in said {
        let Value::Object(fields) = data(message) else {
            log(job, format!("the answer of {:?} is no JSON object and was left out", message.from));
            continue;
        };
        for (name, value) in fields {
            let reducer = job.options.reducers.get(&name).copied().unwrap_or(Reducer::First);
            let joined = match merged.remove(&name) {
                Some(before) => reducer.join(before, value),
                None => reducer.one(value),
            };
            merged.insert(name, joined);
        }
    }
    Value::Object(merged)
}

impl Reducer {
    /// Every reducer with its word.
    pub const WORDS: [(&str, Self); 8] = [
        ("first", Self::First),
        ("last", Self::Last),
        ("append", Self::Append),
        ("union", Self::Union),
        ("sum", Self::Sum),
        ("min", Self::Min),
        ("max", Self::Max),
        ("concat", Self::Concat),
    ];

    /// A first value.
    pub(crate) fn one(self, value: Value) -> Value {
        match (self, value) {
            (Self::Append | Self::Union, value) if !value.is_array() => json!([value]),
            (_, value) => value,
        }
    }

    /// What there was and one value more.
    pub(crate) fn join(self, before: Value, value: Value) -> Value {
        let pick = |keep_before: fn(f64, f64) -> bool, a: Value, b: Value| match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => {
                if keep_before(x, y) {
                    a
                } else {
                    b
                }
            }
            (None, Some(_)) => b,
            _ => a,
        };
        match self {
            Self::First => before,
            Self::Last => value,
            Self::Min => pick(|a, b| a <= b, before, value),
            Self::Max => pick(|a, b| a >= b, before, value),
            Self::Sum => match (before.as_i64(), value.as_i64(), before.as_f64(), value.as_f64()) {
                (Some(a), Some(b), ..) => json!(a.saturating_add(b)),
                (.., Some(a), Some(b)) => json!(a + b),
                _ => before,
            },
            Self::Concat => json!(format!("{}\n{}", text(&before), text(&value))),
            Self::Append | Self::Union => {
                let (Value::Array(mut all), more) = (self.one(before), self.one(value)) else { return Value::Null };
                for item in more.as_array().into_iter().flatten() {
                    if self == Self::Append || !all.contains(item) {
                        all.push(item.clone());
                    }
                }
                Value::Array(all)
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// The answer that most gave, small differences of writing aside; of equals the one given first in the team's order.
fn vote(job: &Job<Options>, said: &[Message]) -> Message {
    let ballot = |m: &Message| match data(m) {
        Value::String(text) => {
            let words =
                text.split_whitespace().map(|w| w.trim_matches(|c: char| c.is_ascii_punctuation()).to_lowercase());
            words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    let ballots: Vec<_> = said.iter().map(ballot).collect();
    let votes = |i: usize| ballots.iter().filter(|b| **b == ballots[i]).count();
    let winner = (0..said.len()).max_by_key(|i| (votes(*i), std::cmp::Reverse(*i))).unwrap_or(0);
    log(job, format!("vote: {} of {} agents agree with {:?}", votes(winner), said.len(), said[winner].from));
    said[winner].clone()
}

/// The answer that the manager finds best.
async fn best(job: &Job<Options>, said: &[Message]) -> Option<Message> {
    let names: Vec<_> = said.iter().filter_map(|m| m.from.clone()).collect();
    let schema = json!({"type": "object", "required": ["best", "reason"], "properties": {
        "best": {"type": "string", "enum": names}, "reason": {"type": "string"}}});
    let order = "Which of these answers serves the task best? Name its author and say why in one sentence.";
    let verdict = judge(job, said, order, Some(&schema)).await?;
    let name = verdict.value.as_ref()?["best"].as_str()?.to_owned();
    log(job, format!("best: {name}: {}", verdict.value.as_ref()?["reason"].as_str().unwrap_or_default()));
    said.iter().find(|m| m.from.as_deref() == Some(&name)).cloned()
}

/// The manager's answer made of all, with `[name]` behind what it took from whom.
async fn cite(job: &Job<Options>, said: &[Message]) -> Option<Message> {
    let order = "Write one answer to the task from these answers. Put the author's name in square brackets behind each \
                 statement you take from an answer, like [name]. Say where they contradict each other.";
    judge(job, said, order, None).await
}

async fn judge(job: &Job<Options>, said: &[Message], order: &str, schema: Option<&Value>) -> Option<Message> {
    let ctx = job.ctx.scope("aggregate", "manager");
    let talk: Vec<_> = std::iter::once(&job.input).chain(said).cloned().collect();
    let turn = Turn { said: &talk, order: Some(order), schema, is_closing: true, ..Turn::default() };
    match job.manager().turn(&ctx, turn).await {
        Ok(said) => Some(said.message),
        Err(e) => {
            log(job, format!("the manager gave no usable judgement ({e}); the answers stand by themselves"));
            None
        }
    }
}

/// The JSON Schema of `reducers`.
pub(crate) fn schema() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string",
        "enum": Reducer::WORDS.map(|(word, _)| word)},
        "description": "By field; first where nothing is said."})
}

/// Reads `reducers`.
pub(crate) fn read_reducers(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    super::options::plain::<std::collections::BTreeMap<String, Reducer>>(field).map(|reducers| json!(reducers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reducers_join_what_they_say() {
        let join = |r: Reducer, a: Value, b: Value| {
            let first = r.one(a);
            r.join(first, b)
        };
        assert_eq!(join(Reducer::First, json!(1), json!(2)), json!(1));
        assert_eq!(join(Reducer::Last, json!(1), json!(2)), json!(2));
        assert_eq!(join(Reducer::Sum, json!(1), json!(2)), json!(3));
        assert_eq!(join(Reducer::Sum, json!(0.5), json!(2)), json!(2.5));
        assert_eq!(join(Reducer::Min, json!(3), json!(2)), json!(2));
        assert_eq!(join(Reducer::Max, json!("x"), json!(2)), json!(2));
        assert_eq!(join(Reducer::Append, json!("a"), json!(["a", "b"])), json!(["a", "a", "b"]));
        assert_eq!(join(Reducer::Union, json!(["a"]), json!(["a", "b"])), json!(["a", "b"]));
        assert_eq!(join(Reducer::Concat, json!("a"), json!(2)), json!("a\n2"));
    }
}
