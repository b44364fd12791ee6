//! `tasks`: paid research. Start one, read it, read its report, list them, settle a payment whose outcome is not known.

mod view;

pub use view::TaskView;

use crate::caller::Caller;
use crate::events::Following;
use crate::failure::Failure;
use crate::result::Digest;
use crate::runs::{Page, seen_by};
use crate::start::{Ask, Prepared, Started};
use crate::{App, Class, cursor, json};
use serde_json::Value;
use std::time::Duration;
use tutti_agents::form::{Errors, Field, Form};
use tutti_agents::vault;
use tutti_engine::Limits;
use tutti_engine::ports::store::{self, Label, RunRow};
use tutti_engine::run::{Once, RunNo, Status};
use tutti_workflows::research::facts::{Facts, Payment};
use tutti_workflows::research::{Input, NAME, SETTLEMENT, Settlement, TASK, Voice, report};

const LIST: &str = "tasks";
const THEME_CHARS_MAX: usize = 2_000;
const VOICE_CHARS_MAX: usize = 1_000;
const NOTE_CHARS_MAX: usize = 2_000;
/// How long a settlement is waited for; it asks nobody.
const SETTLE_WAIT: Duration = Duration::from_secs(10);
/// When to ask again for a report that is not written yet.
const REPORT_AFTER: Duration = Duration::from_secs(2);

/// Where research tasks find, buy and pay.
#[derive(Debug, Clone)]
pub struct Research {
    /// The marketplace; nothing where its default belongs to another service.
    pub marketplace: Option<String>,
    /// The payment manager; nothing where its default belongs to another service.
    pub payments: Option<String>,
    /// Who checks voices.
    pub verify: Option<String>,
    /// The unit of budgets and prices.
    pub unit: String,
    /// How long a task may take.
    pub timeout: Duration,
}

impl Default for Research {
    fn default() -> Self {
        let unit = "USD-cent".into();
        Self { marketplace: None, payments: None, verify: None, unit, timeout: Duration::from_secs(300) }
    }
}

/// All that is known of a task.
struct Told {
    facts: Facts,
    digest: Digest,
}

impl App {
    /// Reads `{theme, budget, voice_id}` and puts the voice into the vault.
    ///
    /// # Errors
    /// Every wrong field at once; or the vault does not answer.
    pub async fn read_task(&self, caller: &Caller, body: &Value) -> Result<Prepared, Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| {
            let theme = said(&form.field("theme").required(), THEME_CHARS_MAX, "Theme cannot be empty");
            let budget = read_budget(&form.field("budget").required());
            let voice = said(&form.field("voice_id").required(), VOICE_CHARS_MAX, "Voice id cannot be empty");
            Some((theme?, budget?, voice?))
        });
        let (theme, budget, voice) = errors.or(read).map_err(Failure::invalid)?;
        let Research { marketplace, payments, verify, unit, timeout } = self.inner.options.research.clone();
        let voice = keep(voice).await?;
        let input = Input { theme, budget, unit, voice, marketplace, payments, verify };
        let ask = Ask {
            timeout_ms: u64::try_from(timeout.as_millis()).ok(),
            budget: Some(Limits { purchases: Some(budget), ..Limits::default() }),
            ..Ask::new(NAME, serde_json::to_vec(&input).unwrap_or_default())
        };
        self.submission(caller, "tasks", body, ask)
    }

    /// Starts a task.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_task(&self, prepared: Prepared, wait: Option<Duration>) -> Result<Started, Failure> {
        let handle = handle_of(&prepared.submit.input);
        let started = self.start(prepared, wait).await;
        if started.as_ref().is_ok_and(|started| !started.is_replayed) {
            metrics::counter!("tutti_research_tasks_created_total").increment(1);
        }
        // Nobody will use the voice of a request that started nothing.
        if !started.as_ref().is_ok_and(|started| !started.is_replayed) {
            forget(handle).await;
        }
        started
    }

    /// A task as it stands.
    ///
    /// # Errors
    /// `NotFound`, also for somebody else's and for runs that are no tasks.
    pub async fn task(&self, caller: &Caller, id: &str) -> Result<TaskView, Failure> {
        let row = self.task_row(caller, id).await?;
        let told = self.told(&row).await?;
        Ok(TaskView::of(&row, told.facts, told.digest))
    }

    /// The report of a task that has ended, in Markdown.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` before the end, and where the task failed.
    pub async fn task_report(&self, caller: &Caller, id: &str) -> Result<String, Failure> {
        let row = self.task_row(caller, id).await?;
        let told = self.told(&row).await?;
        let status = told.digest.status.unwrap_or(row.status);
        let conflict = |message: String| {
            let mut failure = Failure::conflict(message);
            failure.ids.push(("task_id", row.id.to_string()));
            failure
        };
        match status {
            Status::Completed | Status::TimedOut => Ok(report::markdown(&told.facts)),
            status if status.is_open() => {
                let failure = conflict(format!("the task is {}; its report is not written yet", status.as_str()));
                Err(Failure { retry_after: Some(REPORT_AFTER), ..failure })
            }
            status => {
                let error = told.digest.ended.and_then(|ended| ended.error).or(told.digest.blocked);
                let why = error.map_or_else(String::new, |error| format!(": {}: {}", error.class, error.message));
                Err(conflict(format!("the task was {}{why}", status.as_str().replace('_', " "))))
            }
        }
    }

    /// The same as HTML that holds nothing a browser would run.
    ///
    /// # Errors
    /// As [`task_report`](Self::task_report).
    pub async fn task_report_html(&self, caller: &Caller, id: &str) -> Result<String, Failure> {
        let markdown = self.task_report(caller, id).await?;
        Ok(html(&markdown))
    }

    /// Follows a task's events.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn follow_task(&self, caller: &Caller, id: &str, after: u32) -> Result<Following, Failure> {
        self.task_row(caller, id).await?;
        self.follow(caller, id, after).await
    }

    /// A page of the caller's tasks (for an admin the tenant's), newest first.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_tasks(
        &self,
        caller: &Caller,
        status: Option<Status>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<TaskView>, Failure> {
        let before = cursor.map(|text| cursor::read(LIST, text)).transpose()?.map(|(no, _)| RunNo(no));
        let limit = limit.clamp(1, 200);
        let query =
            store::ListRuns { status, workflow: Some(NAME.into()), before, limit: limit + 1, ..seen_by(caller) };
        let mut rows = self.engine().store().list(query).await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = rows.last().filter(|_| has_more).map(|row| cursor::write(LIST, (row.run.0, 0)));
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let told = self.told(row).await?;
            items.push(TaskView::of(row, told.facts, told.digest));
        }
        Ok(Page { items, next_cursor })
    }

    /// A person says what came of a payment whose outcome is not known: `{outcome, note?}`. The first word counts.
    ///
    /// # Errors
    /// `NotFound`, wrong fields, or `Conflict` where there is nothing to settle (any more).
    pub async fn settle_payment(
        &self,
        caller: &Caller,
        id: &str,
        source: &str,
        body: &Value,
    ) -> Result<TaskView, Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| {
            let is_paid = form.field("outcome").required().choice(&[("paid", true), ("refused", false)]);
            let note = form.field("note").text(NOTE_CHARS_MAX).map(String::from);
            form.no_others();
            Some((is_paid?, note))
        });
        let (is_paid, note) = errors.or(read).map_err(Failure::invalid)?;
        let row = self.task_row(caller, id).await?;
        let told = self.told(&row).await?;
        let conflict = |message: &str| {
            let mut failure = Failure::conflict(message);
            failure.ids.push(("task_id", row.id.to_string()));
            failure
        };
        let Some(found) = told.facts.sources.iter().find(|s| s.source.id == source) else {
            return Err(Failure::not_found("the task has no such source"));
        };
        if told.digest.status.unwrap_or(row.status).is_open() {
            return Err(conflict("the task has not ended; it may still find out for itself"));
        }
        if !matches!(found.payment, Some(Payment::Unknown { .. })) {
            return Err(conflict("this payment's outcome is known; there is nothing to settle"));
        }
        let by = caller.user.to_string();
        let settlement = Settlement { task_id: row.id.to_string(), source: source.into(), is_paid, note, by };
        let mut ask = Ask::new(SETTLEMENT, serde_json::to_vec(&settlement).unwrap_or_default());
        ask.labels.push(Label::new(TASK, settlement.task_id.clone()));
        let caller = Caller { once_key: None, ..caller.clone() };
        let mut prepared = self.submission(&caller, "tasks.settle", body, ask)?;
        // One for each source, for ever: whoever comes second meets the first.
        let scope = json::hash_parts(&["task.payment", &settlement.task_id, source]);
        prepared.submit.once = Some(Once { scope, body: json::hash_parts(&[&uuid::Uuid::now_v7().to_string()]) });
        match self.start(prepared, Some(SETTLE_WAIT)).await {
            Ok(_) => self.task(&caller, id).await,
            Err(failure) if failure.class == Class::Conflict => {
                Err(conflict("somebody else settled this payment first"))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The row of a run that is a task.
    async fn task_row(&self, caller: &Caller, id: &str) -> Result<RunRow, Failure> {
        self.row_of(caller, id, NAME, "task").await
    }

    async fn told(&self, row: &RunRow) -> Result<Told, Failure> {
        let (mut digest, mut facts) = (Digest::default(), Facts::default());
        self.each_entry(row.run, |entry| {
            digest.take(&entry);
            if let Some(input) = view::input_of(&entry) {
                facts = Facts::new(&input, Vec::new());
            }
            facts.take(&entry);
        })
        .await?;
        let query = store::ListRuns {
            labels: vec![Label::new(TASK, row.id.to_string())],
            limit: 200,
            ..store::ListRuns::default()
        };
        for settled in self.engine().store().list(query).await? {
            let first = self.engine().entries(settled.run, 0, 1).await?.into_iter().next();
            if let Some(settlement) = first.and_then(|entry| view::settlement_of(&entry)) {
                facts.settle(&settlement);
            }
        }
        Ok(Told { facts, digest: digest.finish() })
    }

    /// Forgets the voice of a task that has ended.
    pub async fn forget_voice(&self, run: RunNo) {
        if let Ok(entries) = self.engine().entries(run, 0, 1).await
            && let Some(input) = entries.first().and_then(view::input_of)
        {
            forget(Some(input.voice.handle)).await;
        }
    }
}

/// Markdown as HTML that holds nothing but text and its form: what was HTML becomes text, links and images lose their target.
fn html(markdown: &str) -> String {
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::HtmlBlock) => None,
        Event::End(TagEnd::Link | TagEnd::Image | TagEnd::HtmlBlock) => None,
        other => Some(other),
    });
    let mut html = String::with_capacity(markdown.len() * 2);
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

/// A text that is not only white space, trimmed.
fn said(field: &Field<'_, '_>, chars_max: usize, empty: &str) -> Option<String> {
    let raw = field.string()?;
    let text = raw.trim();
    if text.is_empty() {
        field.fail(empty);
        return None;
    }
    if text.chars().count() > chars_max {
        field.fail(format!("at most {chars_max} characters"));
        return None;
    }
    Some(text.to_owned())
}

fn read_budget(field: &Field<'_, '_>) -> Option<u64> {
    let budget = field.integer(i64::MIN, i64::MAX)?;
    if budget <= 0 {
        field.fail("Budget must be positive");
        return None;
    }
    u64::try_from(budget).ok()
}

/// Puts a voice into the vault.
async fn keep(voice: String) -> Result<Voice, Failure> {
    let Some(vault) = vault::installed() else { return Err(Failure::internal("there is no vault")) };
    let kept = tokio::task::spawn_blocking(move || {
        let handle = uuid::Uuid::now_v7().to_string();
        vault.put(&handle, &voice)?;
        Ok::<_, String>(Voice { handle, hmac: vault.fingerprint(&voice) })
    });
    kept.await.map_err(|e| Failure::internal(e.to_string()))?.map_err(Failure::internal)
}

async fn forget(handle: Option<String>) {
    let (Some(vault), Some(handle)) = (vault::installed(), handle) else { return };
    let removed = tokio::task::spawn_blocking(move || vault.remove(&handle)).await;
    if let Ok(Err(why)) = removed {
        tracing::error!("a voice could not be forgotten: {why}");
    }
}

fn handle_of(input: &[u8]) -> Option<String> {
    serde_json::from_slice::<Input>(input).ok().map(|input| input.voice.handle)
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn html_holds_nothing_that_a_browser_would_run() {
        let hostile = "# A\n\n<script>alert(1)</script>\n\na <img src=x onerror=alert(1)> [b](javascript:alert(1)) ![c](http://x/y.png)\n\n\
                       | d |\n| --- |\n| <iframe src=http://x> |\n\n<javascript:alert(1)>\n";
        let html = html(hostile);
        for word in ["<script", "<img", "<iframe", "href", "src=\"", "<a"] {
            assert!(!html.contains(word), "{word}: {html}");
        }
        assert!(html.contains("<h1>A</h1>") && html.contains("&lt;script&gt;") && html.contains("<table>"), "{html}");
    }
}
