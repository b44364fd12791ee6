//! Vectors in Qdrant, over its REST API. The index stays the truth: what Qdrant finds is a place in it, and a place that is not
//! there any more is nothing.

use crate::upstream::{Ask, secret};
use bytes::Bytes;
use http::{HeaderMap, Method};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tutti_engine::activity::{ActivityCx, ActivityError};
use tutti_engine::ports::index::{At, Filter, Vector};

/// The contract's class of its failures.
const CLASS: &str = "DataError";
/// Points of one request.
const POINTS: usize = 100;

/// A Qdrant server.
#[derive(Clone)]
pub struct Qdrant {
    url: String,
    api_key: Option<SecretString>,
    /// Collections that are there.
    made: Arc<Mutex<BTreeSet<String>>>,
}

impl std::fmt::Debug for Qdrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qdrant").finish_non_exhaustive()
    }
}

/// Where a near passage stands.
pub(super) struct Near {
    pub at: At,
    /// Its document. Revisions of an index that was begun anew may mean others.
    pub document: String,
    pub score: f64,
}

impl Qdrant {
    /// The server at an address (`VECTOR_DB_URL`), with its key.
    #[must_use]
    pub fn new(url: &str, api_key: Option<SecretString>) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), api_key, made: Arc::default() }
    }

    /// Keeps the vectors of a document's passages, `vectors[n]` being that of passage `n`.
    pub(super) async fn put(
        &self,
        cx: &ActivityCx,
        tenant: &str,
        document: &str,
        revision: u64,
        vectors: &[Vector],
    ) -> Result<(), ActivityError> {
        let Some(first) = vectors.first() else { return Ok(()) };
        let collection = self.collection(cx, first).await?;
        for (batch, vectors) in vectors.chunks(POINTS).enumerate() {
            let point = |(n, vector): (usize, &Vector)| {
                let ordinal = batch * POINTS + n;
                let payload = json!({"tenant": tenant, "document": document, "revision": revision, "ordinal": ordinal});
                json!({"id": id(tenant, revision, ordinal), "vector": vector.values, "payload": payload})
            };
            let points: Vec<Value> = vectors.iter().enumerate().map(point).collect();
            let path = format!("/collections/{collection}/points?wait=true");
            self.call(cx, Method::PUT, &path, &json!({ "points": points })).await?;
        }
        Ok(())
    }

    /// Forgets a revision of a document, whichever model said what it means.
    pub(super) async fn forget(&self, cx: &ActivityCx, tenant: &str, revision: u64) -> Result<(), ActivityError> {
        let collections = self.call(cx, Method::GET, "/collections", &Value::Null).await?;
        let names = collections.pointer("/result/collections").and_then(Value::as_array).cloned().unwrap_or_default();
        let names = names.iter().filter_map(|collection| collection["name"].as_str());
        let filter = json!({"must": [must("tenant", json!(tenant)), must("revision", json!(revision))]});
        for name in names.filter(|name| name.starts_with(PREFIX)) {
            let path = format!("/collections/{name}/points/delete?wait=true");
            self.call(cx, Method::POST, &path, &json!({ "filter": filter })).await?;
        }
        Ok(())
    }

    /// The nearest places, nearest first, each with its document and its cosine.
    pub(super) async fn nearest(
        &self,
        cx: &ActivityCx,
        tenant: &str,
        vector: &Vector,
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<Near>, ActivityError> {
        let collection = self.collection(cx, vector).await?;
        let mut all = vec![must("tenant", json!(tenant))];
        if !filter.documents.is_empty() {
            all.push(json!({"key": "document", "match": {"any": filter.documents}}));
        }
        let ask = json!({"query": vector.values, "limit": limit, "filter": {"must": all}, "with_payload": true});
        let path = format!("/collections/{collection}/points/query");
        let found = self.call(cx, Method::POST, &path, &ask).await?;
        let points = found.pointer("/result/points").and_then(Value::as_array).cloned().unwrap_or_default();
        let place = |point: &Value| {
            let ordinal = u32::try_from(point["payload"]["ordinal"].as_u64()?).ok()?;
            let document = point["payload"]["document"].as_str()?.to_owned();
            Some(Near {
                at: (point["payload"]["revision"].as_u64()?, ordinal),
                document,
                score: point["score"].as_f64()?,
            })
        };
        Ok(points.iter().filter_map(place).collect())
    }

    /// The collection of a model's vectors, made where it is not there.
    async fn collection(&self, cx: &ActivityCx, vector: &Vector) -> Result<String, ActivityError> {
        let name = format!("{PREFIX}{}-{}", slug(&vector.model), vector.values.len());
        if self.made.lock().unwrap_or_else(PoisonError::into_inner).contains(&name) {
            return Ok(name);
        }
        let path = format!("/collections/{name}");
        let ask = self.ask(Method::GET, &path, &Value::Null)?;
        let reply = ask.send(cx).await?;
        if reply.status == 404 {
            let size = json!({"vectors": {"size": vector.values.len(), "distance": "Cosine"}});
            let ask = self.ask(Method::PUT, &path, &size)?;
            let reply = ask.send(cx).await?;
            // Somebody else may have been faster.
            if reply.status != 409 {
                ask.read::<Value>(&reply)?;
            }
            for (field, schema) in [("tenant", "keyword"), ("document", "keyword"), ("revision", "integer")] {
                let index = json!({"field_name": field, "field_schema": schema});
                self.call(cx, Method::PUT, &format!("{path}/index?wait=true"), &index).await?;
            }
        } else {
            ask.read::<Value>(&reply)?;
        }
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        Ok(name)
    }

    async fn call(&self, cx: &ActivityCx, method: Method, path: &str, body: &Value) -> Result<Value, ActivityError> {
        let ask = self.ask(method, path, body)?;
        let reply = ask.send(cx).await?;
        if reply.status == 404 {
            // It was taken away behind our back: the next call makes it again.
            self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        ask.read(&reply)
    }

    fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Ask<'static>, ActivityError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.api_key {
            let odd = || ActivityError::fatal(CLASS, "VECTOR_DB_API_KEY holds characters that no header may hold");
            headers.insert("api-key", secret("", key).ok_or_else(odd)?);
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let url = format!("{}{path}", self.url);
        Ok(Ask { service: "the vector database", class: CLASS, method, url, headers, body })
    }
}

/// What our collections are called.
const PREFIX: &str = "tutti-";

/// The same point again takes the place of the one that is there.
fn id(tenant: &str, revision: u64, ordinal: usize) -> String {
    let digest = Sha256::new().chain_update(tenant).chain_update([0]).chain_update(format!("{revision}/{ordinal}"));
    let hex: String = digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn must(key: &str, value: Value) -> Value {
    json!({"key": key, "match": {"value": value}})
}

fn slug(model: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    model.chars().map(plain).take(64).collect()
}
