//! A pattern at work: its context, its team and its bounds, and how it comes to an end when it is cut short.

use super::request::{FinalAnswer, PatternInput, Shared};
use crate::outcome::{Ending, Outcome, StoppedBy};
use crate::recall::{earlier, is_due, sum_up};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::future::Future;
use std::time::Duration;
use tutti_agents::agent::AgentDefinition;
use tutti_agents::team::{Asking, Member, Message, Rules, Team};
use tutti_agents::turn::Turn;
use tutti_engine::event::Kind;
use tutti_engine::{Branch, Ctx, Error, Registry, Result};

/// How much of a text is read again when the budget leaves little.
const CLOSING_CHARS: usize = 500;

/// What a pattern function is given.
#[derive(Clone)]
pub struct Job<O> {
    /// The scope it works in.
    pub ctx: Ctx,
    /// Who works.
    pub team: Team,
    /// On what.
    pub input: Message,
    /// Its options.
    pub options: O,
    /// Most rounds.
    pub max_iterations: u32,
    /// What all patterns share.
    pub shared: Shared,
}

/// Adds a pattern function to a registry under number 1.
pub(crate) fn register<O, F, Fut>(registry: Registry, name: &str, asking: Asking, run: F) -> Registry
where
    O: Serialize + DeserializeOwned + Default + 'static,
    F: Fn(Job<O>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Ending>> + 'static,
{
    registry.with(name, 1, move |ctx: Ctx, input: PatternInput<O>| {
        let (asking, run) = (asking.clone(), run.clone());
        async move {
            let is_whole = ctx.depth() > 0;
            let message = Message::input(input.text());
            let rules = Rules { asking, approve: input.shared.approve.clone(), earlier: earlier(&ctx), context: None };
            let team = Team::new(input.agents, input.others, rules);
            let (options, max_iterations, shared) = (input.options, input.max_iterations, input.shared);
            if is_due(&ctx) {
                Box::pin(sum_up(&ctx, &team)).await;
            }
            let job = Job { ctx, team, input: message, options, max_iterations, shared };
            let ending: Result<Ending> = Box::pin(run(job)).await;
            Ok::<Outcome, Error>(ending?.stored(is_whole))
        }
    })
}

impl<O> Job<O> {
    /// The same work for another pattern, in another scope.
    pub fn hand<P>(&self, ctx: Ctx, team: Team, input: Message, options: P) -> Job<P> {
        Job { ctx, team, input, options, max_iterations: self.max_iterations, shared: self.shared.clone() }
    }

    /// The same job with other options.
    #[must_use]
    pub fn with<P>(self, options: P) -> Job<P> {
        let Self { ctx, team, input, max_iterations, shared, .. } = self;
        Job { ctx, team, input, options, max_iterations, shared }
    }

    /// Who judges, chooses, plans and closes.
    #[must_use]
    pub fn manager(&self) -> Member {
        let named = self.shared.manager.as_ref().and_then(|name| self.team.find(name));
        named.cloned().unwrap_or_else(|| {
            self.team.hire(AgentDefinition::llm(
                "manager",
                "You manage a team of agents. You judge what they say by whether it serves the task, and you are brief.",
            ))
        })
    }

    /// The end of work that is cut short: the manager makes an answer of what was said.
    pub async fn close(&self, said: &[Message], why: StoppedBy, iterations: u32) -> Ending {
        self.close_by(&self.manager(), said, why, iterations).await
    }

    /// As [`close`](Self::close), by another agent. If it fails, what was said last is the output.
    pub async fn close_by(&self, who: &Member, said: &[Message], why: StoppedBy, iterations: u32) -> Ending {
        let last = said.iter().rev().find(|m| !m.text.is_empty()).unwrap_or(&self.input);
        if self.shared.final_answer == FinalAnswer::Last && said.len() > 1 {
            return Ending::message(last, why, iterations);
        }
        let ctx = self.ctx.scope("closing", word(why));
        let order = format!(
            "The work ends here ({}). Write the final answer to the task, complete in itself, from what was said. Answer \
             nothing else.",
            word(why).replace('_', " ")
        );
        let turn = Turn { said, order: Some(&order), is_closing: true, ..Turn::default() };
        let mut closing = Box::pin(who.turn(&ctx, turn)).await;
        if closing.as_ref().is_err_and(|e| bound(e) == Some(StoppedBy::Budget)) {
            // What is kept back does not pay for reading all of it again: the question and the last word must do.
            let short = [clipped(&self.input), clipped(last)];
            let turn = Turn { said: &short, ..turn };
            closing = Box::pin(who.turn(&ctx.scope("short", 1), turn)).await;
        }
        match closing {
            Ok(closing) => Ending::message(&closing.message, why, iterations),
            Err(e) => {
                let message = format!("no closing answer could be had ({e}); the last word stands");
                ctx.emit(Kind::Log, &json!({ "message": message }));
                Ending::message(last, why, iterations)
            }
        }
    }
}

fn clipped(message: &Message) -> Message {
    Message { text: message.text.chars().take(CLOSING_CHARS).collect(), ..message.clone() }
}

/// The word for a reason.
pub(crate) fn word(why: StoppedBy) -> String {
    json!(why).as_str().unwrap_or_default().to_owned()
}

/// Whether a failure is one of the bounds that end the work in good order, and which.
#[must_use]
pub fn bound(error: &Error) -> Option<StoppedBy> {
    match error.class() {
        "BudgetExceeded" => Some(StoppedBy::Budget),
        tutti_agents::person::REFUSED => Some(StoppedBy::Rejected),
        _ => None,
    }
}

/// The work, or an error of the class `Timeout` once it has taken `limit_ms`. What is under way then is stopped.
///
/// # Errors
/// Those of the work, and the time-out.
pub async fn within<'a, T: 'a>(ctx: &'a Ctx, limit_ms: Option<u64>, work: Branch<'a, T>) -> Result<T> {
    let Some(ms) = limit_ms else { return work.await };
    let limit: Branch<'a, T> = Box::pin(async move {
        ctx.sleep("limit", Duration::from_millis(ms)).await?;
        Err(Error::workflow("Timeout", format!("no answer within {} s", Duration::from_millis(ms).as_secs_f64())))
    });
    ctx.race(vec![work, limit]).await.1
}
