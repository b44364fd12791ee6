//! The world outside: answers calls, remembers every request, and is never killed.

use crate::activity::Outcome;
use crate::journal::Frame;
use crate::ports::store::InboxItem;
use crate::run::RunNo;
use crate::shard::wire::Spawn;
use crate::sim::Violation;
use bytes::Bytes;
use std::collections::BTreeMap;

/// One request as the other side saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// When, in points of the story.
    pub at: u64,
    /// Which attempt.
    pub attempt: u32,
    /// What was asked.
    pub args: Bytes,
}

type AnswerFn = Box<dyn FnMut(&Spawn, u64) -> Outcome>;
type MessagesFn = Box<dyn FnMut(RunNo, &[Frame]) -> Vec<InboxItem>>;

/// See the module.
pub struct World {
    answers: AnswerFn,
    messages: MessagesFn,
    /// Requests by idempotency key.
    pub requests: BTreeMap<String, Vec<Request>>,
}

impl World {
    /// A world that answers calls with a function of the request and a die.
    pub fn new(answers: impl FnMut(&Spawn, u64) -> Outcome + 'static) -> Self {
        Self { answers: Box::new(answers), messages: Box::new(|_, _| Vec::new()), requests: BTreeMap::new() }
    }

    /// What outsiders want to tell a run, given its journal so far.
    #[must_use]
    pub fn with_messages(mut self, messages: impl FnMut(RunNo, &[Frame]) -> Vec<InboxItem> + 'static) -> Self {
        self.messages = Box::new(messages);
        self
    }

    pub(crate) fn answer(&mut self, spawn: &Spawn, dice: u64) -> Outcome {
        (self.answers)(spawn, dice)
    }

    pub(crate) fn messages(&mut self, run: RunNo, frames: &[Frame]) -> Vec<InboxItem> {
        (self.messages)(run, frames)
    }

    /// A request arrives.
    pub(crate) fn sees(&mut self, spawn: &Spawn, at: u64) -> Option<Violation> {
        let key = spawn.idempotency_key.clone()?;
        let seen = self.requests.entry(key.clone()).or_default();
        let problem = seen
            .first()
            .filter(|first| first.args != spawn.request.args)
            .map(|_| Violation::new("nothing is done twice", format!("{key} was sent with two different bodies")));
        let is_repeat = !seen.is_empty();
        seen.push(Request { at, attempt: spawn.id.attempt, args: spawn.request.args.clone() });
        if is_repeat && spawn.request.name.ends_with(".once") {
            return Some(Violation::new("nothing is done twice", format!("{key} is at most once and was sent again")));
        }
        problem
    }
}
