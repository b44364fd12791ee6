//! The machine's clock and entropy.

use crate::ports::clock::Clock;
use crate::run::Time;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time that never goes back within the process.
#[derive(Debug, Default)]
pub struct SystemClock {
    last: AtomicI64,
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let wall = i64::try_from(wall).unwrap_or(i64::MAX);
        Time(self.last.fetch_max(wall, Ordering::Relaxed).max(wall))
    }

    /// The random part of a UUIDv7, whose leading counter keeps ids of one millisecond in order.
    fn random(&self) -> [u8; 10] {
        let mut out = [0; 10];
        out.copy_from_slice(&uuid::Uuid::now_v7().as_bytes()[6..]);
        out
    }
}
