//! Who the models are reached through. Process configuration: an activity carries only a provider's name, so that no
//! address and no key is ever journaled, and a run that waits over a restart finds the provider as it is then.

use super::limit::Limits;
use super::price::{Price, Prices};
use super::route::{Hop, Route};
use super::scripted::Script;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tutti_engine::activity::ActivityError;

/// The name of a provider in the installed table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderRef(String);

impl ProviderRef {
    /// Stands for [`Providers::default`], whatever its own name.
    pub const DEFAULT: &str = "default";
    /// The built-in offline model, always there.
    pub const OFFLINE: &str = "offline";

    /// A provider by name.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ProviderRef {
    fn default() -> Self {
        Self::named(Self::DEFAULT)
    }
}

/// How a provider is spoken to.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `POST {base_url}/chat/completions`.
    OpenAi,
    /// The built-in deterministic model.
    Offline,
    /// `POST {base_url}/messages`.
    Anthropic,
    /// Other providers, tried in order.
    Route(Route),
    /// Answers from a script, through the same decoding as a real provider.
    Scripted(Arc<Script>),
}

/// One provider and its bounds.
#[derive(Clone)]
pub struct Provider {
    /// Its name in the installed table, which [`install`] gives it.
    pub name: String,
    /// Dialect.
    pub kind: Kind,
    /// Where its API begins, e.g. `https://api.openai.com/v1`.
    pub base_url: String,
    /// Sent as a bearer token.
    pub api_key: Option<SecretString>,
    /// For requests that name no model.
    pub default_model: Option<String>,
    /// Longest wait for the response head and between two pieces of the body (`LLM_TIMEOUT`).
    pub timeout: Duration,
    /// Longest time for one call in all, a repair included.
    pub total_max: Duration,
    /// Most bytes of one response body.
    pub body_bytes_max: usize,
    /// Most bytes of one line of a stream.
    pub line_bytes_max: usize,
    /// Offline only: the wait between two words of a streamed answer, for people who watch. Zero by default.
    pub pace: Duration,
    /// How often it may be asked.
    pub limits: Limits,
    /// For how long an answer is given again to the same question at temperature 0, where a request does not say.
    pub cached_for: Option<Duration>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("base_url", &crate::egress::shown(&self.base_url))
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("default_model", &self.default_model)
            .finish_non_exhaustive()
    }
}

impl Provider {
    fn of(kind: Kind, default_model: Option<String>) -> Self {
        Self {
            name: String::new(),
            kind,
            base_url: String::new(),
            api_key: None,
            default_model,
            timeout: Duration::from_secs(120),
            total_max: Duration::from_secs(900),
            body_bytes_max: 16 << 20,
            line_bytes_max: 1 << 20,
            pace: Duration::ZERO,
            limits: Limits::default(),
            cached_for: None,
        }
    }

    /// An OpenAI-compatible server.
    #[must_use]
    pub fn openai(base_url: &str, api_key: Option<SecretString>, default_model: Option<String>) -> Self {
        Self { base_url: base_url.to_owned(), api_key, ..Self::of(Kind::OpenAi, default_model) }
    }

    /// A server that speaks Anthropic's Messages API.
    #[must_use]
    pub fn anthropic(base_url: &str, api_key: Option<SecretString>, default_model: Option<String>) -> Self {
        Self { base_url: base_url.to_owned(), api_key, ..Self::of(Kind::Anthropic, default_model) }
    }

    /// Other providers, tried in order.
    #[must_use]
    pub fn route(route: Route) -> Self {
        Self::of(Kind::Route(route), None)
    }

    /// The built-in model.
    #[must_use]
    pub fn offline() -> Self {
        Self { name: ProviderRef::OFFLINE.into(), ..Self::of(Kind::Offline, Some(super::offline::MODEL.into())) }
    }

    /// A script.
    #[must_use]
    pub fn scripted(script: Arc<Script>) -> Self {
        Self { base_url: "http://scripted.invalid".into(), ..Self::of(Kind::Scripted(script), Some("scripted".into())) }
    }
}

/// All providers of a process.
#[derive(Debug, Clone)]
pub struct Providers {
    /// The name that [`ProviderRef::default`] stands for.
    pub default: String,
    /// By name.
    pub map: BTreeMap<String, Provider>,
    /// What models cost.
    pub prices: Prices,
}

impl Providers {
    /// One provider, which is the default.
    pub fn only(name: impl Into<String>, provider: Provider) -> Self {
        let default = name.into();
        Self { map: BTreeMap::from([(default.clone(), provider)]), default, prices: Prices::default() }
    }
}

static PRICES: RwLock<Prices> = RwLock::new(Prices(BTreeMap::new()));
static INSTALLED: RwLock<BTreeMap<String, Arc<Provider>>> = RwLock::new(BTreeMap::new());

/// Make providers known to every model call of this process. Called once by the wiring. A further call replaces equal
/// names and the default and leaves the others, so tests of one process live side by side under names of their own.
///
/// # Errors
/// A default that is not in the map.
pub fn install(providers: Providers) -> Result<(), String> {
    let Providers { default, map, prices } = providers;
    if !map.contains_key(&default) {
        return Err(format!("the default model provider {default:?} is not among the providers"));
    }
    let mut table = INSTALLED.write().unwrap_or_else(PoisonError::into_inner);
    for (name, provider) in map {
        let provider = Arc::new(Provider { name: name.clone(), ..provider });
        if name == default {
            table.insert(ProviderRef::DEFAULT.into(), provider.clone());
        }
        table.insert(name, provider);
    }
    PRICES.write().unwrap_or_else(PoisonError::into_inner).0.extend(prices.0);
    Ok(())
}

/// What a model costs, as far as it is known: for a route the dearest of its hops. What runs in this process costs nothing
/// unless a price is set.
#[must_use]
pub fn price(provider: &ProviderRef, model: Option<&str>) -> Option<Price> {
    let (provider, model) = pick(provider, model);
    let found = find(&provider).ok()?;
    let Kind::Route(route) = &found.kind else { return price_of(&found, model) };
    let hop = |hop: &Hop| price_of(find(&hop.provider).ok()?.as_ref(), hop.model.as_deref().or(model));
    let dearest = |a: Price, b: Price| Price { input: a.input.max(b.input), output: a.output.max(b.output) };
    route.hops.iter().map(hop).reduce(|a, b| Some(dearest(a?, b?)))?
}

pub(super) fn price_of(provider: &Provider, model: Option<&str>) -> Option<Price> {
    listed(provider, model).or_else(|| matches!(provider.kind, Kind::Offline | Kind::Scripted(_)).then(Price::default))
}

/// The price that is set for a model.
pub(super) fn listed(provider: &Provider, model: Option<&str>) -> Option<Price> {
    let name = model.or(provider.default_model.as_deref())?;
    PRICES.read().unwrap_or_else(PoisonError::into_inner).of(name)
}

/// Who is asked for what: `NAME:model` where a provider or route has that name, `NAME:` for its default model; any other
/// text is a model of the provider that would answer anyway.
#[must_use]
pub fn pick<'m>(default: &ProviderRef, model: Option<&'m str>) -> (ProviderRef, Option<&'m str>) {
    if let Some((name, rest)) = model.and_then(|model| model.split_once(':'))
        && (name == ProviderRef::OFFLINE || INSTALLED.read().unwrap_or_else(PoisonError::into_inner).contains_key(name))
    {
        return (ProviderRef::named(name), Some(rest).filter(|rest| !rest.is_empty()));
    }
    (default.clone(), model)
}

/// The names that can be used, in order.
#[must_use]
pub fn installed() -> Vec<String> {
    let mut names: Vec<_> = INSTALLED.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
    if !names.iter().any(|n| n == ProviderRef::OFFLINE) {
        names.push(ProviderRef::OFFLINE.into());
    }
    names
}

/// The model that would answer, where a name of it is known: of a route, its first hop's.
pub(super) fn answering(model: Option<&str>) -> Option<String> {
    let (provider, model) = pick(&ProviderRef::default(), model);
    let found = find(&provider).ok()?;
    let first = |route: &Route| {
        let hop = route.hops.first()?;
        hop.model.clone().or_else(|| find(&hop.provider).ok()?.default_model.clone())
    };
    let own = match &found.kind {
        Kind::Route(route) => first(route),
        _ => found.default_model.clone(),
    };
    model.map(String::from).or(own)
}

/// Every provider and route by name, and whether it is the default.
pub(super) fn all() -> Vec<(Arc<Provider>, bool)> {
    let table = INSTALLED.read().unwrap_or_else(PoisonError::into_inner);
    let default = table.get(ProviderRef::DEFAULT);
    let named = table.iter().filter(|(name, _)| *name != ProviderRef::DEFAULT);
    let mut all: Vec<_> =
        named.map(|(_, found)| (found.clone(), default.is_some_and(|default| Arc::ptr_eq(default, found)))).collect();
    if !table.contains_key(ProviderRef::OFFLINE) {
        all.push((Arc::new(Provider::offline()), false));
    }
    all.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    all
}

/// The provider behind a name.
pub(super) fn find(name: &ProviderRef) -> Result<Arc<Provider>, ActivityError> {
    let found = INSTALLED.read().unwrap_or_else(PoisonError::into_inner).get(name.as_str()).cloned();
    match found {
        Some(provider) => Ok(provider),
        None if name.as_str() == ProviderRef::OFFLINE => Ok(Arc::new(Provider::offline())),
        None => Err(ActivityError::fatal(
            super::failure::CLASS,
            format!("there is no model provider {:?}; configured: {}", name.as_str(), installed().join(", ")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret_and_unknown_names_list_the_known() {
        let key = Some(SecretString::from("sk-secret".to_owned()));
        let provider = Provider::openai("https://user:pw@llm.example/v1?key=q", key, None);
        let shown = format!("{provider:?}");
        assert!(!shown.contains("sk-secret") && !shown.contains("pw") && !shown.contains("key=q"), "{shown}");
        install(Providers::only("debug-test", provider)).unwrap();
        let error = find(&ProviderRef::named("nope")).unwrap_err();
        assert!(error.message.contains("debug-test") && error.message.contains("offline"), "{error}");
        assert!(find(&ProviderRef::named("offline")).is_ok());
        let wrong = Providers { default: "a".into(), map: BTreeMap::new(), prices: Prices::default() };
        assert!(install(wrong).unwrap_err().contains("\"a\""));
    }
}
