//! YAML as people write teams and agents: a file becomes JSON, or an error with line and column.

use crate::form::Loc;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;
use std::fmt;

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

/// Where things stand in a file, YAML or JSON.
#[derive(Debug)]
pub struct Places(Spanned<Tree>);

#[derive(Debug)]
enum Tree {
    Leaf,
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

impl Places {
    /// Reads a file that [`yaml_to_json`] reads, too.
    ///
    /// # Errors
    /// What is wrong and where, for people.
    pub fn read(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let tree = serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string().replace('\n', " "))?;
        Ok(Self(tree))
    }

    /// Line and column, from 1, of what a path leads to, or of the last thing on it that is there. A path that ends at a key
    /// leads to the key.
    #[must_use]
    pub fn find(&self, path: &[Loc]) -> (u64, u64) {
        let mut at = &self.0;
        let mut place = at.referenced;
        for (i, step) in path.iter().enumerate() {
            let next = match (&at.value, step) {
                (Tree::List(items), Loc::Index(index)) => items.get(*index).map(|item| (item.referenced, item)),
                (Tree::Map(fields), step) => {
                    let name = match step {
                        Loc::Field(name) => name.to_string(),
                        Loc::Index(index) => index.to_string(),
                    };
                    let found = fields.iter().find(|(key, _)| key.value == name);
                    let is_last = i + 1 == path.len();
                    found.map(|(key, value)| (if is_last { key.referenced } else { value.referenced }, value))
                }
                _ => None,
            };
            let Some((found, below)) = next else { break };
            (place, at) = (found, below);
        }
        (place.line(), place.column())
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_none<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Tree, D::Error> {
                IgnoredAny::deserialize(inner).map(|_| Tree::Leaf)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = access.next_entry()? {
                    fields.push(field);
                }
                Ok(Tree::Map(fields))
            }
        }
        deserializer.deserialize_any(Reader)
    }
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

    #[test]
    fn places_are_found_in_yaml_and_in_json() {
        let text = "name: a\nnodes:\n  one:\n    type: llm\n    cases:\n      - {when: x, next: two}\n";
        let places = Places::read(text).unwrap();
        let path = |steps: &[&'static str]| {
            steps.iter().map(|s| s.parse().map_or(Loc::from(*s), |i: usize| i.into())).collect::<Vec<_>>()
        };
        assert_eq!(places.find(&path(&["nodes", "one", "type"])), (4, 5));
        assert_eq!(places.find(&path(&["nodes", "one", "cases", "0", "next"])), (6, 19));
        assert_eq!(places.find(&path(&["nodes", "one", "prompt"])), (4, 5), "what is missing is missing there");
        assert_eq!(places.find(&[]), (1, 1));
        let json = Places::read("{\"a\": [1,\n {\"b\": 2}]}").unwrap();
        assert_eq!(json.find(&path(&["a", "1", "b"])), (2, 3));
    }
}
