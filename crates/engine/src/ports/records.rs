//! Records: small named documents that are no runs, each changed only by whoever knows its last version. What an operator
//! registers (agents, tools, graphs) lives here.
//!
//! **Versions.** Each write of a record gives it the next number, from 1. A number is never given twice to the same name, not
//! even after the record was deleted in between, so a version that somebody holds can only mean what it meant.
//!
//! **Truth.** A write is durable when its answer comes. [`StoreError`](super::store::StoreError) leaves open whether it was
//! written: read the record again. Reads see every write that was answered before, by this process or another one.

use crate::ports::store::Read;
use crate::run::Time;
use bytes::Bytes;

/// A document. Its key is kind, tenant and name, compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// One of few, e.g. `agent`.
    pub kind: String,
    /// Whose: nothing crosses a tenant.
    pub tenant: String,
    /// Unique for its kind and tenant. Without NUL.
    pub name: String,
    /// A JSON text, given back byte by byte.
    pub body: Bytes,
    /// When it was written, as the writer says.
    pub at: Time,
    /// What a read found; a write counts by itself and does not look at it.
    pub version: u64,
}

/// What must hold for a record to be written or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the last writer wins.
    Any,
    /// There is no such record.
    Absent,
    /// It has this version.
    Version(u64),
}

impl Expect {
    /// Whether a record that has this version, or is not there, is what was expected.
    #[must_use]
    pub fn is_met(self, version: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => version.is_none(),
            Self::Version(expected) => version == Some(expected),
        }
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Durable, under this version.
    Written(u64),
    /// Not what was expected, so nothing was written: the version that is there, if any.
    Conflict(Option<u64>),
}

/// The port. Implementations live in `tutti-stores`; the one in memory in `memory`.
pub trait Records: Send + Sync {
    /// A record by its key.
    fn get(&self, kind: &str, tenant: &str, name: &str) -> Read<Option<Record>>;
    /// Writes a record if the one that is there is what was expected.
    fn put(&self, record: Record, expect: Expect) -> Read<Put>;
    /// Deletes a record if it is what was expected; false where nothing was deleted.
    fn delete(&self, kind: &str, tenant: &str, name: &str, expect: Expect) -> Read<bool>;
    /// Records of a kind and tenant whose name comes after `after_name`, in the order of their names' bytes.
    fn list(&self, kind: &str, tenant: &str, after_name: Option<String>, limit: u32) -> Read<Vec<Record>>;
}
