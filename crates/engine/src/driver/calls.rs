//! Activities in flight: tokio tasks that end in exactly one word to their shard, an outcome or `Stopped`.

use crate::activity::{ActivityCx, ActivityError, DeltaSink, Next, Outcome};
use crate::driver::engine::Ports;
use crate::driver::thread::{Mailbox, Word};
use crate::run::Time;
use crate::shard::gate::Durable;
use crate::shard::wire::{AttemptId, Input, Leave, Spawn};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// The first piece goes at once; later ones are gathered this long.
const GATHER: Duration = Duration::from_millis(75);
/// Or until they are this large.
const GATHER_BYTES_MAX: usize = 1024;

/// One shard's calls.
pub(crate) struct Calls {
    runtime: Handle,
    ports: Ports,
    slots: Arc<Semaphore>,
    open: BTreeMap<AttemptId, AbortHandle>,
}

/// Says `Stopped` when its task ends without an outcome, i.e. when it was aborted. Declared before the activity's future,
/// so dropped after it: the sockets are closed by then.
struct LastWord {
    mailbox: Mailbox,
    id: Option<AttemptId>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.mailbox.send(Word::Input(Input::Stopped(id)));
        }
    }
}

impl Calls {
    pub fn new(runtime: Handle, ports: Ports, slots: Arc<Semaphore>) -> Self {
        Self { runtime, ports, slots, open: BTreeMap::new() }
    }

    /// Starts a call. The token says that its intent is durable.
    pub fn start(&mut self, leave: Durable<Leave>, mailbox: &Mailbox) {
        let Leave::Spawn(spawn) = leave.into_inner() else { return };
        let id = spawn.id.clone();
        // Made here and not in the task: one that is aborted before its first poll has to speak as well.
        let last_word = LastWord { mailbox: mailbox.clone(), id: Some(id.clone()) };
        let task = run(last_word, *spawn, self.ports.clone(), Arc::clone(&self.slots));
        self.open.insert(id, self.runtime.spawn(task).abort_handle());
    }

    /// Ends a call; `Stopped` follows. A call that is not open any more has spoken already.
    pub fn abort(&mut self, id: &AttemptId, mailbox: &Mailbox) {
        match self.open.remove(id) {
            Some(task) => task.abort(),
            None => mailbox.send(Word::Input(Input::Stopped(id.clone()))),
        }
    }

    /// A call has spoken.
    pub fn ended(&mut self, id: &AttemptId) {
        self.open.remove(id);
    }

    /// The process ends: nothing may go on.
    pub fn abort_all(&mut self) {
        for (_, task) in std::mem::take(&mut self.open) {
            task.abort();
        }
    }
}

async fn run(mut last_word: LastWord, spawn: Spawn, ports: Ports, slots: Arc<Semaphore>) {
    let mailbox = last_word.mailbox.clone();
    let Ok(_slot) = slots.acquire_owned().await else { return };
    let sink = spawn.stream.then(|| {
        let gathered = Gathered { text: String::new(), since: None, is_first: true };
        Arc::new(Sink {
            mailbox: mailbox.clone(),
            id: spawn.id.clone(),
            gathered: Mutex::new(gathered),
            pushed: AtomicUsize::new(0),
        })
    });
    let now = ports.clock.now();
    let bound = bound(&spawn, now);
    let cx = ActivityCx {
        outbound: ports.outbound,
        idempotency_key: spawn.idempotency_key,
        attempt: spawn.id.attempt,
        is_paid: spawn.is_paid,
        now,
        deadline: bound.map(|d| now.after(d)),
        deltas: sink.clone().map(|s| s as Arc<dyn DeltaSink>),
        traceparent: spawn.traceparent,
        session: spawn.session,
        owner: spawn.owner,
    };
    let work = (spawn.request.start)(spawn.request.args, cx);
    let outcome = guarded(work, bound, sink.as_deref()).await;
    if let Some(sink) = &sink {
        sink.flush();
    }
    if let Some(id) = last_word.id.take() {
        mailbox.send(Word::Input(Input::Outcome(id, outcome)));
    }
}

/// The call's own time and what is left of the run's, whichever is less.
fn bound(spawn: &Spawn, now: Time) -> Option<Duration> {
    let own = spawn.timeout_ms.map(Duration::from_millis);
    let left = spawn.deadline.map(|at| now.until(at));
    [own, left].into_iter().flatten().min()
}

/// Runs an activity within its time, turning a panic into a failure of this call.
async fn guarded(work: crate::activity::Running, bound: Option<Duration>, sink: Option<&Sink>) -> Outcome {
    let work = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work));
    tokio::pin!(work);
    let deadline = bound.map(|d| tokio::time::Instant::now() + d);
    loop {
        tokio::select! {
            done = &mut work => {
                // It may have asked somebody before it fell.
                return done.unwrap_or_else(|_| Err(ActivityError::fatal("InternalError", "the call panicked; see the log").sent()));
            }
            () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => {
                let ms = bound.unwrap_or_default().as_millis();
                let next = Next::Retry { after_ms: None };
                return Err(ActivityError { class: "Timeout".into(), message: format!("no answer within {ms} ms"), next, may_have_cost: true });
            }
            () = tokio::time::sleep(GATHER), if sink.is_some() => {
                if let Some(sink) = sink {
                    sink.flush();
                }
            }
        }
    }
}

struct Gathered {
    text: String,
    since: Option<Instant>,
    is_first: bool,
}

/// Gathers pieces of an answer into chunks worth a journal entry.
struct Sink {
    mailbox: Mailbox,
    id: AttemptId,
    gathered: Mutex<Gathered>,
    pushed: AtomicUsize,
}

impl Sink {
    fn flush(&self) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(&mut gathered);
    }

    fn send(&self, gathered: &mut Gathered) {
        gathered.since = None;
        let text = std::mem::take(&mut gathered.text);
        if !text.is_empty() {
            gathered.is_first = false;
            self.mailbox.send(Word::Input(Input::Delta(self.id.clone(), text)));
        }
    }
}

impl DeltaSink for Sink {
    fn push(&self, text: &str) {
        self.pushed.fetch_add(text.len(), Ordering::Relaxed);
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.text.push_str(text);
        let since = *gathered.since.get_or_insert_with(Instant::now);
        if gathered.is_first || gathered.text.len() >= GATHER_BYTES_MAX || since.elapsed() >= GATHER {
            self.send(&mut gathered);
        }
    }

    fn pushed(&self) -> usize {
        self.pushed.load(Ordering::Relaxed)
    }
}
