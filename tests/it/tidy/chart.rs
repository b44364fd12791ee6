//! The Helm chart, without Helm: values against their schema, templates against the values, the settings and themselves.

use super::packaging::{settings, text, version, yaml};
use super::root;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CHART: &str = "deploy/helm/tutti";

fn values() -> Value {
    yaml(&format!("{CHART}/values.yaml"))
}

/// The templates, by name.
fn templates() -> Vec<(String, String)> {
    let folder = root().join(CHART).join("templates");
    let names = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<_> = names.map(|name| (name.clone(), text(&format!("{CHART}/templates/{name}")))).collect();
    all.sort();
    assert!(all.len() >= 5, "{all:?}");
    all
}

/// What stands between braces in a template, comments left out.
fn actions(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        assert!(!before.contains("}}"), "{name}: braces close that did not open, near {before:?}");
        let (action, after) = after.split_once("}}").unwrap_or_else(|| panic!("{name}: braces do not close: {after}"));
        assert!(!action.contains("{{"), "{name}: braces within braces: {action}");
        let action = action.trim_start_matches('-').trim_end_matches('-').trim();
        if !action.starts_with("/*") {
            found.push(action.to_owned());
        }
        rest = after;
    }
    assert!(!rest.contains("}}"), "{name}: braces close that did not open, near {rest:?}");
    found
}

/// An action's words outside quotes; a path such as `$root.Values.image` is one.
fn words(action: &str) -> Vec<String> {
    let bare: String = action.split('"').step_by(2).collect::<Vec<_>>().join(" \" ");
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '$' | '"');
    bare.split(|c| !is_word(c)).filter(|w| !w.is_empty()).map(String::from).collect()
}

fn quoted(action: &str) -> Option<&str> {
    action.split('"').nth(1)
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = yaml(&format!("{CHART}/Chart.yaml"));
    assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(version()), &json!(version())));
}

#[test]
fn the_values_fit_their_schema_and_slips_do_not() {
    let schema: Value = serde_json::from_str(&text(&format!("{CHART}/values.schema.json"))).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = schema.iter_errors(&values()).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let with = |path: &str, value: Value| {
        let mut values = values();
        let (parent, key) = path.rsplit_once('/').unwrap();
        values.pointer_mut(parent).unwrap()[key] = value;
        values
    };
    for (path, value) in [
        ("/existingSecret", json!("tutti")),
        ("/postgres/host", json!("pg.example.org")),
        ("/settings/LLM_BASE_URL", json!("http://x")),
        ("/podDisruptionBudget/minAvailable", json!("50%")),
        ("/dataVolume", json!({"persistentVolumeClaim": {"claimName": "x"}})),
        ("/global", json!({})),
    ] {
        assert!(schema.is_valid(&with(path, value)), "{path}");
    }
    for (path, value) in [
        ("/replicas", json!(3)),
        ("/api/replica", json!(3)),
        ("/api/replicas", json!("3")),
        ("/api/replicas", json!(-1)),
        ("/existingSecret", json!({"name": "tutti"})),
        ("/existingSecret", json!("Not A Name")),
        ("/postgres/port", json!("5432")),
        ("/postgres/password", json!("no secrets here")),
        ("/settings/MAX_RETRIES", json!(3)),
        ("/settings/llm_base_url", json!("http://x")),
        ("/hosts", json!("tutti.example.org")),
        ("/hosts", json!(["http://tutti.example.org"])),
        ("/service/type", json!("ExternalName")),
        ("/service/port", json!(0)),
        ("/image/pullPolicy", json!("always")),
        ("/dataVolume", json!({})),
    ] {
        assert!(!schema.is_valid(&with(path, value.clone())), "{path} = {value} passes");
    }
}

#[test]
fn every_block_of_the_templates_ends() {
    for (name, text) in templates() {
        let mut open: Vec<String> = Vec::new();
        for action in actions(&name, &text) {
            match action.split_whitespace().next().unwrap_or_default() {
                "if" | "with" | "range" | "define" => open.push(action),
                "else" => assert!(!open.is_empty(), "{name}: else without if"),
                "end" => drop(open.pop().unwrap_or_else(|| panic!("{name}: one end too many"))),
                _ => assert_eq!(action.matches('(').count(), action.matches(')').count(), "{name}: {action}"),
            }
        }
        assert!(open.is_empty(), "{name}: {open:?} does not end");
    }
}

#[test]
fn every_value_that_is_used_is_there_and_every_one_that_is_there_is_used() {
    let values = values();
    let mut used = BTreeSet::new();
    for (name, text) in templates() {
        for word in actions(&name, &text).iter().flat_map(|a| words(a)) {
            if let Some((before, path)) = word.split_once(".Values.") {
                assert!(["", "$root"].contains(&before), "{name}: {word}");
                let pointer = format!("/{}", path.replace('.', "/"));
                assert!(values.pointer(&pointer).is_some(), "{name} uses {path}, which values.yaml does not have");
                used.insert(path.to_owned());
            }
            // What a Deployment's own values are called there.
            if let Some(field) = word.strip_prefix("$own.") {
                for kind in ["api", "worker"] {
                    assert!(values[kind].get(field).is_some(), "{name} uses {kind}.{field}");
                    used.insert(format!("{kind}.{field}"));
                }
            }
        }
    }
    let mut there = BTreeSet::new();
    for (key, value) in values.as_object().unwrap() {
        match value.as_object() {
            Some(fields) if !fields.is_empty() && key != "dataVolume" => {
                there.extend(fields.keys().map(|field| format!("{key}.{field}")));
            }
            _ => drop(there.insert(key.clone())),
        }
    }
    let unused: Vec<_> = there.difference(&used).collect();
    assert!(unused.is_empty(), "values.yaml has what no template uses: {unused:?}");
}

/// Helm knows these; a slip in a name would show only when it renders.
const FUNCTIONS: [&str; 26] = [
    "concat",
    "contains",
    "default",
    "define",
    "else",
    "end",
    "gt",
    "if",
    "include",
    "index",
    "int",
    "join",
    "list",
    "nindent",
    "printf",
    "quote",
    "range",
    "required",
    "toYaml",
    "trimSuffix",
    "trunc",
    "with",
    "and",
    "or",
    "not",
    "eq",
];

#[test]
fn templates_call_what_there_is() {
    let all = templates();
    let each = || all.iter().flat_map(|(name, text)| actions(name, text).into_iter().map(move |a| (name, a)));
    let named = |verb: &str| -> BTreeSet<String> {
        let calls = each().flat_map(|(_, a)| {
            a.split(verb).skip(1).filter_map(|rest| quoted(rest).map(String::from)).collect::<Vec<_>>()
        });
        calls.collect()
    };
    assert_eq!(named("define "), named("include "), "what is defined, and what is included");
    for (name, action) in each() {
        for word in words(&action) {
            let is_call = word.starts_with(char::is_alphabetic);
            assert!(!is_call || FUNCTIONS.contains(&word.as_str()), "{name}: {word} in {action}");
        }
    }
}

#[test]
fn pods_are_set_by_known_names_and_asked_where_an_answer_is() {
    let (known, router) = (settings(), text("crates/server/src/router.rs"));
    let mut set = BTreeSet::new();
    for (name, text) in templates() {
        for line in text.lines().map(str::trim) {
            if let Some(variable) = line.strip_prefix("- name: ").filter(|v| v.starts_with(char::is_uppercase)) {
                assert!(known.contains(variable), "{name} sets {variable}, which no server knows");
                set.insert(variable.to_owned());
            }
            if let Some(path) = line.strip_prefix("path: ") {
                assert!(router.contains(&format!("{path:?}")), "{name} asks {path}, which is no route");
            }
        }
    }
    for must in [
        "AGENT_ORCHESTRATOR_HOST",
        "TUTTI_ADMIN_KEY",
        "VAULT_KEY",
        "TUTTI_HOSTS",
        "POSTGRES_HOST",
        "RABBITMQ_USER",
        "REDIS_HOST",
    ] {
        assert!(set.contains(must), "pods do not set {must}");
    }
    let all: String = templates().into_iter().map(|(_, text)| text).collect();
    for role in ["api", "worker"] {
        assert!(all.contains(&format!("(list . \"{role}\" .Values.{role})")), "no Deployment of {role}");
    }
    for hardened in ["runAsNonRoot: true", "readOnlyRootFilesystem: true", "allowPrivilegeEscalation: false"] {
        assert!(all.contains(hardened), "pods lack {hardened}");
    }
}
