//! The stores on real things keep what the ports promise.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod postgres;
mod records;
mod sqlite;
