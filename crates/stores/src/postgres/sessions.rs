//! Sessions and their turns, and what a transition does to them. A turn is a number in its run's row, so there is nothing to keep
//! in step.

use crate::postgres::db::Db;
use tokio_postgres::{Error, Row};
use tutti_engine::ports::share::LaneRun;
use tutti_engine::ports::store::Turn;
use tutti_engine::run::{Owner, RunId, RunNo, Status, Time};
use tutti_engine::session::{OnBusy, SessionNo, SessionRow, Terms, TurnRow};

pub(super) const NAMED: &str = r#"SELECT session, id, tenant, "user", created_at, updated_at, head FROM sessions JOIN owners USING (owner)
    WHERE tenant = $1 AND "user" = $2 AND id = $3"#;
pub(super) const OF_RUN: &str = r#"SELECT session, id, tenant, "user", created_at, updated_at, head FROM sessions JOIN owners USING (owner)
    WHERE session = (SELECT session_no FROM runs WHERE run = $1)"#;
/// Newest first: numbers of several processes do not rise with time. Two statements, since one for both would be planned for neither.
macro_rules! page {
    ($whose:literal) => {
        concat!(
            r#"SELECT session, id, tenant, "user", created_at, updated_at, head FROM sessions JOIN owners USING (owner)
    WHERE tenant = $1 AND "#,
            $whose,
            " AND ($3::bigint IS NULL OR (created_at, session) < (SELECT s.created_at, s.session FROM sessions AS s WHERE s.session <= $3 ORDER BY s.session DESC LIMIT 1)
        OR (created_at, session) = (SELECT s.created_at, s.session FROM sessions AS s WHERE s.session < $3 AND NOT EXISTS
          (SELECT 1 FROM sessions AS o WHERE o.session = $3) ORDER BY s.session DESC LIMIT 1))
    ORDER BY created_at DESC, session DESC LIMIT $4"
        )
    };
}
/// A page of a user's sessions.
pub(super) const PAGE: &str = page!(r#""user" = $2"#);
/// A page of a tenant's; the user is null.
pub(super) const PAGE_OF_TENANT: &str = page!("$2::text IS NULL");
pub(super) const TURNS: &str = "SELECT turn >> 1, run, id, ended_at, turn & 1 FROM runs
    WHERE turn IS NOT NULL AND session_no = $1 AND turn BETWEEN $2::bigint * 2 AND $3::bigint * 2 + 1 AND (turn & 1) <= $4::bigint
    ORDER BY turn DESC LIMIT $5";
pub(super) const LANE: &str = "SELECT run, id, status, due_at, lane FROM runs
    WHERE session_no = $1 AND session_no IS NOT NULL AND status < 3 AND lane > 0 ORDER BY id";

pub(super) fn session_row(r: &Row) -> SessionRow {
    SessionRow {
        no: SessionNo(r.get(0)),
        id: r.get(1),
        owner: Owner { tenant: r.get(2), user: r.get(3) },
        created_at: Time(r.get(4)),
        updated_at: Time(r.get(5)),
        head: r.get::<_, i32>(6).cast_unsigned(),
    }
}

pub(super) fn turn_row(r: &Row) -> TurnRow {
    TurnRow {
        n: u32::try_from(r.get::<_, i64>(0)).unwrap_or_default(),
        run: RunNo(r.get(1)),
        id: RunId(r.get(2)),
        at: Time(r.get::<_, Option<i64>>(3).unwrap_or_default()),
        is_void: r.get::<_, i64>(4) != 0,
    }
}

pub(super) fn lane_row(r: &Row) -> LaneRun {
    let lane: i16 = r.get(4);
    // What else the terms say is in the journal; the lane needs only these two.
    let on_busy = if lane & 3 == 2 { OnBusy::Interrupt } else { OnBusy::Queue };
    LaneRun {
        run: RunNo(r.get(0)),
        id: RunId(r.get(1)),
        status: u8::try_from(r.get::<_, i16>(2)).ok().and_then(Status::from_code).unwrap_or(Status::Blocked),
        due_at: r.get::<_, Option<i64>>(3).map(Time),
        terms: Terms { on_busy, release_while_waiting: lane >= 4, ..Terms::default() },
    }
}

/// The session that a run without a parent is born into, opened where it is not there yet.
pub(super) async fn open(db: &mut Db, run: RunNo, owner: i32, id: &str, at: Time) -> Result<i64, Error> {
    let insert = "INSERT INTO sessions(session, owner, id, created_at, updated_at) VALUES($1, $2, $3, $4, $4) ON CONFLICT DO NOTHING";
    db.execute(insert, &[&run.0, &owner, &id, &at.0]).await?;
    // Locked: whoever wants its lane, or removes it, sees this birth.
    let find = "SELECT session FROM sessions WHERE owner = $1 AND id = $2 FOR UPDATE";
    Ok(db.row(find, &[&owner, &id]).await?.map_or(run.0, |row| row.get(0)))
}

/// Writes a completed run's turn; nothing for a run that has no session (any more) or has its turn.
pub(super) async fn turn(db: &mut Db, turn: Turn) -> Result<(), Error> {
    let grow = "UPDATE sessions SET head = head + 1, updated_at = $2
        WHERE session = (SELECT session_no FROM runs WHERE run = $1 AND turn IS NULL) RETURNING head";
    if let Some(row) = db.row(grow, &[&turn.run.0, &turn.at.0]).await? {
        let head = i64::from(row.get::<_, i32>(0));
        db.execute("UPDATE runs SET turn = $2 WHERE run = $1", &[&turn.run.0, &(head * 2)]).await?;
    }
    Ok(())
}

/// Takes a run's turn back.
pub(super) async fn void(db: &mut Db, run: RunNo) -> Result<(), Error> {
    db.execute("UPDATE runs SET turn = turn | 1 WHERE run = $1 AND turn IS NOT NULL", &[&run.0]).await?;
    Ok(())
}

/// Whether a session is there; it stays so until this transaction has ended.
pub(super) async fn lock(db: &mut Db, session: SessionNo) -> Result<bool, Error> {
    Ok(db.row("SELECT 1 FROM sessions WHERE session = $1 FOR UPDATE", &[&session.0]).await?.is_some())
}

/// Removes a session. Its runs belong to no session from now on.
pub(super) async fn remove(db: &mut Db, session: SessionNo) -> Result<(), Error> {
    db.execute("DELETE FROM sessions WHERE session = $1", &[&session.0]).await?;
    let runs = "UPDATE runs SET session_no = NULL, turn = NULL
        WHERE session_no = $1 AND session_no IS NOT NULL AND (turn IS NOT NULL OR status < 3)";
    db.execute(runs, &[&session.0]).await?;
    Ok(())
}

/// Removes a session that has neither turns nor open runs left.
pub(super) async fn remove_empty(db: &mut Db, sessions: &[i64]) -> Result<(), Error> {
    let empty = "DELETE FROM sessions WHERE session = ANY($1)
        AND NOT EXISTS (SELECT 1 FROM runs WHERE session_no = sessions.session AND (turn IS NOT NULL OR status < 3))";
    db.execute(empty, &[&sessions]).await?;
    Ok(())
}
