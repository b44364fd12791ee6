use super::*;
use crate::form::Errors;
use crate::tool::secret::Keys;
use std::collections::BTreeMap;
use tutti_engine::activity::Effect;

fn api(config: &Value) -> OpenApi {
    let errors = Errors::default();
    let keys = Keys::of([("KEY", "s")]);
    let mut reader = Reader { keys: &keys, handle: None, kept: BTreeMap::new() };
    let api = Form::body(config, &errors).and_then(|form| OpenApi::read(&form, None, &mut reader)).map(|(api, _)| api);
    errors.or(api).unwrap()
}

fn document(more: Value) -> Value {
    let mut document = json!({"openapi": "3.0.3", "servers": [{"url": "https://{host}/v1/", "variables": {"host": {"default": "h.example"}}}],
        "paths": {}, "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}});
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

#[test]
fn an_operation_becomes_a_request_with_its_arguments_in_place() {
    let schema = json!({"type": "object", "required": ["a", "id"], "properties": {
        "id": {"type": "integer", "readOnly": true}, "a": {"type": "string", "nullable": true, "enum": ["x"]},
        "n": {"type": "number", "minimum": 1, "exclusiveMinimum": true}, "self": {"$ref": "#/components/schemas/Thing"}}});
    let mut document = document(json!({"paths": {"/things/{id}": {
        "parameters": [{"$ref": "#/components/parameters/Id"}],
        "patch": {"operationId": "things/update it", "summary": "Changes a thing.", "security": [{"key": []}],
            "parameters": [{"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                {"name": "id", "in": "query", "schema": {"type": "string"}}],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}},
        "post": {"operationId": "upload", "requestBody": {"required": true, "content": {"multipart/form-data": {}}}}}}}));
    document["components"]["parameters"] = json!({"Id": {"name": "id", "in": "path", "required": true, "description": "Which.", "schema": {"type": "integer"}}});
    document["components"]["schemas"] = json!({"Thing": schema});
    let api = api(&json!({"document": document, "auth": {"key": "${KEY}"}}));
    let (parts, note) = api.parts("shop", &document, None).unwrap();
    assert!(note.unwrap().contains("upload"));
    let [part] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!((part.name.as_str(), part.effect), ("shop__things_update_it", Effect::AtMostOnce));
    assert_eq!(part.description, "Changes a thing.");
    let properties = &part.parameters["properties"];
    assert_eq!(part.parameters["required"], json!(["path_id", "body"]));
    assert_eq!(properties["path_id"], json!({"type": "integer", "description": "Which."}));
    assert_eq!(properties["body"]["required"], json!(["a"]), "what only answers have is asked of nobody");
    assert_eq!(properties["body"]["properties"]["a"], json!({"type": ["string", "null"], "enum": ["x", null]}));
    assert_eq!(properties["body"]["properties"]["n"], json!({"type": "number", "exclusiveMinimum": 1}));
    assert_eq!(properties["body"]["properties"]["self"], json!({}), "it contains itself");
    let Some(How::Request(http)) = &part.how else { panic!() };
    assert_eq!(http.url, "https://h.example/v1/things/{{path_id}}");
    assert_eq!(
        http.query[0],
        super::super::http::Pair { name: "tags".into(), value: Some("{{tags}}".into()), explode: true }
    );
    assert_eq!(http.auth[0].place, super::super::http::Place::Header("X-Key".into()));
}

#[test]
fn what_is_wrong_with_a_document_is_said_at_once() {
    let get = |id: &str, schema: Value| json!({"get": {"operationId": id, "parameters": [{"name": "q", "in": "query", "schema": schema}]}});
    let remote = json!({"$ref": "https://elsewhere.example/schema.json"});
    let document =
        document(json!({"paths": {"/a": get("one", remote), "/b": get("two", json!({"$ref": "#/nowhere"}))}}));
    let config = json!({"document": document, "auth": {"kez": "${KEY}"}, "operations": ["one", "tw*", "three"]});
    let wrong = api(&config).parts("x", &document, None).unwrap_err();
    for part in [
        "\"kez\"; did you mean \"key\"?",
        "\"three\"",
        "outside of the document, which is not followed",
        "\"#/nowhere\"",
    ] {
        assert!(wrong.iter().any(|why| why.contains(part)), "{part}: {wrong:?}");
    }
    assert_eq!(wrong.len(), 4, "{wrong:?}");
    for (document, part) in [
        (json!({"swagger": "2.0"}), "Swagger 2.0"),
        (json!({"openapi": "4.0"}), "4.0"),
        (json!({}), "no OpenAPI document"),
        (json!({"openapi": "3.1.0", "servers": [{"url": "/v1"}]}), "no whole address"),
        (json!({"openapi": "3.1.0", "servers": [{"url": "https://h.example"}]}), "no operation"),
    ] {
        let wrong = api(&json!({"document": document})).parts("x", &document, None).unwrap_err();
        assert!(wrong[0].contains(part), "{part}: {wrong:?}");
    }
}

#[test]
fn schemas_that_blow_up_are_refused() {
    let mut schemas = serde_json::Map::new();
    for level in 0..9 {
        let next = json!({"$ref": format!("#/components/schemas/S{}", level + 1)});
        schemas.insert(format!("S{level}"), json!({"properties": {"a": next, "b": next, "c": next}}));
    }
    schemas.insert("S9".into(), json!({"type": "string"}));
    let mut document = document(json!({"paths": {"/a": {"get": {"parameters": [
        {"name": "q", "in": "query", "schema": {"$ref": "#/components/schemas/S0"}}]}}}}));
    document["components"]["schemas"] = schemas.into();
    let wrong = api(&json!({"document": document})).parts("x", &document, None).unwrap_err();
    assert!(wrong[0].contains("more than 4000"), "{wrong:?}");
}
