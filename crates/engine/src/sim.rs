//! Deterministic simulation: the real core and real workflows on a memory disk, with virtual time and seeded faults.
//! One seed is one story; the same seed tells it again, entry for entry.

mod checks;
mod world;

pub use checks::{Violation, check_run};
pub use world::{Request, World};

use crate::event::{Class, Kind};
use crate::journal::{Frame, decode_part};
use crate::memory::store::Disk;
use crate::ports::store::{InboxItem, Receipt, Row, RunRow, Transition};
use crate::run::{RunId, RunNo, Status, Submit, Time};
use crate::shard::core::{Core, CoreOptions};
use crate::shard::gate::Durable;
use crate::shard::wire::{Adopt, Input, Leave, Output, Spawn, Start};
use crate::workflow::Registry;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// How many things may happen before a story counts as stuck.
const STEPS_MAX: u64 = 200_000;
const EPOCH_START: i64 = 1_700_000_000_000;

/// Chances per thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The process ends at a step.
    pub crash: u32,
    /// A commit's outcome is not known.
    pub unknown: u32,
    /// Another worker claims a run that is not its own.
    pub steal: u32,
    /// A message arrives twice.
    pub twice: u32,
    /// Somebody cancels a run.
    pub cancel: u32,
}

/// One story.
pub struct Story {
    /// Its seed.
    pub seed: u64,
    /// What is submitted at the start.
    pub runs: Vec<Submit>,
    /// What goes wrong.
    pub faults: Faults,
    /// End the process at exactly this point (a hand-over to the store, a commit, or something leaving).
    pub crash_at: Option<u64>,
    /// The core's habits.
    pub core: CoreOptions,
}

/// How a story went.
pub struct Report {
    /// Points at which the process could have ended.
    pub points: u64,
    /// Crashes, stolen runs, unknown commits that happened.
    pub faults: u64,
    /// How each submitted run ended; `None` for one that was never accepted.
    pub ends: Vec<Option<Status>>,
    /// What the world saw.
    pub world: World,
    /// Hash over everything durable.
    pub trace: [u8; 32],
    /// Every run with its journal.
    pub journals: Vec<(RunRow, Vec<Row>)>,
}

/// A seeded generator (SplitMix64, Steele et al. 2014): enough to choose what happens next.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    fn hits(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1_000) < u64::from(per_mille)
    }
}

struct Worker {
    core: Core,
    flights: Vec<Spawn>,
}

struct Sim<'a> {
    registry: &'a Registry,
    options: CoreOptions,
    dice: Dice,
    now: Time,
    disk: Disk,
    workers: Vec<Worker>,
    number: Rc<Cell<i64>>,
    batches: BTreeMap<u64, (usize, u64, u64)>,
    batch_next: u64,
    life: u64,
    world: World,
    accepted: BTreeSet<RunNo>,
    points: u64,
    crash_at: Option<u64>,
    is_crashed: bool,
    faults_seen: u64,
    failed: Option<Violation>,
}

/// Tells one story to its end and checks every promise on the way.
///
/// # Errors
/// The first broken promise.
pub fn tell(story: Story, registry: &Registry, world: World) -> Result<Report, Violation> {
    let Story { seed, runs, faults, crash_at, core } = story;
    let mut sim = Sim {
        registry,
        options: core,
        dice: Dice(seed),
        now: Time(EPOCH_START),
        disk: Disk::default(),
        workers: Vec::new(),
        number: Rc::new(Cell::new(1)),
        batches: BTreeMap::new(),
        batch_next: 0,
        life: 0,
        world,
        accepted: BTreeSet::new(),
        points: 0,
        crash_at,
        is_crashed: false,
        faults_seen: 0,
        failed: None,
    };
    sim.reboot();
    let mut submitted = Vec::new();
    for submit in runs {
        submitted.push(sim.submit(submit));
        sim.maybe_crash();
    }
    for _ in 0..STEPS_MAX {
        if sim.is_done() {
            return sim.report(&submitted);
        }
        sim.step(faults);
        if let Some(violation) = sim.failed.take() {
            return Err(violation);
        }
    }
    Err(Violation::new(
        "liveness",
        format!("still not done after {STEPS_MAX} steps: {:?}", sim.disk.open_runs(Time(i64::MAX))),
    ))
}

impl Sim<'_> {
    fn reboot(&mut self) {
        self.life += 1;
        self.disk.crash();
        self.workers.clear();
        self.batches.clear();
        self.is_crashed = false;
        for _ in 0..2 {
            let number = Rc::clone(&self.number);
            let numbers = Rc::new(move || {
                number.set(number.get() + 1);
                RunNo(number.get() - 1)
            });
            let core = Core::new(self.registry.clone(), self.options.clone(), numbers);
            self.workers.push(Worker { core, flights: Vec::new() });
        }
    }

    /// A point at which the process may end.
    fn point(&mut self) {
        self.points += 1;
        self.is_crashed |= self.crash_at == Some(self.points);
    }

    fn maybe_crash(&mut self) {
        if self.is_crashed {
            self.faults_seen += 1;
            self.crash_at = None;
            self.reboot();
        }
    }

    fn submit(&mut self, submit: Submit) -> RunNo {
        let run = RunNo(self.number.get());
        self.number.set(run.0 + 1);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.dice.next().to_le_bytes());
        let id = RunId::new(self.now, random);
        let version = self.registry.newest(&submit.workflow).unwrap_or(1);
        let start = Start { run, id, version, submit, defer: self.dice.hits(200), ahead: Vec::new() };
        self.handle(0, Input::Start(Box::new(start)));
        run
    }

    /// One thing happens.
    fn step(&mut self, faults: Faults) {
        if self.dice.hits(faults.crash) {
            self.is_crashed = true;
        } else {
            match self.dice.below(10) {
                0..4 => self.commit(faults),
                4..7 => self.land(),
                7 => self.adopt(faults),
                8 => self.messages(faults),
                _ => self.pass_time(),
            }
        }
        self.maybe_crash();
    }

    fn handle(&mut self, worker: usize, input: Input) {
        let outputs = self.workers[worker].core.handle(input, self.now);
        self.failed = self.failed.take().or_else(|| checks::wanted(&outputs, &self.workers[worker].core));
        for output in outputs {
            if self.is_crashed {
                return;
            }
            self.act(worker, output);
        }
        if self.is_crashed {
            return;
        }
        if let Some(batch) = self.workers[worker].core.flush() {
            self.batches.insert(self.batch_next, (worker, batch.no, self.life));
            self.disk.submit(self.batch_next, batch.transitions);
            self.batch_next += 1;
            self.point();
        }
    }

    fn act(&mut self, worker: usize, output: Output) {
        match output {
            Output::Leave(leave) => {
                self.point();
                if !self.is_crashed {
                    self.let_out(worker, leave);
                }
            }
            Output::Abort(id) => {
                let flights = &mut self.workers[worker].flights;
                flights.retain(|f| f.id != id);
                self.handle(worker, Input::Stopped(id));
            }
            Output::Mail(run) => self.deliver_mail(run),
            _ => {}
        }
    }

    fn let_out(&mut self, worker: usize, leave: Durable<Leave>) {
        let problem = match leave.get() {
            Leave::Spawn(spawn) => {
                checks::spawn(&self.frames(spawn.id.run), spawn).or_else(|| self.world.sees(spawn, self.points))
            }
            Leave::Accepted(run, _) => {
                self.accepted.insert(*run);
                checks::accepted(self.disk.run(*run), *run)
            }
            Leave::Ended(end) => checks::ended(self.disk.run(end.run), end.run),
            _ => None,
        };
        if let Some(violation) = problem {
            self.failed.get_or_insert(violation);
        }
        if let Leave::Spawn(spawn) = leave.into_inner() {
            self.workers[worker].flights.push(*spawn);
        }
    }

    fn frames(&self, run: RunNo) -> Vec<Frame> {
        frames(&self.disk, run)
    }

    fn commit(&mut self, faults: Faults) {
        if self.disk.buffered() == 0 {
            return;
        }
        let landed = if self.dice.hits(faults.unknown) {
            self.faults_seen += 1;
            let is_written = self.dice.below(2) == 0;
            self.disk.commit_unknown(is_written)
        } else {
            self.disk.commit()
        };
        self.point();
        if self.is_crashed {
            return;
        }
        let Some((no, receipts)) = landed else { return };
        self.receipts(no, receipts);
    }

    fn receipts(&mut self, no: u64, receipts: Vec<Receipt>) {
        if let Some((worker, batch, _)) = self.batches.remove(&no) {
            self.handle(worker, Input::Receipts(batch, receipts));
        }
    }

    /// A call in flight comes back.
    fn land(&mut self) {
        let worker = usize::try_from(self.dice.below(2)).unwrap_or(0);
        let count = self.workers[worker].flights.len() as u64;
        if count == 0 {
            return;
        }
        let at = usize::try_from(self.dice.below(count)).unwrap_or(0);
        let flight = self.workers[worker].flights.swap_remove(at);
        let outcome = self.world.answer(&flight, self.dice.next());
        if flight.stream && outcome.is_ok() && self.dice.below(2) == 0 {
            self.handle(worker, Input::Delta(flight.id.clone(), "piece".into()));
        }
        if !self.is_crashed {
            self.handle(worker, Input::Outcome(flight.id, outcome));
        }
    }

    /// A worker takes a run over: one that nobody holds, or (a fault) one that the other holds.
    fn adopt(&mut self, faults: Faults) {
        let open = self.disk.open_runs(self.now);
        if open.is_empty() {
            return;
        }
        let run = open[usize::try_from(self.dice.below(open.len() as u64)).unwrap_or(0)].run;
        let holder = (0..2).find(|w| self.workers[*w].core.holds(run));
        let worker = match holder {
            None => 0,
            Some(holder) if self.dice.hits(faults.steal) => {
                self.faults_seen += 1;
                1 - holder
            }
            Some(_) => return,
        };
        self.take_over(worker, run);
    }

    fn take_over(&mut self, worker: usize, run: RunNo) {
        let Some(row) = self.disk.run(run).cloned() else { return };
        let rows = self.disk.journal(run, 0);
        let inbox = self.disk.inbox(run);
        let adopt = Adopt { row, rows, blobs: Vec::new(), inbox, recalled: None };
        self.handle(worker, Input::Adopt(Box::new(adopt)));
    }

    fn deliver_mail(&mut self, run: RunNo) {
        let items = self.disk.inbox(run);
        if let Some(worker) = (0..2).find(|w| self.workers[*w].core.holds(run)) {
            self.handle(worker, Input::Inbox(run, items));
        }
    }

    /// Messages from outside: what the world wants to say, and cancels.
    fn messages(&mut self, faults: Faults) {
        let open: Vec<RunNo> = self.disk.runs().filter(|r| r.status.is_open()).map(|r| r.run).collect();
        if open.is_empty() {
            return;
        }
        let run = open[usize::try_from(self.dice.below(open.len() as u64)).unwrap_or(0)];
        let mut items = self.world.messages(run, &self.frames(run));
        if self.dice.hits(faults.cancel) {
            items.push(checks::cancel(run));
        }
        for item in items {
            self.put(item.clone());
            if self.dice.hits(faults.twice) {
                self.put(item);
            }
            if self.is_crashed {
                return;
            }
        }
    }

    /// Puts a message through the same writer, in order behind what is buffered.
    fn put(&mut self, item: InboxItem) {
        let run = item.run;
        let no = self.batch_next;
        self.batch_next += 1;
        self.disk.submit(no, vec![Transition { inbox_put: vec![item], ..Transition::default() }]);
        while let Some((landed, receipts)) = self.disk.commit() {
            self.point();
            if self.is_crashed {
                return;
            }
            if landed == no {
                break;
            }
            self.receipts(landed, receipts);
            if self.is_crashed {
                return;
            }
        }
        self.deliver_mail(run);
    }

    fn pass_time(&mut self) {
        let core = self.workers.iter().filter_map(|w| w.core.next_due()).min();
        let next = [core, self.disk.next_due(self.now)].into_iter().flatten().min();
        let ahead = i64::try_from(self.dice.below(50)).unwrap_or(0);
        let later = Time(self.now.0 + ahead);
        // Virtual time jumps only when nothing else is going on.
        let is_idle = self.disk.buffered() == 0 && self.workers.iter().all(|w| w.flights.is_empty());
        self.now = match next {
            Some(due) if is_idle => due.max(later),
            _ => later,
        };
        for worker in 0..2 {
            if !self.is_crashed {
                self.handle(worker, Input::Tick);
            }
        }
    }

    fn is_done(&self) -> bool {
        let all = self.disk.runs().all(|r| !r.status.is_open());
        all && self.disk.buffered() == 0 && self.workers.iter().all(|w| w.core.live() == 0)
    }

    fn report(self, submitted: &[RunNo]) -> Result<Report, Violation> {
        let mut hash = Sha256::new();
        let mut journals = Vec::new();
        for row in self.disk.runs() {
            let rows = self.disk.journal(row.run, 0);
            for r in &rows {
                hash.update(r.at.0.to_le_bytes());
                hash.update(&r.body);
            }
            check_run(self.registry, row, &rows)?;
            checks::turn(row, self.disk.turn_of(row.run))?;
            journals.push((row.clone(), rows));
        }
        for run in &self.accepted {
            if self.disk.run(*run).is_none() {
                return Err(Violation::new("nothing is lost", format!("run {} was accepted and is gone", run.0)));
            }
        }
        let ends = submitted.iter().map(|run| self.disk.run(*run).map(|r| r.status)).collect();
        Ok(Report {
            points: self.points,
            faults: self.faults_seen,
            ends,
            world: self.world,
            trace: hash.finalize().into(),
            journals,
        })
    }
}

/// A run's durable entries.
pub(crate) fn frames(disk: &Disk, run: RunNo) -> Vec<Frame> {
    let rows = disk.journal(run, 0);
    rows.iter().flat_map(|r| decode_part(r.at, r.first, r.last - r.first + 1, &r.body).unwrap_or_default()).collect()
}

/// Whether a kind of entry is a call's outcome.
pub(crate) fn is_outcome(kind: Kind) -> bool {
    kind.class() == Class::Delivered
        && !matches!(kind, Kind::SignalReceived | Kind::CancelRequested | Kind::EngineDeadline)
}
