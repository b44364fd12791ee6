//! The built binary, as people and programs use it.

mod config;
mod example;
mod exit;
mod fake;
mod help;
mod remote;
mod story;
mod tutti;
