use super::*;
use serde_json::json;

fn setting() -> Setting<'static> {
    static BOOK: std::sync::OnceLock<AgentBook> = std::sync::OnceLock::new();
    Setting { agents: BOOK.get_or_init(AgentBook::default), iterations_max: 10, depth: 0, named: None, tools: None }
}

fn checked(pattern: &str, value: &Value) -> Result<Checked, Vec<String>> {
    check_value(find(pattern).unwrap(), value, &setting())
        .map_err(|all| all.iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect())
}

#[test]
fn every_pattern_is_complete() {
    for pattern in PATTERNS {
        let example = (pattern.example)();
        assert_eq!(example["pattern"], pattern.name);
        let checked = checked(pattern.name, &example).unwrap();
        let stored: PatternInput<Value> = serde_json::from_slice(&checked.input).unwrap();
        assert_eq!(stored.input, example["input"]);
        assert!(pattern.description.ends_with('.'));
    }
    assert!(PATTERNS.is_sorted_by_key(|p| p.name));
}

#[test]
fn every_schema_lists_exactly_what_is_read() {
    for pattern in PATTERNS {
        let schema = (pattern.options)();
        let keys: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        for key in &keys {
            // No option is a list of a list: each is known, and refused for its type alone.
            let found =
                checked(pattern.name, &json!({"input": "x", "agents": ["llm"], "options": {key: [[]]}})).unwrap_err();
            assert!(!found.is_empty() && found.iter().all(|f| !f.contains("unknown key")), "{key}: {found:?}");
        }
        let errors = Errors::default();
        let body = json!({"input": "x", "agents": ["llm"], "options": {"zzz": 1}});
        let _ = (pattern.check)(&Form::body(&body, &errors).unwrap(), &setting());
        assert_eq!(errors.into_vec()[0].kind, "value_error.extra");
    }
}

#[test]
fn teams_are_checked() {
    let team = |agents: Value| checked("sequential", &json!({"input": "x", "agents": agents}));
    assert_eq!(team(json!([])).unwrap_err(), ["agents: agents must name at least one agent"]);
    assert_eq!(team(json!("llm")).unwrap_err(), ["agents: value is not a valid list"]);
    assert_eq!(
        team(json!(["llm", "lmm"])).unwrap_err(),
        ["agents[1]: there is no agent named \"lmm\"; did you mean \"llm\"?"]
    );
    assert_eq!(
        team(json!([{"name": "a", "instructions": "x"}, {"name": "a", "instructions": "y"}, 7])).unwrap_err(),
        [
            "agents[1]: agent \"a\" stands in the team twice; give each member a name of its own",
            "agents[2]: a member of a team is the name of an agent or an agent's definition"
        ]
    );
    assert_eq!(
        team(json!([{"pattern": "concurrent", "agents": [], "options": {"agregate": "all"}}, {"pattern": "x"}]))
            .unwrap_err(),
        [
            "agents[0].agents: agents must name at least one agent",
            "agents[0].options.agregate: unknown key \"agregate\"; did you mean \"aggregate\"?",
            "agents[1].pattern: there is no pattern named \"x\"",
        ]
    );
    let deep = |inner: Value| json!({"pattern": "sequential", "agents": [inner]});
    let five = (0..5).fold(json!("llm"), |inner, _| deep(inner));
    assert!(team(json!([five])).unwrap_err()[0].contains("at most 4 deep"));
    let unconfigured = team(json!(["llm", "search"])).unwrap().unconfigured;
    assert!(unconfigured.len() == 1 && unconfigured[0].contains("SEARCH_PROVIDER"));
}

#[test]
fn options_are_checked_all_at_once() {
    let found = checked(
        "concurrent",
        &json!({"input": " ", "agents": ["llm"], "options": {"aggregate": "votes", "max_parallel": 0, "quorum": 2,
            "timeout_seconds": -1, "max_iterations": "3", "budget": {"token": 5}, "on_eror": "keep"}}),
    );
    assert_eq!(
        found.unwrap_err(),
        [
            "input: input must not be empty",
            "options.aggregate: \"votes\" is not one of: all, concat, merge, vote, first, best, llm",
            "options.max_parallel: max_parallel must be an integer from 1 to 64",
            "options.quorum: quorum must be an integer from 1 to 1",
            "options.max_iterations: value is not a valid integer",
            "options.timeout_seconds: timeout_seconds must be above 0 and at most 31536000 seconds",
            "options.budget.token: unknown key \"token\"; did you mean \"tokens\"?",
            "options.budget: budget must bound tokens, cost, or both",
            "options.on_eror: unknown key \"on_eror\"; did you mean \"on_error\"?",
        ]
    );
}

#[test]
fn inputs_survive_storage_and_old_ones_are_read() {
    let body = json!({"input": {"q": 1}, "agents": ["llm"], "options": {"pass": "all", "timeout_seconds": 1.5}});
    let checked = checked("sequential", &body).unwrap();
    assert_eq!(checked.timeout_ms, Some(1_500));
    let stored: PatternInput<sequential::Options> = serde_json::from_slice(&checked.input).unwrap();
    assert_eq!((stored.options.pass, stored.max_iterations), (sequential::Pass::All, 10));
    let text = String::from_utf8(checked.input.clone()).unwrap();
    assert!(!text.contains("others") && !text.contains("shared"), "what is not said is not stored: {text}");
    assert_eq!(stored.text(), r#"{"q":1}"#);
    let old: PatternInput<concurrent::Options> =
        serde_json::from_value(json!({"input": "x", "agents": [{"name": "a"}]})).unwrap();
    assert_eq!(old.options, concurrent::Options::default());
}
