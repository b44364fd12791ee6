//! Who makes registered agents and runs them, where an operator has somebody for it: the brain factory and the deployment
//! pipeline. Both are asked once for each start and may say where the agent is to be found.

use crate::upstream::Ask;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};

/// The two services, where they are set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// `BRAIN_FACTORY_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brain_factory: Option<String>,
    /// `DEPLOYMENT_PIPELINE_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
}

impl Hooks {
    /// Whether nobody is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.brain_factory.is_none() && self.pipeline.is_none()
    }
}

/// Asks one of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskHook {
    /// For people, e.g. `the brain factory`.
    pub service: String,
    /// Its full address.
    pub url: String,
    /// What was registered.
    pub registration: Value,
}

/// What they answer, as far as it is used here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Where the agent is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl Activity for AskHook {
    type Output = Made;
    const NAME: &'static str = "agent.hook";
    const EFFECT: Effect = Effect::Idempotent;

    async fn run(self, cx: ActivityCx) -> Result<Made, ActivityError> {
        let ask = Ask {
            service: &self.service,
            class: "AgentError",
            method: Method::POST,
            url: self.url.clone(),
            headers: HeaderMap::new(),
            body: serde_json::to_vec(&self.registration).unwrap_or_default().into(),
        };
        let reply = ask.send(&cx).await?;
        if (200..300).contains(&reply.status) && reply.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Made::default());
        }
        ask.read(&reply)
    }
}
