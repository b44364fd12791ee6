//! Secrets of tools. A definition holds their names, or a handle of the vault; their values are looked up when a call is made and
//! stand in no record, journal, list or error.

use super::template;
use crate::form::{Field, nearest};
use crate::vault;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tutti_engine::ports::vault::KEPT;

const TEXT_CHARS_MAX: usize = 10_000;
/// Secrets that are shorter are not looked for in what others say.
const SECRET_BYTES_MIN: usize = 6;
/// Shown in the place of a secret.
pub const HIDDEN: &str = "***";

/// Secrets of the operator's environment that tools may use, by name.
#[derive(Debug, Clone, Default)]
pub struct Keys(BTreeMap<String, SecretString>);

impl Keys {
    /// These.
    pub fn of<N: Into<String>, S: Into<String>>(keys: impl IntoIterator<Item = (N, S)>) -> Self {
        Self(keys.into_iter().map(|(name, secret)| (name.into(), SecretString::from(secret.into()))).collect())
    }

    /// One more.
    pub fn insert(&mut self, name: &str, secret: SecretString) {
        self.0.insert(name.into(), secret);
    }

    /// Whether a definition may name it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Result<&str, String> {
        let found = self.0.get(name).map(ExposeSecret::expose_secret);
        found.ok_or_else(|| format!("the secret {name} is not set here; the operator lists it in TOOL_SECRETS"))
    }
}

/// What must not be repeated: the operator's secrets, and those that a call opened.
pub(super) struct Hush<'k> {
    keys: &'k Keys,
    opened: Vec<String>,
}

impl<'k> Hush<'k> {
    /// Besides `keys`, these.
    pub fn new(keys: &'k Keys, opened: impl IntoIterator<Item = String>) -> Self {
        Self { keys, opened: opened.into_iter().collect() }
    }

    /// A text in which nothing secret is left.
    pub fn text(&self, text: &str) -> String {
        let known = self.keys.0.values().map(ExposeSecret::expose_secret).chain(self.opened.iter().map(String::as_str));
        // A secret of a few characters would tear holes into every text.
        let told = known.filter(|secret| secret.len() >= SECRET_BYTES_MIN && text.contains(secret));
        told.fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    /// The same for every text of a value: what a service repeats of its credentials is no business of a model or a journal.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.text(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, field)| (self.text(&name), self.value(field)))
                .collect::<Map<_, _>>()
                .into(),
            other => other,
        }
    }
}

/// A value of a definition that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    /// A text, with gaps for arguments and for secrets by name.
    Open(String),
    /// Kept in the vault.
    Kept {
        /// Its handle there.
        kept: String,
    },
}

impl Text {
    /// Its handle in the vault, where it is kept there.
    pub fn handle(&self) -> Option<&str> {
        if let Self::Kept { kept } = self { Some(kept) } else { None }
    }

    /// As it is shown.
    pub fn view(&self) -> Value {
        match self {
            Self::Open(text) => json!(text),
            Self::Kept { .. } => json!(HIDDEN),
        }
    }

    /// The text itself.
    ///
    /// # Errors
    /// The vault does not have it.
    pub async fn open(&self) -> Result<String, String> {
        match self {
            Self::Open(text) => Ok(text.clone()),
            Self::Kept { kept } => {
                let found = vault::open(kept.clone()).await?;
                found.ok_or_else(|| {
                    "a secret of this tool is no longer in the vault; register the tool again".to_owned()
                })
            }
        }
    }
}

/// Reads texts that may be secret: which secrets they may name, and which of them have to go into the vault.
pub(super) struct Reader<'r> {
    /// Secrets that may be named.
    pub keys: &'r Keys,
    /// Where secrets that stand in a request go: their handles begin so. The operator's own file keeps its own.
    pub handle: Option<String>,
    /// Handles and secrets to keep once the definition is found sound.
    pub kept: BTreeMap<String, String>,
}

impl Reader<'_> {
    /// A text, or `{"secret": NAME}`. `word` names it within the tool; what `is_secret` and names no secret goes into the vault.
    pub fn text(&mut self, field: &Field<'_, '_>, word: &str, is_secret: bool) -> Option<Text> {
        let text = match field.value()? {
            Value::Object(_) => {
                let form = field.form()?;
                let name = form.field("secret").required().text(200).map(|name| format!("${{{name}}}"));
                form.no_others();
                name?
            }
            _ => field.text(TEXT_CHARS_MAX)?.to_owned(),
        };
        self.check(field, &text);
        if text == HIDDEN {
            field.fail("*** stands for a secret that is not shown; write the secret itself, or {\"secret\": NAME}");
            return None;
        }
        let names_one = template::secrets(&text).next().is_some();
        match &self.handle {
            Some(handle) if is_secret && !names_one => {
                let handle = format!("{KEPT}{handle}/{word}");
                self.kept.insert(handle.clone(), text);
                Some(Text::Kept { kept: handle })
            }
            _ => Some(Text::Open(text)),
        }
    }

    /// Says which gaps of a text are wrong, and which secrets in it may not be named.
    pub fn check(&self, field: &Field<'_, '_>, text: &str) {
        if let Err(why) = template::pieces(text) {
            field.fail(why);
        }
        for name in template::secrets(text).filter(|name| !self.keys.has(name)) {
            let near = nearest(name, self.keys.0.keys().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            field.fail(format!("no secret named {name:?} may be used; the operator lists it in TOOL_SECRETS{hint}"));
        }
    }
}

/// Whether a header of this name carries a secret as a rule.
pub(super) fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "key", "token", "secret", "password", "session", "credential"].iter().any(|w| name.contains(w))
}

/// Every secret that a JSON value names.
#[must_use]
pub fn named(value: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => names.extend(template::secrets(text).map(String::from)),
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                names.extend(
                    fields.get("secret").and_then(Value::as_str).filter(|_| fields.len() == 1).map(String::from),
                );
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_somebody_repeats_them() {
        let keys = Keys::of([("A", "alpha-secret"), ("B", "b")]);
        let hush = Hush::new(&keys, ["opened-secret".to_owned()]);
        let said = json!({"echo": ["Bearer alpha-secret", 1, {"opened-secret": "b"}]});
        assert_eq!(hush.value(said), json!({"echo": ["Bearer ***", 1, {"***": "b"}]}));
    }

    #[test]
    fn what_a_definition_names_is_found() {
        let value = json!({"a": "x ${ONE} {{arg}}", "b": [{"secret": "TWO"}], "c": {"secret": "no", "more": 1}});
        assert_eq!(named(&value), BTreeSet::from(["ONE".to_owned(), "TWO".to_owned()]));
    }
}
