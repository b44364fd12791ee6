//! Many transitions in one transaction and one round trip: columns of a group go out as arrays, `BEGIN` before and `COMMIT`
//! behind them, without waiting in between.
//!
//! Whatever is not as expected (a fence that does not hold, a number that is taken) makes a statement fail, by dividing by
//! zero, and with it the transaction: then nothing of the group is written, and it is tried again one by one (`exact.rs`), which
//! finds out who is to be refused. Refusals are rare; groups are not.

use crate::postgres::db::{Db, Params};
use crate::postgres::words::Words;
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Error, Row};
use tutti_engine::ports::store::{Append, Birth, Fence, Stand, Transition};
use tutti_engine::run::{RunNo, Status};
use tutti_engine::session::OnBusy;
use uuid::Uuid;

/// Ten seconds of waiting are worth one step of priority.
const PRIORITY_MS: i64 = 10_000;

const LOCK: &str = "SELECT 1 FROM runs WHERE run = ANY($1) ORDER BY run FOR UPDATE";
const LANES: &str = "SELECT 1 FROM sessions WHERE session IN (SELECT session_no FROM runs WHERE run = ANY($1)) ORDER BY session FOR UPDATE";
/// Nobody may claim a run of a session while another one holds its lane, or stands before it; but a cancel (kind 3) does not wait
/// in line.
pub(super) const LANE_IS_FREE: &str = "SELECT 1 / (count(*) = 0)::int FROM runs AS mine JOIN runs AS other
    ON other.session_no = mine.session_no AND other.session_no IS NOT NULL AND other.status < 3 AND other.run <> mine.run
    WHERE mine.run = ANY($1) AND mine.lane > 0 AND other.lane > 0
      AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.run = mine.run AND NOT taken AND kind = 3) AND (
      other.status = 1 OR (other.status = 2 AND other.lane < 4)
      OR (mine.status = 0 AND other.status = 0 AND (other.due_at IS NULL OR other.due_at <= $2)
        AND (-(other.lane & 3), other.id) < (-(mine.lane & 3), mine.id)))";
const BIRTHS: &str = "WITH n AS (INSERT INTO runs(run, id, workflow, version, owner, status, priority, epoch, ended_at, due_at, rank, parent, session, lane, worker)
      SELECT b.*, $16 FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::int[], $5::int[], $6::smallint[], $7::smallint[], $8::int[],
        $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::smallint[]) AS b
      ON CONFLICT DO NOTHING RETURNING 1)
    SELECT 1 / (count(*) = $15)::int FROM n";
const ONCE: &str = "WITH n AS (INSERT INTO once(scope, run, body, born)
      SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[]) ON CONFLICT DO NOTHING RETURNING 1)
    SELECT 1 / (count(*) = $5)::int FROM n";
/// `owner` is the epoch that the predecessor must have; none where the predecessor is of this very group, or there is none.
const ROWS: &str = "WITH n AS (INSERT INTO journal(run, seq, last, prev, epoch, at, body)
      SELECT i.run, i.seq, i.last, i.prev, i.epoch, i.at, i.body
      FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::bytea[], $8::int[])
        AS i(run, seq, last, prev, epoch, at, body, owner)
      WHERE i.owner IS NULL OR EXISTS (SELECT 1 FROM journal AS p
        WHERE p.run = i.run AND p.seq = i.prev AND p.last = i.seq - 1 AND p.epoch = i.owner)
      ON CONFLICT DO NOTHING RETURNING 1)
    SELECT 1 / (count(*) = $9)::int FROM n";
/// A body that is there already is born again, so that retention, which may be about to remove it, leaves it.
pub(super) const BLOBS: &str =
    "INSERT INTO blobs(hash, body, born) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[])
    ON CONFLICT (hash) DO UPDATE SET born = greatest(blobs.born + 1, excluded.born)";
pub(super) const BLOB_REFS: &str =
    "INSERT INTO blob_refs(run, hash) SELECT * FROM unnest($1::bigint[], $2::bytea[]) ON CONFLICT DO NOTHING";
pub(super) const TAKEN: &str =
    "UPDATE inbox SET taken = true, body = '' FROM unnest($1::bigint[], $2::text[]) AS i(run, dedup)
    WHERE inbox.run = i.run AND inbox.dedup = i.dedup";
/// A message that came while the run was on its way to sleep makes it due at once.
pub(super) const STANDS: &str = "UPDATE runs SET status = i.status, ended_at = i.ended, epoch = i.epoch, taken_until = NULL,
      due_at = CASE WHEN i.status = 2 AND EXISTS (SELECT 1 FROM inbox WHERE inbox.run = i.run AND NOT taken) THEN 0 ELSE i.due END,
      worker = CASE WHEN i.status = 1 THEN $6::bigint END
    FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::int[]) AS i(run, status, due, ended, epoch)
    WHERE runs.run = i.run";
pub(super) const ASKS: &str =
    "UPDATE runs SET asks = i.asks FROM unnest($1::bigint[], $2::int[]) AS i(run, asks) WHERE runs.run = i.run";
pub(super) const LABELS: &str = "INSERT INTO labels(run, name, value, id)
      SELECT i.run, i.name, i.value, runs.id FROM unnest($1::bigint[], $2::int[], $3::text[]) AS i(run, name, value) JOIN runs USING (run)
    ON CONFLICT (run, name) DO UPDATE SET value = excluded.value";
/// Locked rows first (`LOCK`): a run cannot park or end between the look at its status and the message.
pub(super) const PUTS: &str = "WITH n AS (INSERT INTO inbox(run, dedup, kind, body)
      SELECT i.run, i.dedup, i.kind, i.body FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::bytea[]) AS i(run, dedup, kind, body)
      JOIN runs ON runs.run = i.run AND runs.status NOT BETWEEN 3 AND 6 ON CONFLICT DO NOTHING RETURNING run, dedup),
    due AS (UPDATE runs SET due_at = 0 FROM n WHERE runs.run = n.run AND status = 2)
    SELECT run, dedup FROM n";

/// The columns of a group.
#[derive(Default)]
struct Columns<'a> {
    births: Births<'a>,
    once: Once<'a>,
    rows: Rows<'a>,
    blobs: (Vec<&'a [u8]>, Vec<&'a [u8]>, Vec<i64>),
    blob_refs: (Vec<i64>, Vec<&'a [u8]>),
    taken: (Vec<i64>, Vec<&'a str>),
    stands: BTreeMap<i64, (i16, Option<i64>, Option<i64>, i32)>,
    asks: BTreeMap<i64, i32>,
    labels: BTreeMap<(i64, i32), &'a str>,
    puts: Puts<'a>,
    claims: Vec<i64>,
    now: i64,
}

#[derive(Default)]
struct Births<'a> {
    run: Vec<i64>,
    id: Vec<Uuid>,
    workflow: Vec<i32>,
    version: Vec<i32>,
    owner: Vec<i32>,
    status: Vec<i16>,
    priority: Vec<i16>,
    epoch: Vec<i32>,
    ended: Vec<Option<i64>>,
    due: Vec<Option<i64>>,
    rank: Vec<i64>,
    parent: Vec<Option<i64>>,
    session: Vec<Option<&'a str>>,
    lane: Vec<i16>,
}

#[derive(Default)]
struct Once<'a> {
    scope: Vec<&'a [u8]>,
    run: Vec<i64>,
    body: Vec<&'a [u8]>,
    born: Vec<i64>,
}

#[derive(Default)]
struct Puts<'a> {
    run: Vec<i64>,
    dedup: Vec<&'a str>,
    kind: Vec<i16>,
    body: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Rows<'a> {
    run: Vec<i64>,
    seq: Vec<i64>,
    last: Vec<i64>,
    prev: Vec<i64>,
    epoch: Vec<i32>,
    at: Vec<i64>,
    body: Vec<&'a [u8]>,
    owner: Vec<Option<i32>>,
}

/// An epoch or a version as an `int`, bit by bit: they are compared, never ordered.
pub(super) fn int(n: u32) -> i32 {
    n.cast_signed()
}

/// Who goes first among the queued.
pub(super) fn rank(birth: &Birth) -> i64 {
    birth.id.born().0 - i64::from(birth.priority) * PRIORITY_MS
}

/// A run's place in the lane of its session.
pub(super) fn lane(birth: &Birth) -> i16 {
    if birth.session.is_none() || birth.parent.is_some() {
        return 0;
    }
    let place = match birth.terms.on_busy {
        OnBusy::Parallel => return 0,
        OnBusy::Queue | OnBusy::Reject => 1,
        OnBusy::Interrupt | OnBusy::Rollback => 2,
    };
    place + if birth.terms.release_while_waiting { 4 } else { 0 }
}

/// Where a run stands when its birth does not say.
pub(super) const BORN: Stand = Stand { status: Status::Queued, due_at: None, ended_at: None };

/// Whether a transition needs more than columns.
fn is_special(transition: &Transition) -> bool {
    let in_session = |append: &Append| match &append.fence {
        Fence::Birth(birth) => birth.session.is_some() && birth.parent.is_none(),
        Fence::After { .. } | Fence::Claim { .. } => false,
    };
    !transition.turns.is_empty()
        || !transition.voids.is_empty()
        || transition.session_drop.is_some()
        || !transition.holds.is_empty()
        || !transition.settles.is_empty()
        || transition.appends.iter().any(in_session)
}

/// Which of a group go out as columns; the others follow one by one, and with them whatever concerns the same runs later.
pub(super) fn split(group: &[Transition]) -> (Vec<usize>, Vec<usize>) {
    let (mut plain, mut special) = (Vec::new(), Vec::new());
    let mut marked: BTreeSet<RunNo> = BTreeSet::new();
    for (i, transition) in group.iter().enumerate() {
        let is_marked = |run: &RunNo| marked.contains(run);
        let concerned = !marked.is_empty()
            && (transition.appends.iter().any(|a| is_marked(&a.run))
                || transition.inbox_put.iter().any(|m| is_marked(&m.run))
                || transition.inbox_done.iter().any(|(run, _)| is_marked(run)));
        if concerned || is_special(transition) {
            marked.extend(transition.appends.iter().map(|a| a.run));
            special.push(i);
        } else {
            plain.push(i);
        }
    }
    (plain, special)
}

impl<'a> Columns<'a> {
    fn of(group: &[&'a Transition], words: &Words) -> Self {
        let mut columns = Self::default();
        // What was appended in this group: its successors need no look into the table.
        let mut heads: BTreeMap<RunNo, (u32, u32, u32)> = BTreeMap::new();
        for transition in group {
            for append in &transition.appends {
                columns.append(append, words, &mut heads);
            }
            for (run, dedup) in &transition.inbox_done {
                columns.taken.0.push(run.0);
                columns.taken.1.push(dedup);
            }
            columns.asks.extend(transition.asks.iter().map(|(run, asks)| (run.0, int(*asks))));
            let labels = transition.labels.iter();
            columns.labels.extend(labels.map(|(run, l)| ((run.0, words.name(&l.name)), l.value.as_str())));
            for item in &transition.inbox_put {
                columns.puts.run.push(item.run.0);
                columns.puts.dedup.push(&item.dedup);
                columns.puts.kind.push(i16::from(item.kind));
                columns.puts.body.push(&item.body);
            }
        }
        columns
    }

    fn append(&mut self, append: &'a Append, words: &Words, heads: &mut BTreeMap<RunNo, (u32, u32, u32)>) {
        let Append { run, fence, first, last, epoch, at, body, stand, blobs } = append;
        self.now = self.now.max(at.0);
        let (prev, owner) = match fence {
            Fence::Birth(birth) => {
                self.birth(append, birth, words);
                // A first row that is not the first of its run has no predecessor to be found, and fails like any other.
                (0, (*first != 1).then_some(0))
            }
            Fence::After { prev } | Fence::Claim { prev } => {
                let is_claim = matches!(fence, Fence::Claim { .. });
                if is_claim {
                    self.claims.push(run.0);
                }
                if let Some(stand) = stand {
                    let stands =
                        (i16::from(stand.status.code()), stand.due_at.map(|t| t.0), stand.ended_at.map(|t| t.0));
                    self.stands.insert(run.0, (stands.0, stands.1, stands.2, int(*epoch)));
                }
                let owner = if is_claim { epoch.checked_sub(1) } else { Some(*epoch) };
                let follows = heads.get(run).is_some_and(|(p_first, p_last, p_epoch)| {
                    p_first == prev && Some(*p_last) == first.checked_sub(1) && Some(*p_epoch) == owner
                });
                // Epochs begin with 0: what comes before it is nobody's, and `first - 1` of a first entry is no row's end.
                (*prev, (!follows).then(|| owner.map_or(i32::MIN, int)))
            }
        };
        heads.insert(*run, (*first, *last, *epoch));
        let rows = &mut self.rows;
        rows.run.push(run.0);
        rows.seq.push(i64::from(*first));
        rows.last.push(i64::from(*last));
        rows.prev.push(i64::from(prev));
        rows.epoch.push(int(*epoch));
        rows.at.push(at.0);
        rows.body.push(body);
        rows.owner.push(owner);
        for blob in blobs {
            // Twice in one statement would be an error.
            if !self.blobs.0.contains(&blob.hash.as_slice()) {
                self.blobs.0.push(&blob.hash);
                self.blobs.1.push(&blob.body);
                self.blobs.2.push(at.0);
            }
            self.blob_refs.0.push(run.0);
            self.blob_refs.1.push(&blob.hash);
        }
    }

    fn birth(&mut self, append: &'a Append, birth: &'a Birth, words: &Words) {
        let stand = append.stand.unwrap_or(BORN);
        let to = &mut self.births;
        to.run.push(append.run.0);
        to.id.push(birth.id.0);
        to.workflow.push(words.name(&birth.workflow));
        to.version.push(int(birth.version));
        to.owner.push(words.owner(&birth.owner));
        to.status.push(i16::from(stand.status.code()));
        to.priority.push(i16::from(birth.priority));
        to.epoch.push(int(append.epoch));
        to.ended.push(stand.ended_at.map(|t| t.0));
        to.due.push(stand.due_at.map(|t| t.0));
        to.rank.push(rank(birth));
        to.parent.push(birth.parent.map(|p| p.0));
        to.session.push(birth.session.as_deref());
        to.lane.push(lane(birth));
        if let Some(once) = &birth.once {
            self.once.scope.push(&once.scope);
            self.once.run.push(append.run.0);
            self.once.body.push(&once.body);
            self.once.born.push(append.at.0);
        }
    }

    /// Rows that are written to from several sides, locked in one order before anything is looked at.
    fn locked(&self) -> Vec<i64> {
        let born: BTreeSet<i64> = self.births.run.iter().copied().collect();
        let touched: BTreeSet<i64> = self.stands.keys().chain(&self.puts.run).copied().collect();
        touched.difference(&born).copied().collect()
    }
}

/// What became of the messages of a group: those that were taken.
pub(super) type Put = BTreeSet<(i64, String)>;

/// Writes the plain transitions of a group; with `is_whole`, commits as well. An error means that nothing is written, unless the
/// connection was lost.
pub(super) async fn write(
    db: &mut Db,
    group: &[&Transition],
    words: &Words,
    me: i64,
    is_whole: bool,
) -> Result<Put, Error> {
    let columns = Columns::of(group, words);
    let Columns { births, once, rows, blobs, blob_refs, taken, stands, asks, labels, puts, claims, now } = &columns;
    let locked = columns.locked();
    let (born, onces, appended) = (births.run.len() as i64, once.run.len() as i64, rows.run.len() as i64);
    let stand_runs: Vec<i64> = stands.keys().copied().collect();
    let stand_status: Vec<i16> = stands.values().map(|s| s.0).collect();
    let stand_due: Vec<Option<i64>> = stands.values().map(|s| s.1).collect();
    let stand_ended: Vec<Option<i64>> = stands.values().map(|s| s.2).collect();
    let stand_epoch: Vec<i32> = stands.values().map(|s| s.3).collect();
    let (ask_runs, ask_counts): (Vec<i64>, Vec<i32>) = asks.iter().map(|(run, n)| (*run, *n)).unzip();
    let label_runs: Vec<i64> = labels.keys().map(|(run, _)| *run).collect();
    let label_names: Vec<i32> = labels.keys().map(|(_, name)| *name).collect();
    let label_values: Vec<&str> = labels.values().copied().collect();
    let b = births;
    let r = rows;
    #[rustfmt::skip]
    let wanted: [(bool, &'static str, Params<'_>); 16] = [
        (true, "BEGIN", &[]),
        (!locked.is_empty(), LOCK, &[&locked]),
        (!claims.is_empty(), LANES, &[claims]),
        (!claims.is_empty(), LANE_IS_FREE, &[claims, now]),
        (born > 0, BIRTHS, &[&b.run, &b.id, &b.workflow, &b.version, &b.owner, &b.status, &b.priority, &b.epoch, &b.ended, &b.due, &b.rank, &b.parent, &b.session, &b.lane, &born, &me]),
        (onces > 0, ONCE, &[&once.scope, &once.run, &once.body, &once.born, &onces]),
        (appended > 0, ROWS, &[&r.run, &r.seq, &r.last, &r.prev, &r.epoch, &r.at, &r.body, &r.owner, &appended]),
        (!blobs.0.is_empty(), BLOBS, &[&blobs.0, &blobs.1, &blobs.2]),
        (!blob_refs.0.is_empty(), BLOB_REFS, &[&blob_refs.0, &blob_refs.1]),
        (!taken.0.is_empty(), TAKEN, &[&taken.0, &taken.1]),
        (!stand_runs.is_empty(), STANDS, &[&stand_runs, &stand_status, &stand_due, &stand_ended, &stand_epoch, &me]),
        (!ask_runs.is_empty(), ASKS, &[&ask_runs, &ask_counts]),
        (!label_runs.is_empty(), LABELS, &[&label_runs, &label_names, &label_values]),
        (!puts.run.is_empty(), PUTS, &[&puts.run, &puts.dedup, &puts.kind, &puts.body]),
        // A transaction in which a statement has failed is rolled back by this word as well.
        (is_whole, "COMMIT", &[]),
        (false, "", &[]),
    ];
    let mut sent = Vec::new();
    for (is_wanted, sql, params) in wanted {
        if is_wanted {
            sent.push((sql, db.statement(sql).await?, params));
        }
    }
    // Polled in order, so sent in order; nothing waits for the answer to what is before it.
    let answers = join_all(sent.iter().map(|(_, statement, params)| db.client.query(statement, params))).await;
    let mut put = Put::new();
    for ((sql, ..), answer) in sent.iter().zip(answers) {
        let rows = answer?;
        if *sql == PUTS {
            put = rows.iter().map(|row: &Row| (row.get(0), row.get(1))).collect();
        }
    }
    Ok(put)
}
