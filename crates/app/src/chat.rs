//! `chat`: one message, one run of the chat graph, one answer.

use crate::caller::Caller;
use crate::failure::Failure;
use crate::result::{Digest, Usage};
use crate::runs::ErrorView;
use crate::start::{Ask, Prepared, Started, read_session, read_user_id};
use crate::{App, json, memory};
use serde::Serialize;
use serde_json::{Value, json as value};
use tutti_agents::form::{Errors, Form};
use tutti_engine::run::Status;

/// The graph that answers.
const GRAPH: &str = "chat";
const PROMPT_CHARS_MAX: usize = 1_000_000;

/// What a chat came to.
#[derive(Debug, Serialize)]
pub struct ChatAnswer {
    /// The run.
    pub run_id: String,
    /// The conversation.
    pub session_id: Option<String>,
    /// What is said to the user.
    pub response: Value,
    /// What the message wanted, as the graph found.
    pub intent: Value,
    /// The steps that the task takes.
    pub plan: Value,
    /// The nodes that were entered, in their order.
    pub path: Vec<String>,
    /// What the answer is grounded in.
    pub sources: Value,
    /// What it used.
    pub usage: Usage,
    /// How the run stands.
    pub status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
}

impl App {
    /// Reads `{prompt, user_id, session_id?, on_busy?, session?, metadata?, stream?}`; answers whether it is to be streamed, too.
    ///
    /// # Errors
    /// Every wrong field at once; or the chat graph cannot be run now.
    pub async fn read_chat(&self, caller: &Caller, body: &Value) -> Result<(Prepared, bool), Failure> {
        let kept = self.graph_to_run(caller, GRAPH).await?;
        let Some((graph, version, loaded)) = kept else { return Err(Failure::not_found("there is no graph \"chat\"")) };
        self.with_agents(caller, |setting| {
            let errors = Errors::default();
            let read = Form::body(body, &errors).and_then(|form| {
                let prompt = form.field("prompt").required();
                let prompt = prompt.text(PROMPT_CHARS_MAX).map(ToOwned::to_owned);
                form.field("user_id").require();
                let user_id = read_user_id(&form);
                let metadata = form.field("metadata");
                let metadata = if metadata.is_present() { metadata.form().and(metadata.value().cloned()) } else { None };
                let stream = form.field("stream").boolean().unwrap_or_default();
                let (session, terms) = read_session(&form, self.window());
                let input = value!({"prompt": prompt?, "user_id": user_id.as_ref()?, "metadata": metadata.unwrap_or_else(|| value!({}))});
                let read = loaded.read_kept(&graph, setting, &form.field("prompt"))?;
                let mut ask = Ask::of_graph(read, &version, input)?;
                ask.labels.push(memory::label(&user_id?));
                Some((Ask { session: Some(session.unwrap_or_else(|| new_session(caller, body))), terms, stream, ..ask }, stream))
            });
            let (ask, stream) = errors.or(read).map_err(Failure::invalid)?;
            Ok((self.submission(caller, "chat", body, ask)?, stream))
        })
        .await
    }

    /// What a chat's run came to, read from its journal.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn chat_answer(&self, started: &Started) -> Result<ChatAnswer, Failure> {
        let digest = self.digest_of(started).await?;
        Ok(ChatAnswer::of(started, digest))
    }
}

/// The name of a new conversation. Derived where the request may come again, so that its repeat names the same one.
fn new_session(caller: &Caller, body: &Value) -> String {
    let Some(key) = &caller.once_key else { return uuid::Uuid::now_v7().to_string() };
    let hash = json::hash_parts(&[&caller.tenant, &caller.user, "chat", key, &body.to_string()]);
    uuid::Builder::from_random_bytes(hash).into_uuid().to_string()
}

impl ChatAnswer {
    fn of(started: &Started, digest: Digest) -> Self {
        let told = digest.told();
        let Digest { ended, blocked, usage, status, .. } = digest;
        let output = told.output;
        // A graph of one's own may answer with anything: what is no such object is the response.
        let is_answer = output.get("response").is_some();
        let part = |name: &str, default: Value| match &output[name] {
            found if is_answer && !found.is_null() => found.clone(),
            _ => default,
        };
        Self {
            run_id: started.run.run_id.clone(),
            session_id: started.run.session_id.clone(),
            response: if is_answer { output["response"].clone() } else { output.clone() },
            intent: part("intent", Value::Null),
            plan: part("plan", value!([])),
            path: told.path,
            sources: part("sources", value!([])),
            usage,
            status: status.map_or(started.run.status, Status::as_str),
            error: ended.unwrap_or_default().error.or(blocked).map(ErrorView::from),
        }
    }
}
