//! The index on PostgreSQL: words by full text search, vectors by pgvector where the database has that extension.

use crate::index::metadata;
use crate::knowledge::words;
use crate::postgres::PostgresStore;
use crate::postgres::db::{Db, error};
use crate::postgres::read::{ask, unavailable};
use crate::postgres::worker::Side;
use deadpool_postgres::Pool;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio_postgres::{Error, Row};
use tutti_engine::ports::index::{At, Document, Filter, Hit, Index, Listed, Passage, Stored, Vector};
use tutti_engine::ports::store::{Read, StoreError};
use tutti_engine::run::Time;

/// Passages written by one statement.
const ROWS: usize = 200;

/// Documents in the schema of a store.
pub struct PostgresIndex {
    side: Arc<Side>,
    readers: Pool,
    /// How to ask for the nearest, where the extension is there.
    nearest: Option<Arc<str>>,
}

impl PostgresStore {
    /// The documents beside the runs.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn index(&self) -> Result<PostgresIndex, StoreError> {
        let readers = self.readers.clone();
        let found = ask(&readers, EXTENSION, &[]).await?;
        let nearest = found.first().map(|row| nearest(row.get(0)).into());
        Ok(PostgresIndex { side: Arc::clone(&self.side), readers, nearest })
    }
}

/// The schema that the extension is in.
const EXTENSION: &str = "SELECT nspname::text FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE extname = 'vector'";
/// Whoever writes the same document at the same time waits: the name is locked, as there may be no row yet.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1 || '/' || $2, 0))";
const DELETE: &str = "DELETE FROM documents WHERE tenant = $1 AND id = $2 RETURNING revision";
const INSERT: &str = "INSERT INTO documents(tenant, id, title, content, metadata, at, chars, passages)
    VALUES($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8) RETURNING revision";
const PASSAGES: &str = r#"INSERT INTO passages(revision, ordinal, "start", "end", text, words, model, vector)
    SELECT $1, ordinal, "start", "end", text,
      to_tsvector('english', $2 || ' ' || text), model, vector::real[]
    FROM unnest($3::int[], $4::int[], $5::int[], $6::text[], $7::text[], $8::text[])
      AS rows(ordinal, "start", "end", text, model, vector)"#;
const GET: &str = "SELECT id, title, content, metadata::text, at FROM documents WHERE tenant = $1 AND id = $2";
const LIST: &str = "SELECT id, title, metadata::text, at, chars, passages FROM documents
    WHERE tenant = $1 AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3";

/// A question about passages: $1 the tenant, $2 ids or nothing, $3 what the metadata has to say; its score, more tables, what else
/// must hold, its order.
macro_rules! passages {
    ($score:literal, $from:literal, $holds:literal, $order:literal) => {
        concat!(
            r#"SELECT d.revision, p.ordinal, d.id, d.title, p."start", p."end", p.text, ("#,
            $score,
            ")::float8 AS score FROM documents AS d JOIN passages AS p USING (revision)",
            $from,
            " WHERE d.tenant = $1 AND ($2::text[] IS NULL OR d.id = ANY($2)) AND d.metadata @> $3::text::jsonb AND ",
            $holds,
            " ORDER BY ",
            $order
        )
    };
}

/// $4 is the question's words, `a | b`. By BM25 as if each word stood once in a passage: what a passage gains by a word is the more,
/// the fewer passages have it, and the shorter the passage is; a word of the title counts twice. The server's own `ts_rank_cd` does
/// not know how rare a word is, which matters most. Source: Robertson, Zaragoza, "The Probabilistic Relevance Framework: BM25 and
/// Beyond", 2009.
const BY_WORDS: &str = r#"WITH asked AS MATERIALIZED (
      SELECT lexeme, lexeme::tsquery AS is_there FROM unnest(tsvector_to_array(to_tsvector('english', $4))) AS lexeme),
    ours AS (SELECT revision, passages, title_words FROM documents AS d
      WHERE d.tenant = $1 AND ($2::text[] IS NULL OR d.id = ANY($2)) AND d.metadata @> $3::text::jsonb),
    gains AS MATERIALIZED (
      SELECT revision, ordinal, size::float8, lexeme, CASE WHEN title_words @@ is_there THEN 2.0 ELSE 1.0 END AS times
      FROM asked JOIN passages AS p ON p.words @@ is_there JOIN ours USING (revision)),
    usual AS (SELECT avg(size) AS size, (SELECT sum(passages) FROM ours)::float8 AS passages FROM gains),
    rarity AS (
      SELECT lexeme, ln(1 + (usual.passages - count(*) + 0.5) / (count(*) + 0.5)) AS worth
      FROM gains, usual GROUP BY lexeme, usual.passages),
    best AS (
      SELECT g.revision, g.ordinal, sum(worth * times * 2.2 / (1 + 1.2 * (0.25 + 0.75 * g.size / usual.size))) AS score
      FROM gains AS g JOIN rarity USING (lexeme), usual GROUP BY g.revision, g.ordinal
      ORDER BY score DESC, g.revision, g.ordinal LIMIT $5)
    SELECT d.revision, p.ordinal, d.id, d.title, p."start", p."end", p.text, best.score::float8
    FROM best JOIN passages AS p USING (revision, ordinal) JOIN documents AS d USING (revision)
    ORDER BY best.score DESC, d.revision, p.ordinal"#;
const BY_PLACE: &str = passages!(
    "0",
    " JOIN unnest($4::bigint[], $5::int[]) WITH ORDINALITY AS wanted(revision, ordinal, n) USING (revision, ordinal)",
    "true",
    "n"
);
/// `SCHEMA` stands for the extension's schema.
const BY_VECTOR: &str = passages!(
    "1 - (p.vector::SCHEMA.vector OPERATOR(SCHEMA.<=>) $5::text::SCHEMA.vector)",
    "",
    "p.model = $4 AND array_length(p.vector, 1) = $6",
    "p.vector::SCHEMA.vector OPERATOR(SCHEMA.<=>) $5::text::SCHEMA.vector, p.revision, p.ordinal LIMIT $7"
);

fn nearest(schema: &str) -> String {
    BY_VECTOR.replace("SCHEMA", &format!("\"{}\"", schema.replace('"', "\"\"")))
}

fn hit(r: &Row) -> Hit {
    let count = |n: usize| r.get::<_, i32>(n).unsigned_abs();
    Hit {
        at: (r.get::<_, i64>(0).unsigned_abs(), count(1)),
        document: r.get(2),
        title: r.get(3),
        start: count(4),
        end: count(5),
        text: r.get(6),
        score: r.get(7),
    }
}

/// Ids or nothing, and the metadata as JSON.
fn fits(filter: &Filter) -> (Option<Vec<String>>, String) {
    let ids = (!filter.documents.is_empty()).then(|| filter.documents.clone());
    (ids, serde_json::json!(filter.metadata).to_string())
}

fn int(n: impl TryInto<i32>) -> i32 {
    n.try_into().unwrap_or(i32::MAX)
}

/// `open`, the numbers, `close`.
fn numbers(values: &[f32], open: char, close: char) -> String {
    let mut text = String::with_capacity(values.len() * 12 + 2);
    text.push(open);
    for (n, value) in values.iter().enumerate() {
        let _ = write!(text, "{}{value}", if n == 0 { "" } else { "," });
    }
    text.push(close);
    text
}

impl Index for PostgresIndex {
    fn put(&self, tenant: &str, document: Document, passages: Vec<Passage>) -> Read<Stored> {
        let (side, tenant) = (Arc::clone(&self.side), tenant.to_owned());
        Box::pin(async move { side.transaction(async |db| write(db, &tenant, &document, &passages).await).await })
    }

    fn get(&self, tenant: &str, id: &str) -> Read<Option<Document>> {
        let (readers, [tenant, id]) = (self.readers.clone(), [tenant, id].map(String::from));
        let document = |r: &Row| {
            let (metadata, at) = (metadata(r.get(3)), Time(r.get(4)));
            Document { id: r.get(0), title: r.get(1), content: r.get(2), metadata, at }
        };
        Box::pin(async move { Ok(ask(&readers, GET, &[&tenant, &id]).await?.first().map(document)) })
    }

    fn delete(&self, tenant: &str, id: &str) -> Read<Option<u64>> {
        let (side, [tenant, id]) = (Arc::clone(&self.side), [tenant, id].map(String::from));
        Box::pin(async move {
            let deleted = side.with(async |db| db.row(DELETE, &[&tenant, &id]).await).await?;
            Ok(deleted.map(|row| row.get::<_, i64>(0).unsigned_abs()))
        })
    }

    fn list(&self, tenant: &str, after_id: Option<String>, limit: u32) -> Read<Vec<Listed>> {
        let (readers, tenant) = (self.readers.clone(), tenant.to_owned());
        let listed = |r: &Row| Listed {
            id: r.get(0),
            title: r.get(1),
            metadata: metadata(r.get(2)),
            at: Time(r.get(3)),
            chars: r.get::<_, i32>(4).unsigned_abs(),
            passages: r.get::<_, i32>(5).unsigned_abs(),
        };
        Box::pin(async move {
            let rows = ask(&readers, LIST, &[&tenant, &after_id, &i64::from(limit)]).await?;
            Ok(rows.iter().map(listed).collect())
        })
    }

    fn by_words(&self, tenant: &str, question: &str, filter: &Filter, limit: u32) -> Read<Vec<Hit>> {
        let (readers, tenant, (ids, metadata)) = (self.readers.clone(), tenant.to_owned(), fits(filter));
        // Letters and digits only: nothing of a question is taken for an operator.
        let asked = words(question).join(" | ");
        if asked.is_empty() {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        Box::pin(async move {
            let rows = ask(&readers, BY_WORDS, &[&tenant, &ids, &metadata, &asked, &i64::from(limit)]).await?;
            Ok(rows.iter().map(hit).collect())
        })
    }

    fn by_vector(&self, tenant: &str, vector: Vector, filter: &Filter, limit: u32) -> Read<Vec<Hit>> {
        let Some(nearest) = self.nearest.clone() else { return Box::pin(std::future::ready(Ok(Vec::new()))) };
        let (readers, tenant, (ids, metadata)) = (self.readers.clone(), tenant.to_owned(), fits(filter));
        Box::pin(async move {
            let (to, length) = (numbers(&vector.values, '[', ']'), int(vector.values.len()));
            let db = readers.get().await.map_err(|e| unavailable(&e))?;
            let statement = db.prepare_cached(&nearest).await.map_err(|e| error(&e))?;
            let rows =
                db.query(&statement, &[&tenant, &ids, &metadata, &vector.model, &to, &length, &i64::from(limit)]).await;
            Ok(rows.map_err(|e| error(&e))?.iter().map(hit).collect())
        })
    }

    fn passages(&self, tenant: &str, at: Vec<At>, filter: &Filter) -> Read<Vec<Hit>> {
        let (readers, tenant, (ids, metadata)) = (self.readers.clone(), tenant.to_owned(), fits(filter));
        let revision = |(revision, _): &At| i64::try_from(*revision).unwrap_or(i64::MAX);
        let revisions: Vec<i64> = at.iter().map(revision).collect();
        let ordinals: Vec<i32> = at.iter().map(|(_, ordinal)| int(*ordinal)).collect();
        Box::pin(async move {
            let rows = ask(&readers, BY_PLACE, &[&tenant, &ids, &metadata, &revisions, &ordinals]).await?;
            Ok(rows.iter().map(hit).collect())
        })
    }

    fn knows_vectors(&self) -> Result<(), String> {
        let missing =
            "PostgreSQL has no pgvector here: install it and run CREATE EXTENSION vector, or set VECTOR_DB_URL";
        self.nearest.as_ref().map(|_| ()).ok_or_else(|| missing.to_owned())
    }
}

async fn write(db: &mut Db, tenant: &str, document: &Document, passages: &[Passage]) -> Result<Stored, Error> {
    let Document { id, title, content, metadata, at } = document;
    db.execute(LOCK, &[&tenant, id]).await?;
    let found = db.row(DELETE, &[&tenant, id]).await?;
    let replaced = found.map(|row| row.get::<_, i64>(0).unsigned_abs());
    let metadata = serde_json::json!(metadata).to_string();
    let (chars, count) = (int(content.chars().count()), int(passages.len()));
    let written = db.row(INSERT, &[&tenant, id, title, content, &metadata, &at.0, &chars, &count]).await?;
    let revision: i64 = written.map_or(0, |row| row.get(0));
    for (n, rows) in passages.chunks(ROWS).enumerate() {
        let ordinals: Vec<i32> = (0..rows.len()).map(|row| int(n * ROWS + row)).collect();
        let starts: Vec<i32> = rows.iter().map(|p| int(p.start)).collect();
        let ends: Vec<i32> = rows.iter().map(|p| int(p.end)).collect();
        let texts: Vec<&str> = rows.iter().map(|p| p.text.as_str()).collect();
        let models: Vec<Option<&str>> = rows.iter().map(|p| Some(p.vector.as_ref()?.model.as_str())).collect();
        let vectors: Vec<Option<String>> =
            rows.iter().map(|p| Some(numbers(&p.vector.as_ref()?.values, '{', '}'))).collect();
        db.execute(PASSAGES, &[&revision, title, &ordinals, &starts, &ends, &texts, &models, &vectors]).await?;
    }
    Ok(Stored { revision: revision.unsigned_abs(), replaced })
}
