//! One transition, inside the writer's transaction.

use crate::sqlite::{accounts, sessions};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};
use std::collections::HashMap;
use tutti_engine::ports::store::{Append, Birth, Fence, InboxItem, Label, Receipt, Refusal, Stand, Transition};
use tutti_engine::run::{Owner, RunId, RunNo, Status, Time};
use uuid::Uuid;

/// Most owners remembered at once; the others are looked up again.
const OWNERS_MAX: usize = 10_000;

/// Small numbers for words that stand in every row.
#[derive(Default)]
pub(super) struct Interned {
    names: HashMap<String, i64>,
    owners: HashMap<Owner, i64>,
}

impl Interned {
    /// What was interned in a transaction that was rolled back is gone.
    pub fn forget(&mut self) {
        self.names.clear();
        self.owners.clear();
    }

    fn name(&mut self, db: &Connection, text: &str) -> Result<i64> {
        if let Some(name) = self.names.get(text) {
            return Ok(*name);
        }
        db.prepare_cached("INSERT INTO names(text) VALUES(?1) ON CONFLICT DO NOTHING")?.execute([text])?;
        let name = db.prepare_cached("SELECT name FROM names WHERE text = ?1")?.query_row([text], |r| r.get(0))?;
        self.names.insert(text.into(), name);
        Ok(name)
    }

    fn owner(&mut self, db: &Connection, owner: &Owner) -> Result<i64> {
        if let Some(number) = self.owners.get(owner) {
            return Ok(*number);
        }
        let both = [&owner.tenant, &owner.user];
        db.prepare_cached("INSERT INTO owners(tenant, user) VALUES(?1, ?2) ON CONFLICT DO NOTHING")?.execute(both)?;
        let number = db
            .prepare_cached("SELECT owner FROM owners WHERE tenant = ?1 AND user = ?2")?
            .query_row(both, |r| r.get(0))?;
        if self.owners.len() >= OWNERS_MAX {
            self.owners.clear();
        }
        self.owners.insert(owner.clone(), number);
        Ok(number)
    }
}

/// Applies a transition, or refuses it without a trace. An error is the store's, and ends the whole transaction.
pub(super) fn apply(db: &Connection, transition: Transition, interned: &mut Interned) -> Result<Receipt> {
    let Transition { appends, inbox_put, inbox_done, turns, voids, session_drop, asks, labels, holds, settles } =
        transition;
    let lone_put = appends.is_empty() && inbox_done.is_empty() && session_drop.is_none() && inbox_put.len() == 1;
    if let Some(session) = session_drop
        && !sessions::is_there(db, session)?
    {
        return Ok(Receipt::Refused(Refusal::Gone));
    }
    // One append checks its fence before it writes anything; several need a way back.
    let is_several = appends.len() > 1 || !holds.is_empty();
    if is_several {
        db.prepare_cached("SAVEPOINT transition")?.execute([])?;
    }
    let mut stands = Vec::new();
    for append in appends {
        if let (Some(stand), Fence::After { .. } | Fence::Claim { .. }) = (append.stand, &append.fence) {
            stands.push((append.run, stand, append.epoch));
        }
        if let Some(refusal) = write(db, append, interned)? {
            if is_several {
                undo(db, interned)?;
            }
            return Ok(Receipt::Refused(refusal));
        }
    }
    for hold in holds {
        if let Some(overdrawn) = accounts::hold(db, &hold)? {
            undo(db, interned)?;
            return Ok(Receipt::Refused(Refusal::Overdrawn(overdrawn)));
        }
    }
    for settle in settles {
        accounts::settle(db, &settle)?;
    }
    if let Some(session) = session_drop {
        sessions::remove(db, session)?;
    }
    for (run, dedup) in inbox_done {
        db.prepare_cached("UPDATE inbox SET taken = 1, body = x'' WHERE run = ?1 AND dedup = ?2")?
            .execute(params![run.0, dedup])?;
    }
    // After the messages were taken: only those that are left make a parking run due at once.
    for (run, stand, epoch) in stands {
        stand_at(db, run, stand, epoch)?;
    }
    for turn in turns {
        sessions::turn(db, turn)?;
    }
    for run in voids {
        sessions::void(db, run)?;
    }
    for (run, asks) in asks {
        db.prepare_cached("UPDATE runs SET asks = ?2 WHERE run = ?1")?.execute(params![run.0, asks])?;
    }
    for (run, label) in labels {
        mark(db, run, &label, interned)?;
    }
    for item in inbox_put {
        let refusal = put(db, &item)?;
        if let Some(refusal) = refusal.filter(|_| lone_put) {
            return Ok(Receipt::Refused(refusal));
        }
    }
    if is_several {
        db.prepare_cached("RELEASE transition")?.execute([])?;
    }
    Ok(Receipt::Committed)
}

/// Leaves no trace of a transition that began with a savepoint.
fn undo(db: &Connection, interned: &mut Interned) -> Result<()> {
    db.prepare_cached("ROLLBACK TO transition")?.execute([])?;
    db.prepare_cached("RELEASE transition")?.execute([])?;
    interned.forget();
    Ok(())
}

fn mark(db: &Connection, run: RunNo, label: &Label, interned: &mut Interned) -> Result<()> {
    let insert =
        "INSERT INTO labels(run, name, value) VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value";
    let name = interned.name(db, &label.name)?;
    db.prepare_cached(insert)?.execute(params![run.0, name, label.value])?;
    Ok(())
}

fn write(db: &Connection, append: Append, interned: &mut Interned) -> Result<Option<Refusal>> {
    let Append { run, fence, first, last, epoch, at, body, stand, blobs } = append;
    let fenced = Ok(Some(Refusal::Fenced { run }));
    let prev = match &fence {
        Fence::Birth(birth) => {
            if let Some(refusal) = born(db, run, first, birth, stand, epoch, at, interned)? {
                return Ok(Some(refusal));
            }
            0
        }
        Fence::After { prev } | Fence::Claim { prev } => {
            let owner = if matches!(fence, Fence::Claim { .. }) { epoch.checked_sub(1) } else { Some(epoch) };
            let Some(expected) = owner.zip(first.checked_sub(1)) else { return fenced };
            let found: Option<(u32, u32)> = db
                .prepare_cached("SELECT epoch, last FROM journal WHERE run = ?1 AND seq = ?2")?
                .query_row(params![run.0, prev], |r| Ok((r.get(0)?, r.get(1)?)))
                .optional()?;
            if found != Some(expected) {
                return fenced;
            }
            *prev
        }
    };
    let insert = "INSERT INTO journal(run, seq, last, prev, epoch, at, body) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    let row = params![run.0, first, last, prev, epoch, at.0, body.as_ref()];
    if db.prepare_cached(insert)?.execute(row)? == 0 {
        return fenced;
    }
    for blob in blobs {
        let hash = blob.hash.as_slice();
        db.prepare_cached("INSERT INTO blobs(hash, body, born) VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(params![hash, blob.body.as_ref(), at.0])?;
        db.prepare_cached("INSERT INTO blob_refs(run, hash) VALUES(?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![run.0, hash])?;
    }
    Ok(None)
}

#[expect(clippy::too_many_arguments, reason = "one row, written in one place")]
fn born(
    db: &Connection,
    run: RunNo,
    first: u32,
    birth: &Birth,
    stand: Option<Stand>,
    epoch: u32,
    at: Time,
    interned: &mut Interned,
) -> Result<Option<Refusal>> {
    if let Some(once) = birth.once {
        let earlier = db
            .prepare_cached("SELECT once.run, once.body, runs.id FROM once JOIN runs USING(run) WHERE scope = ?1")?
            .query_row([once.scope.as_slice()], |r| {
                Ok(Refusal::Repeated { run: RunNo(r.get(0)?), body: r.get(1)?, id: RunId(r.get::<_, Uuid>(2)?) })
            })
            .optional()?;
        if earlier.is_some() {
            return Ok(earlier);
        }
    }
    if first != 1 {
        return Ok(Some(Refusal::Fenced { run }));
    }
    let stand = stand.unwrap_or(Stand { status: Status::Queued, due_at: None, ended_at: None });
    let owner = interned.owner(db, &birth.owner)?;
    let insert = "INSERT INTO runs(run, id, workflow, version, owner, status, priority, ended_at, due_at, parent, session, epoch)
        VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING";
    let row = params![
        run.0,
        birth.id.0,
        interned.name(db, &birth.workflow)?,
        birth.version,
        owner,
        stand.status.code(),
        birth.priority,
        stand.ended_at.map(|t| t.0),
        stand.due_at.map(|t| t.0),
        birth.parent.map(|p| p.0),
        birth.session,
        epoch,
    ];
    if db.prepare_cached(insert)?.execute(row)? == 0 {
        return Ok(Some(Refusal::Fenced { run }));
    }
    if let Some(session) = birth.session.as_deref().filter(|_| birth.parent.is_none()) {
        let session = sessions::open(db, run, owner, session, at)?;
        db.prepare_cached("UPDATE runs SET session_no = ?2 WHERE run = ?1")?.execute([run.0, session])?;
    }
    if let Some(once) = birth.once {
        db.prepare_cached("INSERT INTO once(scope, run, body, born) VALUES(?1, ?2, ?3, ?4)")?.execute(params![
            once.scope.as_slice(),
            run.0,
            once.body.as_slice(),
            at.0
        ])?;
    }
    Ok(None)
}

fn stand_at(db: &Connection, run: RunNo, stand: Stand, epoch: u32) -> Result<()> {
    // A message that came while the run was on its way to sleep makes it due at once.
    let mut due = stand.due_at.map(|t| t.0);
    if stand.status == Status::Waiting {
        let mut mail: CachedStatement<'_> =
            db.prepare_cached("SELECT 1 FROM inbox WHERE run = ?1 AND taken = 0 LIMIT 1")?;
        if mail.exists([run.0])? {
            due = Some(0);
        }
    }
    db.prepare_cached("UPDATE runs SET status = ?2, due_at = ?3, ended_at = ?4, epoch = ?5 WHERE run = ?1")?
        .execute(params![run.0, stand.status.code(), due, stand.ended_at.map(|t| t.0), epoch])?;
    Ok(())
}

fn put(db: &Connection, item: &InboxItem) -> Result<Option<Refusal>> {
    let status: Option<u8> = db
        .prepare_cached("SELECT status FROM runs WHERE run = ?1")?
        .query_row([item.run.0], |r| r.get(0))
        .optional()?;
    let Some(status) = status.and_then(Status::from_code).filter(|s| !s.is_terminal()) else {
        return Ok(Some(Refusal::Gone));
    };
    let insert = "INSERT INTO inbox(run, dedup, kind, body) VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let row = params![item.run.0, item.dedup, item.kind, item.body.as_ref()];
    if db.prepare_cached(insert)?.execute(row)? == 0 {
        return Ok(Some(Refusal::Duplicate));
    }
    if status == Status::Waiting {
        db.prepare_cached("UPDATE runs SET due_at = 0 WHERE run = ?1")?.execute([item.run.0])?;
    }
    Ok(None)
}
