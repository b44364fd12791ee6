//! What answers are grounded in: who says what texts mean, and where vectors are kept.

use super::form::{List, Maybe, Path, Secret, Text, WebUrl};
use super::model::Model;
use super::setting::concern;
use super::values::Problem;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use tutti_agents::grounding::{Embedder, Qdrant};
use tutti_agents::sources::Http;

concern! {
    /// What answers are grounded in.
    Grounding, "Grounding" {
        EMBEDDING_MODEL: model: Option<String> = Maybe(Text), None,
            "Model that says what documents and questions mean; without it they are found by their words alone.";
        EMBEDDING_BASE_URL: base_url: Option<Url> = Maybe(WebUrl), None,
            "Address of the OpenAI-compatible API that has it; LLM_BASE_URL if absent.";
        EMBEDDING_API_KEY: api_key: Option<SecretString> = Maybe(Secret), None,
            "Key of that API; LLM_API_KEY if it is the same API.";
        VECTOR_DB_URL: vectors_url: Option<Url> = Maybe(WebUrl), None,
            "Qdrant that keeps what documents mean; the store does if absent.";
        VECTOR_DB_API_KEY: vectors_key: Option<SecretString> = Maybe(Secret), None,
            "Its key.";
        DATASOURCE_BASE_URL: source_url: Option<Url> = Maybe(WebUrl), None,
            "Service that is the data source `default`: asked with GET and ?query=.";
        DATASOURCE_AUTH_TOKEN: source_token: Option<SecretString> = Maybe(Secret), None,
            "Its bearer token.";
        DATASOURCE_FILES: source_files: Vec<PathBuf> = List(Path), None,
            "Files of SQLite, or folders of them, that data sources may read.";
    }
}

impl Grounding {
    /// Who says what texts mean.
    #[must_use]
    pub fn embedder(&self, llm: &Model) -> Option<Embedder> {
        let model = self.model.clone()?;
        // A key is only shown to whom it is for.
        let (url, key) = match &self.base_url {
            Some(url) => (url, self.api_key.clone()),
            None => (llm.base_url.as_ref()?, self.api_key.clone().or_else(|| llm.api_key.clone())),
        };
        Some(Embedder { base_url: url.as_str().to_owned(), api_key: key, model })
    }

    /// Where vectors are kept, if not in the store.
    #[must_use]
    pub fn qdrant(&self) -> Option<Qdrant> {
        Some(Qdrant::new(self.vectors_url.as_ref()?.as_str(), self.vectors_key.clone()))
    }

    /// The data source that the operator names.
    #[must_use]
    pub fn source(&self) -> Option<Http> {
        let mut url = self.source_url.clone()?;
        // The address may have a query of its own.
        let query = url.query().map_or_else(String::new, |query| format!("{query}&"));
        url.set_query(None);
        let token = self.source_token.as_ref().map(|token| token.expose_secret().to_owned());
        Some(Http { url: format!("{url}?{query}query={{{{query}}}}"), token, ..Http::default() })
    }

    /// Addresses that may be called as they are configured.
    #[must_use]
    pub fn addresses(&self) -> Vec<&str> {
        [&self.base_url, &self.vectors_url, &self.source_url]
            .into_iter()
            .filter_map(|url| url.as_ref().map(Url::as_str))
            .collect()
    }

    /// What does not go together.
    #[must_use]
    pub fn problems(&self, llm: &Model) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.model.is_some() && self.embedder(llm).is_none() {
            let message = "set, but nobody has that model; set EMBEDDING_BASE_URL (or LLM_BASE_URL) too".to_owned();
            problems.push(Problem::of("EMBEDDING_MODEL", message));
        }
        if self.vectors_url.is_some() && self.model.is_none() {
            let message = "set, but there are no vectors to keep there; set EMBEDDING_MODEL too".to_owned();
            problems.push(Problem::of("VECTOR_DB_URL", message));
        }
        problems
    }
}
