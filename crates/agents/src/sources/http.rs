//! A source that is a service: `GET` an address that is made of the arguments.

use super::{ANSWER_BYTES_MAX, Answer, CLASS, Http};
use crate::upstream::{Ask, secret};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tutti_engine::activity::{ActivityCx, ActivityError};

pub(super) async fn ask(
    cx: &ActivityCx,
    name: &str,
    http: &Http,
    arguments: &Map<String, Value>,
) -> Result<Answer, ActivityError> {
    let fatal = |message: String| ActivityError::fatal(CLASS, message);
    let url = fill(&http.url, arguments).map_err(|why| fatal(format!("data source {name:?}: {why}")))?;
    let odd = || fatal(format!("a header or the token of data source {name:?} cannot be sent"));
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| odd())?;
        headers.insert(name, secret("", &SecretString::from(value.clone())).ok_or_else(odd)?);
    }
    if let Some(token) = &http.token {
        headers.insert(header::AUTHORIZATION, secret("Bearer ", &SecretString::from(token.clone())).ok_or_else(odd)?);
    }
    let service = format!("data source {name:?}");
    let ask = Ask { service: &service, class: CLASS, method: Method::GET, url, headers, body: Bytes::new() };
    let reply = ask.send_for(cx, ANSWER_BYTES_MAX).await?;
    if !(200..300).contains(&reply.status) {
        return Err(ask.status(&reply));
    }
    let value = serde_json::from_slice(&reply.body)
        .unwrap_or_else(|_| json!(String::from_utf8_lossy(&reply.body).trim().to_owned()));
    let found = match &http.items {
        None => value,
        Some(pointer) => value.pointer(pointer).cloned().unwrap_or_default(),
    };
    let items = match found {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        Value::String(text) if text.is_empty() => Vec::new(),
        one => vec![one],
    };
    Ok(Answer { items, is_cut: false })
}

/// An address with every `{{name}}` replaced by that argument, escaped: no argument can change where it leads.
fn fill(template: &str, arguments: &Map<String, Value>) -> Result<String, String> {
    let (mut url, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or("its url has {{ without }}")?;
        let name = name.trim();
        let value = arguments.get(name).ok_or_else(|| format!("the argument {name:?} is missing"))?;
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        url.push_str(before);
        url.extend(url::form_urlencoded::byte_serialize(text.as_bytes()).map(|piece| piece.replace('+', "%20")));
        rest = after;
    }
    url.push_str(rest);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_escaped_and_missing_ones_named() {
        let arguments = json!({"query": "a b&c=/../?#é", "n": 3}).as_object().unwrap().clone();
        let filled = fill("https://x.example/{{n}}/search?q={{ query }}&z=1", &arguments).unwrap();
        assert_eq!(filled, "https://x.example/3/search?q=a%20b%26c%3D%2F..%2F%3F%23%C3%A9&z=1");
        assert!(fill("https://x/{{other}}", &arguments).unwrap_err().contains("\"other\" is missing"));
        assert!(fill("https://x/{{other", &arguments).is_err());
    }
}
