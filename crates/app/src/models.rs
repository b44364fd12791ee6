//! `models`: what the providers offer, whether they answer, and how long a prompt is for them.

use crate::App;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::{Page, read_optional};
use serde_json::Value;
use std::sync::Arc;
use tutti_agents::form::{Errors, Field, FieldError, Form};
use tutti_agents::model::offer::{Offer, Trial, offers, try_out};
use tutti_agents::model::tokens::{self, Counted};
use tutti_agents::model::{ChatMessage, ChatRequest, Role};

const MODEL_CHARS_MAX: usize = 200;
const MESSAGES_MAX: usize = 10_000;

impl App {
    /// Every provider and route, by name, with the models that it offers now; one that fails says why.
    pub async fn models(&self) -> Page<Offer> {
        let items = offers(self.engine().outbound().as_ref(), self.engine().now()).await;
        Page { items, next_cursor: None }
    }

    /// How many tokens a prompt has: `{model?, text? | messages?: [{role, content}]}`.
    ///
    /// # Errors
    /// Every wrong field at once.
    pub async fn count_tokens(&self, body: &Value) -> Result<Counted, Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| {
            let model = read_model(&form);
            let (text, list) = (form.field("text"), form.field("messages"));
            if text.is_present() == list.is_present() {
                errors.push(FieldError::value(vec!["body".into()], "name one of text and messages"));
            }
            let said = text.string().map(|text| vec![ChatMessage::user(text)]);
            let messages: Option<Vec<_>> =
                list.list(MESSAGES_MAX).map(|list| list.items().filter_map(|item| read_message(&item)).collect());
            form.no_others();
            Some(ChatRequest { model, messages: said.or(messages)?, ..ChatRequest::default() })
        });
        let request = errors.or(read).map_err(Failure::invalid)?;
        tokens::count(request).await.map_err(|e| Failure::internal(e.to_string()))
    }

    /// Asks a model one short question: `{model?}`, as agents write it.
    ///
    /// # Errors
    /// A wrong field. A model that does not answer is an answer, too.
    pub async fn try_model(&self, caller: &Caller, body: &Value) -> Result<Trial, Failure> {
        let errors = Errors::default();
        let model = read_optional(body, &errors, read_model);
        let model = errors.or(Some(model)).map_err(Failure::invalid)?;
        Ok(try_out(Arc::clone(self.engine().outbound()), model, caller.owner(), self.engine().now()).await)
    }
}

fn read_model(form: &Form<'_>) -> Option<String> {
    form.field("model").text(MODEL_CHARS_MAX).map(String::from)
}

fn read_message(field: &Field<'_, '_>) -> Option<ChatMessage> {
    let form = field.form()?;
    let roles = [("system", Role::System), ("user", Role::User), ("assistant", Role::Assistant)];
    let role = form.field("role").required().choice(&roles);
    let content = form.field("content").required().string();
    form.no_others();
    Some(ChatMessage::new(role?, content?))
}
