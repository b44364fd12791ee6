use super::*;
use crate::form::Errors;

fn read(value: &Value) -> Result<AgentDefinition, Vec<String>> {
    let errors = Errors::default();
    let agent = Form::body(value, &errors)
        .and_then(|form| AgentDefinition::read(&form, Some(&EgressPolicy::default()), &ToolBook::default()));
    errors.or(agent).map_err(|all| all.iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect())
}

#[test]
fn the_contracts_example_is_read_and_survives_storage() {
    let value = json!({"name": "critic", "kind": "llm", "instructions": "You judge.", "model": "m",
        "output_schema": {"type": "object", "properties": {"score": {"type": "integer"}}}, "routes": ["writer"], "tools": []});
    let agent = read(&value).unwrap();
    assert_eq!(serde_json::from_value::<AgentDefinition>(json!(agent)).unwrap(), agent);
    assert_eq!((agent.kind, agent.routes), (Kind::Llm, vec!["writer".to_owned()]));
    let old: AgentDefinition = serde_json::from_value(json!({"name": "a"})).unwrap();
    assert_eq!(old, AgentDefinition::llm("a", ""), "additive changes only");
}

#[test]
fn everything_wrong_with_an_agent_is_said_at_once() {
    let found = read(
        &json!({"name": " a", "kind": "robot", "instructons": "x", "tools": ["hammer"], "output_schema": {"type": 5}}),
    );
    let found = found.unwrap_err();
    assert_eq!(found[0], "name: name must not begin or end with white space");
    assert_eq!(found[1], "kind: \"robot\" is not one of: llm, http, a2a, human");
    assert_eq!(found[2], "instructions: field required");
    assert_eq!(
        found[3],
        "tools[0]: there is no tool named \"hammer\"; did you mean \"calendar\"?; GET /v1/tools/list shows all"
    );
    assert!(found[4].starts_with("output_schema: output_schema is not a valid JSON Schema"), "{found:?}");
    assert_eq!(found[5], "instructons: unknown key \"instructons\"; did you mean \"instructions\"?");
    assert_eq!(found.len(), 6, "{found:?}");
}

#[test]
fn work_that_is_fetched_needs_a_registration() {
    let found = read(&json!({"name": "a", "kind": "queue", "instructions": "x"})).unwrap_err();
    assert!(found.len() == 1 && found[0].contains("POST /orchestrator/register"), "{found:?}");
    let a2a = read(&json!({"name": "a", "kind": "a2a", "endpoint": "https://agents.example/a2a"})).unwrap();
    assert_eq!(a2a.kind, Kind::A2a);
}

#[test]
fn each_kind_needs_what_it_works_with() {
    assert_eq!(read(&json!({"name": "a"})).unwrap_err(), ["instructions: field required"]);
    let persona = json!({"name": "a", "persona": {"role": "a clerk"}, "reasoning": "react", "tools": ["calculate"]});
    let agent = read(&persona).unwrap();
    assert_eq!((agent.reasoning, agent.persona.unwrap().role.as_str()), (Reasoning::React, "a clerk"));
    assert_eq!(read(&json!({"name": "ann", "kind": "human"})).unwrap().kind, Kind::Human);
    assert_eq!(read(&json!({"name": "a", "kind": "http"})).unwrap_err(), ["endpoint: field required"]);
    let http = |url: &str| read(&json!({"name": "a", "kind": "http", "endpoint": url}));
    assert!(http("https://agents.example/ask").is_ok());
    for (url, part) in [
        ("http://127.0.0.1:9/x", "EGRESS_ALLOW"),
        ("http://localhost/x", "EGRESS_ALLOW"),
        ("http://[::1]/x", "EGRESS_ALLOW"),
        ("http://169.254.169.254/", "EGRESS_ALLOW"),
        ("https://u:p@agents.example", "user information"),
        ("ftp://agents.example", "only http"),
        ("agents.example", "absolute"),
    ] {
        let found = http(url).unwrap_err();
        assert!(found.len() == 1 && found[0].starts_with("endpoint: ") && found[0].contains(part), "{url}: {found:?}");
    }
    let open = EgressPolicy::parse("127.0.0.0/8", &[]).unwrap();
    assert!(open.registrable("http://localhost:9/x").is_ok());
    let llm = read(
        &json!({"name": "a", "instructions": "x", "endpoint": "https://a.example", "max_tokens": 0, "temperature": 3}),
    );
    assert_eq!(llm.unwrap_err().len(), 3);
}

#[test]
fn the_schema_lists_what_the_form_reads() {
    let (value, errors) = (json!({}), Errors::default());
    let form = Form::body(&value, &errors).unwrap();
    let _ = AgentDefinition::read(&form, None, &ToolBook::default());
    let mut listed: Vec<_> = AgentDefinition::schema()["properties"].as_object().unwrap().keys().cloned().collect();
    listed.sort();
    assert_eq!(listed, form.asked());
}
