//! The external agent.

use super::form::{Maybe, Secret, WebUrl};
use super::setting::concern;
use reqwest::Url;
use secrecy::SecretString;

concern! {
    /// The external agent.
    External, "External agent" {
        EXTERNAL_AGENT_BASE_URL: base_url: Option<Url> = Maybe(WebUrl), None,
            "Address of the external agent; it is asked with POST {address}/invoke, as the agent `external`.";
        EXTERNAL_AGENT_AUTH_TOKEN: token: Option<SecretString> = Maybe(Secret), None,
            "Its token, shown to that address as a bearer token.";
    }
}
