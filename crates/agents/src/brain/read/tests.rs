#![allow(clippy::unwrap_used)]
use super::*;
use crate::form::Errors;
use serde_json::json;

fn read(config: &Value) -> Result<Config, Vec<(String, String)>> {
    let errors = Errors::default();
    let agents = BTreeSet::from(["billing".to_owned()]);
    let read = Form::body(config, &errors).map(|form| Config::read(&form, &agents, &ToolBook::default()));
    errors.or(read).map_err(|all| all.into_iter().map(|e| (e.path(), e.msg)).collect())
}

#[test]
fn the_seeds_brain_is_read() {
    let config = read(&json!({
        "persona": {"role": "Underwriting Analyst", "expertise": ["risk", "law"], "personality": "balanced"},
        "reasoningPattern": "react", "components": [], "connections": []
    }))
    .unwrap();
    let persona = config.persona.unwrap();
    assert_eq!((persona.expertise.as_str(), config.reasoning), ("risk, law", Reasoning::React));
    assert_eq!((config.brain.models.len(), config.brain.links.len()), (1, 0), "there is always a model");
}

#[test]
fn parts_belong_to_the_models_that_they_are_connected_with() {
    let config = read(&json!({
        "components": [
            {"id": "second", "type": "model", "ref": "large", "config": {"temperature": 0.5, "max_tokens": 9}},
            {"id": "first", "type": "model"},
            {"id": "calculate", "type": "tool"},
            {"id": "days", "type": "tool", "ref": "calendar"},
            {"id": "past", "type": "memory", "config": {"messages": 3}},
            {"id": "kb", "type": "grounding", "ref": "articles"},
            {"id": "billing", "type": "agent"}
        ],
        "connections": [
            {"from": "first", "to": "second", "when": {"contains": "risk"}},
            {"from": "calculate", "to": "first", "when": {"contains": "sum"}},
            {"from": "first", "to": "kb"},
            {"from": "past", "to": "kb", "when": {"contains": "again"}},
            {"from": "second", "to": "billing"}
        ]
    }))
    .unwrap();
    let [first, second] = config.brain.models.as_slice() else { panic!("{:?}", config.brain) };
    assert_eq!((first.id.as_str(), second.id.as_str()), ("first", "second"), "who works first stands first");
    let whats = |model: &Model| model.parts.iter().map(|part| part.what.clone()).collect::<Vec<_>>();
    let tool = |name: &str| What::Tool(name.into());
    let everybodys = tool("calendar");
    let of_first = [tool("calculate"), What::Grounding(5), What::Memory(Some(3)), everybodys.clone()];
    assert_eq!(whats(first), of_first);
    assert_eq!(whats(second), [What::Agent("billing".into()), everybodys]);
    let when = |at: usize| first.parts[at].when.clone();
    assert_eq!((when(0), when(1)), (Some(Condition::Contains("sum".into())), None));
    assert_eq!(when(2), Some(Condition::Contains("again".into())));
    assert_eq!(config.brain.asks(), ["billing"]);
    assert_eq!((second.model.as_deref(), second.max_tokens), (Some("large"), Some(9)));
    let stored = serde_json::to_value(&config.brain).unwrap();
    assert_eq!(serde_json::from_value::<Brain>(stored).unwrap(), config.brain);
}

#[test]
fn all_that_is_wrong_is_told_at_its_place() {
    let wrong = read(&json!({
        "persona": {"role": "x", "mood": "y"}, "reasoningPatern": "react",
        "components": [
            {"id": "m", "type": "model"}, {"id": "m", "type": "tool", "ref": "calculat"}, {"id": "t", "type": "robot"},
            {"type": "tool"}, {"id": "a", "type": "agent", "ref": "biling"}, {"id": "g", "type": "grounding", "ref": "web"},
            {"id": "x", "type": "memory", "config": {"size": 3}}, 7
        ],
        "connections": [{"from": "m", "to": "nobody"}, {"from": "g"}, {"from": "a", "to": "m", "when": {"is": 1}}, {"from": "g", "to": "g"}]
    }))
    .unwrap_err();
    let said = |place: &str| wrong.iter().find(|(at, _)| at == place).map(|(_, msg)| msg.as_str());
    assert!(said("components[1].ref").unwrap().contains("did you mean \"calculate\"?"), "{wrong:?}");
    assert!(said("components[4].ref").unwrap().contains("did you mean \"billing\"?"), "{wrong:?}");
    assert!(said("connections[0].to").unwrap().contains("no component with the id \"nobody\""), "{wrong:?}");
    for place in [
        "persona.mood",
        "reasoningPatern",
        "components[1].id",
        "components[2].type",
        "components[3].id",
        "components[5].ref",
        "components[6].config.size",
        "components[7]",
        "connections[1].to",
        "connections[2].when",
        "connections[3].to",
    ] {
        assert!(said(place).is_some(), "{place} is not among {wrong:?}");
    }
}

#[test]
fn models_work_one_after_the_other_and_never_in_a_circle() {
    let models = |links: &[(&str, &str)]| {
        let components = ["a", "b", "c"].map(|id| json!({"id": id, "type": "model"}));
        let connections: Vec<_> = links.iter().map(|(from, to)| json!({"from": from, "to": to})).collect();
        read(&json!({"components": components, "connections": connections}))
    };
    assert!(models(&[("a", "b"), ("b", "c"), ("a", "c")]).is_ok());
    for circle in [&[("a", "b"), ("b", "a"), ("b", "c")][..], &[("a", "b"), ("b", "c"), ("c", "b")]] {
        let wrong = models(circle).unwrap_err();
        assert!(wrong[0].1.contains("circle"), "{wrong:?}");
    }
    let wrong = models(&[("a", "b")]).unwrap_err();
    assert_eq!((wrong[0].0.as_str(), wrong.len()), ("components[2]", 1));
}
