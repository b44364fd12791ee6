//! The contract's bodies: `{"detail":[…]}` for wrong fields, else `{"error","message","timestamp","request_id",…}`.

use serde_json::{Map, Value, json};
use tutti_app::{Class, Failure, Stamp};

pub fn body(failure: &Failure, request_id: &str) -> Vec<u8> {
    if failure.class == Class::Validation {
        return json!({"detail": failure.fields}).to_string().into_bytes();
    }
    let mut body = Map::new();
    body.insert("error".into(), failure.class.as_str().into());
    body.insert("message".into(), failure.message.as_str().into());
    body.insert("timestamp".into(), Stamp::now().to_string().into());
    body.insert("request_id".into(), request_id.into());
    for (name, id) in &failure.ids {
        body.insert((*name).into(), id.as_str().into());
    }
    Value::Object(body).to_string().into_bytes()
}
