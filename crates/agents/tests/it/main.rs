//! The agents crate against real sockets on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod anthropic;
mod kept;
mod limits;
mod offers;
mod openai;
mod route;
mod scripted;
mod server;
