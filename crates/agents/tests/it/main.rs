//! The agents crate against real sockets on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod openai;
mod scripted;
mod server;
