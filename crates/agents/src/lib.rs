//! Who does it: models and the one way out of the process.
//!
//! Must not know: stores, HTTP surfaces, workflows. The HTTP client is named in [`egress`] and nowhere else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod egress;
pub mod model;
