//! The shipped workflows under simulation, and the journals they wrote before.

mod journals;
mod simulation;
mod teams;
