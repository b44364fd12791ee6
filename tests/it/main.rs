//! Tests over the real binary. `TUTTI_BIN` names it; else it lies where cargo built it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod acceptance;
mod chaos;
mod tidy;
