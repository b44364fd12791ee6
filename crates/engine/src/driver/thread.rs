//! A shard's thread: takes words from its mailbox, feeds the core, submits what it wrote, and does what it wants done.

use crate::driver::calls::Calls;
use crate::driver::engine::{Ports, SubmitError};
use crate::driver::observe::Observer;
use crate::driver::scheduler::Offers;
use crate::journal::body::Ended;
use crate::ports::bus::ENDED;
use crate::ports::queue::Offered;
use crate::ports::store::{Append, Fence, InboxItem, Row};
use crate::run::{RunId, RunNo, Status, Time};
use crate::shard::core::Core;
use crate::shard::gate::Durable;
use crate::shard::wire::{Adopt, Input, Leave, Output, Start};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Most words handled before what they wrote is submitted.
const WORDS_MAX: usize = 1_024;
/// Waiters that are kept without looking for closed ones.
const WAITERS_MIN: usize = 1_024;
/// Most bytes of a journal that are kept for the one who waits for its end.
const JOURNAL_BYTES_MAX: usize = 64 * 1024;

/// How an accepted run is announced.
pub(crate) type AcceptedTx = oneshot::Sender<Result<Announced, SubmitError>>;

/// What the submitter learns.
#[derive(Debug)]
pub(crate) enum Announced {
    /// The journal comes with the end where it is small and was written here from its first row.
    Accepted {
        run: RunNo,
        status: Status,
        end: Option<(Status, Ended)>,
        journal: Vec<Row>,
    },
    Earlier {
        run: RunNo,
        id: RunId,
    },
}

/// A word to a shard's thread.
pub(crate) enum Word {
    Input(Input),
    Start {
        start: Box<Start>,
        until_end: bool,
        reply: AcceptedTx,
    },
    /// With the offer that led to it, which is settled once the claim is durable.
    Adopt(Box<Adopt>, Option<Offered>),
    /// A committed message; given to the run if it is live here, else the run is offered.
    Mail(InboxItem),
    Wait(RunNo, oneshot::Sender<(Status, Ended)>),
    /// Which of these are in memory?
    Holds(Vec<RunNo>, oneshot::Sender<Vec<RunNo>>),
    /// The lease is lost: drop everything, then say so.
    Disown(oneshot::Sender<()>),
    Stop,
}

/// The way to a shard.
#[derive(Clone)]
pub(crate) struct Mailbox(pub Sender<Word>);

impl Mailbox {
    /// A shard that has stopped hears nothing any more; what it held is in the store.
    pub fn send(&self, word: Word) {
        let _ = self.0.send(word);
    }
}

/// What others may know of a shard without asking it.
#[derive(Default)]
pub(crate) struct Gauge {
    /// Runs in memory.
    pub live: AtomicUsize,
    /// When the input being handled came in; 0 while idle.
    pub busy_since: AtomicI64,
}

struct Submitter {
    id: RunId,
    until_end: bool,
    reply: AcceptedTx,
    /// What was handed to the store so far, for one who waits for the end; empty once it is too much.
    journal: Vec<Row>,
    journal_bytes: usize,
}

impl Submitter {
    fn new(id: RunId, until_end: bool, reply: AcceptedTx) -> Self {
        Self { id, until_end, reply, journal: Vec::new(), journal_bytes: 0 }
    }

    /// Keeps a row for the answer, which is then read from here and not from the store.
    fn keep(&mut self, append: &Append) {
        let prev = match append.fence {
            Fence::Birth(_) => 0,
            Fence::After { prev } | Fence::Claim { prev } => prev,
        };
        self.journal_bytes = self.journal_bytes.saturating_add(append.body.len());
        if !self.until_end || self.journal_bytes > JOURNAL_BYTES_MAX {
            self.journal.clear();
            return;
        }
        let Append { first, last, epoch, at, ref body, .. } = *append;
        self.journal.push(Row { first, last, prev, epoch, at, body: body.clone() });
    }
}

pub(crate) struct Shard {
    pub core: Core,
    pub ports: Ports,
    pub calls: Calls,
    pub offers: Offers,
    pub gauge: Arc<Gauge>,
    pub mailbox: Mailbox,
    pub observer: Observer,
    submitters: BTreeMap<RunNo, Submitter>,
    /// Offers whose claims are on their way.
    offered: BTreeMap<RunNo, Offered>,
    waiters: BTreeMap<RunNo, Vec<oneshot::Sender<(Status, Ended)>>>,
    /// Beyond so many, the closed ones are thrown out.
    waiters_max: usize,
}

impl Shard {
    pub fn new(core: Core, ports: Ports, calls: Calls, offers: Offers, gauge: Arc<Gauge>, mailbox: Mailbox) -> Self {
        Self {
            core,
            ports,
            calls,
            offers,
            gauge,
            mailbox,
            observer: Observer::default(),
            submitters: BTreeMap::new(),
            offered: BTreeMap::new(),
            waiters: BTreeMap::new(),
            waiters_max: WAITERS_MIN,
        }
    }

    /// Runs until `Stop`.
    pub fn run(mut self, words: &Receiver<Word>) {
        loop {
            let Some(first) = self.next(words) else { break };
            let mut word = first;
            let mut count = 0;
            let go_on = loop {
                if !self.hear(word) {
                    break false;
                }
                count += 1;
                match words.try_recv() {
                    Ok(next) if count < WORDS_MAX => word = next,
                    Ok(next) => {
                        self.submit();
                        count = 0;
                        word = next;
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break true,
                }
            };
            self.submit();
            self.gauge.busy_since.store(0, Ordering::Relaxed);
            let before = self.gauge.live.swap(self.core.live(), Ordering::Relaxed);
            if self.core.live() < before {
                self.offers.room.notify_one();
            }
            if !go_on {
                break;
            }
        }
        self.calls.abort_all();
    }

    /// The next word, or a tick when a timer comes due first. `None` when everybody else is gone.
    fn next(&self, words: &Receiver<Word>) -> Option<Word> {
        let Some(due) = self.core.next_due() else { return words.recv().ok() };
        let now = self.ports.clock.now();
        if due <= now {
            return Some(Word::Input(Input::Tick));
        }
        // Wall time may be corrected meanwhile: look again at least once a minute.
        match words.recv_timeout(now.until(due).min(Duration::from_secs(60))) {
            Ok(word) => Some(word),
            Err(RecvTimeoutError::Timeout) => Some(Word::Input(Input::Tick)),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn hear(&mut self, word: Word) -> bool {
        let now = self.ports.clock.now();
        self.gauge.busy_since.store(now.0, Ordering::Relaxed);
        match word {
            Word::Input(input) => {
                if let Input::Outcome(id, _) | Input::Stopped(id) = &input {
                    self.calls.ended(id);
                }
                self.handle(input, now);
            }
            Word::Start { start, until_end, reply } => {
                self.submitters.insert(start.run, Submitter::new(start.id, until_end, reply));
                self.handle(Input::Start(start), now);
            }
            Word::Adopt(adopt, offered) => {
                let run = adopt.row.run;
                self.offered.extend(offered.map(|offered| (run, offered)));
                self.handle(Input::Adopt(adopt), now);
                self.offers.moved(run);
            }
            Word::Mail(item) => {
                if self.core.holds(item.run) {
                    self.handle(Input::Inbox(item.run, vec![item]), now);
                } else {
                    self.offers.offer(item.run);
                }
            }
            Word::Wait(run, tell) => {
                self.forget_closed_waiters();
                self.waiters.entry(run).or_default().push(tell);
            }
            Word::Holds(runs, tell) => {
                let _ = tell.send(runs.into_iter().filter(|run| self.core.holds(*run)).collect());
            }
            Word::Disown(tell) => {
                self.handle(Input::Disown, now);
                let _ = tell.send(());
            }
            Word::Stop => return false,
        }
        true
    }

    /// Whoever waited for a run that had ended already, or no longer waits, leaves an entry behind. Looked through each time
    /// their number has doubled, so the work stays in proportion.
    fn forget_closed_waiters(&mut self) {
        if self.waiters.len() < self.waiters_max {
            return;
        }
        self.waiters.retain(|_, waiters| {
            waiters.retain(|w| !w.is_closed());
            !waiters.is_empty()
        });
        self.waiters_max = WAITERS_MIN.max(self.waiters.len() * 2);
    }

    fn handle(&mut self, input: Input, now: Time) {
        for output in self.core.handle(input, now) {
            self.act(output);
        }
    }

    /// Hands what was written to the store's writer; its receipts come back as a word.
    fn submit(&mut self) {
        // Ticks are part of a busy shard's turn: a stream of words must not starve timers.
        let now = self.ports.clock.now();
        if self.core.next_due().is_some_and(|due| due <= now) {
            self.handle(Input::Tick, now);
        }
        let Some(batch) = self.core.flush() else { return };
        let mailbox = self.mailbox.clone();
        if !self.submitters.is_empty() {
            for append in batch.transitions.iter().flat_map(|transition| &transition.appends) {
                if let Some(submitter) = self.submitters.get_mut(&append.run) {
                    submitter.keep(append);
                }
            }
        }
        let no = batch.no;
        let done = Box::new(move |receipts| mailbox.send(Word::Input(Input::Receipts(no, receipts))));
        self.ports.store.submit(batch.transitions, done);
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Leave(leave) => self.let_out(leave),
            Output::Abort(id) => self.calls.abort(&id, &self.mailbox),
            Output::Grown(run, seq) => {
                if let Some(offered) = self.offered.remove(&run) {
                    offered.done();
                }
                self.ports.bus.wake(run, seq);
            }
            Output::Mail(run) => self.offers.offer(run),
            Output::Lost { run, why } => self.lost(run, &why),
            Output::Repeated { run, earlier, id, same } => {
                self.offers.left(run);
                let answer = if same {
                    Ok(Announced::Earlier { run: earlier, id })
                } else {
                    Err(SubmitError::OnceConflict { id })
                };
                self.answer(run, answer);
            }
            Output::Overdrawn(run, overdrawn) => {
                self.offers.left(run);
                self.answer(run, Err(SubmitError::Overdrawn(overdrawn)));
            }
            Output::NotBorn(run, error) => {
                self.offers.left(run);
                self.answer(run, Err(error.into()));
            }
        }
    }

    fn let_out(&mut self, leave: Durable<Leave>) {
        if let Leave::Spawn(spawn) = leave.get() {
            // A worker that was away too long sends nothing more: its runs may be somebody else's. One that began after all
            // others were dropped would wait for this call for ever, so it goes as well.
            if self.ports.store.share().is_none_or(|share| share.is_owner()) {
                self.calls.start(leave, &self.mailbox);
            } else {
                self.mailbox.send(Word::Input(Input::Abandon(spawn.id.run)));
            }
            return;
        }
        match leave.into_inner() {
            Leave::Accepted(run, status) => {
                if self.submitters.get(&run).is_some_and(|s| !s.until_end) {
                    self.answer(run, Ok(Announced::Accepted { run, status, end: None, journal: Vec::new() }));
                }
            }
            Leave::Ended(end) => {
                let end = *end;
                self.offers.left(end.run);
                (self.observer.0)(&end);
                self.ports.bus.wake(end.run, ENDED);
                for waiter in self.waiters.remove(&end.run).unwrap_or_default() {
                    let _ = waiter.send((end.status, end.ended.clone()));
                }
                let kept = self.submitters.get_mut(&end.run).map(|s| std::mem::take(&mut s.journal));
                let journal = kept.filter(|rows| rows.first().is_some_and(|row| row.first == 1)).unwrap_or_default();
                let (run, status) = (end.run, end.status);
                let announced = Announced::Accepted { run, status, end: Some((status, end.ended)), journal };
                self.answer(run, Ok(announced));
            }
            Leave::Parked(run, due) => {
                self.offers.left_while_waiting(run);
                self.unfinished(run, Status::Waiting);
                self.offers.parked(due);
            }
            Leave::Offer { run, due, priority, .. } => {
                self.unfinished(run, Status::Queued);
                match due {
                    Some(_) => self.offers.parked(due),
                    None => self.offers.queued(run, priority),
                }
            }
            Leave::Lost(run, why) => self.lost(run, &why),
            Leave::Spawn(_) => {}
        }
    }

    fn answer(&mut self, run: RunNo, answer: Result<Announced, SubmitError>) {
        if let Some(submitter) = self.submitters.remove(&run) {
            let _ = submitter.reply.send(answer);
        }
    }

    /// The run goes on elsewhere: whoever waits for its end waits on.
    fn unfinished(&mut self, run: RunNo, status: Status) {
        self.answer(run, Ok(Announced::Accepted { run, status, end: None, journal: Vec::new() }));
    }

    /// A write's outcome may be unknown: only the store can say whether a submitted run was accepted.
    fn lost(&mut self, run: RunNo, why: &str) {
        // Dropped, an offer goes back: somebody else may have more luck with it.
        self.offered.remove(&run);
        match self.submitters.remove(&run) {
            Some(submitter) => self.offers.verify(run, submitter.id, submitter.reply),
            None => {
                // What threw it out has said so already: the store, or the panic.
                tracing::debug!(run = run.0, "the run left memory and is picked up again: {why}");
                self.offers.lost(run);
            }
        }
    }
}
