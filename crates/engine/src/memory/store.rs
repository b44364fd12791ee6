//! A store in memory that knows the difference between submitted and durable, so that the simulation can crash between.

use crate::account::{AccountRow, Hold};
use crate::memory::sessions::Sessions;
use crate::ports::store::{
    Append, Birth, Done, Fence, InboxItem, ListRuns, ListSessions, ListTurns, OpenRun, Prune, Read, Receipt, Refusal,
    Row, RunRow, Stand, Store, StoreError, StoreStats, Transition,
};
use crate::run::{Once, Owner, RunId, RunNo, Status, Time};
use crate::session::{SessionNo, SessionRow, TurnRow};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is durable, and what waits to become so.
#[derive(Debug, Default)]
pub struct Disk {
    buffered: VecDeque<(u64, Vec<Transition>)>,
    rows: BTreeMap<(RunNo, u32), Row>,
    runs: BTreeMap<RunNo, RunRow>,
    ids: BTreeMap<RunId, RunNo>,
    once: BTreeMap<[u8; 16], (RunNo, RunId, [u8; 16])>,
    inbox: BTreeMap<(RunNo, String), Message>,
    blobs: BTreeMap<[u8; 32], Bytes>,
    blob_refs: BTreeSet<(RunNo, [u8; 32])>,
    sessions: Sessions,
    /// Open approvals, of runs that have any.
    asks: BTreeMap<RunNo, u32>,
    labels: BTreeMap<(RunNo, Cow<'static, str>), String>,
    accounts: BTreeMap<String, AccountRow>,
    run_last: i64,
    arrivals: u64,
}

#[derive(Debug)]
struct Message {
    item: InboxItem,
    arrival: u64,
    is_taken: bool,
}

impl Disk {
    /// Accepts a batch; nothing of it is durable yet.
    pub fn submit(&mut self, no: u64, batch: Vec<Transition>) {
        self.buffered.push_back((no, batch));
    }

    /// Batches that are not durable yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffered.len()
    }

    /// Makes the oldest batch durable.
    pub fn commit(&mut self) -> Option<(u64, Vec<Receipt>)> {
        let (no, batch) = self.buffered.pop_front()?;
        Some((no, batch.into_iter().map(|t| self.apply(t)).collect()))
    }

    /// The oldest batch meets an error whose effect nobody knows: it was written, or it was not.
    pub fn commit_unknown(&mut self, written: bool) -> Option<(u64, Vec<Receipt>)> {
        let (no, batch) = self.buffered.pop_front()?;
        let receipts = batch.iter().map(|_| Receipt::Unknown("connection lost during COMMIT".into())).collect();
        if written {
            for transition in batch {
                self.apply(transition);
            }
        }
        Some((no, receipts))
    }

    /// The process ends: what was not durable is gone.
    pub fn crash(&mut self) {
        self.buffered.clear();
    }

    /// Every run.
    pub fn runs(&self) -> impl Iterator<Item = &RunRow> {
        self.runs.values()
    }

    /// A run's row.
    #[must_use]
    pub fn run(&self, run: RunNo) -> Option<&RunRow> {
        self.runs.get(&run)
    }

    /// A run's journal rows after `after`.
    #[must_use]
    pub fn journal(&self, run: RunNo, after: u32) -> Vec<Row> {
        let rows = self.rows.range((run, 0)..=(run, u32::MAX)).map(|(_, row)| row);
        rows.filter(|row| row.last > after).cloned().collect()
    }

    /// A run's open messages.
    #[must_use]
    pub fn inbox(&self, run: RunNo) -> Vec<InboxItem> {
        let all = self.inbox.range((run, String::new())..).take_while(|((r, _), _)| *r == run);
        let mut open: Vec<_> = all.map(|(_, m)| m).filter(|m| !m.is_taken).collect();
        open.sort_by_key(|m| m.arrival);
        open.into_iter().map(|m| m.item.clone()).collect()
    }

    /// The turn that a run wrote: its session's name and the turn's number.
    #[must_use]
    pub fn turn_of(&self, run: RunNo) -> Option<(String, u32)> {
        let row = self.sessions.row(self.sessions.of(run)?)?;
        let all = ListTurns { session: row.no, from: 0, to: u32::MAX, voids: true, limit: u32::MAX };
        let (n, ..) = self.sessions.turns(&all).into_iter().find(|(_, of, _)| *of == run)?;
        Some((row.id, n))
    }

    /// Blobs by hash.
    #[must_use]
    pub fn blob(&self, hash: &[u8; 32]) -> Option<Bytes> {
        self.blobs.get(hash).cloned()
    }

    /// Runs that may need a worker now.
    #[must_use]
    pub fn open_runs(&self, now: Time) -> Vec<OpenRun> {
        let is_open = |r: &&RunRow| match r.status {
            Status::Queued | Status::Running => true,
            Status::Waiting => r.due_at.is_some_and(|at| at <= now),
            _ => false,
        };
        let open =
            |r: &RunRow| OpenRun { run: r.run, id: r.id, status: r.status, priority: r.priority, due_at: r.due_at };
        self.runs.values().filter(is_open).map(open).collect()
    }

    /// The earliest due time after `now`.
    #[must_use]
    pub fn next_due(&self, now: Time) -> Option<Time> {
        let sleeping = |r: &&RunRow| matches!(r.status, Status::Waiting | Status::Queued);
        self.runs.values().filter(sleeping).filter_map(|r| r.due_at).filter(|at| *at > now).min()
    }

    fn apply(&mut self, transition: Transition) -> Receipt {
        if let Err(refusal) = self.check(&transition) {
            return Receipt::Refused(refusal);
        }
        let nothing_else =
            transition.appends.is_empty() && transition.inbox_done.is_empty() && transition.session_drop.is_none();
        let lone_put = nothing_else && transition.inbox_put.len() == 1;
        let stands: Vec<_> = transition.appends.iter().filter_map(|a| Some((a.run, a.stand?))).collect();
        for hold in transition.holds {
            self.account_mut(hold.account.name).hold(hold.amounts);
        }
        for append in transition.appends {
            self.append(append);
        }
        for settle in transition.settles {
            self.account_mut(settle.name).settle(settle.held, settle.spent);
        }
        if let Some(session) = transition.session_drop {
            self.sessions.drop_session(session);
        }
        for (run, dedup) in transition.inbox_done {
            if let Some(message) = self.inbox.get_mut(&(run, dedup)) {
                message.is_taken = true;
            }
        }
        // After the messages were taken: only those that are left make a parking run due at once.
        for (run, stand) in stands {
            self.stand(run, stand);
        }
        for turn in transition.turns {
            self.sessions.turn(turn);
        }
        for run in transition.voids {
            self.sessions.take_back(run);
        }
        for (run, asks) in transition.asks {
            self.asks.insert(run, asks);
        }
        self.asks.retain(|_, asks| *asks > 0);
        for (run, label) in transition.labels {
            self.labels.insert((run, label.name), label.value);
        }
        for item in transition.inbox_put {
            if let Err(refusal) = self.put(item)
                && lone_put
            {
                return Receipt::Refused(refusal);
            }
        }
        Receipt::Committed
    }

    fn account_mut(&mut self, name: String) -> &mut AccountRow {
        let new = || AccountRow { name: name.clone(), ..AccountRow::default() };
        self.accounts.entry(name.clone()).or_insert_with(new)
    }

    fn admits(&self, holds: &[Hold]) -> Result<(), Refusal> {
        let mut rows: BTreeMap<&str, AccountRow> = BTreeMap::new();
        for Hold { account, amounts } in holds {
            let row = rows
                .entry(&account.name)
                .or_insert_with(|| self.accounts.get(&account.name).cloned().unwrap_or_default());
            account.admits(row, *amounts).map_err(Refusal::Overdrawn)?;
            row.hold(*amounts);
        }
        Ok(())
    }

    fn check(&self, transition: &Transition) -> Result<(), Refusal> {
        if transition.session_drop.is_some_and(|session| !self.sessions.has(session)) {
            return Err(Refusal::Gone);
        }
        let mut heads: BTreeMap<RunNo, (u32, u32, u32)> = BTreeMap::new();
        let mut born: Vec<(RunNo, &Birth)> = Vec::new();
        for append in &transition.appends {
            let run = append.run;
            let fenced = Err(Refusal::Fenced { run });
            let head = heads.get(&run).copied().or_else(|| self.head(run));
            let holds = match (&append.fence, head) {
                (Fence::Birth(birth), head) => {
                    if let Some((run, id, body)) = birth.once.and_then(|once| self.born_with(once, &born)) {
                        return Err(Refusal::Repeated { run, id, body });
                    }
                    let is_taken = self.ids.contains_key(&birth.id) || born.iter().any(|(_, b)| b.id == birth.id);
                    born.push((run, birth.as_ref()));
                    head.is_none() && append.first == 1 && !is_taken
                }
                (Fence::After { prev }, Some((first, last, epoch))) => {
                    *prev == first && append.epoch == epoch && append.first == last + 1
                }
                (Fence::Claim { prev }, Some((first, last, epoch))) => {
                    *prev == first && append.epoch == epoch + 1 && append.first == last + 1
                }
                _ => false,
            };
            if !holds {
                return fenced;
            }
            heads.insert(run, (append.first, append.last, append.epoch));
        }
        self.admits(&transition.holds)
    }

    /// The run that took a once-scope, stored or earlier in the same transition.
    fn born_with(&self, once: Once, born: &[(RunNo, &Birth)]) -> Option<(RunNo, RunId, [u8; 16])> {
        let twin = born.iter().find_map(|(run, birth)| {
            let taken = birth.once.filter(|taken| taken.scope == once.scope)?;
            Some((*run, birth.id, taken.body))
        });
        self.once.get(&once.scope).copied().or(twin)
    }

    fn head(&self, run: RunNo) -> Option<(u32, u32, u32)> {
        self.rows.range((run, 0)..=(run, u32::MAX)).next_back().map(|(_, r)| (r.first, r.last, r.epoch))
    }

    fn append(&mut self, append: Append) {
        let Append { run, fence, first, last, epoch, at, body, stand: _, blobs } = append;
        let prev = match fence {
            Fence::Birth(birth) => {
                if let Some(once) = birth.once {
                    self.once.insert(once.scope, (run, birth.id, once.body));
                }
                self.ids.insert(birth.id, run);
                self.run_last = self.run_last.max(run.0);
                if let Some(session) = birth.session.as_deref().filter(|_| birth.parent.is_none()) {
                    self.sessions.born(run, &birth.owner, session, at);
                }
                let row = RunRow {
                    run,
                    id: birth.id,
                    workflow: birth.workflow,
                    version: birth.version,
                    owner: birth.owner,
                    priority: birth.priority,
                    parent: birth.parent,
                    session: birth.session,
                    status: Status::Queued,
                    due_at: None,
                    ended_at: None,
                    is_elsewhere: false,
                };
                self.runs.insert(run, row);
                0
            }
            Fence::After { prev } | Fence::Claim { prev } => prev,
        };
        for blob in blobs {
            self.blob_refs.insert((run, blob.hash));
            self.blobs.entry(blob.hash).or_insert(blob.body);
        }
        self.rows.insert((run, first), Row { first, last, prev, epoch, at, body });
    }

    fn stand(&mut self, run: RunNo, stand: Stand) {
        let has_mail = stand.status == Status::Waiting && !self.inbox(run).is_empty();
        let Some(row) = self.runs.get_mut(&run) else { return };
        row.status = stand.status;
        row.due_at = if has_mail { Some(Time(0)) } else { stand.due_at };
        row.ended_at = stand.ended_at;
    }

    fn put(&mut self, item: InboxItem) -> Result<(), Refusal> {
        let Some(row) = self.runs.get_mut(&item.run).filter(|r| !r.status.is_terminal()) else {
            return Err(Refusal::Gone);
        };
        let key = (item.run, item.dedup.clone());
        if self.inbox.contains_key(&key) {
            return Err(Refusal::Duplicate);
        }
        if row.status == Status::Waiting {
            row.due_at = Some(Time(0));
        }
        self.arrivals += 1;
        self.inbox.insert(key, Message { item, arrival: self.arrivals, is_taken: false });
        Ok(())
    }

    fn prune(&mut self, prune: Prune) -> u64 {
        let ended: Vec<(RunNo, Time)> =
            self.runs.values().filter(|r| r.status.is_terminal()).filter_map(|r| Some((r.run, r.ended_at?))).collect();
        let surplus = ended.len().saturating_sub(usize::try_from(prune.keep_max).unwrap_or(usize::MAX));
        let old = ended.iter().enumerate().filter(|(i, (_, at))| *i < surplus || *at < prune.ended_before);
        let gone: Vec<RunNo> = old.map(|(_, (run, _))| *run).take(prune.limit as usize).collect();
        if !prune.dry_run {
            for run in &gone {
                self.remove(*run);
            }
        }
        gone.len() as u64
    }

    fn remove(&mut self, run: RunNo) {
        if let Some(row) = self.runs.remove(&run) {
            self.ids.remove(&row.id);
        }
        self.rows.retain(|(r, _), _| *r != run);
        let runs = &self.runs;
        self.sessions.pruned(run, |run| runs.get(&run).is_some_and(|r| r.status.is_open()));
        self.asks.remove(&run);
        self.labels.retain(|(r, _), _| *r != run);
        self.inbox.retain(|(r, _), _| *r != run);
        self.once.retain(|_, (r, ..)| *r != run);
        self.blob_refs.retain(|(r, _)| *r != run);
        let refs: BTreeSet<_> = self.blob_refs.iter().map(|(_, hash)| *hash).collect();
        self.blobs.retain(|hash, _| refs.contains(hash));
    }
}

/// The port over a [`Disk`] that commits at once.
#[derive(Debug, Default)]
pub struct MemoryStore {
    disk: Mutex<Disk>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T: Send + 'static>(&self, ask: impl FnOnce(&mut Disk) -> Result<T, StoreError>) -> Read<T> {
        let answer = ask(&mut self.disk());
        Box::pin(std::future::ready(answer))
    }
}

impl Store for MemoryStore {
    fn submit(&self, batch: Vec<Transition>, done: Done) {
        let receipts = {
            let mut disk = self.disk();
            disk.submit(0, batch);
            disk.commit().map(|(_, receipts)| receipts).unwrap_or_default()
        };
        done(receipts);
    }

    fn next_run(&self) -> Read<RunNo> {
        self.read(|d| Ok(RunNo(d.run_last + 1)))
    }

    fn run_by_id(&self, id: RunId) -> Read<Option<RunRow>> {
        self.read(|d| Ok(d.ids.get(&id).and_then(|run| d.runs.get(run)).cloned()))
    }

    fn run(&self, run: RunNo) -> Read<Option<RunRow>> {
        self.read(|d| Ok(d.runs.get(&run).cloned()))
    }

    fn journal(&self, run: RunNo, after: u32, rows_max: u32) -> Read<Vec<Row>> {
        self.read(|d| Ok(d.journal(run, after).into_iter().take(rows_max as usize).collect()))
    }

    fn blobs(&self, hashes: Vec<[u8; 32]>) -> Read<Vec<Bytes>> {
        let missing = || StoreError::Damaged("a large body is missing".into());
        self.read(|d| hashes.iter().map(|h| d.blob(h).ok_or_else(missing)).collect())
    }

    fn inbox(&self, run: RunNo) -> Read<Vec<InboxItem>> {
        self.read(|d| Ok(d.inbox(run)))
    }

    fn open_runs(&self, now: Time, after: RunNo, limit: u32) -> Read<Vec<OpenRun>> {
        self.read(|d| {
            let open = d.open_runs(now).into_iter().filter(|r| r.run > after);
            Ok(open.take(limit as usize).collect())
        })
    }

    fn next_due(&self, now: Time) -> Read<Option<Time>> {
        self.read(|d| Ok(d.next_due(now)))
    }

    fn oldest_runnable(&self, now: Time) -> Read<Option<Time>> {
        self.read(|d| {
            let waits = |r: &&RunRow| r.status == Status::Queued && r.due_at.is_none_or(|at| at <= now);
            Ok(d.runs.values().filter(waits).map(|r| r.id.born()).min())
        })
    }

    fn accounts(&self, names: Vec<String>) -> Read<Vec<AccountRow>> {
        self.read(|d| {
            let row =
                |name: String| d.accounts.get(&name).cloned().unwrap_or(AccountRow { name, ..AccountRow::default() });
            Ok(names.into_iter().map(row).collect())
        })
    }

    fn list(&self, query: ListRuns) -> Read<Vec<RunRow>> {
        self.read(|d| {
            let fits = |r: &&RunRow| {
                query.tenant.as_ref().is_none_or(|t| *t == r.owner.tenant)
                    && query.user.as_ref().is_none_or(|u| *u == r.owner.user)
                    && query.status.is_none_or(|s| s == r.status)
                    && query.workflow.as_ref().is_none_or(|w| *w == r.workflow)
                    && query.before.is_none_or(|b| r.run < b)
                    && (!query.asking || d.asks.contains_key(&r.run))
                    && query.labels.iter().all(|l| d.labels.get(&(r.run, l.name.clone())) == Some(&l.value))
            };
            Ok(d.runs.values().rev().filter(fits).take(query.limit as usize).cloned().collect())
        })
    }

    fn born_with(&self, scope: [u8; 16]) -> Read<Option<(RunNo, RunId, [u8; 16])>> {
        self.read(|d| Ok(d.once.get(&scope).copied()))
    }

    fn session(&self, owner: Owner, id: String) -> Read<Option<SessionRow>> {
        self.read(|d| Ok(d.sessions.named(owner, id)))
    }

    fn session_of(&self, run: RunNo) -> Read<Option<SessionRow>> {
        self.read(|d| Ok(d.sessions.of(run).and_then(|no| d.sessions.row(no))))
    }

    fn sessions(&self, query: ListSessions) -> Read<Vec<SessionRow>> {
        self.read(|d| Ok(d.sessions.list(&query)))
    }

    fn turns(&self, query: ListTurns) -> Read<Vec<TurnRow>> {
        self.read(|d| {
            let row = |(n, run, is_void): (u32, RunNo, bool)| {
                let of = d.runs.get(&run)?;
                Some(TurnRow { n, run, id: of.id, at: of.ended_at.unwrap_or_default(), is_void })
            };
            Ok(d.sessions.turns(&query).into_iter().filter_map(row).collect())
        })
    }

    fn session_runs(&self, session: Option<SessionNo>, after: RunNo, limit: u32) -> Read<Vec<RunRow>> {
        self.read(|d| {
            let of = |r: &&RunRow| d.sessions.of(r.run).is_some_and(|no| session.is_none_or(|wanted| wanted == no));
            let open = d.runs.values().filter(|r| r.run > after && r.status.is_open()).filter(of);
            Ok(open.take(limit as usize).cloned().collect())
        })
    }

    fn stats(&self) -> Read<StoreStats> {
        self.read(|d| {
            let mut runs = [0; 8];
            for row in d.runs.values() {
                runs[usize::from(row.status.code())] += 1;
            }
            let oldest = d.runs.values().map(|r| r.id.born()).min();
            Ok(StoreStats { name: "memory".into(), schema: 1, bytes: 0, runs, oldest })
        })
    }

    fn prune(&self, prune: Prune) -> Read<u64> {
        self.read(|d| Ok(d.prune(prune)))
    }

    fn probe(&self) -> Read<()> {
        self.read(|_| Ok(()))
    }
}
