//! An OpenAPI document, 3.0 or 3.1: finding what it says. References lead within it and nowhere else.

use crate::form::nearest;
use crate::tool::http::Place;
use serde_json::{Map, Value, json};
use std::cell::Cell;

/// References within references, at most; what lies deeper may be anything.
const DEPTH_MAX: usize = 10;
/// Schemas of one operation, at most, once its references are resolved.
const NODES_MAX: usize = 4_000;
const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];
/// What documents say about schemas beyond JSON Schema.
const NOT_JSON_SCHEMA: [&str; 6] = ["xml", "discriminator", "externalDocs", "example", "nullable", "deprecated"];

/// See the module.
pub(super) struct Document<'d> {
    root: &'d Value,
}

/// One operation and where it stands.
pub(super) struct Operation<'d> {
    pub id: String,
    pub method: &'static str,
    pub path: &'d str,
    pub item: &'d Value,
    pub value: &'d Value,
}

impl<'d> Document<'d> {
    /// # Errors
    /// What else it is.
    pub fn new(root: &'d Value) -> Result<Self, String> {
        if root["swagger"].is_string() {
            return Err("this is Swagger 2.0; documents of OpenAPI 3.0 and 3.1 are read".into());
        }
        match root["openapi"].as_str() {
            Some(version) if version.starts_with("3.") => Ok(Self { root }),
            Some(version) => Err(format!("this is OpenAPI {version}; 3.0 and 3.1 are read")),
            None => Err("this is no OpenAPI document: it has no field \"openapi\"".into()),
        }
    }

    /// The first server, its variables at their defaults.
    pub fn server(&self) -> Option<String> {
        let server = &self.root["servers"][0];
        let mut url = server["url"].as_str()?.to_owned();
        for (name, variable) in server["variables"].as_object().into_iter().flatten() {
            url = url.replace(&format!("{{{name}}}"), variable["default"].as_str().unwrap_or_default());
        }
        Some(url)
    }

    /// Every operation, in the order of the document.
    pub fn operations(&self) -> Vec<Operation<'d>> {
        let mut all = Vec::new();
        for (path, item) in self.root["paths"].as_object().into_iter().flatten() {
            for method in METHODS {
                let Some(value) = item.get(method).filter(|value| value.is_object()) else { continue };
                let id = value["operationId"].as_str().filter(|id| !id.trim().is_empty());
                let id = id.map_or_else(|| format!("{method}{path}"), ToOwned::to_owned);
                all.push(Operation { id, method, path, item, value });
            }
        }
        all
    }

    /// What an operation must show, in the first way that `has` can show.
    pub fn security(&self, operation: &Operation<'_>, has: impl Fn(&str) -> bool) -> Vec<String> {
        let ways = operation.value.get("security").unwrap_or(&self.root["security"]);
        let names = |way: &Value| way.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
        let mut ways = ways.as_array().into_iter().flatten().map(names);
        ways.find(|way| !way.is_empty() && way.iter().all(|name| has(name))).unwrap_or_default()
    }

    /// Where a security scheme's credentials stand.
    pub fn place(&self, scheme: &str) -> Result<Place, String> {
        let schemes = &self.root["components"]["securitySchemes"];
        let Some(found) = schemes.get(scheme) else {
            let known = schemes.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
            let hint = nearest(scheme, known).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            return Err(format!("it has no security scheme called {scheme:?}{hint}"));
        };
        let found = self.follow(found)?;
        let name = || found["name"].as_str().unwrap_or_default().to_owned();
        match (found["type"].as_str().unwrap_or_default(), found["in"].as_str(), found["scheme"].as_str()) {
            ("apiKey", Some("header"), _) => Ok(Place::Header(name())),
            ("apiKey", Some("query"), _) => Ok(Place::Query(name())),
            ("apiKey", Some("cookie"), _) => Ok(Place::Cookie(name())),
            ("http", _, Some(word)) if word.eq_ignore_ascii_case("basic") => Ok(Place::Basic),
            ("http", _, Some(word)) if word.eq_ignore_ascii_case("bearer") => Ok(Place::Bearer),
            ("oauth2" | "openIdConnect", ..) => Ok(Place::Bearer),
            (kind, ..) => Err(format!("its security scheme {scheme:?} is of a type that is not known: {kind:?}")),
        }
    }

    /// The value itself, or what its reference means.
    pub fn follow(&self, value: &'d Value) -> Result<&'d Value, String> {
        let mut value = value;
        for _ in 0..DEPTH_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok(value) };
            value = self.at(reference)?;
        }
        Err(format!("references follow each other more than {DEPTH_MAX} times"))
    }

    fn at(&self, reference: &str) -> Result<&'d Value, String> {
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(format!("it refers to {reference:?} outside of the document, which is not followed"));
        };
        // A fragment of an address may be percent-encoded.
        let pointer = pointer.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
        let pointer = url::form_urlencoded::parse(pointer.as_bytes()).next();
        let pointer = pointer.map(|(name, _)| name.into_owned()).unwrap_or_default();
        self.root.pointer(&pointer).ok_or_else(|| format!("it refers to {reference:?}, which is not there"))
    }

    /// A schema that stands by itself, as JSON Schema: references resolved, 3.0's own words translated.
    pub fn schema(&self, schema: &Value) -> Result<Value, String> {
        let nodes = Cell::new(0);
        self.resolve(schema, &mut Vec::new(), &nodes)
    }

    fn resolve(&self, schema: &Value, way: &mut Vec<String>, nodes: &Cell<usize>) -> Result<Value, String> {
        nodes.set(nodes.get() + 1);
        if nodes.get() > NODES_MAX {
            return Err(format!("its schemas are more than {NODES_MAX} once references are resolved"));
        }
        let Value::Object(fields) = schema else { return Ok(schema.clone()) };
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            // Seen before on this way: it contains itself, and its inner self may be anything.
            if way.len() >= DEPTH_MAX || way.iter().any(|seen| seen == reference) {
                self.at(reference)?;
                return Ok(json!({}));
            }
            way.push(reference.to_owned());
            let resolved = self.resolve(self.at(reference)?, way, nodes);
            way.pop();
            let mut resolved = resolved?;
            if let (Some(about), Value::Object(fields)) = (fields.get("description"), &mut resolved) {
                fields.insert("description".into(), about.clone());
            }
            return Ok(resolved);
        }
        let mut out = Map::new();
        for (key, value) in fields.iter().filter(|(key, _)| !NOT_JSON_SCHEMA.contains(&key.as_str())) {
            if key.starts_with("x-") {
                continue;
            }
            let value = match (key.as_str(), value) {
                ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(inner)) => {
                    let mut all = Map::new();
                    for (name, schema) in inner.iter().filter(|(_, schema)| schema["readOnly"] != true) {
                        all.insert(name.clone(), self.resolve(schema, way, nodes)?);
                    }
                    all.into()
                }
                ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(all)) => {
                    all.iter().map(|schema| self.resolve(schema, way, nodes)).collect::<Result<Vec<_>, _>>()?.into()
                }
                ("items" | "additionalProperties" | "not" | "contains" | "propertyNames", schema) => {
                    self.resolve(schema, way, nodes)?
                }
                _ => value.clone(),
            };
            out.insert(key.clone(), value);
        }
        Ok(translated(out, fields.get("nullable") == Some(&json!(true))))
    }
}

/// 3.0's own words in those of JSON Schema.
fn translated(mut schema: Map<String, Value>, is_nullable: bool) -> Value {
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(Value::Bool(is_exclusive)) = schema.get(flag).cloned() {
            schema.shift_remove(flag);
            if let Some(limit) = schema.get(bound).cloned().filter(|_| is_exclusive) {
                schema.shift_remove(bound);
                schema.insert(flag.into(), limit);
            }
        }
    }
    if let Some(Value::Array(required)) = schema.get("required").cloned()
        && let Some(Value::Object(properties)) = schema.get("properties")
        && schema.get("allOf").is_none()
    {
        // What only answers have is asked of nobody.
        let asked = required.into_iter().filter(|name| name.as_str().is_none_or(|name| properties.contains_key(name)));
        let asked: Vec<Value> = asked.collect();
        schema.insert("required".into(), asked.into());
    }
    if !is_nullable {
        return schema.into();
    }
    if let Some(Value::String(kind)) = schema.get("type").cloned() {
        schema.insert("type".into(), json!([kind, "null"]));
        if let Some(Value::Array(words)) = schema.get_mut("enum")
            && !words.contains(&Value::Null)
        {
            words.push(Value::Null);
        }
        return schema.into();
    }
    json!({"anyOf": [schema, {"type": "null"}]})
}
