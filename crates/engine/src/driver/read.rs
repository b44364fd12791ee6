//! Journals as people and streams read them: committed entries only, by cursor; the bus merely wakes.

use crate::driver::engine::Engine;
use crate::event::{Class, Kind};
use crate::journal::body::{Completed, Delta};
use crate::journal::decode_part;
use crate::journal::frame::Body;
use crate::ports::bus::Listener;
use crate::ports::store::{Row, Store, StoreError};
use crate::run::{RunNo, Time};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::time::Duration;

/// Rows read at once.
const ROWS_MAX: u32 = 256;
/// Even with every wake-up lost a reader looks again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A journal entry as read by people and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the run, from 1.
    pub seq: u32,
    /// When.
    pub at: Time,
    /// What happened.
    pub kind: Kind,
    /// Which step; empty for the run itself.
    pub key: String,
    /// JSON text (see `journal::body`). An answer that was streamed carries its whole text as `text`.
    pub body: Bytes,
}

/// Entries after `after` from at most `rows_max` rows.
pub(crate) async fn entries(
    store: &dyn Store,
    run: RunNo,
    after: u32,
    rows_max: u32,
) -> Result<Vec<Entry>, StoreError> {
    let rows = store.journal(run, after, rows_max).await?;
    let mut entries = complete(store, run, &rows).await?;
    entries.retain(|e| e.seq > after);
    Ok(entries)
}

/// The entries of rows, with large bodies and streamed texts in place.
pub(crate) async fn complete(store: &dyn Store, run: RunNo, rows: &[Row]) -> Result<Vec<Entry>, StoreError> {
    let blobs = fetch_blobs(store, rows).await?;
    let mut entries = decode(rows, &blobs)?;
    put_text_back(store, run, &mut entries).await?;
    Ok(entries)
}

pub(crate) fn decode(rows: &[Row], blobs: &[([u8; 32], Bytes)]) -> Result<Vec<Entry>, StoreError> {
    let mut out = Vec::new();
    for row in rows {
        let frames = decode_part(row.at, row.first, row.last - row.first + 1, &row.body)
            .map_err(|e| StoreError::Damaged(e.to_string()))?;
        for (seq, frame) in (row.first..).zip(frames) {
            let body = match &frame.body {
                Body::Here(b) if !b.is_empty() => b.clone(),
                Body::Here(_) => Bytes::from_static(b"null"),
                Body::Blob(hash) => blobs.iter().find(|(h, _)| h == hash).map(|(_, b)| b.clone()).unwrap_or_default(),
                Body::Erased(_) => Bytes::from_static(br#"{"erased":true}"#),
            };
            out.push(Entry { seq, at: frame.at, kind: frame.kind, key: frame.key.into(), body });
        }
    }
    Ok(out)
}

/// The blobs that rows name.
pub(crate) async fn fetch_blobs(store: &dyn Store, rows: &[Row]) -> Result<Vec<([u8; 32], Bytes)>, StoreError> {
    let mut hashes = Vec::new();
    for row in rows {
        // A damaged row is reported by whoever reads it for its content.
        let frames = decode_part(row.at, row.first, row.last - row.first + 1, &row.body).unwrap_or_default();
        hashes.extend(frames.into_iter().filter_map(|f| match f.body {
            Body::Blob(hash) => Some(hash),
            _ => None,
        }));
    }
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let bodies = store.blobs(hashes.clone()).await?;
    Ok(hashes.into_iter().zip(bodies).collect())
}

/// Text is stored once, in its pieces; whoever reads an answer wants it whole.
async fn put_text_back(store: &dyn Store, run: RunNo, entries: &mut [Entry]) -> Result<(), StoreError> {
    for i in 0..entries.len() {
        if entries[i].kind != Kind::AgentMessage {
            continue;
        }
        let Ok(done) = serde_json::from_slice::<Completed>(&entries[i].body) else { continue };
        let Some(from) = done.streamed_from else { continue };
        let earlier = if entries.first().is_some_and(|e| e.seq > from) {
            let rows = store.journal(run, from.saturating_sub(1), u32::MAX).await?;
            decode(&rows, &[])?
        } else {
            Vec::new()
        };
        let all = earlier.iter().filter(|e| e.seq < entries[0].seq).chain(entries.iter());
        let mut text = String::new();
        for piece in all.filter(|e| e.kind == Kind::AgentDelta && e.key == entries[i].key) {
            if let Ok(delta) = serde_json::from_slice::<Delta>(&piece.body)
                && delta.attempt == done.attempt
            {
                text.push_str(&delta.text);
            }
        }
        let mut body: Map<String, Value> = serde_json::from_slice(&entries[i].body).unwrap_or_default();
        body.insert("text".into(), Value::String(text));
        entries[i].body = serde_json::to_vec(&body).map(Bytes::from).unwrap_or_default();
    }
    Ok(())
}

/// A reader's cursor over one run.
pub struct Events {
    engine: Engine,
    run: RunNo,
    after: u32,
    listener: Box<dyn Listener>,
    is_done: bool,
}

impl Events {
    pub(crate) fn new(engine: Engine, run: RunNo, after: u32, listener: Box<dyn Listener>) -> Self {
        Self { engine, run, after, listener, is_done: false }
    }

    /// The next entries, in order, each once. `None` after the run's last entry, or once it is blocked.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        while !self.is_done {
            let entries = entries(self.engine.store().as_ref(), self.run, self.after, ROWS_MAX).await?;
            if let Some(last) = entries.last() {
                self.after = last.seq;
                self.is_done = last.kind.class() == Class::Terminal || last.kind == Kind::RunBlocked;
                return Ok(Some(entries));
            }
            if self.has_ended().await? {
                break;
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, self.listener.grown(self.after)).await;
        }
        self.is_done = true;
        Ok(None)
    }

    /// Nothing follows and nothing will: the reader's cursor stands at the end of a run that has ended.
    async fn has_ended(&mut self) -> Result<bool, StoreError> {
        let row = self.engine.store().run(self.run).await?;
        let is_over = row.is_none_or(|r| !r.status.is_open());
        // The end may have been written between the two reads.
        Ok(is_over && self.engine.store().journal(self.run, self.after, 1).await?.is_empty())
    }
}
