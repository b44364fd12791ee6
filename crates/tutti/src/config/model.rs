//! The language model that answers where an agent names none.

use super::form::{Integer, Maybe, Seconds, Secret, Text, WebUrl};
use super::setting::concern;
use reqwest::Url;
use secrecy::SecretString;
use std::time::Duration;

concern! {
    /// The language model.
    Model, "Language model" {
        LLM_BASE_URL: base_url: Option<Url> = Maybe(WebUrl), None,
            "Address of an OpenAI-compatible API, usually ending in /v1; without it the built-in offline model answers.";
        LLM_DEFAULT_MODEL: default_model: Option<String> = Maybe(Text), None,
            "Model that answers where an agent names none; a must with LLM_BASE_URL.";
        LLM_API_KEY: api_key: Option<SecretString> = Maybe(Secret), None,
            "Key of that API.";
        LLM_PROVIDER: provider: Option<String> = Maybe(Text), None,
            "Provider or route of tutti.toml that answers where an agent names none.";
        LLM_TIMEOUT: timeout: Duration = Seconds { min_ms: 100, max_s: 3_600 }, Some("120"),
            "How long a model may stay silent before the call is given up.";
        LLM_REQUESTS_PER_MINUTE: requests: Option<u32> = Maybe(Integer { min: 1, max: 1_000_000 }), None,
            "Most requests to that API in any minute; processes that share Redis count together.";
        LLM_TOKENS_PER_MINUTE: tokens: Option<u32> = Maybe(Integer { min: 1, max: 1_000_000_000 }), None,
            "Most tokens to and from it in any minute.";
        LLM_CACHE_SECONDS: cached_for: Duration = Seconds { min_ms: 0, max_s: 2_678_400 }, Some("0"),
            "How long an answer at temperature 0 is given again to the very same question, where its provider says nothing; 0 for never.";
    }
}

impl Model {
    /// What answers where an agent names no model.
    #[must_use]
    pub fn answering(&self) -> String {
        if let Some(provider) = &self.provider {
            return format!("{provider}, of tutti.toml");
        }
        match (&self.base_url, &self.default_model) {
            (Some(url), Some(model)) => format!("{model} at {}", super::form::hide_password(url.as_str())),
            _ => "tutti-offline, built in".into(),
        }
    }
}
