//! The agents crate against real sockets on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod anthropic;
mod openai;
mod route;
mod scripted;
mod server;
