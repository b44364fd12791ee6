//! What is done: patterns and workflows as plain async functions over the durable context.
//!
//! Nouns: pattern, team, options, outcome.
//! Must not know: HTTP, SQL, clocks, stores, app, server.

pub mod noop;
pub mod outcome;
pub mod patterns;
pub mod recall;
pub mod research;
pub mod tickets;
