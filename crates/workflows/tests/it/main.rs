//! The shipped workflows under simulation, and the journals they wrote before.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]
#![allow(clippy::disallowed_methods, reason = "what holds for workflows does not hold for their tests")]

mod agents;
mod desk;
mod graphs;
mod journals;
mod options;
mod simulation;
mod teams;
mod told;
