//! `http`: one request to a service, with the call's arguments in its path, query, headers and body. `openapi` makes the same
//! requests out of a document.
//!
//! Arguments never choose who is called: scheme, host and port stand in the definition, and a filled path may not climb.

use super::secret::{Hush, Keys, Reader, Text, is_secret_header};
use super::template::{self, Shape, as_text};
use super::{CLASS, Called, answer};
use crate::egress::{EgressPolicy, shown};
use crate::form::{Field, Form, nearest};
use crate::upstream::{Ask, Reply};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::str::FromStr;
use tutti_engine::activity::{ActivityError, Effect};
use url::form_urlencoded::{Serializer, byte_serialize};

const URL_CHARS_MAX: usize = 4_000;
const HEADERS_MAX: usize = 32;
/// Headers that belong to the connection, or to us.
const RESERVED: [&str; 8] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "idempotency-key"];

/// A request with gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Http {
    /// The method.
    pub method: String,
    /// Scheme, host, port and path; gaps only in the path.
    pub url: String,
    /// What follows the `?`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Pair>,
    /// Headers by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Text)>,
    /// What is sent.
    #[serde(default, skip_serializing_if = "Body::is_none")]
    pub body: Body,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth: Vec<Auth>,
}

/// One part of a query: left out where it is nothing but the gap of an absent argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pair {
    /// Its name.
    pub name: String,
    /// Its value, with gaps; absent for a name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A list becomes one part for each item, not one with commas.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub explode: bool,
}

/// What is sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Body {
    /// Nothing.
    #[default]
    None,
    /// JSON.
    Json(Shape),
    /// The fields of an object, as forms of web pages are sent.
    Form(Shape),
    /// The arguments that stand nowhere else, as a JSON object.
    Rest,
}

impl Body {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Credentials and where they stand in a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Auth {
    /// Where.
    pub place: Place,
    /// The token, or `user:password`.
    pub text: Text,
}

/// Where credentials stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// `Authorization: Bearer …`
    Bearer,
    /// `Authorization: Basic …`
    Basic,
    /// A header of this name.
    Header(String),
    /// A part of the query of this name.
    Query(String),
    /// A cookie of this name.
    Cookie(String),
}

impl Http {
    /// Reads `{method, url, headers?, auth?, body?}`. `arguments` are the names that gaps may have; `policy` says which addresses it may
    /// have, none means any: the operator's own.
    pub fn read(
        form: &Form<'_>,
        arguments: &BTreeSet<String>,
        policy: Option<&EgressPolicy>,
        reader: &mut Reader<'_>,
    ) -> Option<Self> {
        let methods = [
            ("GET", Method::GET),
            ("HEAD", Method::HEAD),
            ("POST", Method::POST),
            ("PUT", Method::PUT),
            ("PATCH", Method::PATCH),
            ("DELETE", Method::DELETE),
        ];
        let words: Vec<_> = methods.iter().enumerate().map(|(at, (word, _))| (*word, at)).collect();
        let method = form.field("method").required().choice(&words).map(|at| methods[at].1.clone());
        let url = form.field("url").required();
        let parts = url.text(URL_CHARS_MAX).and_then(|text| {
            reader.check(&url, text);
            check_arguments(&url, text, arguments);
            let parts = split(text).and_then(|parts| check_origin(&parts.0, policy).map(|()| parts));
            parts.map_err(|why| url.fail(why)).ok()
        });
        let headers = read_headers(&form.field("headers"), arguments, reader);
        let auth = read_auth(&form.field("auth"), reader);
        let body = form.field("body");
        let shape = body.value().cloned().map(Shape);
        for text in shape.iter().flat_map(Shape::texts) {
            reader.check(&body, text);
            check_arguments(&body, text, arguments);
        }
        form.no_others();
        let (method, (url, query)) = (method?, parts?);
        let body = match shape {
            Some(shape) if matches!(method, Method::GET | Method::HEAD) => {
                body.fail(format!("a {method} has no body"));
                Body::Json(shape)
            }
            Some(shape) => Body::Json(shape),
            None if matches!(method, Method::POST | Method::PUT | Method::PATCH) => Body::Rest,
            None => Body::None,
        };
        Some(Self { method: method.as_str().into(), url, query, headers, body, auth })
    }

    /// As it is shown.
    pub fn view(&self) -> Value {
        let pair = |pair: &Pair| match &pair.value {
            Some(value) => format!("{}={value}", pair.name),
            None => pair.name.clone(),
        };
        let query: Vec<_> = self.query.iter().map(pair).collect();
        let url = if query.is_empty() { self.url.clone() } else { format!("{}?{}", self.url, query.join("&")) };
        let mut view = json!({"method": self.method, "url": url});
        if !self.headers.is_empty() {
            let headers: Map<_, _> = self.headers.iter().map(|(name, text)| (name.clone(), text.view())).collect();
            view["headers"] = headers.into();
        }
        for Auth { place, text } in &self.auth {
            if let Place::Basic | Place::Bearer = place {
                view["auth"] = json!({ if *place == Place::Basic { "basic" } else { "bearer" }: text.view() });
            }
        }
        if let Body::Json(Shape(body)) | Body::Form(Shape(body)) = &self.body {
            view["body"] = body.clone();
        }
        view
    }

    /// The handles of its secrets in the vault.
    pub fn handles(&self) -> impl Iterator<Item = &str> {
        let texts = self.headers.iter().map(|(_, text)| text).chain(self.auth.iter().map(|auth| &auth.text));
        texts.filter_map(Text::handle)
    }

    /// What a repeat may do where nobody says.
    pub fn effect(&self) -> Effect {
        if matches!(self.method.as_str(), "GET" | "HEAD") { Effect::Pure } else { Effect::Idempotent }
    }

    /// Makes the request and answers with what came, as large as a result may be.
    pub async fn call(&self, called: &Called<'_>) -> Result<Value, ActivityError> {
        let value = Box::pin(self.fetch(called)).await?;
        answer::within(value).map_err(|why| called.failed(&why).sent())
    }

    /// Makes the request and reads what comes.
    pub async fn fetch(&self, called: &Called<'_>) -> Result<Value, ActivityError> {
        let secrets = self.secrets().await.map_err(|why| called.failed(&why))?;
        let ask = self.ask(called, &secrets).map_err(|why| called.failed(&why))?;
        let shown = ask.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.split(' ').next_back()).map(String::from);
        let hush = Hush::new(called.keys, secrets.into_iter().chain(shown));
        let accepts = ask.headers.get(header::ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
        let takes_html = accepts.windows(4).any(|word| word == b"html");
        let reply = ask.send(called.cx).await.map_err(|e| called.named(e))?;
        let result = if (200..300).contains(&reply.status) {
            answer::parse(&reply, takes_html).map(|value| hush.value(value))
        } else {
            // It may have done it all the same; only a 429 says that it did not.
            let error = ask.status(&Self::unpacked(&reply));
            Err(if reply.status == 429 { error } else { error.sent() })
        };
        result.map_err(|e| called.named(ActivityError { message: hush.text(&e.message), ..e }))
    }

    /// An error's body can be read only unpacked; what cannot be is left out.
    fn unpacked(reply: &Reply) -> Reply {
        let body = answer::unpack(&reply.headers, &reply.body).unwrap_or_default();
        Reply { status: reply.status, headers: reply.headers.clone(), body }
    }

    /// The texts of headers and credentials, in their order.
    async fn secrets(&self) -> Result<Vec<String>, String> {
        let mut opened = Vec::new();
        for text in self.headers.iter().map(|(_, text)| text).chain(self.auth.iter().map(|auth| &auth.text)) {
            opened.push(text.open().await?);
        }
        Ok(opened)
    }

    /// The request with its gaps filled.
    fn ask<'a>(&self, called: &Called<'a>, opened: &[String]) -> Result<Ask<'a>, String> {
        let (arguments, keys) = (called.arguments, called.keys);
        let mut headers = HeaderMap::new();
        // Answers are unpacked here, within bounds.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let plain = |_: &str, value: &Value| Ok(as_text(value));
        let (of_headers, of_auth) = opened.split_at(self.headers.len().min(opened.len()));
        for ((name, _), text) in self.headers.iter().zip(of_headers) {
            let value = template::fill(text, arguments, keys, plain)?;
            if !value.is_empty() {
                put(&mut headers, name, &value)?;
            }
        }
        let mut query = self.query(arguments, keys)?;
        for (auth, text) in self.auth.iter().zip(of_auth) {
            let text = template::fill(text, arguments, keys, plain)?;
            match &auth.place {
                Place::Bearer => put(&mut headers, "authorization", &format!("Bearer {text}"))?,
                Place::Basic => put(&mut headers, "authorization", &format!("Basic {}", BASE64_STANDARD.encode(text)))?,
                Place::Header(name) => put(&mut headers, name, &text)?,
                Place::Query(name) => query.push((name.clone(), text)),
                Place::Cookie(name) => put(&mut headers, "cookie", &format!("{name}={text}"))?,
            }
        }
        let mut url = self.path(arguments, keys)?;
        if !query.is_empty() {
            let pairs: Vec<String> =
                query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            url = format!("{url}?{}", pairs.join("&"));
        }
        let body = self.body(arguments, keys, &mut headers)?;
        let method = Method::from_str(&self.method).map_err(|e| e.to_string())?;
        Ok(Ask { service: called.service, class: CLASS, method, url, headers, body })
    }

    /// The address up to its query. A filled piece stays within its place: no further segment, no way up.
    fn path(&self, arguments: &Value, keys: &Keys) -> Result<String, String> {
        let write = |name: &str, value: &Value| match as_text(value) {
            text if text.is_empty() => Err(format!("the argument {name} stands in the address and must not be empty")),
            text => Ok(encode(&text)),
        };
        let filled = template::fill(&self.url, arguments, keys, write)?;
        let climbs = |segment: &str| matches!(segment.replace("%2e", ".").replace("%2E", ".").as_str(), "." | "..");
        if filled.split('/').any(climbs) {
            return Err(format!("these arguments would lead out of {}", shown(&self.url)));
        }
        Ok(filled)
    }

    fn query(&self, arguments: &Value, keys: &Keys) -> Result<Vec<(String, String)>, String> {
        let mut query = Vec::new();
        for pair in &self.query {
            let text = pair.value.as_deref().unwrap_or_default();
            let Some(value) = Shape(json!(text)).fill(arguments, keys)?.filter(|value| !value.is_null()) else {
                continue;
            };
            match &value {
                Value::Array(items) if pair.explode => {
                    query.extend(items.iter().map(|item| (pair.name.clone(), as_text(item))));
                }
                value => query.push((pair.name.clone(), as_text(value))),
            }
        }
        Ok(query)
    }

    fn body(&self, arguments: &Value, keys: &Keys, headers: &mut HeaderMap) -> Result<Bytes, String> {
        let filled = match &self.body {
            Body::None => None,
            Body::Json(shape) | Body::Form(shape) => shape.fill(arguments, keys)?,
            Body::Rest => {
                let used: BTreeSet<&str> = self.named().collect();
                let fields =
                    arguments.as_object().into_iter().flatten().filter(|(name, _)| !used.contains(name.as_str()));
                Some(fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into())
            }
        };
        let Some(filled) = filled else { return Ok(Bytes::new()) };
        if !matches!(self.body, Body::Form(_)) {
            return serde_json::to_vec(&filled).map(Bytes::from).map_err(|e| e.to_string());
        }
        put(headers, "content-type", "application/x-www-form-urlencoded")?;
        let mut form = Serializer::new(String::new());
        for (name, value) in filled.as_object().into_iter().flatten() {
            form.append_pair(name, &as_text(value));
        }
        Ok(form.finish().into())
    }

    /// The arguments that address, query and headers name.
    fn named(&self) -> impl Iterator<Item = &str> {
        let query = self.query.iter().filter_map(|pair| pair.value.as_deref());
        let headers = self
            .headers
            .iter()
            .filter_map(|(_, text)| if let Text::Open(text) = text { Some(text.as_str()) } else { None });
        [self.url.as_str()].into_iter().chain(query).chain(headers).flat_map(template::arguments)
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let name = HeaderName::from_str(name).map_err(|e| e.to_string())?;
    let wrong = |_| format!("the value of header {name} holds characters that a header cannot hold");
    let mut value = HeaderValue::from_str(value).map_err(wrong)?;
    value.set_sensitive(is_secret_header(name.as_str()));
    headers.insert(name, value);
    Ok(())
}

/// Everything but letters, digits, `-._~` percent-encoded, so that a value stays one value wherever it stands.
fn encode(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20").replace('*', "%2A")
}

/// An address cut into what leads up to the query, and the parts of the query.
fn split(text: &str) -> Result<(String, Vec<Pair>), String> {
    let text = text.split('#').next().unwrap_or_default();
    let (front, query) = text.split_once('?').unwrap_or((text, ""));
    // What is written percent-encoded is encoded again when it is sent, so it is kept as what it means.
    let decode = |text: &str| {
        let whole = format!("={text}");
        url::form_urlencoded::parse(whole.as_bytes()).next().map(|(_, text)| text.into_owned()).unwrap_or_default()
    };
    let pair = |part: &str| match part.split_once('=') {
        Some((name, value)) => Pair { name: decode(name), value: Some(decode(value)), explode: false },
        None => Pair { name: decode(part), value: None, explode: false },
    };
    let pairs: Vec<Pair> = query.split('&').filter(|part| !part.is_empty()).map(pair).collect();
    if pairs.iter().any(|pair| pair.name.contains("{{") || pair.name.contains("${")) {
        return Err("an argument may be a value of the query, not a name in it".into());
    }
    Ok((front.to_owned(), pairs))
}

/// Whether an address may stand in a definition.
pub(super) fn check_origin(url: &str, policy: Option<&EgressPolicy>) -> Result<(), String> {
    let origin = origin(url).ok_or("this is not an absolute http or https address")?;
    if origin.contains("{{") || origin.contains("${") {
        return Err("scheme, host and port must stand in the address; arguments and secrets come after them".into());
    }
    match policy {
        Some(policy) => policy.registrable(origin),
        None => EgressPolicy::default().readable(origin),
    }
}

/// `https://host:port` of an address, which may have gaps behind it.
pub(super) fn origin(url: &str) -> Option<&str> {
    let rest = url.find("://")? + 3;
    let end = url[rest..].find(['/', '?', '#']).map_or(url.len(), |at| rest + at);
    Some(&url[..end])
}

fn check_arguments(field: &Field<'_, '_>, text: &str, arguments: &BTreeSet<String>) {
    for name in template::arguments(text).filter(|name| !arguments.contains(*name)) {
        let hint = nearest(name, arguments.iter().map(String::as_str))
            .map_or(String::new(), |n| format!("; did you mean {n:?}?"));
        field.fail(format!("{{{{{name}}}}} is no argument: parameters.properties does not have it{hint}"));
    }
}

/// `{"basic": "user:password"}` or `{"bearer": "token"}`.
fn read_auth(field: &Field<'_, '_>, reader: &mut Reader<'_>) -> Vec<Auth> {
    let Some(form) = field.is_present().then(|| field.form()).flatten() else { return Vec::new() };
    let mut auth = Vec::new();
    for (name, place) in [("basic", Place::Basic), ("bearer", Place::Bearer)] {
        if let Some(text) = reader.text(&form.field(name), &format!("auth.{name}"), true) {
            auth.push(Auth { place, text });
        }
    }
    form.no_others();
    auth
}

pub(super) fn read_headers(
    field: &Field<'_, '_>,
    arguments: &BTreeSet<String>,
    reader: &mut Reader<'_>,
) -> Vec<(String, Text)> {
    let Some(form) = field.is_present().then(|| field.form()).flatten() else { return Vec::new() };
    let mut headers = Vec::new();
    for name in form.keys() {
        let field = form.entry(name);
        if HeaderName::from_str(name).is_err() || RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            field.fail(format!("{name:?} is not a header that a tool may set"));
        } else if headers.len() == HEADERS_MAX {
            field.fail(format!("a tool sets at most {HEADERS_MAX} headers"));
        } else if let Some(text) = reader.text(&field, &format!("header.{name}"), is_secret_header(name)) {
            if let Text::Open(text) = &text {
                check_arguments(&field, text, arguments);
            }
            headers.push((name.to_owned(), text));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Errors;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn http(config: &Value) -> Result<Http, Vec<String>> {
        let errors = Errors::default();
        let keys = Keys::of([("KEY", "s3cret")]);
        let mut reader = Reader { keys: &keys, handle: Some("tool/t".into()), kept: BTreeMap::new() };
        let arguments = ["a", "b", "list"].map(String::from).into();
        let read = Form::body(config, &errors).and_then(|form| Http::read(&form, &arguments, None, &mut reader));
        errors.or(read).map_err(|wrong| wrong.into_iter().map(|error| error.msg).collect())
    }

    fn url(http: &Http, arguments: &Value) -> Result<String, String> {
        let keys = Keys::of([("KEY", "s3cret")]);
        let query = http.query(arguments, &keys)?;
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        Ok(format!("{}?{}", http.path(arguments, &keys)?, query.join("&")))
    }

    #[test]
    fn a_query_leaves_out_what_is_absent_and_keeps_what_stands_there() {
        let config = json!({"method": "GET", "url": "https://h.example/x/{{a}}.json?q={{b}}&fixed=a%20b&k=${KEY}&list={{list}}&flag#top"});
        let http = http(&config).unwrap();
        let full = url(&http, &json!({"a": "ü/", "b": 7, "list": ["x", "y"]})).unwrap();
        assert_eq!(full, "https://h.example/x/%C3%BC%2F.json?q=7&fixed=a%20b&k=s3cret&list=x%2Cy&flag=");
        assert_eq!(url(&http, &json!({"a": 1})).unwrap(), "https://h.example/x/1.json?fixed=a%20b&k=s3cret&flag=");
        assert!(url(&http, &json!({})).unwrap_err().contains("must not be empty"));
    }

    #[test]
    fn secrets_go_into_the_vault_and_are_not_shown() {
        let config = json!({"method": "POST", "url": "https://h.example/", "auth": {"basic": "user:hidden-password"},
            "headers": {"X-Api-Key": "hidden-key", "accept": "text/plain", "authorization": "Bearer ${KEY}"}});
        let http = http(&config).unwrap();
        let shown = http.view().to_string();
        assert!(
            !shown.contains("hidden") && shown.contains("text/plain") && shown.contains("Bearer ${KEY}"),
            "{shown}"
        );
        assert!(!serde_json::to_string(&http).unwrap().contains("hidden"));
        assert_eq!(http.handles().count(), 2);
        assert_eq!(serde_json::from_value::<Http>(json!(http)).unwrap(), http, "records read back");
    }

    proptest! {
        #[test]
        fn no_argument_leads_anywhere_else(a in ".{0,12}|[./%2eE\\\\@:?#]{0,8}", b in ".{0,12}") {
            let config = json!({"method": "GET", "url": "https://h.example/one/{{a}}/three?q={{b}}"});
            if let Ok(url) = url(&http(&config).unwrap(), &json!({"a": a, "b": b})) {
                let url = url::Url::parse(&url).unwrap();
                prop_assert_eq!(url.origin().ascii_serialization(), "https://h.example");
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!((segments.len(), segments[0], segments[2]), (3, "one", "three"));
                prop_assert!(url.fragment().is_none());
                prop_assert_eq!(url.query_pairs().count(), 1);
            }
        }
    }
}
