//! The engine's ports on real things. One folder per backend: schema, migrations, one file per question.
//!
//! Must not know: anything of ours but the engine. The SQL, broker and cache crates live here and nowhere else.

pub mod cache;
pub mod hub;
pub mod index;
pub mod knowledge;
mod line;
mod link;
pub mod postgres;
pub mod queries;
pub mod rabbitmq;
pub mod records;
pub mod redis;
pub mod sqlite;
pub mod vault;
mod writer;
