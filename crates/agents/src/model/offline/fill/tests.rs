use super::*;
use proptest::prelude::*;
use serde_json::json;

const TICKET: &str = "My card was stolen yesterday in Paris! Somebody paid 250 euros with it. Please block the card.";

fn filled(schema: &Value, text: &str) -> Value {
    let value = fill(schema, &Source::new(&sentences(text), text));
    let form = jsonschema::validator_for(schema).unwrap();
    let errors: Vec<String> = form.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{schema}\n{value}\n{errors:?}");
    value
}

#[test]
fn a_router_form_is_filled_from_the_ticket() {
    let schema = json!({"type": "object", "additionalProperties": false,
        "required": ["category", "priority", "confidence"], "properties": {
        "category": {"enum": ["general", "card_arrival", "stolen_card", "top_up"]},
        "priority": {"enum": ["low", "normal", "high", "urgent"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "amount": {"type": "integer"},
        "sentiment": {"enum": ["positive", "neutral", "negative"]},
        "stolen": {"type": "boolean"}, "refund": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "uniqueItems": true}}});
    let value = filled(&schema, TICKET);
    assert_eq!(value["category"], "stolen_card");
    assert!(["high", "urgent"].contains(&value["priority"].as_str().unwrap()));
    assert_eq!((&value["sentiment"], &value["amount"]), (&json!("negative"), &json!(250)));
    assert_eq!((&value["stolen"], &value["refund"]), (&json!(true), &json!(false)));
    assert_eq!(value.as_object().unwrap().keys().next().unwrap(), "category", "required ones first");
}

#[test]
fn without_a_hint_the_usual_value_is_taken() {
    let value = filled(&json!({"enum": ["card_arrival", "top_up", "general"]}), "Good morning");
    assert_eq!(value, "general");
    assert_eq!(filled(&json!({"enum": ["b", "a"]}), ""), "b");
}

#[test]
fn references_options_and_recursion_are_filled() {
    let schema = json!({"$defs": {"node": {"type": "object", "required": ["name", "next"], "properties": {
            "name": {"type": "string"}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}}}},
        "$ref": "#/$defs/node"});
    filled(&schema, TICKET);
    let steps = json!({"type": "array", "minItems": 2, "items": {"allOf": [
        {"type": "object", "required": ["agent"], "properties": {"agent": {"enum": ["fraud desk", "card desk"]}}},
        {"required": ["task"], "properties": {"task": {"type": "string", "minLength": 200}}}]}});
    assert_eq!(filled(&steps, "Was it fraud?")[0]["agent"], "fraud desk");
    filled(&json!({"oneOf": [{"type": "integer", "minimum": 5}, {"type": "number", "maximum": 2}]}), TICKET);
    filled(&json!({"type": ["null", "string"], "pattern": "^[A-Z]{3}$"}), TICKET);
    filled(&json!({"prefixItems": [{"const": 1}, {"type": "boolean"}], "items": false, "type": "array"}), TICKET);
    filled(&json!(true), TICKET);
    filled(&json!({"type": "array", "uniqueItems": true, "items": {"type": "string", "maxLength": 0}}), TICKET);
    assert_eq!(filled(&json!({"type": "integer", "maximum": -7, "multipleOf": 5}), ""), -10);
    assert_eq!(filled(&json!({"type": "integer", "minimum": 7, "multipleOf": 5}), ""), 10);
}

/// Schemas of the supported kinds that can be met.
fn schema() -> impl Strategy<Value = Value> {
    let string = (0_u64..12, 0_u64..40, any::<bool>()).prop_map(|(least, more, bounded)| {
        if bounded {
            json!({"type": "string", "minLength": least, "maxLength": least + more})
        } else {
            json!({"type": "string"})
        }
    });
    let integer = (-1_000_i64..1_000, 0_i64..500, 1_i64..20, 0..5).prop_map(|(least, more, step, form)| match form {
        0 => json!({"type": "integer", "minimum": least, "maximum": least + more}),
        1 => json!({"type": "integer", "exclusiveMinimum": least, "exclusiveMaximum": least + more + 2}),
        2 => json!({"type": "integer", "minimum": least, "maximum": least + more + step, "multipleOf": step}),
        3 => json!({"type": "integer", "maximum": least}),
        _ => json!({"type": "integer"}),
    });
    let number = (-1e6..1e6, 0.0..1e3, 0..4).prop_map(|(least, more, form)| match form {
        0 => json!({"type": "number", "minimum": least, "maximum": least + more}),
        1 => json!({"type": "number", "exclusiveMinimum": least, "exclusiveMaximum": least + more + 1.0}),
        2 => json!({"type": "number", "multipleOf": 0.5, "minimum": least}),
        _ => json!({"minimum": least}),
    });
    let choice = prop::collection::vec("[a-z_ ]{1,10}", 1..5).prop_map(|names| json!({"enum": names}));
    let leaf = prop_oneof![
        string,
        integer,
        number,
        choice,
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "null"})),
        Just(json!({"const": {"a": 1}})),
        Just(json!({})),
        Just(json!({"type": ["null", "string"], "format": "date"})),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let named = prop::collection::btree_map("[a-z]{1,8}", inner.clone(), 0..5);
        prop_oneof![
            (named, any::<bool>(), 0_usize..3).prop_map(|(properties, closed, least)| {
                let required: Vec<_> = properties.keys().step_by(2).cloned().collect();
                let least = if closed { least.min(properties.len()) } else { least };
                json!({"type": "object", "properties": properties, "required": required,
                    "additionalProperties": !closed, "minProperties": least})
            }),
            (inner.clone(), 0_usize..3, 0_usize..4)
                .prop_map(|(items, least, more)| json!({"type": "array", "items": items, "minItems": least, "maxItems": least + more})),
            Just(json!({"type": "array", "uniqueItems": true, "minItems": 4, "items": {"type": "string", "maxLength": 5}})),
            Just(json!({"type": "array", "uniqueItems": true, "minItems": 5, "items": {"type": "integer", "minimum": 3, "maximum": 9}})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"anyOf": [a, b]})),
            inner.prop_map(|a| json!({"anyOf": [{"type": "null"}, a]})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn every_schema_of_the_supported_kinds_is_met(schema in schema(), text in "[ -~]{0,80}|.{0,40}|[0-9. ]{0,20}") {
        let value = filled(&schema, &text);
        prop_assert_eq!(&value, &filled(&schema, &text));
    }

    #[test]
    fn no_json_makes_it_panic(schema in any_json(), text in ".{0,40}") {
        fill(&schema, &Source::asking(&sentences(&text), &text));
    }
}

/// JSON that is mostly no sensible schema.
fn any_json() -> impl Strategy<Value = Value> {
    let keyword = prop::sample::select(vec![
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "uniqueItems",
        "minProperties",
        "additionalProperties",
    ]);
    let word = prop::sample::select(vec![
        "object",
        "array",
        "string",
        "integer",
        "number",
        "boolean",
        "null",
        "#",
        "#/properties",
        "(",
        "date",
    ]);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keyword.clone(), inner, 0..4).prop_map(|m| json!(m)),
        ]
    })
}

#[test]
fn a_form_that_names_itself_many_times_is_filled_at_once() {
    let parts: Vec<_> = (0..9).map(|_| json!({"$ref": "#/$defs/a"})).collect();
    let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": parts}}});
    let _ = fill(&schema, &Source::new(&sentences(TICKET), TICKET));
}
