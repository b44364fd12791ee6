//! The index on SQLite, in a file of its own beside the runs: words by FTS5, vectors compared one by one.
//!
//! Why no vector extension: `docs/decisions/vectors.md`.

use crate::knowledge::words;
use crate::line::{self, Line};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::Path;
use tutti_engine::ports::index::{At, Document, Filter, Hit, Index, Listed, Passage, Stored, Vector};
use tutti_engine::ports::store::Read;
use tutti_engine::run::Time;

/// See the module.
pub struct SqliteIndex {
    writer: Line,
    reader: Line,
    /// Comparing vectors takes longer than finding words, which should not wait for it.
    comparer: Line,
}

impl SqliteIndex {
    /// Opens `documents.db` in the data directory, and makes it where it is not there yet.
    ///
    /// # Errors
    /// In words: the file cannot be used, or is from a newer version.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let file = line::File { path: dir.join("documents.db"), migrations: &[include_str!("index/1.sql")] };
        let writer = Line::new(file.open()?);
        Ok(Self { writer, reader: Line::new(file.connect()?), comparer: Line::new(file.connect()?) })
    }
}

/// Whether document `d` fits: ?1 its tenant, ?2 a JSON list of ids, ?3 a JSON object that its metadata has to say.
const FITS: &str = r"d.tenant = ?1 AND (?2 IS NULL OR d.id IN (SELECT value FROM json_each(?2)))
    AND (?3 IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(?3) AS f WHERE NOT EXISTS (
      SELECT 1 FROM json_each(d.metadata) AS m WHERE m.key = f.key AND m.type = 'text' AND m.value = f.value)))";
/// A hit without its score, from `p` and `d`.
const HIT: &str = r#"p.revision, p.ordinal, d.id, d.title, p."start", p."end", p.text"#;

/// A tenant and a filter as `FITS` takes them.
struct Fits {
    tenant: String,
    ids: Option<String>,
    metadata: Option<String>,
}

impl Fits {
    fn new(tenant: &str, filter: &Filter) -> Self {
        let json = |is_empty: bool, value: serde_json::Value| (!is_empty).then(|| value.to_string());
        Self {
            tenant: tenant.to_owned(),
            ids: json(filter.documents.is_empty(), serde_json::json!(filter.documents)),
            metadata: json(filter.metadata.is_empty(), serde_json::json!(filter.metadata)),
        }
    }

    fn is_whole_tenant(&self) -> bool {
        self.ids.is_none() && self.metadata.is_none()
    }
}

fn hit(r: &Row<'_>, score: f64) -> rusqlite::Result<Hit> {
    Ok(Hit {
        at: (r.get::<_, i64>(0)?.unsigned_abs(), r.get(1)?),
        document: r.get(2)?,
        title: r.get(3)?,
        start: r.get(4)?,
        end: r.get(5)?,
        text: r.get(6)?,
        score,
    })
}

impl Index for SqliteIndex {
    fn put(&self, tenant: &str, document: Document, passages: Vec<Passage>) -> Read<Stored> {
        let tenant = tenant.to_owned();
        self.writer.ask(move |db| {
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let replaced = remove(&change, &tenant, &document.id)?;
            let revision = write(&change, &tenant, &document, &passages)?;
            change.commit()?;
            Ok(Stored { revision: revision.unsigned_abs(), replaced })
        })
    }

    fn get(&self, tenant: &str, id: &str) -> Read<Option<Document>> {
        let [tenant, id] = [tenant, id].map(String::from);
        self.reader.ask(move |db| {
            let select = "SELECT id, title, content, metadata, at FROM documents WHERE tenant = ?1 AND id = ?2";
            let document = |r: &Row<'_>| {
                let metadata = metadata(&r.get::<_, String>(3)?);
                Ok(Document { id: r.get(0)?, title: r.get(1)?, content: r.get(2)?, metadata, at: Time(r.get(4)?) })
            };
            db.prepare_cached(select)?.query_row([tenant, id], document).optional()
        })
    }

    fn delete(&self, tenant: &str, id: &str) -> Read<Option<u64>> {
        let [tenant, id] = [tenant, id].map(String::from);
        self.writer.ask(move |db| {
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let removed = remove(&change, &tenant, &id)?;
            change.commit()?;
            Ok(removed)
        })
    }

    fn list(&self, tenant: &str, after_id: Option<String>, limit: u32) -> Read<Vec<Listed>> {
        let tenant = tenant.to_owned();
        self.reader.ask(move |db| {
            let select = "SELECT id, title, metadata, at, chars, passages FROM documents
                WHERE tenant = ?1 AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3";
            let listed = |r: &Row<'_>| {
                let metadata = metadata(&r.get::<_, String>(2)?);
                let (at, chars, passages) = (Time(r.get(3)?), r.get(4)?, r.get(5)?);
                Ok(Listed { id: r.get(0)?, title: r.get(1)?, metadata, at, chars, passages })
            };
            db.prepare_cached(select)?.query_map(params![tenant, after_id, limit], listed)?.collect()
        })
    }

    fn by_words(&self, tenant: &str, question: &str, filter: &Filter, limit: u32) -> Read<Vec<Hit>> {
        let fits = Fits::new(tenant, filter);
        let quoted: Vec<String> = words(question).into_iter().map(|word| format!("\"{word}\"")).collect();
        if quoted.is_empty() {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        self.reader.ask(move |db| {
            let select = format!(
                "SELECT {HIT}, bm25(words, 2.0, 1.0) AS rank FROM words JOIN passages AS p ON p.passage = words.rowid
                JOIN documents AS d ON d.revision = p.revision WHERE words MATCH ?4 AND {FITS}
                ORDER BY rank, p.passage LIMIT ?5"
            );
            let mut select = db.prepare_cached(&select)?;
            let asked = params![fits.tenant, fits.ids, fits.metadata, quoted.join(" OR "), limit];
            // The better, the lower.
            select.query_map(asked, |r| hit(r, -r.get::<_, f64>(7)?))?.collect()
        })
    }

    fn by_vector(&self, tenant: &str, vector: Vector, filter: &Filter, limit: u32) -> Read<Vec<Hit>> {
        let fits = Fits::new(tenant, filter);
        self.comparer.ask(move |db| {
            let Some(space) = space(db, &fits.tenant, &vector)? else { return Ok(Vec::new()) };
            let nearest = nearest(db, space, &vector.values, &fits, limit as usize)?;
            let select = format!(
                "SELECT {HIT} FROM passages AS p JOIN documents AS d ON d.revision = p.revision WHERE p.passage = ?1"
            );
            let mut select = db.prepare_cached(&select)?;
            let found = nearest.into_iter().map(|near| select.query_row([near.passage], |r| hit(r, near.score.into())));
            found.collect()
        })
    }

    fn passages(&self, tenant: &str, at: Vec<At>, filter: &Filter) -> Read<Vec<Hit>> {
        let fits = Fits::new(tenant, filter);
        self.reader.ask(move |db| {
            let select = format!(
                "SELECT {HIT} FROM passages AS p JOIN documents AS d ON d.revision = p.revision
                WHERE p.revision = ?4 AND p.ordinal = ?5 AND {FITS}"
            );
            let mut select = db.prepare_cached(&select)?;
            let mut found = Vec::new();
            for (revision, ordinal) in at {
                let revision = i64::try_from(revision).unwrap_or(i64::MAX);
                let asked = params![fits.tenant, fits.ids, fits.metadata, revision, ordinal];
                found.extend(select.query_row(asked, |r| hit(r, 0.0)).optional()?);
            }
            Ok(found)
        })
    }

    fn knows_vectors(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Metadata as it was written; we wrote it, so it can be read.
pub(crate) fn metadata(text: &str) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fn remove(change: &Transaction<'_>, tenant: &str, id: &str) -> rusqlite::Result<Option<u64>> {
    let find = "SELECT revision FROM documents WHERE tenant = ?1 AND id = ?2";
    let found: Option<i64> = change.prepare_cached(find)?.query_row([tenant, id], |r| r.get(0)).optional()?;
    let Some(revision) = found else { return Ok(None) };
    for table in ["words WHERE rowid", "vectors WHERE passage"] {
        let delete = format!("DELETE FROM {table} IN (SELECT passage FROM passages WHERE revision = ?1)");
        change.prepare_cached(&delete)?.execute([revision])?;
    }
    for table in ["passages", "documents"] {
        change.prepare_cached(&format!("DELETE FROM {table} WHERE revision = ?1"))?.execute([revision])?;
    }
    Ok(Some(revision.unsigned_abs()))
}

fn write(change: &Transaction<'_>, tenant: &str, document: &Document, passages: &[Passage]) -> rusqlite::Result<i64> {
    let Document { id, title, content, metadata, at } = document;
    let metadata = serde_json::json!(metadata).to_string();
    let (chars, count) = (content.chars().count() as i64, passages.len() as i64);
    let insert = "INSERT INTO documents(tenant, id, title, content, metadata, at, chars, passages)
        VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    change.prepare_cached(insert)?.execute(params![tenant, id, title, content, metadata, at.0, chars, count])?;
    let revision = change.last_insert_rowid();
    for (ordinal, passage) in passages.iter().enumerate() {
        let insert = r#"INSERT INTO passages(revision, ordinal, "start", "end", text) VALUES(?1, ?2, ?3, ?4, ?5)"#;
        let row = params![revision, ordinal as i64, passage.start, passage.end, passage.text];
        change.prepare_cached(insert)?.execute(row)?;
        let number = change.last_insert_rowid();
        let insert = "INSERT INTO words(rowid, title, text) VALUES(?1, ?2, ?3)";
        change.prepare_cached(insert)?.execute(params![number, title, passage.text])?;
        if let Some(vector) = &passage.vector {
            let space = make_space(change, tenant, vector)?;
            let body: Vec<u8> = vector.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let insert = "INSERT INTO vectors(passage, space, body) VALUES(?1, ?2, ?3)";
            change.prepare_cached(insert)?.execute(params![number, space, body])?;
        }
    }
    Ok(revision)
}

fn space(db: &Connection, tenant: &str, vector: &Vector) -> rusqlite::Result<Option<i64>> {
    let find = "SELECT space FROM spaces WHERE tenant = ?1 AND model = ?2 AND length = ?3";
    let key = params![tenant, vector.model, vector.values.len() as i64];
    db.prepare_cached(find)?.query_row(key, |r| r.get(0)).optional()
}

fn make_space(db: &Connection, tenant: &str, vector: &Vector) -> rusqlite::Result<i64> {
    if let Some(space) = space(db, tenant, vector)? {
        return Ok(space);
    }
    let insert = "INSERT INTO spaces(tenant, model, length) VALUES(?1, ?2, ?3)";
    db.prepare_cached(insert)?.execute(params![tenant, vector.model, vector.values.len() as i64])?;
    Ok(db.last_insert_rowid())
}

/// A passage with its cosine. The order is by badness: a heap has the worst of the best on top.
#[derive(PartialEq)]
struct Near {
    score: f32,
    passage: i64,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.passage.cmp(&other.passage))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The nearest, nearest first.
fn nearest(db: &Connection, space: i64, to: &[f32], fits: &Fits, limit: usize) -> rusqlite::Result<Vec<Near>> {
    // The whole space is read without a look at the documents.
    let select = if fits.is_whole_tenant() {
        "SELECT v.passage, v.body FROM vectors AS v WHERE v.space = ?4".to_owned()
    } else {
        format!(
            "SELECT v.passage, v.body FROM vectors AS v JOIN passages AS p ON p.passage = v.passage
            JOIN documents AS d ON d.revision = p.revision WHERE v.space = ?4 AND {FITS}"
        )
    };
    let mut select = db.prepare_cached(&select)?;
    let mut rows = if fits.is_whole_tenant() {
        select.raw_bind_parameter(4, space)?;
        select.raw_query()
    } else {
        select.query(params![fits.tenant, fits.ids, fits.metadata, space])?
    };
    let mut best = BinaryHeap::with_capacity(limit + 1);
    while let Some(row) = rows.next()? {
        let score = dot(row.get_ref(1)?.as_blob()?, to);
        best.push(Near { score, passage: row.get(0)? });
        if best.len() > limit {
            best.pop();
        }
    }
    Ok(best.into_sorted_vec())
}

/// Several sums at once, so that the compiler may use wide registers.
fn dot(body: &[u8], to: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let value = |bytes: &[u8]| bytes.try_into().map_or(0.0, f32::from_le_bytes);
    let (wide, rest) = (body.chunks_exact(4 * LANES), to.chunks_exact(LANES));
    let tail = wide.remainder().chunks_exact(4).zip(rest.remainder()).map(|(a, b)| value(a) * b).sum::<f32>();
    for (a, b) in wide.zip(rest) {
        for lane in 0..LANES {
            sums[lane] += value(&a[4 * lane..4 * lane + 4]) * b[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_schoolbook() {
        for length in [0, 1, 7, 8, 9, 31, 384] {
            let a: Vec<f32> = (0..length).map(|n| (n as f32).sin()).collect();
            let b: Vec<f32> = (0..length).map(|n| (n as f32).cos()).collect();
            let body: Vec<u8> = a.iter().flat_map(|value| value.to_le_bytes()).collect();
            let plain: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((dot(&body, &b) - plain).abs() < 1e-3, "{length}");
        }
    }
}
