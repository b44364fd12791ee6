//! Starting a run, whatever surface asks for it.

use crate::caller::Caller;
use crate::failure::Failure;
use crate::json;
use crate::runs::Run;
use crate::{App, Stamp};
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;
use tutti_agents::form::{Field, Form};
use tutti_engine::Limits;
use tutti_engine::driver::{Accepted, SubmitError};
use tutti_engine::ports::store::{Label, Row};
use tutti_engine::run::{Once, RunId, RunNo, Status, Submit};
use tutti_engine::session::{OnBusy, Terms, Window};
use tutti_workflows::graph;
use tutti_workflows::patterns::{Checked, find};

/// The widest window, in messages.
pub const WINDOW_MESSAGES_MAX: u32 = 1_000;
/// The widest window, in tokens.
pub const WINDOW_TOKENS_MAX: u32 = 1_000_000;

/// A request that was read and found sound; nothing has happened yet.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) submit: Submit,
    version: u32,
    /// Who pays.
    caller: Caller,
}

/// A run that is durable.
#[derive(Debug)]
pub struct Started {
    /// The run as it stands.
    pub run: Run,
    /// Whether it has ended, or needs a person before it can go on.
    pub has_ended: bool,
    /// Whether an earlier request with the same once-key started it.
    pub is_replayed: bool,
    pub(crate) no: RunNo,
    pub(crate) id: RunId,
    pub(crate) status: Status,
    /// Its journal, where it came with its end.
    pub(crate) journal: Vec<Row>,
}

impl App {
    /// Makes a run durable and starts it when there is room; with `wait`, answers when it ends or the time is up.
    ///
    /// # Errors
    /// Nothing was started: over a bound, a once-key used for something else, or the store does not answer.
    pub async fn start(&self, prepared: Prepared, wait: Option<Duration>) -> Result<Started, Failure> {
        let Prepared { mut submit, version, caller } = prepared;
        let mut run = Run::asked(&submit, version);
        let wait = wait.filter(|wait| !wait.is_zero());
        let mut tries = self.funding_tries();
        let accepted = loop {
            self.funded(&caller, &mut submit).await?;
            tries -= 1;
            let submit =
                if tries == 0 { std::mem::replace(&mut submit, Submit::new("", Bytes::new())) } else { submit.clone() };
            let accepted = match wait {
                Some(wait) => self.engine().submit_and_wait(submit, wait).await,
                None => self.engine().submit(submit).await,
            };
            match accepted {
                // Others were faster: what is left now?
                Err(SubmitError::Overdrawn(_)) if tries > 0 => {}
                accepted => break accepted?,
            }
        };
        run.accepted(&accepted);
        let has_ended = !accepted.status.is_open();
        let Accepted { run: no, id, status, replayed: is_replayed, journal, .. } = accepted;
        Ok(Started { run, has_ended, is_replayed, no, id, status, journal })
    }

    /// The same run with its answers in place: a pattern's outcome refers to what its agents said, which stands in the
    /// journal. Other workflows' outputs are whole already, and nothing is read.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn with_answers(&self, started: Started) -> Result<Started, Failure> {
        let answers = find(&started.run.workflow).is_some() || started.run.workflow == graph::NAME;
        if !started.has_ended || !answers {
            return Ok(started);
        }
        let digest = self.digest_of(&started).await?;
        Ok(Started { run: started.run.with(digest), ..started })
    }

    /// The submission of `workflow` by `caller`, with what every surface shares.
    pub(crate) fn submission(&self, caller: &Caller, route: &str, body: &Value, ask: Ask) -> Result<Prepared, Failure> {
        if let Some(sentence) = ask.unconfigured.first() {
            return Err(Failure::unavailable(sentence, Duration::from_secs(60)));
        }
        let once = caller.once_key.as_ref().map(|key| Once {
            scope: json::hash_parts(&[&caller.tenant, &caller.user, route, key]),
            body: json::hash(body),
        });
        let version = self.inner.versions.get(&ask.workflow).copied().unwrap_or(1);
        let submit = Submit {
            owner: caller.owner(),
            priority: ask.priority,
            timeout_ms: ask.timeout_ms,
            schedule_at: ask.schedule_at.map(|at| at.0),
            session: ask.session,
            terms: ask.terms,
            once,
            traceparent: caller.traceparent.clone(),
            stream: ask.stream,
            budget: ask.budget,
            labels: ask.labels,
            ..Submit::new(ask.workflow, ask.input)
        };
        Ok(Prepared { submit, version, caller: caller.clone() })
    }

    pub(crate) fn knows(&self, workflow: &str) -> bool {
        self.inner.versions.contains_key(workflow)
    }
}

/// What a surface read from its request.
pub(crate) struct Ask {
    pub workflow: String,
    pub input: Bytes,
    pub session: Option<String>,
    pub terms: Terms,
    pub priority: u8,
    pub timeout_ms: Option<u64>,
    pub schedule_at: Option<Stamp>,
    pub stream: bool,
    pub budget: Option<Limits>,
    pub labels: Vec<Label>,
    pub unconfigured: Vec<String>,
}

impl Ask {
    pub fn new(workflow: &str, input: impl Into<Bytes>) -> Self {
        Self {
            workflow: workflow.into(),
            input: input.into(),
            session: None,
            terms: Terms::default(),
            priority: 5,
            timeout_ms: None,
            schedule_at: None,
            stream: false,
            budget: None,
            labels: Vec::new(),
            unconfigured: Vec::new(),
        }
    }

    pub fn of_pattern(workflow: &str, checked: Checked) -> Self {
        Self {
            timeout_ms: checked.timeout_ms,
            budget: checked.budget,
            unconfigured: checked.unconfigured,
            ..Self::new(workflow, checked.input)
        }
    }
}

/// Reads `session_id`.
pub(crate) fn read_session_id(form: &Form<'_>) -> Option<String> {
    read_label(&form.field("session_id"), "session_id")
}

/// Reads `user_id`: whom the caller serves, in its own words.
pub(crate) fn read_user_id(form: &Form<'_>) -> Option<String> {
    read_label(&form.field("user_id"), "user_id")
}

fn read_label(field: &Field<'_, '_>, name: &str) -> Option<String> {
    let text = field.text(200)?;
    if text.chars().any(char::is_control) {
        field.fail(format!("{name} must not hold control characters"));
        return None;
    }
    Some(text.into())
}

/// Reads `session_id`, and how the run takes part in that session: `on_busy` and `session`.
pub(crate) fn read_session(form: &Form<'_>, window: Window) -> (Option<String>, Terms) {
    let session = read_session_id(form);
    let mut terms = Terms { window, ..Terms::default() };
    let (on_busy, about) = (form.field("on_busy"), form.field("session"));
    for field in [&on_busy, &about] {
        if field.is_present() && !form.field("session_id").is_present() {
            field.fail("this needs a session_id");
        }
    }
    let words = [
        ("queue", OnBusy::Queue),
        ("reject", OnBusy::Reject),
        ("interrupt", OnBusy::Interrupt),
        ("rollback", OnBusy::Rollback),
        ("parallel", OnBusy::Parallel),
    ];
    terms.on_busy = on_busy.choice(&words).unwrap_or_default();
    if let Some(form) = about.form() {
        let count = |name: &'static str, max: u32, default: u32| {
            let number = form.field(name).integer(0, max.into());
            number.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
        };
        terms.window.messages = count("window_messages", WINDOW_MESSAGES_MAX, window.messages);
        terms.window.tokens = count("window_tokens", WINDOW_TOKENS_MAX, window.tokens);
        terms.release_while_waiting = form.field("release_while_waiting").boolean().unwrap_or_default();
        let compaction = form.field("compaction");
        terms.summarise = compaction.choice(&[("drop", false), ("summary", true)]).unwrap_or_default();
        form.no_others();
    }
    (session, terms)
}
