//! Suites that every implementation of a port runs, ours and a stranger's: what the port's text promises, as cases.
//!
//! A case is handed an empty implementation and panics where a promise is broken. Nothing here sleeps, reads a clock or
//! needs a particular runtime; bring whatever executor the implementation wants.

pub mod records;
pub mod store;
