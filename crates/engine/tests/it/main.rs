//! The engine as a whole: replay, crashes, faults, on a memory disk with virtual time.

mod activities;
mod conformance;
mod driver;
mod simulation;
