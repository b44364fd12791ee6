//! The engine as a whole: replay, crashes, faults, on a memory disk with virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod activities;
mod conformance;
mod driver;
mod simulation;
