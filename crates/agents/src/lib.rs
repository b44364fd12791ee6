//! Who does it: agents, models, teams, and the one way out of the process.
//!
//! Nouns: agent, brain, team, job, model, provider, library, passage, memory, egress, form.
//! Must not know: stores, app, server, workflows. The HTTP client is named in [`egress`] and nowhere else.

pub mod a2a_agent;
pub mod agent;
pub mod ask;
mod book;
pub mod brain;
pub mod breaker;
pub mod cache;
pub mod card;
pub mod condition;
mod digest;
pub mod discovery;
pub mod egress;
pub mod external;
pub mod factory;
pub mod form;
pub mod grounding;
pub mod http_agent;
pub mod job;
pub mod knowledge;
pub mod market;
pub mod memory;
pub mod model;
pub mod payment;
pub mod person;
mod reasoning;
pub mod registry;
pub mod sources;
pub mod srv;
pub mod team;
pub mod ticket_agents;
pub mod tool;
pub mod turn;
mod upstream;
pub mod vault;
pub mod yaml;
