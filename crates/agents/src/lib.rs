//! Who does it: models and the one way out of the process.
//!
//! Must not know: stores, HTTP surfaces, workflows. The HTTP client is named in [`egress`] and nowhere else.

pub mod egress;
