//! RFC 9457 problem details.

use serde_json::{Map, Value, json};
use tutti_app::{Failure, Stamp};

pub fn body(failure: &Failure, status: u16, request_id: &str) -> Vec<u8> {
    let class = failure.class.as_str();
    let mut body = Map::new();
    body.insert("type".into(), format!("/docs/errors/{class}").into());
    body.insert("title".into(), class.into());
    body.insert("status".into(), status.into());
    body.insert("detail".into(), failure.message.as_str().into());
    body.insert("timestamp".into(), Stamp::now().to_string().into());
    body.insert("request_id".into(), request_id.into());
    if !failure.fields.is_empty() {
        body.insert("errors".into(), json!(failure.fields));
    }
    for (name, id) in &failure.ids {
        body.insert((*name).into(), id.as_str().into());
    }
    Value::Object(body).to_string().into_bytes()
}
