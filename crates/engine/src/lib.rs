//! Durable runs: a workflow is an ordinary async function over a durable context; what it saw is journaled, so a run that
//! is picked up again gets its recorded results back until it reaches the place where it was.
//!
//! Nouns: run, step, call, entry (frame), row, shard, epoch, gate, inbox.
//! Must not know: HTTP, SQL, agents, workflows, the clock on the wall (drivers bring it).

pub mod account;
pub mod activity;
mod branch;
mod call;
mod cell;
#[cfg(feature = "conformance")]
pub mod conformance;
mod ctx;
pub mod driver;
mod error;
pub mod event;
pub mod journal;
mod ledger;
pub mod memory;
pub mod name;
pub mod ports;
pub mod run;
pub mod session;
pub mod shard;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod workflow;

pub use branch::Branch;
pub use call::Call;
pub use cell::Traces;
pub use ctx::{Ctx, Durable};
pub use error::{Error, Result};
pub use ledger::{Amounts, Grant, Limits, Need, Share};
pub use workflow::{Factory, Registry, Root};
