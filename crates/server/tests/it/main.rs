//! The HTTP surface, route by route: a test lies where its URL says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod about;
mod approvals;
mod client;
mod connections;
mod guard;
mod health;
mod orchestrate;
mod protected;
mod runs;
mod sessions;
mod workflows;
