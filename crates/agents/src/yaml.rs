//! YAML as people write teams and agents: a file becomes JSON, or an error with line and column.

use serde_json::Value;

/// Most bytes of a file.
pub const BYTES_MAX: usize = 1 << 20;

/// Reads YAML. Only `true` and `false` are booleans, keys are texts and stand once, and aliases may not multiply a file.
///
/// # Errors
/// What is wrong and where, for people.
pub fn yaml_to_json(text: &str) -> Result<Value, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("more than {BYTES_MAX} bytes"));
    }
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert!(yaml_to_json(&"x".repeat(BYTES_MAX + 1)).unwrap_err().contains("bytes"));
    }
}
