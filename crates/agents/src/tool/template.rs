//! Texts with gaps: `{{argument}}` is filled by a call's arguments, `${NAME}` by a secret of the operator.
//!
//! A text is cut into pieces once; what fills a gap is never read again, so an argument that spells `${NAME}` stays a text.

use super::secret::Keys;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// As it stands.
    Plain(&'t str),
    /// An argument's value.
    Argument(&'t str),
    /// A secret's value.
    Secret(&'t str),
}

/// Cuts a text into its pieces.
///
/// # Errors
/// A gap that is not closed, or has no name.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let starts = [("{{", "}}"), ("${", "}")].map(|(open, close)| rest.find(open).map(|at| (at, open, close)));
        let Some((at, open, close)) = starts.into_iter().flatten().min() else {
            if !rest.is_empty() {
                pieces.push(Piece::Plain(rest));
            }
            return Ok(pieces);
        };
        if at > 0 {
            pieces.push(Piece::Plain(&rest[..at]));
        }
        let inside = &rest[at + open.len()..];
        let end = inside.find(close).ok_or_else(|| format!("{open:?} is not followed by {close:?}"))?;
        let name = inside[..end].trim();
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || "{}$".contains(c)) {
            return Err(format!("{open}{}{close} names nothing", &inside[..end]));
        }
        pieces.push(if open == "{{" { Piece::Argument(name) } else { Piece::Secret(name) });
        rest = &inside[end + close.len()..];
    }
}

/// The arguments that a text names.
pub(super) fn arguments(text: &str) -> impl Iterator<Item = &str> {
    let named = |piece| if let Piece::Argument(name) = piece { Some(name) } else { None };
    pieces(text).unwrap_or_default().into_iter().filter_map(named)
}

/// The secrets that a text names.
pub(super) fn secrets(text: &str) -> impl Iterator<Item = &str> {
    let named = |piece| if let Piece::Secret(name) = piece { Some(name) } else { None };
    pieces(text).unwrap_or_default().into_iter().filter_map(named)
}

/// The text with its gaps filled; `write` turns an argument, which may be absent, into what stands in the text.
///
/// # Errors
/// A secret that is not there, or what `write` says.
pub(super) fn fill(
    text: &str,
    arguments: &Value,
    keys: &Keys,
    write: impl Fn(&str, &Value) -> Result<String, String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text)? {
        match piece {
            Piece::Plain(plain) => out.push_str(plain),
            Piece::Argument(name) => out.push_str(&write(name, &arguments[name])?),
            Piece::Secret(name) => out.push_str(keys.get(name)?),
        }
    }
    Ok(out)
}

/// An argument as a text: nothing where it is absent, a list as its items with commas between them.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(as_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A JSON value whose texts have gaps. A text that is nothing but one gap becomes the argument's own value, of whatever type;
/// where that argument is absent, a field of an object or an item of a list is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Shape(pub Value);

impl Shape {
    /// Every text in it.
    pub fn texts(&self) -> Vec<&str> {
        fn gather<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
            match value {
                Value::String(text) => into.push(text),
                Value::Array(items) => items.iter().for_each(|item| gather(item, into)),
                Value::Object(fields) => fields.values().for_each(|field| gather(field, into)),
                _ => {}
            }
        }
        let mut texts = Vec::new();
        gather(&self.0, &mut texts);
        texts
    }

    /// The value with its gaps filled; nothing where it is one gap and its argument is absent.
    ///
    /// # Errors
    /// A secret that is not there.
    pub fn fill(&self, arguments: &Value, keys: &Keys) -> Result<Option<Value>, String> {
        fill_value(&self.0, arguments, keys)
    }
}

fn fill_value(shape: &Value, arguments: &Value, keys: &Keys) -> Result<Option<Value>, String> {
    Ok(Some(match shape {
        Value::String(text) => {
            if let [Piece::Argument(name)] = pieces(text)?.as_slice() {
                return Ok(arguments.get(name).cloned());
            }
            fill(text, arguments, keys, |_, value| Ok(as_text(value)))?.into()
        }
        Value::Array(items) => {
            let filled: Result<Vec<_>, _> = items.iter().map(|item| fill_value(item, arguments, keys)).collect();
            filled?.into_iter().flatten().collect()
        }
        Value::Object(fields) => {
            let mut filled = serde_json::Map::new();
            for (name, field) in fields {
                if let Some(value) = fill_value(field, arguments, keys)? {
                    filled.insert(name.clone(), value);
                }
            }
            filled.into()
        }
        other => other.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn texts_are_cut_once_and_filled() {
        let keys = Keys::of([("KEY", "s3cret")]);
        let write = |_: &str, value: &Value| Ok(as_text(value));
        let arguments = json!({"a": "${KEY}{{b}}", "n": 7, "l": ["x", 1]});
        let filled = fill("{{ a }}-${KEY}-{{n}}-{{l}}-{{none}}.", &arguments, &keys, write);
        assert_eq!(filled.unwrap(), "${KEY}{{b}}-s3cret-7-x,1-.");
        assert!(fill("${OTHER}", &arguments, &keys, write).unwrap_err().contains("OTHER"));
        for wrong in ["{{a", "{{}}", "${", "a ${ } b", "{{a b}}"] {
            assert!(pieces(wrong).is_err(), "{wrong}");
        }
        assert_eq!(arguments_of("x {{a}} {{b}} ${C}"), ["a", "b"]);
    }

    fn arguments_of(text: &str) -> Vec<&str> {
        arguments(text).collect()
    }

    #[test]
    fn a_body_keeps_types_and_leaves_out_what_is_absent() {
        let shape =
            Shape(json!({"q": "{{q}}", "max": "{{max}}", "tags": ["{{tag}}", "fixed"], "note": "by {{who}}", "n": 1}));
        let filled = shape.fill(&json!({"q": {"deep": [1]}, "tag": true}), &Keys::default()).unwrap();
        assert_eq!(filled, Some(json!({"q": {"deep": [1]}, "tags": [true, "fixed"], "note": "by ", "n": 1})));
    }

    proptest! {
        #[test]
        fn nothing_of_a_text_is_lost(text in "[a{}$ ]{0,40}") {
            if let Ok(pieces) = pieces(&text) {
                let plain: usize = pieces.iter().map(|p| if let Piece::Plain(t) = p { t.len() } else { 0 }).sum();
                prop_assert!(plain <= text.len());
                prop_assert!(pieces.iter().all(|p| !matches!(p, Piece::Plain(t) if t.contains("{{"))));
            }
        }
    }
}
