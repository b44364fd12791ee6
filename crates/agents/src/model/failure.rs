//! What went wrong at a model provider, as data: try again and when, or give up.

use super::Provider;
use http::HeaderMap;
use secrecy::ExposeSecret;
use serde_json::Value;
use tutti_engine::activity::{ActivityError, Next};
use tutti_engine::ports::outbound::OutError;
use tutti_engine::run::Time;

/// The contract's class for all of them.
pub(super) const CLASS: &str = "LlmError";
/// The longest `Retry-After` that is believed; the engine caps the wait further.
const RETRY_AFTER_MS_MAX: u64 = 600_000;
/// Most characters of a provider's own words in a message.
const EXCERPT_CHARS_MAX: usize = 300;

/// The way out failed.
pub(super) fn outbound(error: &OutError) -> ActivityError {
    let message = format!("the model provider failed: {error}");
    // A body over its bound may be one bad answer; a refused address stays refused.
    match error {
        OutError::Refused { .. } => ActivityError::fatal(CLASS, message),
        OutError::Connect { .. } => ActivityError::retry(CLASS, message),
        _ => ActivityError::retry(CLASS, message).sent(),
    }
}

/// The provider answered with something that is not an answer.
pub(super) fn garbage(what: &str, provider: &Provider, body: &str) -> ActivityError {
    let body = excerpt(provider, body);
    let tail = if body.is_empty() { String::new() } else { format!(": {body}") };
    ActivityError::retry(CLASS, format!("the model provider answered {what}{tail}")).sent()
}

/// The provider answered with an error status.
pub(super) fn status(provider: &Provider, status: u16, headers: &HeaderMap, body: &str, now: Time) -> ActivityError {
    let hint = match status {
        300..=399 => "; redirects are not followed, set LLM_BASE_URL to the final address",
        401 | 403 => "; check LLM_API_KEY",
        404 | 405 => "; check LLM_BASE_URL and the model's name",
        _ => "",
    };
    let said = serde_json::from_str(body).ok().and_then(|v| said(&v)).unwrap_or_else(|| body.to_owned());
    let said = excerpt(provider, &said);
    let tail = if said.is_empty() { String::new() } else { format!(": {said}") };
    let next = match status {
        408 | 409 | 425 | 429 | 500..=599 => Next::Retry { after_ms: retry_after(headers, now) },
        _ => Next::Never,
    };
    ActivityError {
        class: CLASS.into(),
        message: format!("the model provider answered {status}{tail}{hint}"),
        next,
        // A server's or gateway's word after the work was begun; these three come before any.
        may_have_cost: matches!(status, 408 | 499 | 500..=599) && !matches!(status, 501 | 503 | 529),
    }
}

/// The sentence inside the error shapes that providers use.
pub(super) fn said(body: &Value) -> Option<String> {
    let error = body.get("error").unwrap_or(body);
    let text = error.get("message").or_else(|| error.get("detail")).unwrap_or(error);
    text.as_str().map(str::to_owned)
}

/// Milliseconds to wait, from seconds (whole or with a fraction) or an HTTP date.
fn retry_after(headers: &HeaderMap, now: Time) -> Option<u64> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let ms = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => (seconds * 1_000.0).ceil() as u64,
        Ok(_) => return None,
        Err(_) => {
            let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
            u64::try_from(at.as_millisecond() - now.0).unwrap_or(0)
        }
    };
    Some(ms.min(RETRY_AFTER_MS_MAX))
}

/// The first words of foreign text, safe to print and to log: no control or text-direction characters, no key.
pub(super) fn excerpt(provider: &Provider, text: &str) -> String {
    let key = provider.api_key.as_ref().map(ExposeSecret::expose_secret).filter(|key| key.len() >= 4);
    let text: String = text.trim().chars().take(EXCERPT_CHARS_MAX * 4).collect();
    let text = key.map_or_else(|| text.clone(), |key| text.replace(key, "***"));
    let mut out = String::new();
    for c in text.chars().take(EXCERPT_CHARS_MAX) {
        let directs = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || directs { out.extend(c.escape_default()) } else { out.push(c) }
    }
    if text.chars().nth(EXCERPT_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(value: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        // Wed, 21 Oct 2015 07:28:00 GMT
        retry_after(&headers, Time(1_445_412_480_000))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        assert_eq!(after("2"), Some(2_000));
        assert_eq!(after("0.25"), Some(250));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:07 GMT"), Some(7_000));
        assert_eq!(after("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0), "a date that has passed");
        assert_eq!(after("99999999999999999999"), Some(RETRY_AFTER_MS_MAX));
        assert_eq!(after("Wed, 21 Oct 2099 07:28:00 GMT"), Some(RETRY_AFTER_MS_MAX));
        for nonsense in ["soon", "-1", "NaN", "inf", ""] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn excerpts_hide_the_key_and_escape_what_a_terminal_would_obey() {
        let provider = Provider::openai("http://x", Some("sk-12345".to_owned().into()), None);
        assert_eq!(excerpt(&provider, " bad key sk-12345\u{1b}[31m\u{202e}\n "), "bad key ***\\u{1b}[31m\\u{202e}");
        let long = excerpt(&provider, &"x".repeat(1_000));
        assert_eq!(long.chars().count(), EXCERPT_CHARS_MAX + 1);
    }
}
