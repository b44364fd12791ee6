//! The external agent: one service that the operator names, asked as any agent that is a service, with a token of its own.

use crate::agent::{AgentDefinition, Kind};
use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{PoisonError, RwLock};

/// The name under which it is known.
pub const NAME: &str = "external";

/// What is shown to which address. No part of a run: journals hold no token.
#[derive(Debug, Default)]
struct Pass {
    endpoint: String,
    token: Option<SecretString>,
}

static PASS: RwLock<Option<Pass>> = RwLock::new(None);

/// Makes the service at `base` the process's external agent, and answers what it is as an agent.
#[must_use]
pub fn install(base: &str, token: Option<SecretString>) -> AgentDefinition {
    let endpoint = format!("{}/invoke", base.trim_end_matches('/'));
    *PASS.write().unwrap_or_else(PoisonError::into_inner) = Some(Pass { endpoint: endpoint.clone(), token });
    AgentDefinition {
        kind: Kind::Http,
        description: Some("The external agent (EXTERNAL_AGENT_BASE_URL).".into()),
        endpoint: Some(endpoint),
        ..AgentDefinition::llm(NAME, "")
    }
}

/// Shows the token to the external agent, and to nobody else.
pub(crate) fn show_pass(endpoint: &str, headers: &mut HeaderMap) {
    let pass = PASS.read().unwrap_or_else(PoisonError::into_inner);
    let Some(Pass { endpoint: known, token: Some(token) }) = pass.as_ref() else { return };
    if known != endpoint {
        return;
    }
    if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())) {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_shown_to_the_external_agent_alone() {
        let agent = install("https://agent.example/v2/", Some("s3cret".to_owned().into()));
        assert_eq!(agent.endpoint.as_deref(), Some("https://agent.example/v2/invoke"));
        let shown = |endpoint: &str| {
            let mut headers = HeaderMap::new();
            show_pass(endpoint, &mut headers);
            headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(shown("https://agent.example/v2/invoke").as_deref(), Some("Bearer s3cret"));
        assert_eq!(shown("https://agent.example/v2/invoke2"), None);
        assert!(!serde_json::to_string(&agent).unwrap().contains("s3cret"));
    }
}
