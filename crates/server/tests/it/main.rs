//! The HTTP surface, route by route: a test lies where its URL says.

mod about;
mod client;
mod connections;
mod guard;
mod health;
mod orchestrate;
mod runs;
mod workflows;
