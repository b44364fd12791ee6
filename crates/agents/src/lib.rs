//! Who does it: agents, models, tools, and the one way out.
//!
//! Nouns: agent, model, tool, egress, form.
//! Must not know: stores, app, server, workflows.

pub mod agent;
pub mod form;
