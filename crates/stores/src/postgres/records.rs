//! Records on PostgreSQL.

use crate::postgres::PostgresStore;
use crate::postgres::read::ask;
use crate::postgres::worker::Side;
use std::sync::Arc;
use tokio_postgres::Row;
use tutti_engine::ports::records::{Expect, Put, Record, Records};
use tutti_engine::ports::store::Read;
use tutti_engine::run::Time;

/// Records in the schema of a store.
#[derive(Clone)]
pub struct PostgresRecords {
    side: Arc<Side>,
    readers: deadpool_postgres::Pool,
}

impl PostgresStore {
    /// The records beside the runs.
    #[must_use]
    pub fn records(&self) -> PostgresRecords {
        PostgresRecords { side: Arc::clone(&self.side), readers: self.readers.clone() }
    }
}

const GET: &str = "SELECT kind, tenant, name, body, at, version FROM records WHERE kind = $1 AND tenant = $2 AND name = $3 AND body IS NOT NULL";
const LIST: &str = "SELECT kind, tenant, name, body, at, version FROM records
    WHERE kind = $1 AND tenant = $2 AND ($3::text IS NULL OR name > $3) AND body IS NOT NULL ORDER BY name LIMIT $4";
/// The name's row, made where it is not there yet, and locked: its next number is nobody else's.
const OPEN: &str = "INSERT INTO records VALUES($1, $2, $3, 0, 0, NULL) ON CONFLICT DO NOTHING";
const STANDS: &str =
    "SELECT version, body IS NOT NULL FROM records WHERE kind = $1 AND tenant = $2 AND name = $3 FOR UPDATE";
const WRITE: &str = "UPDATE records SET version = version + 1, at = $4, body = $5 WHERE kind = $1 AND tenant = $2 AND name = $3 RETURNING version";
const BURY: &str = "UPDATE records SET body = NULL WHERE kind = $1 AND tenant = $2 AND name = $3 AND body IS NOT NULL
    AND ($4::bigint IS NULL OR version = $4)";

fn record(r: &Row) -> Record {
    Record {
        kind: r.get(0),
        tenant: r.get(1),
        name: r.get(2),
        body: r.get::<_, Vec<u8>>(3).into(),
        at: Time(r.get(4)),
        version: r.get::<_, i64>(5).unsigned_abs(),
    }
}

impl Records for PostgresRecords {
    fn get(&self, kind: &str, tenant: &str, name: &str) -> Read<Option<Record>> {
        let (readers, [kind, tenant, name]) = (self.readers.clone(), [kind, tenant, name].map(String::from));
        Box::pin(async move { Ok(ask(&readers, GET, &[&kind, &tenant, &name]).await?.first().map(record)) })
    }

    fn put(&self, wanted: Record, expect: Expect) -> Read<Put> {
        let side = Arc::clone(&self.side);
        Box::pin(async move {
            side.transaction(async |db| {
                let Record { kind, tenant, name, body, at, .. } = &wanted;
                db.execute(OPEN, &[kind, tenant, name]).await?;
                let found = db.row(STANDS, &[kind, tenant, name]).await?;
                let found = found.filter(|r| r.get(1)).map(|r| r.get::<_, i64>(0).unsigned_abs());
                if !expect.is_met(found) {
                    return Ok(Put::Conflict(found));
                }
                let written = db.row(WRITE, &[kind, tenant, name, &at.0, &body.as_ref()]).await?;
                Ok(Put::Written(written.map_or(0, |r| r.get::<_, i64>(0).unsigned_abs())))
            })
            .await
        })
    }

    fn delete(&self, kind: &str, tenant: &str, name: &str, expect: Expect) -> Read<bool> {
        let (side, [kind, tenant, name]) = (Arc::clone(&self.side), [kind, tenant, name].map(String::from));
        let version = match expect {
            Expect::Any => None,
            Expect::Version(version) => Some(i64::try_from(version).unwrap_or(i64::MAX)),
            Expect::Absent => return Box::pin(async { Ok(false) }),
        };
        Box::pin(async move {
            side.with(async |db| Ok(db.execute(BURY, &[&kind, &tenant, &name, &version]).await? > 0)).await
        })
    }

    fn list(&self, kind: &str, tenant: &str, after_name: Option<String>, limit: u32) -> Read<Vec<Record>> {
        let (readers, [kind, tenant]) = (self.readers.clone(), [kind, tenant].map(String::from));
        Box::pin(async move {
            let rows = ask(&readers, LIST, &[&kind, &tenant, &after_name, &i64::from(limit)]).await?;
            Ok(rows.iter().map(record).collect())
        })
    }
}
