//! `web_search`: results of a search engine, in one shape whoever found them.

use super::http::{Auth, Body, Http, Pair, Place, check_origin};
use super::secret::{Reader, Text};
use super::template::Shape;
use super::{Called, answer};
use crate::egress::EgressPolicy;
use crate::form::Form;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_engine::activity::ActivityError;

const URL_CHARS_MAX: usize = 2_000;
/// Most results of one search.
const RESULTS_MAX: u64 = 20;
/// Results where a call does not say.
const RESULTS: u64 = 5;
/// Most characters of what a result says about its page.
const SNIPPET_CHARS_MAX: usize = 1_000;

/// Who searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Provider {
    Searxng,
    Brave,
    Tavily,
}

/// The words for them.
const PROVIDERS: [(&str, Provider); 3] =
    [("searxng", Provider::Searxng), ("brave", Provider::Brave), ("tavily", Provider::Tavily)];

/// A search engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WebSearch {
    pub provider: Provider,
    /// Its address without a slash at its end.
    pub url: String,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Text>,
}

impl WebSearch {
    /// Reads `{provider, url?, key?}`.
    pub fn read(form: &Form<'_>, policy: Option<&EgressPolicy>, reader: &mut Reader<'_>) -> Option<Self> {
        let provider = form.field("provider").required().choice(&PROVIDERS);
        let field = form.field("url");
        let (usual, needs_key) = match provider {
            Some(Provider::Brave) => (Some("https://api.search.brave.com"), true),
            Some(Provider::Tavily) => (Some("https://api.tavily.com"), true),
            _ => (None, false),
        };
        if provider.is_some() && usual.is_none() {
            field.require();
        }
        let url = if field.is_present() { field.text(URL_CHARS_MAX) } else { usual };
        if let Some(Err(why)) = url.map(|url| check_origin(url, policy)) {
            field.fail(why);
        }
        let key = form.field("key");
        if needs_key {
            key.require();
        }
        let key = reader.text(&key, "key", true);
        form.no_others();
        Some(Self { provider: provider?, url: url?.trim_end_matches('/').into(), key })
    }

    /// JSON Schema of its arguments.
    pub fn parameters() -> Value {
        json!({"type": "object", "required": ["query"], "additionalProperties": false, "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": 400, "description": "What to look for."},
            "limit": {"type": "integer", "minimum": 1, "maximum": RESULTS_MAX, "description": "Most results; 5 if absent."}}})
    }

    /// As it is shown.
    pub fn view(&self) -> Value {
        let mut view = json!({"provider": self.provider, "url": self.url});
        if let Some(key) = &self.key {
            view["key"] = key.view();
        }
        view
    }

    /// Searches.
    pub async fn call(&self, called: &Called<'_>) -> Result<Value, ActivityError> {
        let limit = called.arguments["limit"].as_u64().unwrap_or(RESULTS).min(RESULTS_MAX);
        let arguments = json!({"query": called.arguments["query"], "limit": limit});
        let called = Called { arguments: &arguments, ..*called };
        let found = Box::pin(self.request().fetch(&called)).await?;
        let results = self.results(&found, usize::try_from(limit).unwrap_or(usize::MAX));
        let results = results.ok_or_else(|| called.failed("its answer holds no list of results"))?;
        answer::within(json!({ "results": results })).map_err(|why| called.failed(&why))
    }

    fn request(&self) -> Http {
        let (method, path, query, body, place) = match self.provider {
            Provider::Searxng => {
                ("GET", "/search", vec![("q", "{{query}}"), ("format", "json")], Body::None, Place::Bearer)
            }
            Provider::Brave => {
                let query = vec![("q", "{{query}}"), ("count", "{{limit}}")];
                ("GET", "/res/v1/web/search", query, Body::None, Place::Header("x-subscription-token".into()))
            }
            Provider::Tavily => {
                let body = Body::Json(Shape(json!({"query": "{{query}}", "max_results": "{{limit}}"})));
                ("POST", "/search", Vec::new(), body, Place::Bearer)
            }
        };
        let pair = |(name, value): (&str, &str)| Pair { name: name.into(), value: Some(value.into()), explode: false };
        Http {
            method: method.into(),
            url: format!("{}{path}", self.url),
            query: query.into_iter().map(pair).collect(),
            headers: Vec::new(),
            body,
            auth: self.key.iter().map(|key| Auth { place: place.clone(), text: key.clone() }).collect(),
        }
    }

    fn results(&self, found: &Value, limit: usize) -> Option<Vec<Value>> {
        let (list, snippet) = match self.provider {
            Provider::Brave => (&found["web"]["results"], "description"),
            Provider::Searxng | Provider::Tavily => (&found["results"], "content"),
        };
        // Brave leaves the part out that has nothing to show.
        let list = match list {
            Value::Null if self.provider == Provider::Brave && found.is_object() => &[],
            list => list.as_array()?.as_slice(),
        };
        let text = |result: &Value, name: &str| -> String {
            result[name].as_str().unwrap_or_default().chars().take(SNIPPET_CHARS_MAX).collect()
        };
        let one = |result: &Value| json!({"title": text(result, "title"), "url": text(result, "url"), "snippet": text(result, snippet)});
        Some(list.iter().take(limit).map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_one_shape_whoever_found_them() {
        let search = |provider| WebSearch { provider, url: "https://s.example".into(), key: None };
        let expected = json!({"title": "T", "url": "https://a.example", "snippet": "S"});
        let one = |snippet: &str| json!([{"title": "T", "url": "https://a.example", snippet: "S", "rank": 1}]);
        for (provider, found) in [
            (Provider::Searxng, json!({"results": one("content")})),
            (Provider::Tavily, json!({"results": one("content"), "answer": null})),
            (Provider::Brave, json!({"web": {"results": one("description")}})),
        ] {
            assert_eq!(search(provider).results(&found, 5), Some(vec![expected.clone()]));
            assert_eq!(search(provider).results(&found, 0), Some(Vec::new()));
            assert_eq!(search(provider).results(&json!("no"), 5), None);
        }
        assert_eq!(search(Provider::Brave).results(&json!({"query": {}}), 5), Some(Vec::new()));
    }
}
