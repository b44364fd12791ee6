//! Lanes in a store that several processes share: worked out from its rows each time, since no process sees all births. The store
//! itself refuses a claim past somebody else's; what stands here only keeps those from being tried.

use crate::driver::engine::Ports;
use crate::driver::scheduler::Offers;
use crate::ports::share::LaneRun;
use crate::ports::store::StoreError;
use crate::run::{Owner, RunNo, Status, Time};
use crate::session::{OnBusy, SessionNo};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Who goes before whom; those that are in no lane now have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Begun,
    Front,
    Line,
}

fn rank(run: &LaneRun, now: Time) -> Option<Rank> {
    match (run.status, run.terms.on_busy) {
        (_, OnBusy::Parallel) => None,
        (Status::Running, _) => Some(Rank::Begun),
        (Status::Waiting, _) => (!run.terms.release_while_waiting).then_some(Rank::Begun),
        (Status::Queued, _) if run.due_at.is_some_and(|at| at > now) => None,
        (Status::Queued, OnBusy::Interrupt | OnBusy::Rollback) => Some(Rank::Front),
        (Status::Queued, _) => Some(Rank::Line),
        _ => None,
    }
}

/// A session's lane at one moment, first to last.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane(Vec<(Rank, LaneRun)>);

impl Lane {
    pub fn of(rows: Vec<LaneRun>, now: Time) -> Self {
        let mut lane: Vec<_> = rows.into_iter().filter_map(|run| Some((rank(&run, now)?, run))).collect();
        lane.sort_by_key(|(rank, run)| (*rank, run.id));
        Self(lane)
    }

    pub fn holder(&self) -> Option<&LaneRun> {
        self.0.first().map(|(_, run)| run)
    }

    /// Whom a run that takes over cancels.
    pub fn ahead(&self) -> Vec<RunNo> {
        self.0.iter().filter(|(rank, _)| *rank < Rank::Line).map(|(_, run)| run.run).collect()
    }

    /// Whether a run has to wait for another one.
    pub fn waits(&self, run: RunNo) -> bool {
        match self.0.iter().position(|(_, other)| other.run == run) {
            Some(at) => at > 0,
            // It gave its place up while it waited: it goes on when nobody else is under way.
            None => self.0.first().is_some_and(|(rank, _)| *rank == Rank::Begun),
        }
    }

    /// Who may begin now.
    pub fn next(&self) -> Option<RunNo> {
        self.0.first().filter(|(rank, _)| *rank != Rank::Begun).map(|(_, run)| run.run)
    }
}

/// A session's lane as the store has it now.
pub(super) async fn lane(ports: &Ports, session: SessionNo) -> Result<Lane, StoreError> {
    let Some(share) = ports.store.share() else { return Ok(Lane::default()) };
    let rows = share.lane(session).await?;
    Ok(Lane::of(rows, ports.clock.now()))
}

/// As [`lane`], by the session's name.
pub(super) async fn lane_of(ports: &Ports, owner: &Owner, session: &str) -> Result<Lane, StoreError> {
    match ports.store.session(owner.clone(), session.to_owned()).await? {
        Some(row) => lane(ports, row.no).await,
        None => Ok(Lane::default()),
    }
}

/// Runs of sessions that this process has taken: when one leaves, the next of its lane is offered.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<BTreeMap<RunNo, SessionNo>>);

impl Taken {
    pub fn note(&self, run: RunNo, session: SessionNo) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run, session);
    }

    pub fn left(&self, run: RunNo) -> Option<SessionNo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run)
    }
}

/// Offers whoever is next in a lane.
pub(super) async fn offer_next(ports: Ports, offers: Offers, session: SessionNo) {
    match lane(&ports, session).await {
        Ok(lane) => {
            if let Some(next) = lane.next() {
                offers.offer(next);
            }
        }
        Err(e) => tracing::warn!("the next run of a session is found later: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunId;
    use crate::session::Terms;

    fn run(no: i64, status: Status, on_busy: OnBusy, releases: bool) -> LaneRun {
        let terms = Terms { on_busy, release_while_waiting: releases, ..Terms::default() };
        LaneRun { run: RunNo(no), id: RunId::new(Time(no), [0; 10]), status, due_at: None, terms }
    }

    #[test]
    fn whoever_is_under_way_goes_first_then_those_who_took_over_then_the_line() {
        let queue = |no, status| run(no, status, OnBusy::Queue, false);
        let rows = vec![
            queue(1, Status::Queued),
            queue(2, Status::Running),
            run(3, Status::Queued, OnBusy::Interrupt, false),
            LaneRun { due_at: Some(Time(99)), ..queue(4, Status::Queued) },
        ];
        let lane = Lane::of(rows.clone(), Time(50));
        assert_eq!((lane.holder().map(|r| r.run.0), lane.next()), (Some(2), None));
        assert_eq!(lane.ahead(), [RunNo(2), RunNo(3)]);
        assert!(lane.waits(RunNo(1)) && lane.waits(RunNo(3)) && !lane.waits(RunNo(2)));
        let left = Lane::of(rows.into_iter().filter(|r| r.run != RunNo(2)).collect(), Time(50));
        assert_eq!(left.next(), Some(RunNo(3)));
    }

    #[test]
    fn a_run_that_gave_its_place_up_waits_only_for_those_under_way() {
        let rows = vec![run(1, Status::Waiting, OnBusy::Queue, true), run(2, Status::Queued, OnBusy::Queue, false)];
        let lane = Lane::of(rows, Time(50));
        assert_eq!(lane.next(), Some(RunNo(2)));
        assert!(!lane.waits(RunNo(1)), "nobody has begun");
        let begun = vec![run(1, Status::Waiting, OnBusy::Queue, true), run(2, Status::Running, OnBusy::Queue, false)];
        assert!(Lane::of(begun, Time(50)).waits(RunNo(1)));
    }
}
