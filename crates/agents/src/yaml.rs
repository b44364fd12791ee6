//! YAML as people write teams and agents: a file becomes JSON, or an error with line and column; and JSON becomes a file.

mod places;

pub use places::Places;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Most bytes of a file.
pub const BYTES_MAX: usize = 1 << 20;

/// Why a text cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Wrong {
    /// What is wrong and where, for people.
    pub message: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
}

/// Reads YAML. Only `true` and `false` are booleans, keys are texts and stand once, and aliases may not multiply a file.
///
/// # Errors
/// What is wrong and where, for people.
pub fn yaml_to_json(text: &str) -> Result<Value, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("more than {BYTES_MAX} bytes"));
    }
    parse_yaml(text).map_err(|wrong| wrong.message)
}

/// Reads YAML of any length, for those who have bounded it.
///
/// # Errors
/// What is wrong and where.
pub fn parse_yaml(text: &str) -> Result<Value, Wrong> {
    parse(text)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let (line, column) = e.location().map_or((1, 1), |at| (at.line(), at.column()));
        Wrong { message: e.to_string().replace('\n', " "), line, column }
    })
}

/// Writes YAML that changes as little as what it says: fields in their order, texts of several lines as they are, nothing
/// folded.
///
/// # Errors
/// In words: a value that YAML does not have.
pub fn json_to_yaml(value: &Value) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX, min_fold_chars: usize::MAX };
    let text = serde_saphyr::to_string_with_options(value, options).map_err(|e| e.to_string())?;
    // Empty lines of a text are written with its indentation, which tools that compare lines complain about.
    let is_blank = |line: &str| line.bytes().all(|byte| byte == b' ' || byte == b'\n');
    let bare: String = text.split_inclusive('\n').map(|line| if is_blank(line) { "\n" } else { line }).collect();
    Ok(if parse_yaml(&bare).as_ref() == Ok(value) { bare } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_people_write_is_read() {
        let team = "pattern: sequential\ninput: |\n  two\n  lines\nagents:\n- llm\n- name: no\n  instructions: \"yes: really\"\noptions: {pass: all}\n";
        assert_eq!(
            yaml_to_json(team).unwrap(),
            json!({"pattern": "sequential", "input": "two\nlines\n", "agents": ["llm", {"name": "no", "instructions": "yes: really"}],
                "options": {"pass": "all"}})
        );
        assert_eq!(yaml_to_json("a: true\nb: 7\nc: 1.5\nd:").unwrap(), json!({"a": true, "b": 7, "c": 1.5, "d": null}));
    }

    #[test]
    fn what_is_wrong_says_where() {
        for (text, part) in [("a: [1, 2", "line"), ("a: 1\na: 2", "uplicate"), ("a: b: c", "line 1")] {
            let wrong = yaml_to_json(text).unwrap_err();
            assert!(wrong.contains(part) && !wrong.contains('\n'), "{text}: {wrong}");
        }
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let alias = format!("*a{}", i - 1);
            bomb += &format!("a{i}: &a{i} [{}]\n", vec![alias; 8].join(", "));
        }
        assert!(yaml_to_json(&bomb).is_err(), "aliases multiply");
        let Wrong { line, column, .. } = parse_yaml("a: 1\nb: [1, 2").unwrap_err();
        assert_eq!((line, column), (2, 4));
        assert!(yaml_to_json(&"x".repeat(BYTES_MAX + 1)).unwrap_err().contains("bytes"));
    }

    #[test]
    fn what_is_written_can_be_compared_by_lines() {
        let agent = json!({"agent_id": "a", "instructions": "One.\n\nTwo: three\n", "capabilities": ["x", "no"], "n": 1.5,
            "empty": {}, "long": "word ".repeat(60)});
        let long = format!("\"{}\"", "word ".repeat(60));
        assert_eq!(
            json_to_yaml(&agent).unwrap(),
            format!(
                "agent_id: a\ninstructions: |\n  One.\n\n  Two: three\ncapabilities:\n- x\n- \"no\"\n\"n\": 1.5\nempty: {{}}\n\
                 long: {long}\n"
            )
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[ -~]{0,12}",
            "\\PC{0,8}",
            "[a-z:#|>'\" \n\t\\r-]{0,24}",
            prop::sample::select(vec![
                "",
                "yes",
                "null",
                "~",
                "1e3",
                "0x1F",
                "2001-01-01",
                "---",
                "- a",
                " a\n b\n",
                "\n",
                "a\n\n",
                "\u{85}"
            ])
            .prop_map(String::from),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u32>().prop_map(|n| json!(f64::from(n) / 8.0)),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_json()) {
            let text = json_to_yaml(&value).unwrap();
            prop_assert_eq!(&yaml_to_json(&text).map_err(|e| format!("{e}: {text}")), &Ok(value.clone()));
            prop_assert_eq!(json_to_yaml(&yaml_to_json(&text).unwrap()).unwrap(), text);
        }
    }
}
