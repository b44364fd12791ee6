//! Telling a run something: stop, a signal, a person's decision. Durable before it is answered.

use crate::App;
use crate::approvals::check_input;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::Run;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, value::to_raw_value};
use std::time::Duration;
use tutti_agents::form::{Errors, Form};
use tutti_engine::driver::{Message, Sent};
use tutti_engine::journal::body::{CancelRequested, Decision, Signal, Verdict};
use tutti_engine::name::is_name;

const NOTE_CHARS_MAX: usize = 2_000;

/// How long a cancel waits for the run to have stopped.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

/// A signal that the run will see.
#[derive(Debug, Serialize)]
pub struct Signalled {
    /// The run.
    pub run_id: String,
    /// The signal.
    pub name: String,
    /// Whether the same signal, by its once-key, came before; then this one changes nothing.
    pub is_duplicate: bool,
}

impl App {
    /// Asks a run to stop: answers once it has, or after 5 s (the second value says which). A run that has ended stays as it is.
    ///
    /// # Errors
    /// `NotFound`, or a wrong `reason`.
    pub async fn cancel(&self, caller: &Caller, id: &str, body: &Value) -> Result<(Run, bool), Failure> {
        let errors = Errors::default();
        let reason = read_optional(body, &errors, |form| {
            let reason = form.field("reason").text(NOTE_CHARS_MAX).map(String::from);
            form.no_others();
            reason
        });
        let reason = errors.or(Some(reason)).map_err(Failure::invalid)?;
        let row = self.row(caller, id).await?;
        if !row.status.is_terminal() {
            let cancel = CancelRequested { by: caller.user.to_string(), reason };
            if self.engine().send(row.run, Message::Cancel(cancel)).await? != Sent::Ended {
                self.engine().wait(row.run, CANCEL_WAIT).await?;
            }
        }
        let row = self.row(caller, id).await?;
        Ok((self.run_of(&row, false).await?, row.status.is_terminal()))
    }

    /// Cancels a run whose only reader has left. Nobody waits for it.
    pub async fn abandon(&self, run_id: &str, caller: &Caller) {
        let told = async {
            let row = self.row(caller, run_id).await?;
            let reason = Some("the client of the stream disconnected".into());
            let cancel = CancelRequested { by: caller.user.to_string(), reason };
            self.engine().send(row.run, Message::Cancel(cancel)).await.map_err(Failure::from)
        };
        if let Err(failure) = told.await {
            tracing::warn!(run_id, %failure, "run {run_id} could not be cancelled after its reader left: {failure}");
        }
    }

    /// Sends `{name, payload?}`. With a once-key, repeats count once.
    ///
    /// # Errors
    /// `NotFound`, wrong fields, or `Conflict` when the run has ended.
    pub async fn signal(&self, caller: &Caller, id: &str, body: &Value) -> Result<Signalled, Failure> {
        let errors = Errors::default();
        let signal = Form::body(body, &errors).and_then(|form| {
            let field = form.field("name").required();
            let name = field.string();
            if name.is_some_and(|name| !is_name(name)) {
                field.fail("name must have 1 to 40 characters of a-z, 0-9, _ . -");
            }
            let payload = raw(form.field("payload").value().unwrap_or(&Value::Null));
            form.no_others();
            Some(Signal { name: name?.into(), payload: payload? })
        });
        let signal = errors.or(signal).map_err(Failure::invalid)?;
        let row = self.row(caller, id).await?;
        let name = signal.name.clone();
        let message = Message::Signal { dedup: caller.once_key.clone(), signal };
        match self.engine().send(row.run, message).await? {
            Sent::Ended => Err(Failure::conflict("the run has ended; it takes no signals").with_run(row.id)),
            sent => Ok(Signalled { run_id: row.id.to_string(), name, is_duplicate: sent == Sent::Duplicate }),
        }
    }

    /// Decides `{approval_id, decision, note?, input?, hash?}`; the first decision counts. An `input` must fit the schema that
    /// the request carries, a `hash` must be the request's.
    ///
    /// # Errors
    /// `NotFound`, wrong fields, an approval the run never asked for, or `Conflict` when it is decided, the request is
    /// another, or the run has ended.
    pub async fn approve(&self, caller: &Caller, id: &str, body: &Value) -> Result<Run, Failure> {
        let errors = Errors::default();
        let decision = Form::body(body, &errors).and_then(|form| {
            let approval_id = form.field("approval_id").required().text(400);
            let words = [("approve", Verdict::Approve), ("reject", Verdict::Reject)];
            let decision = form.field("decision").required().choice(&words);
            let note = form.field("note").text(NOTE_CHARS_MAX).map(String::from);
            let input = form.field("input").value().and_then(raw);
            let hash = form.field("hash").text(100).map(String::from);
            form.no_others();
            let by = Some(caller.user.to_string());
            Some((Decision { approval_id: approval_id?.into(), decision: decision?, by, note, input }, hash))
        });
        let (decision, hash) = errors.or(decision).map_err(Failure::invalid)?;
        let row = self.row(caller, id).await?;
        let conflict = |why: &str| Err(Failure::conflict(why).with_run(row.id));
        let Some(found) = self.approval(row.run, &decision.approval_id).await? else {
            let why = format!("run {} asked for no approval {:?}", row.id, decision.approval_id);
            return Err(Failure::not_found(why).with_run(row.id));
        };
        if found.is_decided {
            return conflict("this approval is decided already");
        }
        if hash.is_some_and(|hash| hash != found.asked.hash) {
            return conflict("the request has another hash; read it again before you decide");
        }
        if decision.decision == Verdict::Approve {
            let wrong = check_input(&found.asked.request, decision.input.as_deref());
            if !wrong.is_empty() {
                return Err(Failure::invalid(wrong));
            }
        }
        match self.engine().send(row.run, Message::Approval(decision)).await? {
            Sent::Taken => self.run_of(&row, false).await,
            Sent::Duplicate => conflict("this approval is decided already"),
            Sent::Ended => conflict("the run has ended; nothing waits for this decision"),
        }
    }
}

/// Reads a body that may be absent.
pub(crate) fn read_optional<T>(body: &Value, errors: &Errors, read: impl FnOnce(&Form<'_>) -> Option<T>) -> Option<T> {
    if body.is_null() { None } else { Form::body(body, errors).as_ref().and_then(read) }
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}
