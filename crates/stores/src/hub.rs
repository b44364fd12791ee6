//! What every bus between processes shares: ears within this process, words gathered for the others, and words heard from them.
//! What carries them, Redis or PostgreSQL, only moves short texts.
//!
//! A text is the number of the process that says it and then words: `l` look, `m5` there is mail for run 5, `w5.17` run 5 has grown
//! to its entry 17, `e5` run 5 has ended. Words that are not known are passed over: another version may know more.

use crate::link::Health;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tutti_engine::memory::bus::LocalBus;
use tutti_engine::ports::bus::{Bus, Call, ENDED, Listener};
use tutti_engine::ports::queue::Condition;
use tutti_engine::run::RunNo;

/// Words are gathered for so long; the first after a silence goes at once.
const GATHER: Duration = Duration::from_millis(5);
/// The longest text. PostgreSQL takes fewer than 8000 bytes.
const TEXT_MAX: usize = 7_000;
/// Calls that are kept for who is slow to ask; beyond that there is one to look.
const HEARD_MAX: usize = 65_536;
/// The longest that closing waits for what was said to leave.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A bus between processes, whatever carries it. What it does ends when it is dropped.
pub struct Hub {
    core: Arc<Core>,
    tasks: Vec<AbortHandle>,
}

impl Hub {
    pub(crate) fn new(core: Arc<Core>, tasks: Vec<AbortHandle>) -> Self {
        Self { core, tasks }
    }

    /// How it is doing, and word of each change.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Condition> {
        self.core.health.news()
    }

    /// Waits, not for long, until what was said has left: for who says something and ends.
    pub async fn close(&self) {
        let left = async {
            loop {
                let settled = self.core.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if self.core.gathered().is_silent() || self.condition() != Condition::Up {
                    return;
                }
                settled.await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_MAX, left).await;
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Bus for Hub {
    fn wake(&self, run: RunNo, seq: u32) {
        self.core.local.wake(run, seq);
        let mut gathered = self.core.gathered();
        let entry = gathered.wakes.entry(run).or_default();
        *entry = (*entry).max(seq);
        drop(gathered);
        self.core.more.notify_one();
    }

    fn listen(&self, run: RunNo) -> Box<dyn Listener> {
        self.core.local.listen(run)
    }

    fn call(&self, call: Call) {
        self.core.say(call);
    }

    fn calls(&self) -> BoxFuture<'_, Vec<Call>> {
        Box::pin(self.core.calls())
    }

    fn condition(&self) -> Condition {
        self.core.health.condition()
    }
}

/// What the bus and its carrier share.
pub(crate) struct Core {
    /// This process among those that share the bus; by chance, so nobody has to hand them out.
    id: u64,
    local: LocalBus,
    pub health: Arc<Health>,
    gathered: Mutex<Gathered>,
    /// There is something to say.
    more: Notify,
    /// What was taken to be said has been said, or is lost.
    settled: Notify,
    heard: Mutex<BTreeSet<Call>>,
    /// There is something to hear.
    called: Notify,
}

#[derive(Default)]
struct Gathered {
    wakes: BTreeMap<RunNo, u32>,
    calls: BTreeSet<Call>,
    is_leaving: bool,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.wakes.is_empty() && self.calls.is_empty()
    }

    fn is_silent(&self) -> bool {
        self.is_empty() && !self.is_leaving
    }
}

impl Core {
    pub fn new(health: Arc<Health>) -> Arc<Self> {
        let mut id = [0; 8];
        // Without chance, the clock and the process tell most processes apart.
        if getrandom::fill(&mut id).is_err() {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            id = (u64::from(since.subsec_nanos()) << 32 | u64::from(std::process::id())).to_be_bytes();
        }
        Arc::new(Self {
            id: u64::from_be_bytes(id),
            local: LocalBus::new(),
            health,
            gathered: Mutex::default(),
            more: Notify::new(),
            settled: Notify::new(),
            heard: Mutex::default(),
            called: Notify::new(),
        })
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, BTreeSet<Call>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A word to all others.
    pub fn say(&self, call: Call) {
        self.gathered().calls.insert(call);
        self.more.notify_one();
    }

    /// A text that says nothing, to hear whether it comes back.
    pub fn silence(&self) -> String {
        format!("{:016x}", self.id)
    }

    /// A text from somewhere; true when it is our own. Calls go before wakes: who is woken finds what was called before.
    pub fn hear(&self, text: &str) -> bool {
        let mut words = text.split(' ');
        if words.next().and_then(|id| u64::from_str_radix(id, 16).ok()) == Some(self.id) {
            return true;
        }
        let (mut calls, mut wakes) = (Vec::new(), Vec::new());
        for word in words.filter_map(Word::read) {
            match word {
                Word::Call(call) => calls.push(call),
                Word::Wake(run, seq) => wakes.push((run, seq)),
            }
        }
        if !calls.is_empty() {
            let mut heard = self.heard();
            if heard.len() < HEARD_MAX {
                heard.extend(calls);
            } else {
                heard.insert(Call::Look);
            }
            drop(heard);
            self.called.notify_waiters();
        }
        wakes.into_iter().for_each(|(run, seq)| self.local.wake(run, seq));
        false
    }

    /// Others may have said something that we did not hear.
    pub fn missed(&self) {
        self.heard().insert(Call::Look);
        self.called.notify_waiters();
    }

    async fn calls(&self) -> Vec<Call> {
        loop {
            let called = self.called.notified();
            tokio::pin!(called);
            // Before looking, so that nothing falls between.
            called.as_mut().enable();
            let heard = std::mem::take(&mut *self.heard());
            if !heard.is_empty() {
                return heard.into_iter().collect();
            }
            called.await;
        }
    }
}

/// What leaves this process; the carrier has one.
pub(crate) struct Outgoing {
    core: Arc<Core>,
    last: Option<Instant>,
}

impl Outgoing {
    pub fn of(core: &Arc<Core>) -> Self {
        Self { core: Arc::clone(core), last: None }
    }

    /// The next texts; waits for the first word. May be dropped and called again; being called again says that the last ones have
    /// left or are lost.
    pub async fn next(&mut self) -> Vec<String> {
        self.core.gathered().is_leaving = false;
        self.core.settled.notify_waiters();
        loop {
            let is_empty = self.core.gathered().is_empty();
            if is_empty {
                self.core.more.notified().await;
                continue;
            }
            if let Some(last) = self.last {
                tokio::time::sleep_until(last + GATHER).await;
            }
            self.last = Some(Instant::now());
            let mut gathered = self.core.gathered();
            let (wakes, calls) = (std::mem::take(&mut gathered.wakes), std::mem::take(&mut gathered.calls));
            gathered.is_leaving = true;
            drop(gathered);
            let calls = calls.into_iter().map(Word::Call);
            let wakes = wakes.into_iter().map(|(run, seq)| Word::Wake(run, seq));
            return texts(&self.core.silence(), calls.chain(wakes));
        }
    }
}

enum Word {
    Call(Call),
    Wake(RunNo, u32),
}

impl Word {
    fn read(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let (kind, rest) = (chars.next()?, chars.as_str());
        let run = |text: &str| text.parse().map(RunNo).ok();
        match kind {
            'l' => Some(Self::Call(Call::Look)),
            'm' => Some(Self::Call(Call::Mail(run(rest)?))),
            'e' => Some(Self::Wake(run(rest)?, ENDED)),
            'w' => {
                let (of, seq) = rest.split_once('.')?;
                Some(Self::Wake(run(of)?, seq.parse().ok()?))
            }
            _ => None,
        }
    }

    fn write(&self, to: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Call(Call::Look) => write!(to, " l"),
            Self::Call(Call::Mail(run)) => write!(to, " m{}", run.0),
            Self::Wake(run, ENDED) => write!(to, " e{}", run.0),
            Self::Wake(run, seq) => write!(to, " w{}.{seq}", run.0),
        };
    }
}

fn texts(id: &str, words: impl Iterator<Item = Word>) -> Vec<String> {
    let (mut texts, mut text) = (Vec::new(), id.to_owned());
    for word in words {
        let before = text.len();
        word.write(&mut text);
        if text.len() > TEXT_MAX {
            let last = text.split_off(before);
            texts.push(std::mem::replace(&mut text, id.to_owned()));
            text.push_str(&last);
        }
    }
    texts.push(text);
    texts
}

#[cfg(test)]
mod tests;
