//! Threads, tokio and clocks live here and nowhere else in this crate.

mod calls;
mod clock;
mod engine;
mod read;
mod retention;
mod scheduler;
mod thread;

pub use clock::SystemClock;
pub use engine::{Accepted, Busy, Engine, Health, Message, Options, Ports, Retention, Sent, StartError, SubmitError};
pub use read::{Entry, Events};
