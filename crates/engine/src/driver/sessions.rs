//! The engine's face for sessions: where a new run stands, what the next one would read, and the end of a session.

use crate::driver::Message;
use crate::driver::engine::{Engine, SubmitError};
use crate::driver::lane::{self, Lane};
use crate::driver::lanes::shard_of;
use crate::driver::recall::{self, commit, failure, newest};
use crate::driver::thread::Word;
use crate::journal::body::{CancelRequested, SessionRead};
use crate::ports::store::{InboxItem, ListTurns, Receipt, Refusal, StoreError, Transition};
use crate::run::{RunId, RunNo, Submit, Time};
use crate::session::{OnBusy, Said, SessionRow, TurnRow, Window};
use std::sync::atomic::Ordering;

/// Turns looked at at once.
const TURNS: u32 = 200;

/// Where a new run goes.
pub(super) struct Placed {
    pub shard: usize,
    pub run: RunNo,
    pub defer: bool,
    pub ahead: Vec<RunNo>,
}

/// What a run that began now would read of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Which turns.
    pub read: SessionRead,
    /// What was said in them, oldest first.
    pub said: Vec<Said>,
}

impl Engine {
    /// Whether a run that would be refused, since its session is busy, is a request that was accepted before.
    pub(super) async fn is_repeated(&self, submit: &Submit) -> Result<bool, StoreError> {
        let (Some(session), Some(once), OnBusy::Reject) = (&submit.session, submit.once, submit.terms.on_busy) else {
            return Ok(false);
        };
        let is_shared = self.inner.ports.store.share().is_some();
        if !is_shared && self.inner.offers.lanes.holder(&submit.owner, session).is_none() {
            return Ok(false);
        }
        Ok(self.inner.ports.store.born_with(once.scope).await?.is_some())
    }

    /// Who is in its session's lane, in a store that others share; elsewhere this process' own table knows.
    pub(super) async fn lane_of(&self, submit: &Submit) -> Result<Option<Lane>, StoreError> {
        let ports = &self.inner.ports;
        match &submit.session {
            Some(session) if ports.store.share().is_some() => {
                lane::lane_of(ports, &submit.owner, session).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Gives a run its number, its shard, and its place in its session's lane.
    pub(super) fn place(
        &self,
        submit: &Submit,
        lane: Option<Lane>,
        is_repeated: bool,
        id: RunId,
        now: Time,
    ) -> Result<Placed, SubmitError> {
        let inner = &*self.inner;
        let is_later = submit.schedule_at.is_some_and(|at| at > now);
        let Some(session) = &submit.session else {
            let shard = inner.turn.fetch_add(1, Ordering::Relaxed) % inner.shards.len();
            let has_room = inner.options.works && self.health().live_runs < inner.options.live_runs_max;
            return Ok(Placed {
                shard,
                run: inner.numbers.take(shard),
                defer: is_later || !has_room,
                ahead: Vec::new(),
            });
        };
        // Born as a row: whoever hands it over later knows what it reads, and that its turn has come.
        let shard = shard_of(&submit.owner, session, inner.shards.len());
        let number = || inner.numbers.take(shard);
        if is_later || submit.terms.on_busy == OnBusy::Parallel {
            return Ok(Placed { shard, run: number(), defer: true, ahead: Vec::new() });
        }
        if let Some(lane) = lane {
            let holder = lane.holder().filter(|_| submit.terms.on_busy == OnBusy::Reject && !is_repeated);
            if let Some(holder) = holder {
                return Err(SubmitError::SessionBusy { id: holder.id });
            }
            let takes_over = matches!(submit.terms.on_busy, OnBusy::Interrupt | OnBusy::Rollback);
            let ahead = if takes_over { lane.ahead() } else { Vec::new() };
            return Ok(Placed { shard, run: number(), defer: true, ahead });
        }
        let entered = inner.offers.lanes.enter(session, submit, is_repeated, id, number);
        let entered = entered.map_err(|id| SubmitError::SessionBusy { id })?;
        Ok(Placed { shard, run: entered.run, defer: true, ahead: entered.ahead })
    }

    /// What was said in one run, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn said_in(&self, run: RunNo) -> Result<Vec<Said>, StoreError> {
        self.inner.options.recall.run(self.inner.ports.store.as_ref(), run).await
    }

    /// What a run of this session that began now would read.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn context(&self, session: &SessionRow, window: Window) -> Result<Context, StoreError> {
        let inner = &*self.inner;
        let recalled = newest(&inner.ports, &inner.options.recall, session, window).await?;
        Ok(Context { read: recalled.read, said: recalled.said })
    }

    /// Removes a session with its turns and cancels its open runs, in one transaction; false when it was not there. A run that
    /// still ends writes no turn. Its name may be used at once, for another session.
    ///
    /// # Errors
    /// The store did not do it.
    pub async fn remove_session(&self, session: &SessionRow, by: &str) -> Result<bool, StoreError> {
        let store = self.inner.ports.store.as_ref();
        let open = store.session_runs(Some(session.no), RunNo(0), u32::MAX).await?;
        let inbox_put: Vec<InboxItem> = open.iter().map(|row| self.cancel_item(row.run, by)).collect();
        let cancels = inbox_put.clone();
        let removal = Transition { session_drop: Some(session.no), inbox_put, ..Transition::default() };
        match commit(store, removal).await {
            Receipt::Committed => {}
            Receipt::Refused(Refusal::Gone) => return Ok(false),
            other => return Err(failure(other)),
        }
        for item in cancels {
            self.shard_of(item.run).send(Word::Mail(item));
        }
        Ok(true)
    }

    /// Takes back every turn of a session: later runs read none of them. Runs, journals and what is under way stay as they are, and
    /// a run that ends from now on writes its turn. Answers how many turns it were.
    ///
    /// # Errors
    /// The store did not do it.
    pub async fn take_back(&self, session: &SessionRow) -> Result<u64, StoreError> {
        let (mut count, mut to) = (0, session.head);
        loop {
            let turns = self.turns_until(session, to).await?;
            let Some(oldest) = turns.last() else { return Ok(count) };
            to = oldest.n - 1;
            count += turns.len() as u64;
            recall::take_back(self.inner.ports.store.as_ref(), turns.iter().map(|turn| turn.run).collect()).await?;
        }
    }

    /// Forgets what is remembered of a session's turns; the next run reads their journals again. Answers how many it were.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn forget_recalled(&self, session: &SessionRow) -> Result<u64, StoreError> {
        let Some(cache) = &self.inner.ports.cache else { return Ok(0) };
        let (mut count, mut to) = (0, session.head);
        loop {
            let turns = self.turns_until(session, to).await?;
            let Some(oldest) = turns.last() else { return Ok(count) };
            to = oldest.n - 1;
            for turn in &turns {
                let key = recall::key(turn.id);
                count += u64::from(cache.get(&key).await.is_some());
                cache.remove(&key).await;
            }
        }
    }

    /// The turns up to this one that were not taken back, newest first, as many as are read at once.
    async fn turns_until(&self, session: &SessionRow, to: u32) -> Result<Vec<TurnRow>, StoreError> {
        let query = ListTurns { session: session.no, from: 1, to, voids: false, limit: TURNS };
        if to == 0 { Ok(Vec::new()) } else { self.inner.ports.store.turns(query).await }
    }

    fn cancel_item(&self, run: RunNo, by: &str) -> InboxItem {
        let reason = Some("its session was deleted".into());
        self.envelope(run, Message::Cancel(CancelRequested { by: by.into(), reason }))
    }
}
