//! Threads, tokio and clocks live here and nowhere else in this crate.

mod engine;

pub use engine::{Accepted, Busy, Engine, Entry, Events, Message, Options, Ports, Sent, SubmitError};
