//! What every link to something outside has: how it is doing, told once when that changes, and pauses between attempts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tutti_engine::ports::queue::Condition;

/// Why a part of a link is down before anybody tried.
const UNTRIED: &str = "not connected yet";

/// How a link of several parts is doing: up when all of them are.
#[derive(Debug)]
pub(crate) struct Health {
    /// What is at the other end, for people.
    what: String,
    /// What happens without it, for people.
    meanwhile: &'static str,
    state: Mutex<State>,
    /// The link as a whole.
    condition: watch::Sender<Condition>,
}

#[derive(Debug)]
struct State {
    parts: Vec<(&'static str, Result<(), String>)>,
    /// What was told last; nothing before the first news.
    told: Option<bool>,
}

impl Health {
    pub fn new(what: String, meanwhile: &'static str, parts: &[&'static str]) -> Self {
        let parts = parts.iter().map(|part| (*part, Err(UNTRIED.to_owned()))).collect();
        let condition = watch::Sender::new(Condition::Up);
        let health = Self { what, meanwhile, state: Mutex::new(State { parts, told: None }), condition };
        health.settle(&health.lock());
        health
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more part, which is down until it says otherwise.
    pub fn expect(&self, part: &'static str) {
        let mut state = self.lock();
        if state.parts.iter().all(|(name, _)| *name != part) {
            state.parts.push((part, Err(UNTRIED.to_owned())));
            self.settle(&state);
        }
    }

    /// Works out how the link as a whole is doing: the first thing that is wrong, if anything is.
    fn settle(&self, state: &State) {
        let down = state.parts.iter().find_map(|(_, is)| is.as_ref().err());
        let condition = down.map_or(Condition::Up, |reason| Condition::Down(format!("{}: {reason}", self.what)));
        self.condition.send_if_modified(|known| {
            let is_news = *known != condition;
            *known = condition;
            is_news
        });
    }

    /// What is at the other end.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// News of a part: one line when the link as a whole goes down, one when it is back.
    pub fn set(&self, part: &str, is: Result<(), String>) {
        let mut state = self.lock();
        let reason = is.as_ref().err().cloned();
        if let Some(found) = state.parts.iter_mut().find(|(name, _)| *name == part) {
            found.1 = is;
        }
        self.settle(&state);
        let is_up = state.parts.iter().all(|(_, is)| is.is_ok());
        let told = state.told;
        match reason {
            Some(reason) if told != Some(false) => {
                state.told = Some(false);
                tracing::warn!("{} cannot be used: {reason}; {}, and it is tried again", self.what, self.meanwhile);
            }
            None if is_up && told != Some(true) => {
                state.told = Some(true);
                if told.is_some() {
                    tracing::info!("{} is back", self.what);
                }
            }
            _ => {}
        }
    }

    /// The first thing that is wrong, if anything is.
    pub fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }

    /// The same, and word of each change.
    pub fn news(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }
}

/// Pauses that double up to a bound, each a little by chance, so that many processes do not come back at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// It went well: the next pause is short again.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    /// How long to wait now: between half of the pause and all of it.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(Self::MAX);
        let mut chance = [0; 1];
        // Without chance, the longest is right as well.
        let _ = getrandom::fill(&mut chance);
        pause - pause / 2 * u32::from(chance[0]) / 256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_up_when_all_its_parts_are() {
        let health = Health::new("it".into(), "we wait", &["a", "b"]);
        assert_eq!(health.condition(), Condition::Down("it: not connected yet".into()));
        health.set("a", Ok(()));
        assert!(matches!(health.condition(), Condition::Down(_)));
        health.set("b", Ok(()));
        assert_eq!(health.condition(), Condition::Up);
        health.set("a", Err("gone".into()));
        health.set("a", Err("still gone".into()));
        assert_eq!(health.condition(), Condition::Down("it: still gone".into()));
        health.set("a", Ok(()));
        assert_eq!(health.condition(), Condition::Up);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..20).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= Backoff::FIRST && pauses[0] >= Backoff::FIRST / 2);
        assert!(pauses[19] <= Backoff::MAX && pauses[19] >= Backoff::MAX / 2);
        backoff.reset();
        assert!(backoff.pause() <= Backoff::FIRST);
    }
}
