//! Who does it: agents, models, tools, and the one way out.
//!
//! Nouns: agent, model, tool, egress, form.
//! Must not know: stores, app, server, workflows. The HTTP client is named in [`egress`] and nowhere else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
pub mod egress;
pub mod form;
pub mod model;
