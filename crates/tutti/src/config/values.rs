//! The effective text of every setting, with its origin; and all that is wrong, one line each.

use super::form::Form;
use super::setting::{Setting, Use};
use super::sources::{Origin, Sources};
use std::collections::BTreeMap;
use std::fmt;

/// Why the start stops: one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, where it is one setting's fault.
    pub name: Option<String>,
    /// Whether a flag is at fault: wrong usage.
    pub usage: bool,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A setting's fault.
    pub fn of(name: &str, message: impl fmt::Display) -> Self {
        Self { name: Some(name.into()), usage: false, message: format!("{name}: {message}") }
    }

    /// A file's fault.
    pub fn file(message: String) -> Self {
        Self { name: None, usage: false, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// One effective value.
#[derive(Debug, Clone)]
pub struct Value {
    /// The text, where there is one.
    pub text: Option<String>,
    /// Who set it.
    pub origin: Origin,
    /// The file that a secret was read from.
    pub secret_file: Option<String>,
}

impl Value {
    /// Where the value came from, in words.
    #[must_use]
    pub fn from(&self) -> String {
        match &self.secret_file {
            Some(path) => format!("file {path} ({})", self.origin),
            None => self.origin.to_string(),
        }
    }
}

/// The effective values by name.
#[derive(Default)]
pub struct Values(BTreeMap<&'static str, Value>);

/// A secret's file may be so long.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

impl Values {
    /// Takes every setting from the first layer that has it, and names all that is wrong with them.
    pub fn take(sources: &Sources, settings: impl Iterator<Item = &'static Setting>) -> (Self, Vec<Problem>) {
        let mut values = Self::default();
        let mut problems = Vec::new();
        for setting in settings {
            match value(sources, setting).and_then(|value| checked(setting, value)) {
                Ok(value) => drop(values.0.insert(setting.name, value)),
                Err(problem) => problems.push(problem),
            }
        }
        (values, problems)
    }

    /// A setting's typed value. Fails only where [`take`](Self::take) has told of it already.
    pub fn get<F: Form>(&self, name: &str, form: &F) -> Result<F::Out, Problem> {
        let text = self.0.get(name).and_then(|value| value.text.as_deref());
        text.map_or_else(|| form.absent(), |text| form.read(text))
            .ok_or_else(|| Problem::of(name, format!("it should be {}", form.wants())))
    }

    /// A setting's value as text.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

fn value(sources: &Sources, setting: &Setting) -> Result<Value, Problem> {
    let plain = sources.find(setting.name, setting)?;
    let file = if setting.form.is_secret() { sources.find(&format!("{}_FILE", setting.name), &FILE)? } else { None };
    match (plain, file) {
        (Some((_, a)), Some((_, b))) => {
            let name = setting.name;
            Err(Problem::of(name, format!("both {name} ({a}) and {name}_FILE ({b}) are set; unset one of them")))
        }
        (Some((text, origin)), None) => Ok(Value { text: Some(text), origin, secret_file: None }),
        (None, Some((path, origin))) => {
            let text = read_secret(&path)
                .map_err(|why| Problem::of(&format!("{}_FILE", setting.name), format!("{path:?} ({origin}) {why}")))?;
            Ok(Value { text: Some(text), origin, secret_file: Some(path) })
        }
        (None, None) => {
            Ok(Value { text: setting.default.map(str::to_owned), origin: Origin::Default, secret_file: None })
        }
    }
}

static FILE: Setting = Setting { name: "_FILE", form: &super::form::Path, default: None, about: "", used: Use::Now };

fn read_secret(path: &str) -> Result<String, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if about.len() > SECRET_BYTES_MAX {
        return Err(format!("is longer than {SECRET_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("is empty".into()) } else { Ok(text.to_owned()) }
}

fn checked(setting: &Setting, value: Value) -> Result<Value, Problem> {
    let Some(text) = &value.text else { return Ok(value) };
    if !setting.form.fits(text) {
        let shown = if setting.form.is_secret() { "the value".into() } else { shortened(&setting.form.show(text)) };
        let message = format!("{shown} ({}) is not {}", value.from(), setting.form.wants());
        let usage = matches!(value.origin, Origin::Flag(_));
        return Err(Problem { usage, ..Problem::of(setting.name, message) });
    }
    match setting.used {
        Use::Refused(why) if value.origin != Origin::Default && !is_off(text) => {
            Err(Problem::of(setting.name, format!("set ({}), but {why}; unset it to start", value.from())))
        }
        _ => Ok(value),
    }
}

fn is_off(text: &str) -> bool {
    super::form::Boolean.read(text) == Some(false)
}

fn shortened(text: &str) -> String {
    let mut quoted = format!("{:?}", text.chars().take(80).collect::<String>());
    if text.chars().nth(80).is_some() {
        quoted.push('…');
    }
    quoted
}
