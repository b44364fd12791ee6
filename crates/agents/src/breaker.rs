//! Circuit breakers: a service that keeps failing is left alone for a while, so that it can recover and nobody waits for it.
//! One per service and origin, a matter of this process and of no run.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row after which a service is left alone.
const FAILURES_MAX: u32 = 8;
/// For how long; then one request tries whether it is back.
const REST: Duration = Duration::from_secs(5);
/// Most services that are remembered; beyond it those that are well are forgotten.
const SERVICES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy, Default)]
struct Strain {
    failures: u32,
    rests_until: Option<Instant>,
}

/// Breakers by service.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<BTreeMap<String, Strain>>);

/// This process's.
pub(crate) static BREAKERS: Breakers = Breakers(Mutex::new(BTreeMap::new()));

impl Breakers {
    /// Whether a request may go to this service now.
    ///
    /// # Errors
    /// How long it is left alone yet.
    pub fn admit(&self, service: &str) -> Result<(), Duration> {
        self.admit_at(service, Instant::now())
    }

    fn admit_at(&self, service: &str, now: Instant) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Strain { rests_until: Some(until), .. }) = all.get_mut(service) else { return Ok(()) };
        if *until > now {
            return Err(*until - now);
        }
        // This one tries; the others wait for what it finds.
        *until = now + REST;
        Ok(())
    }

    /// What came of a request that was admitted.
    pub fn note(&self, service: &str, is_well: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_well {
            all.remove(service);
            return;
        }
        if all.len() >= SERVICES_MAX {
            all.retain(|_, strain| strain.rests_until.is_some());
        }
        let strain = all.entry(service.to_owned()).or_default();
        strain.failures += 1;
        if strain.failures >= FAILURES_MAX {
            if strain.rests_until.is_none() {
                tracing::warn!(service, "failed {FAILURES_MAX} times in a row and is left alone for {REST:?}");
            }
            strain.rests_until = Some(Instant::now() + REST);
        }
    }

    /// Services that are left alone now, by origin.
    #[must_use]
    pub fn resting(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, strain)| strain.rests_until.is_some()).map(|(service, _)| service.clone()).collect()
    }
}

/// Services that this process leaves alone now.
#[must_use]
pub fn resting() -> Vec<String> {
    BREAKERS.resting()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_service_rests_and_one_request_tries_again() {
        let breakers = Breakers::default();
        for _ in 0..FAILURES_MAX {
            assert!(breakers.admit("a").is_ok());
            breakers.note("a", false);
        }
        assert!(breakers.admit("a").is_err());
        assert!(breakers.admit("b").is_ok(), "others are not concerned");
        assert_eq!(breakers.resting(), ["a"]);
        let later = Instant::now() + REST;
        assert!(breakers.admit_at("a", later).is_ok(), "one tries");
        assert!(breakers.admit_at("a", later).is_err(), "the others wait");
        breakers.note("a", true);
        assert!(breakers.admit("a").is_ok() && breakers.resting().is_empty());
    }

    #[test]
    fn failures_now_and_then_do_not_add_up() {
        let breakers = Breakers::default();
        for _ in 0..10 * FAILURES_MAX {
            breakers.note("a", false);
            breakers.note("a", true);
        }
        assert!(breakers.admit("a").is_ok());
    }
}
