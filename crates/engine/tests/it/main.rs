//! The engine as a whole: replay, crashes, faults, on a memory disk with virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod activities;
mod budget;
mod conformance;
mod core;
mod driver;
mod lease;
mod sessions;
mod simulation;
