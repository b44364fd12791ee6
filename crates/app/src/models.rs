//! `models`: what the providers offer, and whether they answer.

use crate::App;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::{Page, read_optional};
use serde_json::Value;
use std::sync::Arc;
use tutti_agents::form::Errors;
use tutti_agents::model::offer::{Offer, Trial, offers, try_out};

const MODEL_CHARS_MAX: usize = 200;

impl App {
    /// Every provider and route, by name, with the models that it offers now; one that fails says why.
    pub async fn models(&self) -> Page<Offer> {
        let items = offers(self.engine().outbound().as_ref(), self.engine().now()).await;
        Page { items, next_cursor: None }
    }

    /// Asks a model one short question: `{model?}`, as agents write it.
    ///
    /// # Errors
    /// A wrong field. A model that does not answer is an answer, too.
    pub async fn try_model(&self, caller: &Caller, body: &Value) -> Result<Trial, Failure> {
        let errors = Errors::default();
        let model = read_optional(body, &errors, |form| form.field("model").text(MODEL_CHARS_MAX).map(String::from));
        let model = errors.or(Some(model)).map_err(Failure::invalid)?;
        Ok(try_out(Arc::clone(self.engine().outbound()), model, caller.owner(), self.engine().now()).await)
    }
}
