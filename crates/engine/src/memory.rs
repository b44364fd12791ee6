//! Every port in memory: tests, the simulation, and the default bus.

pub mod bus;
pub mod index;
pub mod jobs;
pub mod outbound;
pub mod queue;
pub mod records;
mod sessions;
pub mod store;
