//! What is done: patterns and workflows as plain async functions over the durable context.
//!
//! Nouns: pattern, graph, team, options, outcome, task.
//! Must not know: HTTP, SQL, clocks, stores, app, server.

pub mod agents;
pub mod graph;
pub mod memory;
pub mod noop;
pub mod outcome;
pub mod patterns;
pub mod recall;
pub mod research;
pub mod task;
pub mod tickets;
pub mod tool_call;
