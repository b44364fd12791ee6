//! The built binary, as people and programs use it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod code;
mod config;
mod example;
mod exit;
mod fake;
mod help;
mod remote;
mod server;
mod simulate;
mod story;
mod tutti;
