//! `[providers]`, `[routes]` and `[prices]` of `tutti.toml`: who models are reached through, who stands in, what it costs.

use super::values::Problem;
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tutti_agents::egress::Origin;
use tutti_agents::form::{Errors, Field, Form};
use tutti_agents::model::{Balance, Hop, Price, Prices, Provider, ProviderRef, RateLimits, Route};

/// What the three tables hold.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Providers and routes by name.
    pub providers: BTreeMap<String, Provider>,
    /// Prices by model.
    pub prices: Prices,
}

/// Names that stand for something else.
const RESERVED: [&str; 3] = ["default", "offline", "llm"];
const TEXT_CHARS_MAX: usize = 2_000;
/// A month.
const CACHE_SECONDS_MAX: i64 = 31 * 24 * 3_600;

/// Reads the tables of a file called `file`; `secret` answers what an environment variable holds.
pub fn read(file: &toml::Table, name: &str, secret: impl Fn(&str) -> Option<String>) -> (Tables, Vec<Problem>) {
    let root: Value = ["providers", "routes", "prices"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), serde_json::to_value(file.get(key)?).ok()?)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let errors = Errors::default();
    let mut tables = Tables::default();
    if let Some(form) = Form::new(&root, vec!["file".into()], &errors) {
        each(&form.field("providers"), |name, field| {
            check_name(name, field);
            if let Some(provider) = read_provider(field, &secret) {
                tables.providers.insert(name.into(), provider);
            }
        });
        let known: Vec<String> = tables.providers.keys().cloned().collect();
        each(&form.field("routes"), |name, field| {
            check_name(name, field);
            if known.iter().any(|k| k == name) {
                field.fail(format!("there is a provider named {name:?}; a route needs a name of its own"));
                return;
            }
            if let Some(route) = read_route(field, &known) {
                tables.providers.insert(name.into(), route);
            }
        });
        each(&form.field("prices"), |name, field| {
            if let Some(price) = read_price(field) {
                tables.prices.0.insert(name.into(), price);
            }
        });
    }
    let problems = errors.into_vec().into_iter().map(|e| Problem::file(format!("{name}: {}: {}", e.path(), e.msg)));
    (tables, problems.collect())
}

/// Whether somebody can be called that.
fn check_name(name: &str, field: &Field<'_, '_>) {
    if RESERVED.contains(&name) || name.contains(':') {
        field.fail(format!("{name:?} cannot be used as a name here; choose another without a colon"));
    }
}

/// Each table of a table.
fn each(field: &Field<'_, '_>, mut take: impl FnMut(&str, &Field<'_, '_>)) {
    let Some(form) = field.is_present().then(|| field.form()).flatten() else { return };
    for name in form.keys() {
        take(name, &form.entry(name));
    }
}

fn read_provider(field: &Field<'_, '_>, secret: &impl Fn(&str) -> Option<String>) -> Option<Provider> {
    let form = field.form()?;
    let is_anthropic = form.field("dialect").choice(&[("openai", false), ("anthropic", true)]).unwrap_or(false);
    let url_field = form.field("base_url").required();
    let url = url_field.text(TEXT_CHARS_MAX);
    if let Some(Err(wrong)) = url.map(Origin::of) {
        url_field.fail(wrong.to_string());
    }
    let key = read_key(&form, secret);
    let model = form.field("default_model").text(200).map(ToOwned::to_owned);
    let timeout = form.field("timeout_seconds").seconds(3_600).map(Duration::from_millis);
    let per_minute = |name| form.field(name).integer(1, i64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok());
    let limits = RateLimits { requests: per_minute("requests_per_minute"), tokens: per_minute("tokens_per_minute") };
    let cached_for = read_cache(&form);
    form.no_others();
    let make = if is_anthropic { Provider::anthropic } else { Provider::openai };
    let provider = make(url?, key, model);
    Some(Provider { timeout: timeout.unwrap_or(provider.timeout), limits, cached_for, ..provider })
}

/// A key as it stands, in a file, or in an environment variable.
fn read_key(form: &Form<'_>, secret: &impl Fn(&str) -> Option<String>) -> Option<SecretString> {
    let plain = form.field("api_key").text(TEXT_CHARS_MAX).map(ToOwned::to_owned);
    let file = form.field("api_key_file");
    let from_file = file.text(TEXT_CHARS_MAX).and_then(|path| match std::fs::read_to_string(path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(e) => {
            file.fail(format!("{path} cannot be read: {e}"));
            None
        }
    });
    let variable = form.field("api_key_env");
    let from_variable = variable.text(200).and_then(|name| {
        let value = secret(name);
        if value.is_none() {
            variable.fail(format!("the environment has no {name}"));
        }
        value
    });
    plain.or(from_file).or(from_variable).map(|key| SecretString::from(key.trim().to_owned()))
}

/// For how long answers are given again; 0 for never.
fn read_cache(form: &Form<'_>) -> Option<Duration> {
    let seconds = form.field("cache_seconds").integer(0, CACHE_SECONDS_MAX)?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

fn read_route(field: &Field<'_, '_>, known: &[String]) -> Option<Provider> {
    let form = field.form()?;
    let list = form.field("hops").required();
    let cooldown = form.field("cooldown_seconds").seconds(86_400).unwrap_or(30_000);
    let mut hops = Vec::new();
    for item in list.list(16)?.items() {
        let Some(text) = item.text(200) else { continue };
        let (name, model) = text.split_once(':').map_or((text, None), |(name, model)| (name, Some(model)));
        if !known.iter().any(|k| k == name) {
            item.fail(format!("there is no provider named {name:?}; there are: {}", known.join(", ")));
        }
        hops.push(Hop { provider: ProviderRef::named(name), model: model.map(Into::into) });
    }
    if hops.is_empty() {
        list.fail("a route needs at least one provider");
    }
    let balances = [("order", Balance::Order), ("weighted", Balance::Weighted), ("least_busy", Balance::LeastBusy)];
    let balance = form.field("balance").choice(&balances).unwrap_or_default();
    let weights = read_weights(&form, hops.len(), balance);
    let cached_for = read_cache(&form);
    form.no_others();
    let route = Route { hops, balance, weights, cooldown: Duration::from_millis(cooldown) };
    Some(Provider { cached_for, ..Provider::route(route) })
}

/// A share for each hop.
fn read_weights(form: &Form<'_>, hops: usize, balance: Balance) -> Vec<u32> {
    let field = form.field("weights");
    let Some(list) = field.list(16) else { return Vec::new() };
    let weight = |item: Field<'_, '_>| item.integer(1, 1_000).and_then(|n| u32::try_from(n).ok());
    let weights: Vec<u32> = list.items().filter_map(weight).collect();
    if balance == Balance::Order {
        field.fail("weights need a balance: \"weighted\" or \"least_busy\"");
    } else if list.len() != hops {
        field.fail(format!("there are {hops} hops, so there must be {hops} weights"));
    }
    weights
}

fn read_price(field: &Field<'_, '_>) -> Option<Price> {
    let form = field.form()?;
    let amount = |name| {
        let field = form.field(name).required();
        let value = field.value()?;
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let dollars = Price::dollars(&text);
        if dollars.is_none() {
            field.fail("a price is in US dollars per million tokens, such as 0.15, with at most six decimals");
        }
        dollars
    };
    let (input, output) = (amount("input"), amount("output"));
    form.no_others();
    Some(Price { input: input?, output: output? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_agents::model::ModelKind;

    fn tables(text: &str) -> (Tables, Vec<String>) {
        let secret = |name: &str| (name == "KEY").then(|| "sk-1".to_owned());
        let (tables, problems) = read(&text.parse().unwrap(), "tutti.toml", secret);
        (tables, problems.into_iter().map(|p| p.message).collect())
    }

    #[test]
    fn the_documents_example_is_read() {
        let doc = include_str!("../../../../docs/models.md");
        let example = doc.split("```toml").nth(1).unwrap().split("```").next().unwrap();
        let (tables, problems) = tables(&example.replace("ANTHROPIC_API_KEY", "KEY").replace("OPENAI_API_KEY", "KEY"));
        assert_eq!(problems, Vec::<String>::new());
        assert!(matches!(tables.providers["claude"].kind, ModelKind::Anthropic));
        let ModelKind::Route(route) = &tables.providers["steady"].kind else { panic!("no route") };
        assert_eq!((route.hops.len(), route.hops[1].model.as_deref()), (2, Some("gpt-5-mini")));
        let openai = &tables.providers["openai"];
        assert_eq!((openai.limits.requests, openai.limits.tokens), (Some(500), Some(200_000)));
        assert_eq!(openai.cached_for, Some(Duration::from_secs(3_600)));
        let ModelKind::Route(route) = &tables.providers["shared"].kind else { panic!("no route") };
        assert_eq!((route.balance, route.weights.as_slice()), (Balance::Weighted, [3, 1].as_slice()));
        assert_eq!(tables.prices.of("gpt-5-mini"), Some(Price { input: 150_000, output: 600_000 }));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let (_, problems) = tables(
            r#"
            [providers.a]
            dialect = "cohere"
            base_url = "ftp://x"
            api_key_env = "NOPE"
            [providers."x:y"]
            base_url = "https://x.example"
            [routes.r]
            hops = ["b"]
            cooldwn_seconds = 3
            [routes.a]
            hops = ["a"]
            [routes.s]
            hops = ["a", "a:m"]
            weights = [1, 0]
            [routes.t]
            hops = ["a", "a:m"]
            balance = "fair"
            cache_seconds = -1
            [routes.u]
            hops = ["a", "a:m"]
            balance = "weighted"
            weights = [1]
            [prices."llama3:8b"]
            input = 0
            output = 0
            [prices.m]
            input = "cheap"
            "#,
        );
        for part in [
            "providers.a.dialect",
            "providers.a.base_url",
            "NOPE",
            "without a colon",
            "no provider named \"b\"",
            "did you mean \"cooldown_seconds\"",
            "a route needs a name of its own",
            "prices.m.input: a price is in US dollars",
            "prices.m.output: field required",
            "routes.s.weights[1]: weights must be an integer from 1 to 1000",
            "routes.s.weights: weights need a balance",
            "routes.t.balance: \"fair\" is not one of: order, weighted, least_busy",
            "routes.t.cache_seconds",
            "routes.u.weights: there are 2 hops, so there must be 2 weights",
        ] {
            assert!(problems.iter().any(|p| p.contains(part)), "{part}: {problems:?}");
        }
        assert_eq!(problems.len(), 14, "{problems:?}");
    }
}
