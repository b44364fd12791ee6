//! One transition at a time, inside the writer's transaction, each behind a savepoint: slower than columns, and able to say who is
//! refused and why.

use crate::postgres::accounts;
use crate::postgres::bulk::{ASKS, BLOB_REFS, BLOBS, BORN, LABELS, LANE_IS_FREE, PUTS, STANDS, TAKEN, int, lane, rank};
use crate::postgres::db::{Db, error, is_lost};
use crate::postgres::sessions;
use crate::postgres::words::Words;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tutti_engine::ports::store::{Append, Birth, Fence, InboxItem, Receipt, Refusal, Transition};
use tutti_engine::run::{RunId, RunNo, Status, Time};

/// What writing one transition needs to know of its process.
pub(super) struct Writing<'a> {
    pub words: &'a Words,
    /// This worker.
    pub me: i64,
    /// The group was sent before, and the connection was lost: a row of ours that is there already counts as written.
    pub is_again: bool,
}

/// Applies a transition, or refuses it without a trace. An error is the connection's, or means that the transaction has to be
/// tried again.
pub(super) async fn apply(db: &mut Db, transition: &Transition, writing: &Writing<'_>) -> Result<Receipt, Error> {
    db.execute("SAVEPOINT transition", &[]).await?;
    let receipt = match write(db, transition, writing).await {
        Ok(None) => {
            db.execute("RELEASE transition", &[]).await?;
            return Ok(Receipt::Committed);
        }
        Ok(Some(refusal)) => Receipt::Refused(refusal),
        Err(e) if is_lost(&e) || is_retryable(&e) => return Err(e),
        // Something in this transition that the server does not take: its neighbours are not concerned.
        Err(e) => Receipt::Failed(error(&e)),
    };
    db.execute("ROLLBACK TO transition", &[]).await?;
    db.execute("RELEASE transition", &[]).await?;
    Ok(receipt)
}

/// Somebody stood in the way of all: the same again will do, and one by one it would only take so many times as long.
pub(super) fn is_retryable(e: &Error) -> bool {
    let in_the_way = [
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
    ];
    e.code().is_some_and(|code| in_the_way.contains(code))
}

async fn write(db: &mut Db, transition: &Transition, writing: &Writing<'_>) -> Result<Option<Refusal>, Error> {
    let Transition { appends, inbox_put, inbox_done, turns, voids, session_drop, asks, labels, holds, settles } =
        transition;
    // Written whole or not at all, so one row tells of all the rest, which must not be done a second time: accounts would be charged
    // twice, and whoever has gone on with the run would lose it.
    if writing.is_again
        && let Some(append) = appends.first()
        && is_written(db, append).await?
    {
        return Ok(None);
    }
    let lone_put = appends.is_empty() && inbox_done.is_empty() && session_drop.is_none() && inbox_put.len() == 1;
    if let Some(session) = session_drop
        && !sessions::lock(db, *session).await?
    {
        return Ok(Some(Refusal::Gone));
    }
    lock(db, transition).await?;
    for append in appends {
        if let Some(refusal) = row(db, append, writing).await? {
            return Ok(Some(refusal));
        }
    }
    for hold in holds {
        if let Some(overdrawn) = accounts::hold(db, hold).await? {
            return Ok(Some(Refusal::Overdrawn(overdrawn)));
        }
    }
    for settle in settles {
        accounts::settle(db, settle).await?;
    }
    if let Some(session) = session_drop {
        sessions::remove(db, *session).await?;
    }
    for (run, dedup) in inbox_done {
        db.execute(TAKEN, &[&vec![run.0], &vec![dedup.as_str()]]).await?;
    }
    // After the messages were taken: only those that are left make a parking run due at once.
    for append in appends {
        stand(db, append, writing.me).await?;
    }
    for turn in turns {
        sessions::turn(db, *turn).await?;
    }
    for run in voids {
        sessions::void(db, *run).await?;
    }
    for (run, asks) in asks {
        db.execute(ASKS, &[&vec![run.0], &vec![int(*asks)]]).await?;
    }
    for (run, label) in labels {
        let name = writing.words.name(&label.name);
        db.execute(LABELS, &[&vec![run.0], &vec![name], &vec![label.value.as_str()]]).await?;
    }
    for item in inbox_put {
        let refusal = put(db, item).await?;
        if let Some(refusal) = refusal.filter(|_| lone_put) {
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}

async fn lock(db: &mut Db, transition: &Transition) -> Result<(), Error> {
    let stands = transition.appends.iter().filter(|a| a.stand.is_some()).map(|a| a.run.0);
    let mut runs: Vec<i64> = stands.chain(transition.inbox_put.iter().map(|m| m.run.0)).collect();
    runs.sort_unstable();
    runs.dedup();
    if !runs.is_empty() {
        db.query("SELECT 1 FROM runs WHERE run = ANY($1) ORDER BY run FOR UPDATE", &[&runs]).await?;
    }
    Ok(())
}

async fn row(db: &mut Db, append: &Append, writing: &Writing<'_>) -> Result<Option<Refusal>, Error> {
    let Append { run, fence, first, last, epoch, at, body, stand: _, blobs } = append;
    let fenced = Ok(Some(Refusal::Fenced { run: *run }));
    let prev = match fence {
        Fence::Birth(birth) => {
            if let Some(refusal) = born(db, append, birth, writing).await? {
                return Ok(Some(refusal));
            }
            0
        }
        Fence::After { prev } | Fence::Claim { prev } => {
            let is_claim = matches!(fence, Fence::Claim { .. });
            let owner = if is_claim { epoch.checked_sub(1) } else { Some(*epoch) };
            let Some((owner, end)) = owner.zip(first.checked_sub(1)) else { return fenced };
            let find = "SELECT epoch, last FROM journal WHERE run = $1 AND seq = $2";
            let found = db.row(find, &[&run.0, &i64::from(*prev)]).await?.map(|r| (r.get(0), r.get(1)));
            if found != Some((int(owner), i64::from(end))) || (is_claim && !may_claim(db, *run, *at).await?) {
                return fenced;
            }
            *prev
        }
    };
    let insert = "INSERT INTO journal(run, seq, last, prev, epoch, at, body) VALUES($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let (seq, last, prev, epoch) = (i64::from(*first), i64::from(*last), i64::from(prev), int(*epoch));
    if db.execute(insert, &[&run.0, &seq, &last, &prev, &epoch, &at.0, &body.as_ref()]).await? == 0 {
        return fenced;
    }
    for blob in blobs {
        let hash = blob.hash.as_slice();
        db.execute(BLOBS, &[&vec![hash], &vec![blob.body.as_ref()], &vec![at.0]]).await?;
        db.execute(BLOB_REFS, &[&vec![run.0], &vec![hash]]).await?;
    }
    Ok(None)
}

/// Whether this very row is there.
async fn is_written(db: &mut Db, append: &Append) -> Result<bool, Error> {
    let find =
        "SELECT 1 FROM journal WHERE run = $1 AND seq = $2 AND last = $3 AND epoch = $4 AND at = $5 AND body = $6";
    let Append { run, first, last, epoch, at, body, .. } = append;
    let found =
        db.row(find, &[&run.0, &i64::from(*first), &i64::from(*last), &int(*epoch), &at.0, &body.as_ref()]).await?;
    Ok(found.is_some())
}

/// Whether nobody else holds the lane of this run's session. The session's row is locked: two who ask do so one after the other.
async fn may_claim(db: &mut Db, run: RunNo, now: Time) -> Result<bool, Error> {
    let session =
        "SELECT session FROM sessions WHERE session = (SELECT session_no FROM runs WHERE run = $1) FOR UPDATE";
    if db.row(session, &[&run.0]).await?.is_none() {
        return Ok(true);
    }
    db.execute("SAVEPOINT lane", &[]).await?;
    match db.query(LANE_IS_FREE, &[&vec![run.0], &now.0]).await {
        Ok(_) => Ok(true),
        Err(e) if e.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
            db.execute("ROLLBACK TO lane", &[]).await?;
            Ok(false)
        }
        Err(e) => Err(e),
    }
}

async fn born(db: &mut Db, append: &Append, birth: &Birth, writing: &Writing<'_>) -> Result<Option<Refusal>, Error> {
    let Append { run, first, epoch, at, .. } = append;
    if let Some(once) = birth.once {
        let find = "SELECT once.run, once.body, runs.id FROM once JOIN runs USING (run) WHERE scope = $1";
        if let Some(row) = db.row(find, &[&once.scope.as_slice()]).await? {
            let body: &[u8] = row.get(1);
            let body = body.try_into().unwrap_or_default();
            return Ok(Some(Refusal::Repeated { run: RunNo(row.get(0)), id: RunId(row.get(2)), body }));
        }
    }
    let fenced = Ok(Some(Refusal::Fenced { run: *run }));
    if *first != 1 {
        return fenced;
    }
    let stand = append.stand.unwrap_or(BORN);
    let owner = writing.words.owner(&birth.owner);
    let insert = "INSERT INTO runs(run, id, workflow, version, owner, status, priority, epoch, ended_at, due_at, rank, parent, session, lane, worker)
        VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING";
    let (status, priority) = (i16::from(stand.status.code()), i16::from(birth.priority));
    let (ended, due, parent) = (stand.ended_at.map(|t| t.0), stand.due_at.map(|t| t.0), birth.parent.map(|p| p.0));
    let (workflow, version, epoch) = (writing.words.name(&birth.workflow), int(birth.version), int(*epoch));
    let (rank, lane) = (rank(birth), lane(birth));
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 15] = [
        &run.0,
        &birth.id.0,
        &workflow,
        &version,
        &owner,
        &status,
        &priority,
        &epoch,
        &ended,
        &due,
        &rank,
        &parent,
        &birth.session,
        &lane,
        &writing.me,
    ];
    if db.execute(insert, &row).await? == 0 {
        return fenced;
    }
    if let Some(session) = birth.session.as_deref().filter(|_| birth.parent.is_none()) {
        let session = sessions::open(db, *run, owner, session, *at).await?;
        db.execute("UPDATE runs SET session_no = $2 WHERE run = $1", &[&run.0, &session]).await?;
    }
    if let Some(once) = birth.once {
        let insert = "INSERT INTO once(scope, run, body, born) VALUES($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        if db.execute(insert, &[&once.scope.as_slice(), &run.0, &once.body.as_slice(), &at.0]).await? == 0 {
            // Taken since it was looked for: the next try will meet it.
            return fenced;
        }
    }
    Ok(None)
}

async fn stand(db: &mut Db, append: &Append, me: i64) -> Result<(), Error> {
    let (Some(stand), Fence::After { .. } | Fence::Claim { .. }) = (append.stand, &append.fence) else { return Ok(()) };
    let status = vec![i16::from(stand.status.code())];
    let (due, ended) = (vec![stand.due_at.map(|t| t.0)], vec![stand.ended_at.map(|t| t.0)]);
    db.execute(STANDS, &[&vec![append.run.0], &status, &due, &ended, &vec![int(append.epoch)], &me]).await?;
    Ok(())
}

async fn put(db: &mut Db, item: &InboxItem) -> Result<Option<Refusal>, Error> {
    let (run, dedup, kind) = (vec![item.run.0], vec![item.dedup.as_str()], vec![i16::from(item.kind)]);
    let taken = db.query(PUTS, &[&run, &dedup, &kind, &vec![item.body.as_ref()]]).await?;
    if taken.is_empty() { why_not(db, item.run).await.map(Some) } else { Ok(None) }
}

/// Why a message was not taken.
pub(super) async fn why_not(db: &mut Db, run: RunNo) -> Result<Refusal, Error> {
    let status: Option<i16> = db.row("SELECT status FROM runs WHERE run = $1", &[&run.0]).await?.map(|r| r.get(0));
    let status = status.and_then(|code| Status::from_code(u8::try_from(code).ok()?));
    Ok(if status.is_some_and(|s| !s.is_terminal()) { Refusal::Duplicate } else { Refusal::Gone })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::db::Place;
    use crate::postgres::migrate::migrate;
    use tutti_engine::account::{Account, Hold, Settle};
    use tutti_engine::ports::store::Stand;
    use tutti_engine::{Amounts, Limits};
    use tutti_tests::backends::postgres::Postgres;
    use tutti_tests::backends::skip;

    const RUN: RunNo = RunNo(1);

    fn append(fence: Fence, first: u32, stand: Status) -> Append {
        let stand = Some(Stand { status: stand, due_at: None, ended_at: None });
        let (last, at, body) = (first, Time(i64::from(first)), vec![1].into());
        Append { run: RUN, fence, first, last, epoch: 1, at, body, stand, blobs: Vec::new() }
    }

    fn born_with_a_hold() -> Transition {
        let account = Account { name: "ann".into(), limits: Limits { tokens: Some(100), ..Limits::default() } };
        let amounts = Amounts { tokens: 60, ..Amounts::default() };
        let birth = Birth::new(RunId::new(Time(1), [0; 10]), "noop");
        let appends = vec![append(Fence::Birth(Box::new(birth)), 1, Status::Running)];
        Transition { appends, holds: vec![Hold { account, amounts }], ..Transition::default() }
    }

    fn end_with_a_settlement() -> Transition {
        let tokens = |tokens| Amounts { tokens, ..Amounts::default() };
        let settle = Settle { name: "ann".into(), held: tokens(60), spent: tokens(25) };
        let appends = vec![append(Fence::After { prev: 1 }, 2, Status::Completed)];
        Transition { appends, settles: vec![settle], ..Transition::default() }
    }

    /// A connection that is lost during `COMMIT` may have committed: what is sent again then counts once.
    #[tokio::test]
    async fn what_was_written_already_is_not_done_twice() {
        let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
        let place = Place::new(&server.dsn(), &server.schema(), "test").unwrap();
        let mut db = place.connect("").await.unwrap();
        migrate(&mut db, &place).await.unwrap();
        let mut words = Words::default();
        let story = [(born_with_a_hold(), [60, 0]), (end_with_a_settlement(), [0, 25])];
        for (transition, expected) in story {
            words.learn(&mut db, std::slice::from_ref(&transition)).await.unwrap();
            for is_again in [false, true] {
                db.execute("BEGIN", &[]).await.unwrap();
                let writing = Writing { words: &words, me: 7, is_again };
                assert_eq!(apply(&mut db, &transition, &writing).await.unwrap(), Receipt::Committed);
                db.execute("COMMIT", &[]).await.unwrap();
                let row = db.row(accounts::SELECT, &[&vec!["ann"]]).await.unwrap().unwrap();
                let account = accounts::row(&row);
                assert_eq!([account.held.tokens, account.spent.tokens], expected, "again: {is_again}");
                if is_again {
                    let worker = db.row("SELECT worker FROM runs", &[]).await.unwrap().unwrap();
                    assert_eq!(worker.get::<_, Option<i64>>(0), Some(8), "what came later stands");
                } else {
                    // Meanwhile somebody else may have gone on with the run.
                    db.execute("UPDATE runs SET worker = 8", &[]).await.unwrap();
                }
            }
        }
    }
}
