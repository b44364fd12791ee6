//! Fills a JSON Schema from a text: enums by the words they share with it, numbers that stand in it, strings from its
//! sentences. Knows `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`,
//! `anyOf`, `oneOf`, `allOf`, local `$ref`, and the usual bounds; whatever else a schema says may not be met.

pub(super) mod example;
mod number;
mod string;

use super::words::{sentences, stems};
use example::Example;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::BTreeSet;

/// Deeper than this only what is required is filled.
const OPTIONAL_DEPTH_MAX: usize = 4;
/// Deeper than this everything is null.
const DEPTH_MAX: usize = 16;
/// Most values in one answer.
const VALUES_MAX: usize = 4_000;
/// Most items of one array.
const ITEMS_MAX: usize = 256;

/// What can be filled in.
pub(super) struct Source {
    sentences: Vec<String>,
    words: BTreeSet<String>,
    whole: String,
    /// Strings that hold a question are filled with the whole text.
    asking: bool,
    /// Texts whose values are known.
    examples: Vec<Example>,
}

impl Source {
    /// From the sentences of `material`, judged by the words of `input`.
    pub fn new(material: &[String], input: &str) -> Self {
        Self {
            sentences: material.to_vec(),
            words: stems(input),
            whole: input.to_owned(),
            asking: false,
            examples: Vec::new(),
        }
    }

    /// With texts whose values are known.
    pub fn with_examples(self, examples: Vec<Example>) -> Self {
        Self { examples, ..self }
    }

    /// For the arguments of a tool.
    pub fn asking(material: &[String], input: &str) -> Self {
        Self { asking: true, ..Self::new(material, input) }
    }
}

/// A value for `schema`.
pub(super) fn fill(schema: &Value, source: &Source) -> Value {
    let filler = Filler { root: schema, source, values: Cell::new(0) };
    filler.value(schema, &Place { hint: String::new(), depth: 0, variant: 0 })
}

struct Filler<'a> {
    root: &'a Value,
    source: &'a Source,
    values: Cell<usize>,
}

/// Where in the answer a value stands.
#[derive(Clone)]
struct Place {
    /// The names on the way and what the schema says about them.
    hint: String,
    depth: usize,
    /// The nth of several values for one schema, as in an array.
    variant: usize,
}

impl Filler<'_> {
    fn value(&self, schema: &Value, place: &Place) -> Value {
        self.values.set(self.values.get() + 1);
        if place.depth > DEPTH_MAX || self.values.get() > VALUES_MAX {
            return Value::Null;
        }
        let Some(keys) = schema.as_object() else {
            return if schema == &Value::Bool(false) {
                Value::Null
            } else {
                string::fill(&Map::new(), self.source, place)
            };
        };
        let keys = &self.resolved(keys, 0);
        let mut place = place.clone();
        for key in ["title", "description"] {
            if let Some(text) = keys.get(key).and_then(Value::as_str) {
                place.hint.push(' ');
                place.hint.push_str(text);
            }
        }
        // What the form itself says where nobody knows better; this model never does.
        if let Some(value) = keys.get("default") {
            return value.clone();
        }
        if let Some(value) = keys.get("const") {
            return value.clone();
        }
        if let Some(values) = keys.get("enum").and_then(Value::as_array) {
            return self.choice(values, keys, &place);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(options) = keys.get(key).and_then(Value::as_array) {
                return self.option(keys, key, options, &place);
            }
        }
        match kind(keys) {
            "object" => self.object(keys, &place),
            "array" => self.array(keys, &place),
            "integer" => number::fill(keys, self.source, &place, true),
            "number" => number::fill(keys, self.source, &place, false),
            "boolean" => self.boolean(&place),
            "null" => Value::Null,
            _ => string::fill(keys, self.source, &place),
        }
    }

    /// The schema with local references followed and `allOf` merged in.
    fn resolved(&self, keys: &Map<String, Value>, depth: usize) -> Map<String, Value> {
        let mut keys = keys.clone();
        // A part that names itself several times over would be met over and over.
        self.values.set(self.values.get() + 1);
        if depth > DEPTH_MAX || self.values.get() > VALUES_MAX {
            return keys;
        }
        let mut parts = Vec::new();
        if let Some(Value::String(to)) = keys.remove("$ref")
            && let Some(Value::Object(target)) = to.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer))
        {
            parts.push(target.clone());
        }
        if let Some(Value::Array(all)) = keys.remove("allOf") {
            parts.extend(all.into_iter().filter_map(|part| part.as_object().cloned()));
        }
        for part in parts {
            merge(&mut keys, self.resolved(&part, depth + 1));
        }
        keys
    }

    /// One of the values, best first: the more words of the text are in it, and the fewer of its fellows share them.
    fn choice(&self, values: &[Value], keys: &Map<String, Value>, place: &Place) -> Value {
        let allowed = |value: &&Value| {
            let kinds = keys.get("type");
            kinds.is_none()
                || self.kinds(kinds).any(|kind| kind == type_of(value) || (kind == "number" && value.is_number()))
        };
        let values: Vec<&Value> = values.iter().filter(allowed).collect();
        if values.is_empty() {
            return Value::Null;
        }
        let names: Vec<String> = values.iter().map(|value| said(value)).collect();
        let known = example::nearest(&names, &self.source.examples, &self.source.words).filter(|_| place.variant == 0);
        if let Some(known) = known {
            return values[known].clone();
        }
        let ranked = self.ranked(&names);
        values[ranked[place.variant % ranked.len()].0].clone()
    }

    /// Indexes of names with their scores, best first.
    fn ranked(&self, names: &[String]) -> Vec<(usize, usize)> {
        let each: Vec<BTreeSet<String>> = names.iter().map(|name| with_tone(stems(name))).collect();
        let score = |words: &BTreeSet<String>| -> usize {
            let met = words.iter().filter(|word| self.source.words.contains(*word));
            met.map(|word| 1_000 / each.iter().filter(|other| other.contains(word)).count()).sum()
        };
        let mut ranked: Vec<(usize, usize)> = each.iter().map(score).enumerate().collect();
        let usual = |index: usize| !USUAL.contains(&names[index].to_lowercase().as_str());
        ranked.sort_by_key(|(index, score)| (std::cmp::Reverse(*score), usual(*index), *index));
        ranked
    }

    /// The first option that is not null and whose value fits; for nested options the outer keywords hold as well.
    fn option(&self, keys: &Map<String, Value>, key: &str, options: &[Value], place: &Place) -> Value {
        let mut base = keys.clone();
        base.remove(key);
        let mut best = None;
        let shift = if place.variant > 0 { place.variant % options.len().max(1) } else { 0 };
        for option in options.iter().cycle().skip(shift).take(options.len()) {
            let mut merged = base.clone();
            let option = option.as_object().cloned().unwrap_or_default();
            merge(&mut merged, self.resolved(&option, 0));
            let inner = Place { depth: place.depth + 1, ..place.clone() };
            let value = self.value(&Value::Object(merged), &inner);
            let fits = self.fits(&Value::Object(keys.clone()), &value);
            if fits && !value.is_null() {
                return value;
            }
            if best.is_none() || fits {
                best = Some(value);
            }
        }
        best.unwrap_or(Value::Null)
    }

    /// Whether a value fits a part of the schema.
    fn fits(&self, part: &Value, value: &Value) -> bool {
        let mut part = part.clone();
        for defs in ["$defs", "definitions"] {
            if let (Some(defs_of_root), Some(part)) = (self.root.get(defs), part.as_object_mut()) {
                part.entry(defs).or_insert_with(|| defs_of_root.clone());
            }
        }
        jsonschema::validator_for(&part).is_ok_and(|form| form.is_valid(value))
    }

    fn object(&self, keys: &Map<String, Value>, place: &Place) -> Value {
        let properties = keys.get("properties").and_then(Value::as_object);
        let required: Vec<&str> =
            keys.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let (least, most) = (count(keys, "minProperties", 0), count(keys, "maxProperties", usize::MAX));
        let more = keys.get("additionalProperties");
        let mut out = Map::new();
        let mut put = |name: &str, schema: Option<&Value>| {
            let inner =
                Place { hint: format!("{} {name}", place.hint), depth: place.depth + 1, variant: place.variant };
            let value = self.value(schema.or(more).unwrap_or(&Value::Bool(true)), &inner);
            out.insert(name.to_owned(), value);
            out.len()
        };
        let mut filled = 0;
        for name in &required {
            filled = put(name, properties.and_then(|p| p.get(*name)));
        }
        let optional = properties
            .into_iter()
            .flatten()
            .filter(|(name, schema)| !required.contains(&name.as_str()) && **schema != Value::Bool(false));
        for (name, schema) in optional {
            let wanted = place.depth < OPTIONAL_DEPTH_MAX || filled < least;
            if wanted && filled < most {
                filled = put(name, Some(schema));
            }
        }
        let mut n = 0;
        while filled < least.min(ITEMS_MAX) && n < ITEMS_MAX && more != Some(&Value::Bool(false)) {
            n += 1;
            let name = format!("field_{n}");
            if properties.is_none_or(|p| !p.contains_key(&name)) {
                filled = put(&name, None);
            }
        }
        Value::Object(out)
    }

    fn array(&self, keys: &Map<String, Value>, place: &Place) -> Value {
        let prefix = keys.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let items = keys.get("items").unwrap_or(&Value::Bool(true));
        let most = if items == &Value::Bool(false) { prefix.len() } else { ITEMS_MAX };
        let most = count(keys, "maxItems", most).min(most);
        let wanted = prefix.len().max(count(keys, "minItems", 0)).max(self.wanted(items)).min(most);
        let unique = keys.get("uniqueItems") == Some(&Value::Bool(true));
        let mut out: Vec<Value> = Vec::new();
        for variant in 0..wanted * 4 + 16 {
            if out.len() >= wanted {
                break;
            }
            let schema = prefix.get(out.len()).unwrap_or(items);
            let inner = Place { depth: place.depth + 1, variant: place.variant + variant, hint: place.hint.clone() };
            let value = self.value(schema, &inner);
            if !unique || !out.iter().any(|other| same(other, &value)) {
                out.push(value);
            }
        }
        Value::Array(out)
    }

    /// How many items the text offers for an array without bounds.
    fn wanted(&self, items: &Value) -> usize {
        let Some(keys) = items.as_object() else { return 1 };
        let keys = self.resolved(keys, 0);
        if let Some(values) = keys.get("enum").and_then(Value::as_array) {
            let ranked = self.ranked(&values.iter().map(said).collect::<Vec<_>>());
            return ranked.iter().filter(|(_, score)| *score > 0).count().max(1);
        }
        if kind(&keys) == "string" { self.source.sentences.len().clamp(1, 3) } else { 1 }
    }

    /// True where the text speaks of what the place is called.
    fn boolean(&self, place: &Place) -> Value {
        let speaks = !stems(&place.hint).is_disjoint(&self.source.words);
        Value::Bool(speaks != (place.variant % 2 == 1))
    }

    fn kinds<'k>(&self, kinds: Option<&'k Value>) -> impl Iterator<Item = &'k str> + use<'k> {
        let one = kinds.and_then(Value::as_str);
        one.into_iter().chain(kinds.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str))
    }
}

/// Values for when nothing in the text decides.
const USUAL: &[&str] = &["general", "other", "neutral", "normal", "medium", "default", "unknown"];

/// Words that speak for a value without being in its name.
const TONES: &[(&str, &str)] = &[
    ("positive", "thanks thank great good love happy perfect excellent pleased nice awesome wonderful"),
    (
        "negative",
        "angry bad terrible wrong waiting failed broken lost stolen worst unhappy problem cannot declined issue",
    ),
    ("high", "urgent urgently immediately asap stolen fraud emergency lost critical"),
    ("urgent", "urgently immediately asap stolen fraud emergency"),
    ("escalate", "fraud stolen lawyer complaint angry compromised human manager legal"),
];

fn with_tone(mut words: BTreeSet<String>) -> BTreeSet<String> {
    for (name, tone) in TONES {
        if words.contains(&stems(name).into_iter().next().unwrap_or_default()) {
            words.extend(stems(tone));
        }
    }
    words
}

/// Adds a part's keywords: properties and required names are united, for all else the part wins.
fn merge(into: &mut Map<String, Value>, part: Map<String, Value>) {
    for (key, value) in part {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if key == "properties" => old.extend(new),
            (Some(Value::Array(old)), Value::Array(new)) if key == "required" => {
                old.extend(new);
                let mut seen = BTreeSet::new();
                old.retain(|name| seen.insert(name.to_string()));
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// The kind of value to make: the first named one that is not null, else what the other keywords are about.
fn kind(keys: &Map<String, Value>) -> &str {
    let named: Vec<&str> = match keys.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(kind) = named.iter().find(|kind| **kind != "null").or(named.first()) {
        return kind;
    }
    let about = |names: &[&str]| names.iter().any(|name| keys.contains_key(*name));
    if about(&["properties", "required", "additionalProperties", "minProperties"]) {
        "object"
    } else if about(&["items", "prefixItems", "minItems", "maxItems", "uniqueItems"]) {
        "array"
    } else if about(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        "number"
    } else {
        "string"
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn said(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Equal as JSON Schema sees it: 1 and 1.0 are one value.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| Some(a) == b.as_f64())
}

fn count(keys: &Map<String, Value>, name: &str, default: usize) -> usize {
    let value = keys.get(name).and_then(|v| v.as_u64().or_else(|| v.as_f64().map(|f| f as u64)));
    value.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
