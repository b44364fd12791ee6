//! Where in a text the parts of what it says stand.

use super::{Wrong, parse};
use crate::form::Loc;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// The lines and columns of a YAML text, by path.
#[derive(Debug)]
pub struct Places(Spanned<Node>);

/// What has parts.
#[derive(Debug)]
enum Node {
    Leaf,
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl Places {
    /// Reads them.
    ///
    /// # Errors
    /// As [`parse_yaml`](super::parse_yaml).
    pub fn read(text: &str) -> Result<Self, Wrong> {
        parse(text).map(Self)
    }

    /// Line and column, from 1, of what stands at a path; of what is nearest above it where nothing does.
    #[must_use]
    pub fn find(&self, path: &[Loc]) -> (u64, u64) {
        let mut at = &self.0;
        for step in path {
            let part = match (&at.value, step) {
                (Node::List(items), Loc::Index(index)) => items.get(*index),
                (Node::Map(fields), Loc::Field(name)) => {
                    fields.iter().find(|(field, _)| field == name).map(|(_, part)| part)
                }
                _ => None,
            };
            match part {
                Some(part) => at = part,
                None => break,
            }
        }
        (at.referenced.line(), at.referenced.column())
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

/// Scalars of every kind are leaves.
macro_rules! leaves {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Node, E> {
            Ok(Node::Leaf)
        })*
    };
}

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    leaves!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Node::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_and_what_is_missing_stands_where_it_should() {
        let text = "# An agent.\nagent_id: a\nbrain_config:\n  persona: {role: r, expertise: 7}\n  components:\n  - id: x\n    type: llm\n  - id: y\nnote: |\n  long\n  text\nlast: null\n";
        let places = Places::read(text).unwrap();
        let find = |path: &[Loc]| places.find(path);
        assert_eq!(find(&["agent_id".into()]), (2, 11));
        assert_eq!(find(&["brain_config".into(), "persona".into(), "expertise".into()]), (4, 33));
        assert_eq!(find(&["brain_config".into(), "components".into(), 1.into(), "id".into()]), (8, 9));
        assert_eq!(
            find(&["brain_config".into(), "components".into(), 1.into(), "type".into()]),
            (8, 5),
            "its list item"
        );
        assert_eq!(find(&["last".into()]).0, 12);
        assert_eq!(find(&["nope".into()]).0, 2);
        assert!(Places::read("a: [1").is_err() && Places::read("a: 1\na: 2").is_err());
        assert_eq!(Places::read("[1, {\"a\": 2}]").unwrap().find(&[1.into(), "a".into()]), (1, 11), "JSON is YAML");
    }
}
