//! Values of a request's query, read without coercion beyond what a text needs.

use axum::extract::Query as AxumQuery;
use http::{HeaderMap, Uri};
use std::time::Duration;
use tutti_app::FieldError;

/// The longest a request waits for a run, in seconds.
pub const WAIT_SECONDS_MAX: u32 = 300;

/// A query being read.
pub struct Query<'a> {
    pairs: Vec<(String, String)>,
    wrong: &'a mut Vec<FieldError>,
}

impl<'a> Query<'a> {
    pub fn new(uri: &Uri, wrong: &'a mut Vec<FieldError>) -> Self {
        let pairs = match uri.query() {
            None | Some("") => Vec::new(),
            Some(_) => AxumQuery::try_from_uri(uri).map(|AxumQuery(pairs)| pairs).unwrap_or_default(),
        };
        Self { pairs, wrong }
    }

    /// The value of that name; the last one counts.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `?wait=`: seconds from 0 to 300, decimals allowed.
    pub fn wait(&mut self) -> Option<Duration> {
        let text = self.text("wait")?;
        let Some(seconds) = text.parse::<f64>().ok().filter(|s| s.is_finite()) else {
            return self.wrong("wait", "value is not a valid float", "type_error.float");
        };
        if (0.0..=f64::from(WAIT_SECONDS_MAX)).contains(&seconds) {
            return Some(Duration::from_secs_f64(seconds));
        }
        self.wrong("wait", &format!("wait must be from 0 to {WAIT_SECONDS_MAX} seconds"), "value_error")
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, name: &'static str, min: u32, max: u32) -> Option<u32> {
        let text = self.text(name)?;
        let Ok(number) = text.parse::<i128>() else {
            return self.wrong(name, "value is not a valid integer", "type_error.integer");
        };
        let number = u32::try_from(number).ok().filter(|n| (min..=max).contains(n));
        number.or_else(|| self.wrong(name, &format!("{name} must be an integer from {min} to {max}"), "value_error"))
    }

    /// `true|false|1|0|yes|no`.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        match self.text(name)? {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => self.wrong(name, "value could not be parsed to a boolean", "type_error.bool"),
        }
    }

    /// One of the words that `read` knows.
    pub fn word<T>(&mut self, name: &'static str, known: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let found = read(text);
        if found.is_none() {
            let shown: String = text.chars().take(64).collect();
            return self.wrong(name, &format!("{shown:?} is not one of: {known}"), "value_error");
        }
        found
    }

    fn wrong<T>(&mut self, name: &'static str, msg: &str, kind: &'static str) -> Option<T> {
        self.wrong.push(FieldError { loc: vec!["query".into(), name.into()], msg: msg.into(), kind });
        None
    }
}

/// `Prefer: wait=N` (RFC 7240): a wish, so one that cannot be met is met as far as it can.
pub fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|v| v.to_str().ok());
    let wait = values.flat_map(|v| v.split([',', ';'])).find_map(|wish| {
        let (name, value) = wish.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse::<u32>().ok())?
    })?;
    Some(Duration::from_secs(wait.min(WAIT_SECONDS_MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(uri: &str, read: impl FnOnce(&mut Query<'_>) -> T) -> (T, Vec<String>) {
        let mut wrong = Vec::new();
        let value = read(&mut Query::new(&uri.parse().unwrap(), &mut wrong));
        (value, wrong.iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect())
    }

    #[test]
    fn waits_are_bounded() {
        assert_eq!(read("/x?wait=1.5", |q| q.wait()), (Some(Duration::from_millis(1_500)), vec![]));
        assert_eq!(read("/x", |q| q.wait()), (None, vec![]));
        for wrong in ["301", "-1", "1e9"] {
            assert_eq!(read(&format!("/x?wait={wrong}"), |q| q.wait()).1, ["wait: wait must be from 0 to 300 seconds"]);
        }
        for wrong in ["", "soon", "NaN", "inf"] {
            assert_eq!(read(&format!("/x?wait={wrong}"), |q| q.wait()).1, ["wait: value is not a valid float"]);
        }
    }

    #[test]
    fn numbers_and_words_are_checked() {
        assert_eq!(read("/x?limit=200", |q| q.integer("limit", 1, 200)), (Some(200), vec![]));
        for wrong in ["0", "201", "-5", "99999999999999999999"] {
            let found = read(&format!("/x?limit={wrong}"), |q| q.integer("limit", 1, 200)).1;
            assert_eq!(found, ["limit: limit must be an integer from 1 to 200"]);
        }
        assert_eq!(read("/x?limit=ten", |q| q.integer("limit", 1, 200)).1, ["limit: value is not a valid integer"]);
        assert_eq!(read("/x?journal=no", |q| q.boolean("journal")).0, Some(false));
        assert_eq!(read("/x?journal=maybe", |q| q.boolean("journal")).1.len(), 1);
    }

    #[test]
    fn wishes_are_met_as_far_as_they_can() {
        let wish = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", text.parse().unwrap());
            preferred_wait(&headers).map(|d| d.as_secs())
        };
        assert_eq!(wish("respond-async, wait=10"), Some(10));
        assert_eq!(wish("wait=\"7\""), Some(7));
        assert_eq!(wish("Wait=9999"), Some(300));
        assert_eq!(wish("wait=soon"), None);
        assert_eq!(wish("return=minimal"), None);
    }
}
