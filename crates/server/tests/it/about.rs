//! `/`, `/openapi.json`.

use crate::client::Client;
use serde_json::Value;

#[tokio::test]
async fn the_root_says_where_to_go() {
    let client = Client::new().await;
    let reply = client.get("/").await;
    let body = reply.json();
    assert_eq!((reply.status, &body["name"]), (200, &Value::from("Tutti")));
    for link in body["links"].as_object().unwrap().values() {
        let path = link.as_str().unwrap();
        let there = client.get(path).await.status;
        assert!(there == 200 || (path == "/orchestrate" && there == 405), "{path}: {there}");
    }
}

#[tokio::test]
async fn every_route_is_described() {
    let document = Client::new().await.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = 0;
    for route in tutti_server::routes() {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert!(operation["summary"].is_string(), "{} {} is not described", route.method, route.path);
        assert_eq!(operation["x-role"], route.role.as_str());
        let params = operation["parameters"].as_array().unwrap();
        assert_eq!(params.iter().any(|p| p["in"] == "path"), route.path.contains('{'), "{}", route.path);
        described += 1;
    }
    let listed: usize = document["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(listed, described, "nothing is described that is not there");
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let document = Client::new().await.get("/openapi.json").await.json();
    let mut left = vec![&document];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(name)) = fields.get("$ref") {
                    let pointer = name.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{name}");
                }
                left.extend(fields.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    let ids: Vec<_> =
        document["paths"].as_object().unwrap().values().flat_map(|p| p.as_object().unwrap().values()).collect();
    let mut names: Vec<_> = ids.iter().map(|o| o["operationId"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|w| w[0] != w[1]), "{names:?}");
}
