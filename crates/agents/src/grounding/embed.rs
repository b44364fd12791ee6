//! What texts mean, asked of a model: `POST {base}/embeddings` as OpenAI-compatible servers have it.

use crate::upstream::{Ask, secret};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tutti_engine::activity::{ActivityCx, ActivityError};
use tutti_engine::ports::cache::Cache;
use tutti_engine::ports::index::Vector;

/// The contract's class of its failures.
const CLASS: &str = "LlmError";
/// Texts of one request.
const TEXTS: usize = 32;
/// Most bytes of an answer: so many texts with the longest vectors, written out.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Most numbers of a vector.
const LENGTH_MAX: usize = 16_384;
/// How long what a text means is remembered.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A model that says what texts mean.
#[derive(Clone)]
pub struct Embedder {
    /// Where its API begins, e.g. `https://api.openai.com/v1`.
    pub base_url: String,
    /// Sent as a bearer token.
    pub api_key: Option<SecretString>,
    /// The model.
    pub model: String,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder").field("model", &self.model).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

impl Embedder {
    /// A vector for each text, in order. A text that was asked for lately is not asked for again.
    pub(super) async fn embed(
        &self,
        cx: &ActivityCx,
        cache: Option<&dyn Cache>,
        texts: &[&str],
    ) -> Result<Vec<Vector>, ActivityError> {
        let keys: Vec<String> = texts.iter().map(|text| self.key(text)).collect();
        let mut known: Vec<Option<Vec<f32>>> = match cache {
            Some(cache) => join_all(keys.iter().map(|key| cache.get(key))).await.into_iter().map(unpack).collect(),
            None => vec![None; texts.len()],
        };
        let missing: Vec<usize> = (0..texts.len()).filter(|n| known[*n].is_none()).collect();
        for batch in missing.chunks(TEXTS) {
            let asked: Vec<&str> = batch.iter().map(|n| texts[*n]).collect();
            for (n, values) in batch.iter().zip(self.ask(cx, &asked).await?) {
                if let Some(cache) = cache {
                    cache.put(&keys[*n], pack(&values), REMEMBERED).await;
                }
                known[*n] = Some(values);
            }
        }
        let vector = |values| Vector { model: self.model.clone(), values };
        Ok(known.into_iter().flatten().map(vector).collect())
    }

    /// What a text means depends on who is asked.
    fn key(&self, text: &str) -> String {
        let digest = Sha256::new().chain_update(&self.base_url).chain_update([0]).chain_update(&self.model);
        let digest = digest.chain_update([0]).chain_update(text).finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("embedding/{hex}")
    }

    async fn ask(&self, cx: &ActivityCx, texts: &[&str]) -> Result<Vec<Vec<f32>>, ActivityError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.api_key {
            let odd = || ActivityError::fatal(CLASS, "EMBEDDING_API_KEY holds characters that no header may hold");
            headers.insert(header::AUTHORIZATION, secret("Bearer ", key).ok_or_else(odd)?);
        }
        let body = json!({"model": self.model, "input": texts, "encoding_format": "float"}).to_string();
        let ask = Ask {
            service: "the embedding provider",
            class: CLASS,
            method: Method::POST,
            url: format!("{}/embeddings", self.base_url.trim_end_matches('/')),
            headers,
            body: Bytes::from(body),
        };
        let asked = async {
            let reply = ask.send_for(cx, ANSWER_BYTES_MAX).await?;
            let answer: Answer = ask.read(&reply)?;
            in_order(answer, texts.len()).map_err(|why| ask.off_contract(&why, b""))
        };
        asked.await.map_err(|error| self.without_key(error))
    }

    /// Some servers say a wrong key back.
    fn without_key(&self, error: ActivityError) -> ActivityError {
        match &self.api_key {
            Some(key) => ActivityError { message: error.message.replace(key.expose_secret().trim(), "***"), ..error },
            None => error,
        }
    }
}

/// The vectors in the order of the texts, each of length 1.
fn in_order(answer: Answer, count: usize) -> Result<Vec<Vec<f32>>, String> {
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; count];
    for Item { index, embedding } in answer.data {
        let Some(slot) = vectors.get_mut(index) else { return Err(format!("there is no text {index}")) };
        *slot = Some(direction(embedding)?);
    }
    let vectors: Option<Vec<Vec<f32>>> = vectors.into_iter().collect();
    let vectors = vectors.ok_or("a vector is missing")?;
    match vectors.iter().all(|vector| vector.len() == vectors[0].len()) {
        true => Ok(vectors),
        false => Err("its vectors are of different lengths".into()),
    }
}

fn direction(mut values: Vec<f32>) -> Result<Vec<f32>, String> {
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if values.is_empty() || values.len() > LENGTH_MAX || !length.is_finite() || length == 0.0 {
        return Err("a vector that points nowhere".into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "a direction needs no more digits")]
    values.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    Ok(values)
}

fn pack(values: &[f32]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn unpack(bytes: Option<Bytes>) -> Option<Vec<f32>> {
    let values =
        bytes?.chunks_exact(4).map(|four| Some(f32::from_le_bytes(four.try_into().ok()?))).collect::<Option<_>>();
    values.filter(|values: &Vec<f32>| !values.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(items: &[(usize, &[f32])]) -> Answer {
        let item = |(index, embedding): &(usize, &[f32])| Item { index: *index, embedding: embedding.to_vec() };
        Answer { data: items.iter().map(item).collect() }
    }

    #[test]
    fn answers_are_put_in_order_and_made_directions() {
        let vectors = in_order(answer(&[(1, &[0.0, 2.0]), (0, &[3.0, 4.0])]), 2).unwrap();
        assert_eq!(vectors, [[0.6, 0.8], [0.0, 1.0]]);
        assert_eq!(unpack(Some(pack(&vectors[0]))), Some(vec![0.6, 0.8]));
        for wrong in [
            answer(&[(0, &[1.0])]),
            answer(&[(0, &[1.0]), (2, &[1.0])]),
            answer(&[(0, &[1.0]), (1, &[1.0, 0.0])]),
            answer(&[(0, &[1.0]), (1, &[0.0])]),
            answer(&[(0, &[1.0]), (1, &[f32::NAN])]),
            answer(&[(0, &[1.0]), (1, &[])]),
        ] {
            assert!(in_order(wrong, 2).is_err());
        }
    }
}
