//! The shard core: runs while they are live. Synchronous and deterministic: one input in, outputs out; threads, tokio,
//! clocks and the database live in drivers. The simulation drives this very code.

pub mod core;
pub mod gate;
pub mod adopt;
mod deliver;
mod live;
mod stop;
pub mod wire;
