//! Questions to databases of others: what is answered, and what is not.

use serde_json::{Value, json};
use std::time::Duration;
use tutti_engine::ports::queries::{Database, Databases, QueryError, Question, Table};
use tutti_stores::queries::Queries;
use tutti_tests::backends::postgres::Postgres;
use tutti_tests::backends::skip;

const TABLE: &str = "CREATE TABLE companies(name text, city text, staff int);
    INSERT INTO companies VALUES('Acme', 'Bonn', 3), ('Umbrella', 'Köln', 70), ('Initech', 'Bonn', NULL);";

async fn ask(database: Database, sql: &str, params: &[Value]) -> Result<Table, QueryError> {
    let (sql, params, timeout) = (sql.to_owned(), params.to_vec(), Duration::from_millis(1_500));
    Queries.ask(Question { database, sql, params, rows_max: 100, bytes_max: 10_000, timeout }).await
}

/// What holds for every kind of database. `forever` keeps it busy.
async fn answers(database: impl Fn() -> Database, forever: &str) {
    let bonn =
        ask(database(), "SELECT name, staff FROM companies WHERE city = $1 ORDER BY name", &[json!("Bonn")]).await;
    let rows = vec![json!({"name": "Acme", "staff": 3}), json!({"name": "Initech", "staff": null})];
    assert_eq!(bonn, Ok(Table { rows, is_cut: false }));
    let staff = "SELECT name FROM companies WHERE staff > $2 AND city <> $1;";
    let staff = ask(database(), staff, &[json!("x"), json!(10)]).await;
    assert_eq!(staff.unwrap().rows, [json!({"name": "Umbrella"})]);
    // What is given is data, whatever it says.
    let odd = json!("' OR 1=1; DROP TABLE companies; --");
    assert!(ask(database(), "SELECT * FROM companies WHERE name = $1", &[odd]).await.unwrap().rows.is_empty());
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n";
    let many = ask(database(), many, &[]).await.unwrap();
    assert!(many.rows.len() == 100 && many.is_cut);
    let wide = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90) \
                SELECT '0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
                0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789' AS x FROM n";
    let wide = ask(database(), wide, &[]).await.unwrap();
    assert!(wide.is_cut && wide.rows.len() < 60, "{}", wide.rows.len());
    for bad in [
        "DELETE FROM companies",
        "SELECT 1; DELETE FROM companies",
        "WITH gone AS (DELETE FROM companies RETURNING *) SELECT * FROM gone",
        "SELECT * FROM nowhere",
        "SELEC 1",
        "DROP TABLE companies",
        "PRAGMA journal_mode=DELETE",
        "ATTACH ':memory:' AS x",
        "COPY companies TO PROGRAM 'true'",
        "",
    ] {
        let refused = ask(database(), bad, &[]).await.unwrap_err();
        assert!(matches!(refused, QueryError::Refused(_)), "{bad}: {refused:?}");
    }
    assert_eq!(ask(database(), forever, &[]).await, Err(QueryError::TooSlow { ms: 1_500 }));
    assert_eq!(ask(database(), "SELECT count(*) AS n FROM companies", &[]).await.unwrap().rows, [json!({"n": 3})]);
}

#[tokio::test]
async fn files_of_sqlite_are_read_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("companies.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch(TABLE).unwrap();
    let database = || Database::Sqlite { file: file.clone() };
    let forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    answers(database, forever).await;
    let huge = ask(database(), "SELECT hex(randomblob(500000000)) AS x", &[]).await.unwrap_err();
    assert!(matches!(huge, QueryError::Refused(_)), "{huge:?}");
    let none = ask(Database::Sqlite { file: dir.path().join("none.db") }, "SELECT 1", &[]).await.unwrap_err();
    assert!(matches!(none, QueryError::Unreachable(_)), "{none:?}");
    std::fs::write(&file, "no database at all, but long enough to look like one".repeat(100)).unwrap();
    let broken = ask(database(), "SELECT * FROM companies", &[]).await.unwrap_err();
    assert!(matches!(broken, QueryError::Unreachable(_)), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_asked_in_a_transaction_that_only_reads() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let tables = TABLE.replace("companies", &format!("{schema}.companies"));
    server.psql(&format!("CREATE SCHEMA {schema}; {tables}; CREATE SEQUENCE {schema}.s;")).await;
    let address = [127, 0, 0, 1].into();
    let separator = if server.dsn().contains('?') { '&' } else { '?' };
    let dsn = format!("{}{separator}options=-csearch_path%3D{schema}", server.dsn());
    let database = || Database::Postgres { dsn: dsn.clone(), address };
    answers(database, "SELECT pg_sleep(60)::text AS x").await;
    for writes in ["SELECT nextval('s')", "SELECT set_config('transaction_read_only', 'off', true), nextval('s')"] {
        let refused = ask(database(), writes, &[]).await.unwrap_err();
        assert!(
            matches!(&refused, QueryError::Refused(why) if why.contains("read-only") || why.contains("before any query")),
            "{refused:?}"
        );
    }
    let closed = Database::Postgres { dsn: "postgresql://u:sesame@db.example:1/x?sslmode=disable".into(), address };
    let refused = ask(closed, "SELECT 1", &[]).await.unwrap_err();
    assert!(matches!(&refused, QueryError::Unreachable(why) if !why.contains("sesame")), "{refused:?}");
}
