//! `tickets`: take one, read one, list them, let a person close one or have it worked on again.
//!
//! A ticket is its runs: the first is born with the ticket, a retry adds one, and so does a person's resolution. The next run
//! of a ticket is born under a once-key with its number, so of two people who act at the same time one is refused.

mod view;

pub use view::TicketView;

use crate::caller::Caller;
use crate::events::Following;
use crate::failure::Failure;
use crate::runs::{Filling, Page, seen_by};
use crate::start::{Ask, Prepared};
use crate::{App, cursor, json};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use tutti_agents::form::{Errors, Form};
use tutti_agents::ticket_agents::{Priority, Stage};
use tutti_engine::ports::store::{self, Label, RunRow};
use tutti_engine::run::{Once, RunNo, Status};
use tutti_workflows::tickets::{CUSTOMER, ESCALATED, Input, NAME, RESOLVED, Resolution, STATUS, TICKET};
use view::{Life, Tale};

const LIST: &str = "tickets";
const NAME_CHARS_MAX: usize = 200;
const SUBJECT_CHARS_MAX: usize = 1_000;
const BODY_CHARS_MAX: usize = 100_000;
/// Most runs of one ticket.
const RUNS_MAX: u32 = 200;
/// How long an act of a person is waited for; it asks nobody.
const ACT_WAIT: Duration = Duration::from_secs(10);
const ABNORMAL: [Status; 4] = [Status::Failed, Status::Cancelled, Status::TimedOut, Status::Blocked];
const OPEN: [Status; 3] = [Status::Queued, Status::Running, Status::Waiting];

/// Every status that a ticket can have, in the order of its way.
pub const STATUSES: [&str; 7] =
    ["NEW", "ROUTING", "KNOWLEDGE_SEARCH", "SENTIMENT_ANALYSIS", "DECISION", RESOLVED, ESCALATED];

/// Which tickets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListTickets {
    /// Only with this status.
    pub status: Option<&'static str>,
    /// Only this customer's.
    pub customer_id: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// 1 to 200.
    pub limit: u32,
}

/// A ticket that was taken, or acted on.
#[derive(Debug)]
pub struct Taken {
    /// As it stands.
    pub ticket: TicketView,
    /// Whether an earlier request with the same once-key did it.
    pub is_replayed: bool,
}

impl App {
    /// Reads `{customer_id, subject, body, priority?, channel?, metadata?}`.
    ///
    /// # Errors
    /// Every wrong field at once.
    pub fn read_ticket(&self, caller: &Caller, body: &Value) -> Result<Prepared, Failure> {
        let errors = Errors::default();
        let ticket = Form::body(body, &errors).and_then(|form| read_ticket(&form));
        let (ticket, customer, priority) = errors.or(ticket).map_err(Failure::invalid)?;
        let input = Input {
            ticket_id: uuid::Uuid::now_v7().to_string(),
            ticket,
            services: self.services().clone(),
            resolution: None,
        };
        let mut ask = ask(&input, priority);
        ask.labels.push(Label::new(CUSTOMER, customer));
        self.submission(caller, "tickets", body, ask)
    }

    /// Takes a ticket: durable before it is answered, and it will end resolved or escalated.
    ///
    /// # Errors
    /// Nothing was taken: over a bound, a once-key used for something else, or the store does not answer.
    pub async fn take_ticket(&self, prepared: Prepared, wait: Option<Duration>) -> Result<Taken, Failure> {
        let started = self.start(prepared, wait).await?;
        let mut tale = Tale::default();
        let life = Life { no: started.no, id: started.id, status: started.status };
        tale.begin(&life);
        self.each_entry_of(&started, |entry| tale.take(&entry)).await?;
        tale.end(&life);
        Ok(Taken { ticket: tale.view(), is_replayed: started.is_replayed })
    }

    /// A ticket as it stands.
    ///
    /// # Errors
    /// `NotFound`, also for somebody else's.
    pub async fn ticket(&self, caller: &Caller, id: &str) -> Result<TicketView, Failure> {
        self.ticket_of(self.ticket_runs(caller, id).await?).await
    }

    /// Follows a ticket's latest run.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn follow_ticket(&self, caller: &Caller, id: &str, after: u32) -> Result<Following, Failure> {
        let rows = self.ticket_runs(caller, id).await?;
        let latest = rows.first().map(|row| row.id.to_string()).unwrap_or_default();
        self.follow(caller, &latest, after).await
    }

    /// A person closes an escalated ticket with `{response, note?}`.
    ///
    /// # Errors
    /// `NotFound`, wrong fields, or `Conflict` in any other state.
    pub async fn resolve_ticket(&self, caller: &Caller, id: &str, body: &Value) -> Result<Taken, Failure> {
        let errors = Errors::default();
        let resolution = Form::body(body, &errors).and_then(|form| {
            let response = form.field("response").required().text(BODY_CHARS_MAX);
            let note = form.field("note").text(BODY_CHARS_MAX).map(String::from);
            Some(Resolution { response: response?.into(), note, by: caller.user.to_string() })
        });
        let resolution = errors.or(resolution).map_err(Failure::invalid)?;
        self.act(caller, id, "resolve", body, Some(resolution), Some(ACT_WAIT)).await
    }

    /// An escalated ticket is worked on again, from routing.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` in any other state.
    pub async fn retry_ticket(&self, caller: &Caller, id: &str, wait: Option<Duration>) -> Result<Taken, Failure> {
        self.act(caller, id, "retry", &Value::Null, None, wait).await
    }

    /// The next run of an escalated ticket.
    async fn act(
        &self,
        caller: &Caller,
        id: &str,
        act: &str,
        body: &Value,
        resolution: Option<Resolution>,
        wait: Option<Duration>,
    ) -> Result<Taken, Failure> {
        let rows = self.ticket_runs(caller, id).await?;
        let key = caller.once_key.as_deref();
        // Without a key of the client's nobody can repeat it.
        let fresh = uuid::Uuid::now_v7().to_string();
        let asked = json::hash_parts(&[act, key.unwrap_or(&fresh), &body.to_string()]);
        let once = |n: usize| Once { scope: json::hash_parts(&["ticket.run", id, &n.to_string()]), body: asked };
        // The act that made the latest run, asked for again.
        if key.is_some()
            && let Some((_, _, body)) = self.engine().store().born_with(once(rows.len() - 1).scope).await?
            && body == asked
        {
            return Ok(Taken { ticket: self.ticket_of(rows).await?, is_replayed: true });
        }
        let conflict = |message: String| {
            let mut failure = Failure::conflict(message);
            failure.ids.push(("ticket_id", id.into()));
            failure
        };
        let (tale, customer) = self.tale(&lives(&rows)).await?;
        if tale.status() != ESCALATED {
            let message = format!("the ticket is {}; only an escalated one can be acted on ({act})", tale.status());
            return Err(conflict(message));
        }
        if rows.len() as u32 >= RUNS_MAX {
            return Err(conflict(format!("a ticket has at most {RUNS_MAX} runs")));
        }
        let Some(ticket) = tale.ticket.clone() else { return Err(conflict("the ticket's text is gone".into())) };
        let input = Input { ticket_id: id.into(), ticket, services: self.services().clone(), resolution };
        let mut ask = ask(&input, rows.first().map_or(5, |row| row.priority));
        ask.labels.extend(customer.map(|customer| Label::new(CUSTOMER, customer)));
        let mut prepared = self.submission(&Caller { once_key: None, ..caller.clone() }, act, body, ask)?;
        prepared.submit.once = Some(once(rows.len()));
        match self.start(prepared, wait).await {
            Ok(_) => {}
            Err(failure) if failure.class == crate::Class::Conflict => {
                return Err(conflict("somebody else acted on this ticket first".into()));
            }
            Err(failure) => return Err(failure),
        }
        Ok(Taken { ticket: self.ticket(caller, id).await?, is_replayed: false })
    }

    /// A page of the caller's tickets (for an admin the tenant's), those worked on last first.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_tickets(&self, caller: &Caller, query: ListTickets) -> Result<Page<TicketView>, Failure> {
        let mut before = query.cursor.as_deref().map(|text| cursor::read(LIST, text)).transpose()?.map(|(no, _)| no);
        let mut page = Filling::new(LIST, query.limit);
        loop {
            let (rows, is_end) = self.latest_rows(caller, &query, before).await?;
            for row in rows {
                before = Some(row.run.0);
                let Some(view) = self.if_latest(&row, query.status).await? else { continue };
                if !page.take(row.run, view) {
                    return Ok(page.full());
                }
            }
            if is_end {
                return Ok(page.last());
            }
        }
    }

    /// The view of the ticket whose latest run this is; nothing where a later one is there, or where its status is another.
    async fn if_latest(&self, row: &RunRow, status: Option<&str>) -> Result<Option<TicketView>, Failure> {
        let Some(id) = self.ticket_id(row).await? else { return Ok(None) };
        let rows = self.rows_of(&id).await?;
        if rows.first().map(|row| row.run) != Some(row.run) {
            return Ok(None);
        }
        let view = self.ticket_of(rows).await?;
        Ok(Some(view).filter(|view| status.is_none_or(|status| status == view.status)))
    }

    /// Runs of tickets that may fit, newest first, before a number; and whether there are no more.
    async fn latest_rows(
        &self,
        caller: &Caller,
        query: &ListTickets,
        before: Option<i64>,
    ) -> Result<(Vec<RunRow>, bool), Failure> {
        let limit = query.limit.clamp(1, 200) + 1;
        let base = || store::ListRuns {
            workflow: Some(NAME.into()),
            before: before.map(RunNo),
            labels: query.customer_id.iter().map(|customer| Label::new(CUSTOMER, customer.clone())).collect(),
            limit,
            ..seen_by(caller)
        };
        let with = |status: Status| store::ListRuns { status: Some(status), ..base() };
        let mut sources: Vec<store::ListRuns> = match query.status {
            None => vec![base()],
            Some(RESOLVED | ESCALATED) => {
                let mut labelled = base();
                labelled.labels.push(Label::new(STATUS, query.status.unwrap_or_default()));
                vec![labelled]
            }
            Some(_) => OPEN.map(with).into(),
        };
        if query.status == Some(ESCALATED) {
            sources.extend(ABNORMAL.map(with));
        }
        let mut rows = Vec::new();
        // Below the end of a page that is full nothing is known yet.
        let mut known_to = i64::MIN;
        for source in sources {
            let found = self.engine().store().list(source).await?;
            if found.len() == limit as usize {
                known_to = known_to.max(found.last().map_or(i64::MIN, |row| row.run.0));
            }
            rows.extend(found);
        }
        rows.retain(|row: &RunRow| row.run.0 >= known_to);
        rows.sort_by_key(|row| std::cmp::Reverse(row.run));
        rows.dedup_by_key(|row| row.run);
        Ok((rows, known_to == i64::MIN))
    }

    /// A ticket's runs, newest first.
    async fn ticket_runs(&self, caller: &Caller, id: &str) -> Result<Vec<RunRow>, Failure> {
        let rows = if id.parse::<uuid::Uuid>().is_ok() { self.rows_of(id).await? } else { Vec::new() };
        if rows.first().is_none_or(|row| !caller.sees(&row.owner)) {
            return Err(Failure::not_found("there is no such ticket"));
        }
        Ok(rows)
    }

    async fn rows_of(&self, id: &str) -> Result<Vec<RunRow>, Failure> {
        let labels = vec![Label::new(TICKET, id)];
        let query = store::ListRuns { labels, limit: RUNS_MAX, ..store::ListRuns::default() };
        Ok(self.engine().store().list(query).await?)
    }

    /// The ticket that a run belongs to, from its input.
    async fn ticket_id(&self, row: &RunRow) -> Result<Option<String>, Failure> {
        let first = self.engine().entries(row.run, 0, 1).await?.into_iter().next();
        Ok(first.and_then(|entry| view::input_of(&entry)).map(|input| input.ticket_id))
    }

    async fn ticket_of(&self, rows: Vec<RunRow>) -> Result<TicketView, Failure> {
        Ok(self.tale(&lives(&rows)).await?.0.view())
    }

    /// What a ticket's runs tell, oldest first; and its customer.
    async fn tale(&self, rows: &[Life]) -> Result<(Tale, Option<String>), Failure> {
        let mut tale = Tale::default();
        for row in rows.iter().rev() {
            tale.begin(row);
            self.each_entry(row.no, |entry| tale.take(&entry)).await?;
            tale.end(row);
        }
        let customer = tale.customer();
        Ok((tale, customer))
    }

    fn services(&self) -> &BTreeMap<Stage, String> {
        &self.inner.options.ticket_services
    }
}

fn lives(rows: &[RunRow]) -> Vec<Life> {
    rows.iter().map(|row| Life { no: row.run, id: row.id, status: row.status }).collect()
}

fn ask(input: &Input, priority: u8) -> Ask {
    let mut ask = Ask { priority, ..Ask::new(NAME, serde_json::to_vec(input).unwrap_or_default()) };
    ask.labels.push(Label::new(TICKET, input.ticket_id.clone()));
    ask
}

/// The ticket with nothing but what the contract names, its customer, and its run's priority.
fn read_ticket(form: &Form<'_>) -> Option<(Box<RawValue>, String, u8)> {
    let mut ticket = Map::new();
    let mut text = |name: &'static str, is_required: bool, chars_max: usize| {
        let field = form.field(name);
        let field = if is_required { field.required() } else { field };
        let text = field.text(chars_max)?;
        if is_required && text.trim().is_empty() {
            field.fail(format!("{name} must not be empty"));
        }
        ticket.insert(name.into(), text.into());
        Some(text.to_owned())
    };
    let customer = text("customer_id", true, NAME_CHARS_MAX);
    let subject = text("subject", true, SUBJECT_CHARS_MAX);
    let body = text("body", true, BODY_CHARS_MAX);
    let _ = text("channel", false, NAME_CHARS_MAX);
    let priority = form.field("priority").choice(&Priority::WORDS);
    if let Some(priority) = priority {
        ticket.insert("priority".into(), serde_json::to_value(priority).ok()?);
    }
    if let Some(metadata) = form.field("metadata").form() {
        let keys: Map<String, Value> =
            metadata.keys().filter_map(|key| Some((key.to_owned(), metadata.entry(key).value()?.clone()))).collect();
        ticket.insert("metadata".into(), keys.into());
    }
    subject?;
    body?;
    Some((to_raw_value(&ticket).ok()?, customer?, priority.map_or(5, Priority::of_run)))
}
