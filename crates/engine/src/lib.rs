//! Durable runs: a workflow is an ordinary async function over a durable context; what it saw is journaled, so a run that
//! is picked up again gets its recorded results back until it reaches the place where it was.
//!
//! Nouns: run, step, call, entry (frame), row, shard, epoch, gate, inbox.
//! Must not know: HTTP, SQL, agents, workflows, the clock on the wall (drivers bring it).

pub mod activity;
pub mod driver;
pub mod event;
pub mod journal;
pub mod name;
pub mod ports;
pub mod run;
