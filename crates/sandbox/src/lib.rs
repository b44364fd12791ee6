//! Runs code that nobody here wrote: each job in a process of its own, which can compute and nothing else.
//!
//! Nouns: job, limits, sandbox (who starts processes), worker (such a process).
//!
//! Three things hold a job, and each would hold it without the others: the interpreter has no files, no sockets and no modules
//! but a few that compute; the process has given up memory, time, descriptors and nearly all system calls before it runs the
//! job; the parent ends it at its deadline and reads a bounded answer.
//!
//! Must not know: anything of ours.

mod frame;
mod job;
mod runner;
pub mod worker;

pub use job::{Done, Job, Limits, Stopped};
pub use runner::Sandbox;
