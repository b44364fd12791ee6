//! A pattern's options as one list of data: the form that reads them and the JSON Schema that describes them are the same.

use super::request::Cast;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tutti_agents::form::{Field, Form};

/// One option.
pub struct Opt {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it does, in a sentence.
    pub help: &'static str,
}

/// What an option may be.
pub enum Kind {
    /// One of these words; the first is the default.
    Word(&'static [&'static str]),
    /// A whole number in these bounds.
    Count(i64, i64),
    /// A whole number from 1 to the size of the team.
    UpToTeam,
    /// Seconds above 0, at most this; stored as milliseconds.
    Seconds(u32),
    /// `true` or `false`.
    Flag,
    /// A member of the team by name.
    Member,
    /// Members of the team by name.
    Members,
    /// Any agent: a member, one by name, or one defined here. Stored as a name.
    Agent,
    /// Anything else: its schema, and what makes of it what is stored.
    Data(fn() -> Value, Reader),
}

/// Reads a value of a kind of its own; `None` when something was wrong and has been said.
pub type Reader = fn(&Field<'_, '_>, &Cast<'_>) -> Option<Value>;

impl Opt {
    /// An option.
    pub const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, help }
    }

    /// What it may be, as a JSON Schema.
    pub(crate) fn schema(&self) -> Value {
        let name = json!({"type": "string"});
        let mut schema = match &self.kind {
            Kind::Word(words) => json!({"type": "string", "enum": words, "default": words[0]}),
            Kind::Count(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
            Kind::UpToTeam => json!({"type": "integer", "minimum": 1, "maximum": super::AGENTS_MAX}),
            Kind::Seconds(max) => json!({"type": "number", "exclusiveMinimum": 0, "maximum": max}),
            Kind::Flag => json!({"type": "boolean", "default": false}),
            Kind::Member => name,
            Kind::Members => json!({"type": "array", "items": name}),
            Kind::Agent => json!({"anyOf": [name, {"type": "object"}]}),
            Kind::Data(schema, _) => schema(),
        };
        let more = schema["description"].as_str().map_or(String::new(), |text| format!(" {text}"));
        schema["description"] = json!(format!("{}{more}", self.help));
        schema
    }

    fn read(&self, field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
        match &self.kind {
            Kind::Word(words) => {
                let pairs: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
                field.choice(&pairs).map(|word| json!(word))
            }
            Kind::Count(min, max) => field.integer(*min, *max).map(|n| json!(n)),
            Kind::UpToTeam => {
                // A team that could not be read says nothing about its size.
                let size = if cast.members.is_empty() { super::AGENTS_MAX } else { cast.members.len() };
                field.integer(1, i64::try_from(size).unwrap_or(i64::MAX)).map(|n| json!(n))
            }
            Kind::Seconds(max) => field.seconds(*max).map(|ms| json!(ms)),
            Kind::Flag => field.boolean().map(|b| json!(b)),
            Kind::Member => cast.member(field).map(|name| json!(name)),
            Kind::Members => {
                field.list(super::AGENTS_MAX).map(|l| l.items().filter_map(|item| cast.member(&item)).collect())
            }
            Kind::Agent => cast.agent(field).map(|name| json!(name)),
            Kind::Data(_, read) => read(field, cast),
        }
    }
}

/// Reads the options of a list.
pub(crate) fn read_map(list: &[Opt], form: &Form<'_>, cast: &Cast<'_>) -> Map<String, Value> {
    let read = |opt: &Opt| {
        let field = form.field(opt.name);
        let value = if field.is_present() { opt.read(&field, cast) } else { None };
        // Seconds from outside are milliseconds inside.
        let name = if let Kind::Seconds(_) = opt.kind { opt.name.replace("_seconds", "_ms") } else { opt.name.into() };
        Some((name, value?))
    };
    list.iter().filter_map(read).collect()
}

/// The options of a list, typed.
pub(crate) fn typed<O: DeserializeOwned + Default>(map: Map<String, Value>, form: &Form<'_>) -> O {
    match serde_json::from_value(Value::Object(map)) {
        Ok(options) => options,
        Err(e) => {
            form.errors()
                .push(tutti_agents::form::FieldError::value(vec!["body".into(), "options".into()], e.to_string()));
            O::default()
        }
    }
}

/// The JSON Schema of options.
pub(crate) fn schema(lists: &[&[Opt]]) -> Value {
    let properties: Map<_, _> = lists.iter().flat_map(|l| l.iter()).map(|o| (o.name.to_owned(), o.schema())).collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// Reads a value that `T` describes, as it is stored.
pub(crate) fn plain<T: DeserializeOwned>(field: &Field<'_, '_>) -> Option<T> {
    match T::deserialize(field.value()?) {
        Ok(read) => Some(read),
        Err(e) => {
            field.fail(e.to_string());
            None
        }
    }
}
