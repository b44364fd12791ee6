//! The ledgers of `dynamic`: what is planned and what came of it (the task ledger), and how well it gets on (progress).

use super::dynamic::Options;
use super::job::{Job, bound};
use super::plan::{self, Plan, PlanStep};
use crate::outcome::StoppedBy;
use serde_json::json;
use tutti_agents::person::decide;
use tutti_agents::team::{Message, Source};
use tutti_agents::turn::Turn;
use tutti_engine::event::Kind as Event;
use tutti_engine::journal::body::Verdict;
use tutti_engine::{Ctx, Result};

/// The fewest tokens that a turn of an agent is taken to need.
const TURN_TOKENS: u64 = 200;

/// The task ledger: the plan, what has come of it, and how well it gets on.
#[derive(Default)]
pub(crate) struct Ledger {
    plan: Plan,
    /// The question and the result of each step.
    pub said: Vec<Message>,
    done: Vec<String>,
    stalls: u32,
    pub replans: u32,
    drafts: u32,
}

/// How the work stands.
pub(crate) enum Progress {
    On,
    Satisfied,
    Stalled(String),
}

impl Ledger {
    /// Nothing but the question.
    pub fn new(question: Message) -> Self {
        Self { said: vec![question], ..Self::default() }
    }

    /// The step that comes next.
    pub fn next(&self) -> Option<PlanStep> {
        self.plan.steps.iter().find(|step| !self.done.contains(&step.id)).cloned()
    }

    /// Makes the plan, or a new one for what is left; a person may have a word in it.
    pub async fn plan(&mut self, job: &Job<Options>, stalled: Option<&str>) -> Result<(), StoppedBy> {
        let mut wish = stalled.map(|why| format!("The plan did not get on: {why}. Keep the ids of steps you keep."));
        for _ in 0..3 {
            self.drafts += 1;
            let ctx = job.ctx.scope("plan", self.drafts);
            let (plan, by) = Box::pin(draft(&ctx, job, &self.said, wish.as_deref())).await?;
            let body = json!({"plan": plan, "by": by, "reason": wish, "diff": self.plan.diff(&plan)});
            ctx.emit(if self.drafts == 1 { Event::PlanCreated } else { Event::PlanRevised }, &body);
            let Some(patience) = &job.options.sign_off else { return self.adopt(plan, stalled) };
            let request = json!({"act": "this plan", "plan": plan, "diff": self.plan.diff(&plan)});
            let decision = decide(&ctx, "sign_off", request, patience).await.map_err(|_| StoppedBy::Rejected)?;
            match (decision.decision, decision.note) {
                (Verdict::Approve, _) => return self.adopt(plan, stalled),
                (Verdict::Expired, _) if patience.agrees() => return self.adopt(plan, stalled),
                (Verdict::Reject, Some(note)) => {
                    wish = Some(format!("The person in charge wants another plan: {note}"))
                }
                _ => return Err(StoppedBy::Rejected),
            }
        }
        Err(StoppedBy::Rejected)
    }

    fn adopt(&mut self, plan: Plan, stalled: Option<&str>) -> Result<(), StoppedBy> {
        // A step that is planned again, changed or not, after it stalled is done again.
        self.replans += u32::from(stalled.is_some());
        self.stalls = 0;
        self.done.retain(|id| self.plan.steps.iter().any(|s| s.id == *id && plan.steps.contains(s)));
        self.plan = plan;
        Ok(())
    }

    /// Takes a step's result in and asks the manager how the work stands: the progress ledger.
    pub async fn progress(
        &mut self,
        job: &Job<Options>,
        step: &PlanStep,
        done: Result<Message>,
        round: u32,
    ) -> Progress {
        let failed = done.as_ref().err().map(ToString::to_string);
        let text = |e: &String| Message {
            from: Some(step.id.clone()),
            text: format!("(failed: {e})"),
            value: None,
            source: Source::Input,
        };
        self.said.push(failed.as_ref().map(text).or(done.ok()).unwrap_or_else(|| job.input.clone()));
        self.done.push(step.id.clone());
        let ctx = job.ctx.scope("progress", round);
        let schema = json!({"type": "object", "required": ["is_satisfied", "is_in_loop", "is_progress", "reason"], "properties": {
            "is_satisfied": {"type": "boolean", "default": false, "description": "The task is done."},
            "is_in_loop": {"type": "boolean", "default": false, "description": "The same is said or done again."},
            "is_progress": {"type": "boolean", "default": true, "description": "The last step brought the task forward."},
            "reason": {"type": "string"}}});
        let order = format!("Step {} is over. How does the work stand?", step.id);
        let turn = Turn { said: &self.said, order: Some(&order), schema: Some(&schema), ..Turn::default() };
        // A judgement that cannot be used changes nothing: the plan goes on, unless the step itself failed.
        let told = job.manager().turn(&ctx, turn).await.ok().and_then(|said| said.message.value).unwrap_or_default();
        let is_bad = failed.is_some() || told["is_in_loop"] == true || told["is_progress"] == false;
        self.stalls = if is_bad { self.stalls + 1 } else { self.stalls.saturating_sub(1) };
        let reason =
            failed.unwrap_or_else(|| told["reason"].as_str().unwrap_or("no judgement could be had").to_owned());
        ctx.emit(
            Event::Log,
            &json!({"message": format!("step {}: {reason}", step.id), "progress": told, "stalls": self.stalls}),
        );
        match () {
            () if told["is_satisfied"] == true && !is_bad => Progress::Satisfied,
            () if self.stalls > job.options.max_stalls.unwrap_or(2) => Progress::Stalled(reason),
            () => Progress::On,
        }
    }
}

/// A plan that can run: the planner's, mended once, or the plain one.
async fn draft(
    ctx: &Ctx,
    job: &Job<Options>,
    said: &[Message],
    wish: Option<&str>,
) -> Result<(Plan, String), StoppedBy> {
    let names: Vec<_> = job.team.members().iter().map(|m| m.name().to_owned()).collect();
    let about: Vec<_> = job.team.members().iter().map(|m| format!("{}: {}", m.name(), m.about())).collect();
    let schema = plan::schema(&names, &job.input.text);
    // A plan that the budget cannot pay for is no plan.
    let affordable = job.ctx.budget().and_then(|b| b.tokens).and_then(|t| u32::try_from(t / TURN_TOKENS).ok());
    let turns_max = job.max_iterations.min(affordable.unwrap_or(u32::MAX).max(1));
    let mut order = format!(
        "Plan how this team does the task, in as few steps as it takes (at most {} turns of agents in all). {}\nThe agents:\n{}",
        turns_max,
        wish.unwrap_or_default(),
        about.join("\n")
    );
    let mut wrong = String::new();
    for attempt in 1..=2 {
        let turn = Turn { said, order: Some(&order), schema: Some(&schema), ..Turn::default() };
        let plan = match job.manager().turn(&ctx.scope("draft", attempt), turn).await {
            Ok(said) => serde_json::from_value::<Plan>(said.message.value.unwrap_or_default())
                .map(Plan::normal)
                .map_err(|e| e.to_string()),
            Err(e) => match bound(&e) {
                Some(why) => return Err(why),
                None => Err(e.to_string()),
            },
        };
        let wrongs = plan.as_ref().map_or_else(|e| vec![e.clone()], |plan| plan.wrongs(&names, turns_max));
        if let (Ok(plan), true) = (plan, wrongs.is_empty()) {
            return Ok((plan, job.manager().name().to_owned()));
        }
        wrong = wrongs.join("; ");
        order.push_str(&format!("\nYour last plan cannot be run: {wrong}. Write a better one."));
    }
    Ok((Plan::plain(&names, &job.input.text), format!("no usable plan came ({wrong}); each agent is asked once")))
}
