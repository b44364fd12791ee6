//! The application on an engine in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod desks;
mod instances;
mod memory;
