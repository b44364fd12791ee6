//! Threads, tokio and clocks live here and nowhere else in this crate.

#![expect(clippy::disallowed_methods, reason = "drivers are where threads, tokio and clocks live")]

mod calls;
mod clock;
mod engine;
mod hand_over;
mod lane;
mod lanes;
mod numbers;
mod observe;
mod options;
mod read;
mod recall;
mod retention;
mod scheduler;
mod sessions;
mod share;
mod thread;

pub use clock::SystemClock;
pub use engine::{Accepted, Busy, Engine, Health, Message, Ports, Sent, StartError, SubmitError};
pub use observe::{ObserveFn, Observer};
pub use options::{Options, Retention};
pub use read::{Entry, Events};
pub use recall::{Recall, RecallFn};
pub use sessions::Context;
pub use share::Beside;
