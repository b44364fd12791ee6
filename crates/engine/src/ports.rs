//! What the engine needs from the outside: a store, a bus, a clock and a way out.

pub mod bus;
pub mod cache;
pub mod clock;
pub mod index;
pub mod jobs;
pub mod knowledge;
pub mod outbound;
pub mod queries;
pub mod queue;
pub mod records;
pub mod share;
pub mod store;
pub mod vault;
