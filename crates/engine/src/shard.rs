//! The shard core: runs while they are live. Synchronous and deterministic: one input in, outputs out; threads, tokio,
//! clocks and the database live in drivers. The simulation drives this very code.

pub mod adopt;
pub mod core;
mod deliver;
pub mod gate;
mod live;
mod stop;
pub mod wire;
