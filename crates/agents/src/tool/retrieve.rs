//! `retrieve`: passages of the tenant's documents that fit a question, numbered, so that an answer can cite them.

use crate::form::Form;
use crate::grounding::{Retrieve as Search, context};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError};

/// Passages where the config says nothing.
const LIMIT: u32 = 5;
/// Most passages.
const LIMIT_MAX: i64 = 50;

/// The config of a tool of this kind. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retrieve {
    /// Most passages of one call.
    #[serde(default = "limit")]
    limit: u32,
}

fn limit() -> u32 {
    LIMIT
}

impl Retrieve {
    /// Reads `{limit?}`.
    pub fn read(form: &Form<'_>) -> Self {
        let limit = form.field("limit").integer(1, LIMIT_MAX).and_then(|n| u32::try_from(n).ok());
        form.no_others();
        Self { limit: limit.unwrap_or(LIMIT) }
    }

    /// The config as it is shown.
    pub fn view(&self) -> Value {
        json!({"limit": self.limit})
    }

    /// JSON Schema of the arguments.
    pub fn parameters() -> Value {
        json!({"type": "object", "required": ["query"], "additionalProperties": false, "properties": {
            "query": {"type": "string", "minLength": 1, "description": "The question, in anybody's words."}}})
    }

    /// The passages, and how they are to be used.
    pub async fn call(&self, arguments: &Value, cx: &ActivityCx) -> Result<Value, ActivityError> {
        let search = Search {
            tenant: cx.owner.tenant.clone(),
            query: arguments["query"].as_str().unwrap_or_default().to_owned(),
            limit: self.limit,
            filter: crate::grounding::Filter::default(),
        };
        let found = search.run(cx.clone()).await?;
        Ok(json!({"context": context(&found.passages), "passages": found.passages}))
    }
}
