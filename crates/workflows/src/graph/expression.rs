//! Conditions and templates of graphs: minijinja, strict about what is not there, bounded in work and size, without any way out.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Instructions that one expression may take; a template that walks ten thousand items fits.
const FUEL: u64 = 200_000;
/// Most bytes of a rendered text.
const TEXT_BYTES_MAX: usize = 1 << 20;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
});

/// Whether this text is a template at all.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The expression of a text that is one expression and nothing else: its value keeps its type.
fn only_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%")).then_some(inner.trim())
}

/// What an expression mentions from outside, dotted: `state.topic`, `input`.
///
/// # Errors
/// It cannot be read, and why.
pub fn mentions(expression: &str) -> Result<BTreeSet<String>, String> {
    let compiled = ENVIRONMENT.compile_expression(expression).map_err(|e| told(&e))?;
    Ok(without_globals(compiled.undeclared_variables(true)))
}

/// What the templates in a value mention from outside.
///
/// # Errors
/// One of them cannot be read, and why.
pub fn mentions_of(value: &Value) -> Result<BTreeSet<String>, String> {
    let mut all = BTreeSet::new();
    each_text(value, &mut |text| {
        if !is_template(text) {
            return Ok(());
        }
        let template = ENVIRONMENT.template_from_str(text).map_err(|e| told(&e))?;
        all.extend(without_globals(template.undeclared_variables(true)));
        Ok(())
    })?;
    Ok(all)
}

fn without_globals(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let is_global = |name: &String| {
        let first = name.split('.').next().unwrap_or_default();
        ENVIRONMENT.globals().any(|(global, _)| global == first)
    };
    names.into_iter().filter(|name| !is_global(name)).collect()
}

fn each_text(value: &Value, see: &mut impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().try_for_each(|item| each_text(item, see)),
        Value::Object(fields) => fields.values().try_for_each(|field| each_text(field, see)),
        _ => Ok(()),
    }
}

/// Whether a condition holds.
///
/// # Errors
/// It mentions what is not there, or takes too long.
pub fn holds(expression: &str, scope: &Value) -> Result<bool, String> {
    let compiled = ENVIRONMENT.compile_expression(expression).map_err(|e| told(&e))?;
    Ok(compiled.eval(Serde(scope)).map_err(|e| told(&e))?.is_true())
}

/// The value of an expression.
///
/// # Errors
/// As [`holds`]; or its value cannot be written as JSON.
pub fn evaluate(expression: &str, scope: &Value) -> Result<Value, String> {
    let compiled = ENVIRONMENT.compile_expression(expression).map_err(|e| told(&e))?;
    let value = compiled.eval(Serde(scope)).map_err(|e| told(&e))?;
    if value.is_undefined() {
        return Err(format!("{expression}: there is no such value"));
    }
    serde_json::to_value(&value).map_err(|e| format!("{expression}: {e}"))
}

/// A value with its templates filled in. A text that is one expression and nothing else gives that expression's value.
///
/// # Errors
/// As [`evaluate`].
pub fn fill(value: &Value, scope: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) if is_template(text) => match only_expression(text) {
            Some(expression) => evaluate(expression, scope),
            None => {
                let text = ENVIRONMENT.render_str(text, Serde(scope)).map_err(|e| told(&e))?;
                if text.len() > TEXT_BYTES_MAX {
                    return Err(format!("a text of more than {TEXT_BYTES_MAX} bytes"));
                }
                Ok(Value::String(text))
            }
        },
        Value::Array(items) => {
            items.iter().map(|item| fill(item, scope)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        Value::Object(fields) => {
            let filled = fields.iter().map(|(name, field)| Ok((name.clone(), fill(field, scope)?)));
            filled.collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        other => Ok(other.clone()),
    }
}

/// An error in one line, with the line of a longer template.
fn told(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    match error.line() {
        Some(line) if line > 1 => format!("{what} (line {line} of the template)"),
        _ => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_filled_and_types_are_kept() {
        let scope = json!({"state": {"n": 3, "names": ["a", "b"]}, "input": "x"});
        assert_eq!(fill(&json!("{{ state.n + 1 }}"), &scope), Ok(json!(4)));
        assert_eq!(
            fill(&json!({"a": ["{{ state.names }}"], "b": "n={{ state.n }}"}), &scope),
            Ok(json!({"a": [["a", "b"]], "b": "n=3"}))
        );
        assert_eq!(fill(&json!("{% for n in state.names %}{{ n }};{% endfor %}"), &scope), Ok(json!("a;b;")));
        assert_eq!(holds("state.n > 2 and 'a' in state.names", &scope), Ok(true));
        assert!(holds("state.missing == 1", &scope).is_err() && holds("n >", &scope).is_err());
    }

    #[test]
    fn work_and_size_are_bounded() {
        let long = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(fill(&json!(long), &json!({})).unwrap_err().contains("fuel"));
        let wide = json!(format!("{}{{{{ '' }}}}", "x".repeat(TEXT_BYTES_MAX + 1)));
        assert!(fill(&wide, &json!({})).unwrap_err().contains("bytes"));
    }

    #[test]
    fn what_is_mentioned_is_told_dotted() {
        assert_eq!(
            mentions("state.topic | length > input.max").unwrap(),
            ["input.max", "state.topic"].map(String::from).into()
        );
        let value = json!({"a": "{{ nodes.ask }} {% for i in range(3) %}{{ i }}{% endfor %}", "b": 1});
        assert_eq!(mentions_of(&value).unwrap(), ["nodes.ask".to_owned()].into());
        assert!(mentions_of(&json!("{{ a")).is_err());
    }
}
