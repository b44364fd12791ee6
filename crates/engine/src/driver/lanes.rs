//! Lanes: in a session one root run at a time, the others in line behind it. Nested patterns are children of a root run and
//! share its place.
//!
//! The table is this process's own, for a store that it has alone. It is filled from the store at the start, so a restart keeps
//! the order. Where several processes share a store, `lane.rs` asks it instead.

use crate::driver::read::entries;
use crate::journal::body::Queued;
use crate::ports::store::{RunRow, Store, StoreError};
use crate::run::{Once, Owner, RunId, RunNo, Status, Submit, Time};
use crate::session::{OnBusy, Terms};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs per page when the table is filled.
const PAGE: u32 = 1_000;

/// Whose lane, and the session's name.
type Key = (Owner, String);

/// Who goes before whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It holds the lane, or held it before.
    Begun,
    /// It took somebody's place.
    Front,
    /// First in, first out.
    Line,
}

#[derive(Debug)]
struct Entry {
    run: RunNo,
    id: RunId,
    once: Option<Once>,
    rank: Rank,
    releases: bool,
}

#[derive(Debug, Default)]
struct Table {
    lanes: BTreeMap<Key, VecDeque<Entry>>,
    keys: BTreeMap<RunNo, Key>,
}

impl Table {
    fn enter(&mut self, key: Key, mut entry: Entry) {
        let lane = self.lanes.entry(key.clone()).or_default();
        if lane.is_empty() {
            entry.rank = Rank::Begun;
        }
        self.keys.insert(entry.run, key);
        let at = lane.iter().position(|other| other.rank > entry.rank).unwrap_or(lane.len());
        lane.insert(at, entry);
    }

    /// Takes a run out; answers who holds the lane instead of it.
    fn leave(&mut self, run: RunNo) -> Option<RunNo> {
        let key = self.keys.remove(&run)?;
        let lane = self.lanes.get_mut(&key)?;
        let at = lane.iter().position(|entry| entry.run == run)?;
        lane.remove(at);
        let Some(head) = lane.front_mut() else {
            self.lanes.remove(&key);
            return None;
        };
        head.rank = Rank::Begun;
        (at == 0).then_some(head.run)
    }

    fn entry(&self, run: RunNo) -> Option<(usize, &Entry)> {
        self.lanes.get(self.keys.get(&run)?)?.iter().enumerate().find(|(_, entry)| entry.run == run)
    }
}

/// Where a run stands in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is in none, as far as the table knows.
    Unknown,
    /// It may go on.
    Holds,
    /// Somebody is before it.
    Waits,
}

/// A new run's place.
pub(crate) struct Entered {
    pub run: RunNo,
    /// Whom it cancels.
    pub ahead: Vec<RunNo>,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    table: Mutex<Table>,
    /// Runs in it: while there are none, nobody has to lock.
    count: AtomicUsize,
}

impl Lanes {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, table: &Table) {
        self.count.store(table.keys.len(), Ordering::Release);
    }

    /// Gives a new run its place, and takes its number while nobody else can, so that numbers of one session rise in the
    /// order of its lane. `is_repeated` says that its birth will be refused, so it cannot be in anybody's way.
    ///
    /// # Errors
    /// The run that holds the lane, when the new one does not want to wait.
    pub fn enter(
        &self,
        session: &str,
        submit: &Submit,
        is_repeated: bool,
        id: RunId,
        number: impl FnOnce() -> RunNo,
    ) -> Result<Entered, RunId> {
        let key = (submit.owner.clone(), session.to_owned());
        let mut table = self.table();
        let lane = || table.lanes.get(&key).into_iter().flatten();
        // The same request again is no other run: its birth will say which one it is.
        let is_known = is_repeated || (submit.once.is_some() && lane().any(|entry| entry.once == submit.once));
        let holder = lane().next().filter(|_| submit.terms.on_busy == OnBusy::Reject && !is_known);
        if let Some(holder) = holder {
            return Err(holder.id);
        }
        let takes_over = matches!(submit.terms.on_busy, OnBusy::Interrupt | OnBusy::Rollback);
        let ahead = lane().filter(|entry| takes_over && entry.rank < Rank::Line).map(|entry| entry.run).collect();
        let run = number();
        let rank = if takes_over { Rank::Front } else { Rank::Line };
        let releases = submit.terms.release_while_waiting;
        table.enter(key, Entry { run, id, once: submit.once, rank, releases });
        self.counted(&table);
        Ok(Entered { run, ahead })
    }

    /// Who holds a session's lane.
    pub fn holder(&self, owner: &Owner, session: &str) -> Option<RunId> {
        let table = self.table();
        table.lanes.get(&(owner.clone(), session.to_owned()))?.front().map(|entry| entry.id)
    }

    /// A run that is not in the table wants to go on: it was scheduled, or gave its place up while it waited.
    pub fn enter_again(&self, row: &RunRow, terms: Terms) -> Place {
        let Some(session) = &row.session else { return Place::Holds };
        let mut table = self.table();
        if table.entry(row.run).is_none() {
            let rank = if row.status == Status::Queued { Rank::Line } else { Rank::Begun };
            let releases = terms.release_while_waiting;
            let entry = Entry { run: row.run, id: row.id, once: None, rank, releases };
            table.enter((row.owner.clone(), session.clone()), entry);
            self.counted(&table);
        }
        drop(table);
        self.place(row.run)
    }

    /// Where a run stands.
    pub fn place(&self, run: RunNo) -> Place {
        if self.count.load(Ordering::Acquire) == 0 {
            return Place::Unknown;
        }
        match self.table().entry(run) {
            None => Place::Unknown,
            Some((0, _)) => Place::Holds,
            Some(_) => Place::Waits,
        }
    }

    /// A run has ended, or was never born: whoever holds its lane now may begin.
    pub fn left(&self, run: RunNo) -> Option<RunNo> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut table = self.table();
        let next = table.leave(run);
        self.counted(&table);
        next
    }

    /// A run waits outside memory: it keeps its lane unless it said otherwise.
    pub fn parked(&self, run: RunNo) -> Option<RunNo> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let releases = self.table().entry(run).is_some_and(|(_, entry)| entry.releases);
        if releases { self.left(run) } else { None }
    }

    /// Reads who was in line when the last process ended.
    pub async fn fill(&self, store: &dyn Store, now: Time) -> Result<(), StoreError> {
        let mut found: Vec<(Rank, RunRow, Terms)> = Vec::new();
        let mut after = RunNo(0);
        loop {
            let page = store.session_runs(None, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.run;
            for row in page {
                let Some(terms) = terms(store, row.run).await? else { continue };
                let rank = match (row.status, terms.on_busy) {
                    (_, OnBusy::Parallel) => continue,
                    (Status::Waiting, _) if terms.release_while_waiting => continue,
                    (Status::Queued, _) if row.due_at.is_some_and(|at| at > now) => continue,
                    (Status::Queued, OnBusy::Interrupt | OnBusy::Rollback) => Rank::Front,
                    (Status::Queued, _) => Rank::Line,
                    _ => Rank::Begun,
                };
                found.push((rank, row, terms));
            }
        }
        found.sort_by_key(|(rank, row, _)| (*rank, row.run));
        let mut table = self.table();
        for (rank, row, terms) in found {
            let Some(session) = row.session else { continue };
            let releases = terms.release_while_waiting;
            table.enter((row.owner, session), Entry { run: row.run, id: row.id, once: None, rank, releases });
        }
        self.counted(&table);
        Ok(())
    }
}

async fn terms(store: &dyn Store, run: RunNo) -> Result<Option<Terms>, StoreError> {
    let first = entries(store, run, 0, 1).await?;
    let queued = first.first().and_then(|e| serde_json::from_slice::<Queued>(&e.body).ok());
    Ok(queued.map(|queued| queued.terms))
}

/// The shard of a session's runs: always the same, so that one counter gives them their numbers.
pub(crate) fn shard_of(owner: &Owner, session: &str, shards: usize) -> usize {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(&owner.tenant).chain_update([0]).chain_update(&owner.user);
    let digest = digest.chain_update([0]).chain_update(session).finalize();
    usize::from(u16::from_le_bytes([digest[0], digest[1]])) % shards
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;

    struct Line {
        lanes: Lanes,
        next: i64,
    }

    impl Line {
        fn new() -> Self {
            Self { lanes: Lanes::default(), next: 1 }
        }

        /// Run number, and whom it cancels.
        fn enter(&mut self, on_busy: OnBusy) -> Result<(i64, Vec<i64>), RunId> {
            let mut submit = Submit::new("w", Bytes::new());
            submit.terms.on_busy = on_busy;
            let run = RunNo(self.next);
            let entered = self.lanes.enter("s", &submit, false, RunId::new(Time(self.next), [0; 10]), || run)?;
            self.next += 1;
            Ok((entered.run.0, entered.ahead.iter().map(|run| run.0).collect()))
        }

        fn left(&self, run: i64) -> Option<i64> {
            self.lanes.left(RunNo(run)).map(|run| run.0)
        }
    }

    #[test]
    fn a_line_is_first_in_first_out() {
        let mut line = Line::new();
        for run in 1..=4 {
            assert_eq!(line.enter(OnBusy::Queue).unwrap(), (run, vec![]));
        }
        assert_eq!((line.lanes.place(RunNo(1)), line.lanes.place(RunNo(2))), (Place::Holds, Place::Waits));
        assert_eq!(line.left(3), None, "it only waited");
        assert_eq!((line.left(1), line.left(2), line.left(4), line.left(4)), (Some(2), Some(4), None, None));
        assert_eq!(line.lanes.place(RunNo(1)), Place::Unknown);
    }

    #[test]
    fn whoever_takes_over_cancels_those_before_it_and_nobody_behind() {
        let mut line = Line::new();
        line.enter(OnBusy::Queue).unwrap();
        line.enter(OnBusy::Queue).unwrap();
        assert_eq!(line.enter(OnBusy::Interrupt).unwrap(), (3, vec![1]));
        assert_eq!(line.enter(OnBusy::Rollback).unwrap(), (4, vec![1, 3]));
        assert_eq!((line.left(3), line.left(1), line.left(4)), (None, Some(4), Some(2)));
    }

    #[test]
    fn whoever_does_not_wait_hears_who_is_there() {
        let mut line = Line::new();
        assert_eq!(line.enter(OnBusy::Reject).unwrap().0, 1);
        assert_eq!(line.enter(OnBusy::Reject).unwrap_err(), RunId::new(Time(1), [0; 10]));
        line.left(1);
        assert_eq!(line.enter(OnBusy::Reject).unwrap().0, 2);
    }
}
