//! Sessions: what is asked about them, and what a transition does to them. A turn is a number in its run's row, so there is
//! nothing to keep in step.

use crate::sqlite::read::{RUN, run_row};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use tutti_engine::ports::store::{ListSessions, ListTurns, RunRow, Turn};
use tutti_engine::run::{Owner, RunId, RunNo, Time};
use tutti_engine::session::{SessionNo, SessionRow, TurnRow};

const SESSION: &str = "SELECT session, id, tenant, user, created_at, updated_at, head
    FROM sessions CROSS JOIN owners USING(owner) WHERE ";

fn session_row(r: &Row<'_>) -> Result<SessionRow> {
    Ok(SessionRow {
        no: SessionNo(r.get(0)?),
        id: r.get(1)?,
        owner: Owner { tenant: r.get(2)?, user: r.get(3)? },
        created_at: Time(r.get(4)?),
        updated_at: Time(r.get(5)?),
        head: r.get(6)?,
    })
}

fn owner_no(db: &Connection, owner: &Owner) -> Result<Option<i64>> {
    let number = "SELECT owner FROM owners WHERE tenant = ?1 AND user = ?2";
    db.prepare_cached(number)?.query_row([&owner.tenant, &owner.user], |r| r.get(0)).optional()
}

pub(super) fn session(db: &Connection, owner: &Owner, id: &str) -> Result<Option<SessionRow>> {
    let Some(owner) = owner_no(db, owner)? else { return Ok(None) };
    let sql = format!("{SESSION} sessions.owner = ?1 AND id = ?2");
    db.prepare_cached(&sql)?.query_row(params![owner, id], session_row).optional()
}

pub(super) fn session_of(db: &Connection, run: RunNo) -> Result<Option<SessionRow>> {
    let sql = format!("{SESSION} session = (SELECT session_no FROM runs WHERE run = ?1)");
    db.prepare_cached(&sql)?.query_row([run.0], session_row).optional()
}

pub(super) fn sessions(db: &Connection, query: &ListSessions) -> Result<Vec<SessionRow>> {
    let before = query.before.map_or(i64::MAX, |no| no.0);
    let Some(user) = &query.user else {
        let sql = format!("{SESSION} tenant = ?1 AND session < ?2 ORDER BY session DESC LIMIT ?3");
        return db.prepare_cached(&sql)?.query_map(params![query.tenant, before, query.limit], session_row)?.collect();
    };
    let owner = Owner { tenant: query.tenant.clone(), user: user.clone() };
    let Some(owner) = owner_no(db, &owner)? else { return Ok(Vec::new()) };
    let sql = format!("{SESSION} sessions.owner = ?1 AND session < ?2 ORDER BY session DESC LIMIT ?3");
    db.prepare_cached(&sql)?.query_map(params![owner, before, query.limit], session_row)?.collect()
}

/// `turn IS NOT NULL` lets SQLite use the index.
pub(super) const TURNS: &str = "SELECT turn >> 1, run, id, ended_at, turn & 1 FROM runs INDEXED BY runs_turn
    WHERE turn IS NOT NULL AND session_no = ?1 AND turn BETWEEN ?2 * 2 AND ?3 * 2 + 1 AND (turn & 1) <= ?4
    ORDER BY turn DESC LIMIT ?5";

pub(super) fn turns(db: &Connection, query: &ListTurns) -> Result<Vec<TurnRow>> {
    let values = params![query.session.0, query.from, query.to, query.voids, query.limit];
    db.prepare_cached(TURNS)?
        .query_map(values, |r| {
            Ok(TurnRow {
                n: r.get(0)?,
                run: RunNo(r.get(1)?),
                id: RunId(r.get(2)?),
                at: Time(r.get::<_, Option<i64>>(3)?.unwrap_or_default()),
                is_void: r.get(4)?,
            })
        })?
        .collect()
}

pub(super) fn session_runs(
    db: &Connection,
    session: Option<SessionNo>,
    after: RunNo,
    limit: u32,
) -> Result<Vec<RunRow>> {
    let only = if session.is_some() { "session_no = ?1" } else { "?1 IS NULL" };
    let sql = format!("{RUN} session_no IS NOT NULL AND status < 3 AND {only} AND run > ?2 ORDER BY run LIMIT ?3");
    db.prepare_cached(&sql)?.query_map(params![session.map(|no| no.0), after.0, limit], run_row)?.collect()
}

/// The session that a run without a parent is born into, opened where it is not there yet.
pub(super) fn open(db: &Connection, run: RunNo, owner: i64, id: &str, at: Time) -> Result<i64> {
    let find = "SELECT session FROM sessions WHERE owner = ?1 AND id = ?2";
    if let Some(no) = db.prepare_cached(find)?.query_row(params![owner, id], |r| r.get(0)).optional()? {
        return Ok(no);
    }
    let insert = "INSERT INTO sessions(session, owner, id, created_at, updated_at) VALUES(?1, ?2, ?3, ?4, ?4)";
    db.prepare_cached(insert)?.execute(params![run.0, owner, id, at.0])?;
    Ok(run.0)
}

/// Writes a completed run's turn; nothing for a run that has no session (any more) or has its turn.
pub(super) fn turn(db: &Connection, turn: Turn) -> Result<()> {
    let grow = "UPDATE sessions SET head = head + 1, updated_at = ?2
        WHERE session = (SELECT session_no FROM runs WHERE run = ?1 AND turn IS NULL) RETURNING head";
    let head: Option<i64> =
        db.prepare_cached(grow)?.query_row(params![turn.run.0, turn.at.0], |r| r.get(0)).optional()?;
    if let Some(head) = head {
        db.prepare_cached("UPDATE runs SET turn = ?2 WHERE run = ?1")?.execute([turn.run.0, head * 2])?;
    }
    Ok(())
}

/// Takes a run's turn back.
pub(super) fn void(db: &Connection, run: RunNo) -> Result<()> {
    db.prepare_cached("UPDATE runs SET turn = turn | 1 WHERE run = ?1 AND turn IS NOT NULL")?.execute([run.0])?;
    Ok(())
}

pub(super) fn is_there(db: &Connection, session: SessionNo) -> Result<bool> {
    db.prepare_cached("SELECT 1 FROM sessions WHERE session = ?1")?.exists([session.0])
}

/// Removes a session. Its runs belong to no session from now on.
pub(super) fn remove(db: &Connection, session: SessionNo) -> Result<()> {
    db.prepare_cached("DELETE FROM sessions WHERE session = ?1")?.execute([session.0])?;
    for runs in ["turn IS NOT NULL", "status < 3"] {
        let sql = format!(
            "UPDATE runs SET session_no = NULL, turn = NULL WHERE session_no = ?1 AND session_no IS NOT NULL AND {runs}"
        );
        db.prepare_cached(&sql)?.execute([session.0])?;
    }
    Ok(())
}

/// Removes a session that has neither turns nor open runs left.
pub(super) fn remove_empty(db: &Connection, session: i64) -> Result<()> {
    let sql = "DELETE FROM sessions WHERE session = ?1
        AND NOT EXISTS (SELECT 1 FROM runs WHERE session_no = ?1 AND turn IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM runs WHERE session_no = ?1 AND session_no IS NOT NULL AND status < 3)";
    db.prepare_cached(sql)?.execute([session])?;
    Ok(())
}
