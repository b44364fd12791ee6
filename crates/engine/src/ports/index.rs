//! The index: documents cut into passages, which are found by their words and by their vectors. What answers are grounded in.
//!
//! **Truth.** A write is durable when its answer comes, all of it or nothing: nobody ever finds passages of two versions of a
//! document. Nothing crosses a tenant, neither ids nor passages.
//!
//! **Revisions.** Each write of a document gives it a revision, a number that was never given before to any document. A passage
//! is named by its document's revision and its place therein, so whoever keeps such a name elsewhere (a vector database) can only
//! mean what is still there.
//!
//! Articles of tickets have a base of their own ([`knowledge`](super::knowledge)): they are found whole, may be the files of a
//! folder, and belong to no tenant.

use crate::ports::store::Read;
use crate::run::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Unique in its tenant; compared byte by byte.
    pub id: String,
    /// Its title: its words count for each of its passages.
    pub title: String,
    /// Its text. Without NUL.
    pub content: String,
    /// What else is known of it.
    pub metadata: Map<String, Value>,
    /// When it was written, as the writer says.
    pub at: Time,
}

/// A piece of a document's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// Where it begins in the document's text, in characters.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Its text.
    pub text: String,
    /// What it means, where a model was asked.
    pub vector: Option<Vector>,
}

/// What a text means to a model, as a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    /// The model. Vectors of different models say nothing about each other.
    pub model: String,
    /// Of length 1.
    pub values: Vec<f32>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The document's revision.
    pub revision: u64,
    /// The revision that it took the place of.
    pub replaced: Option<u64>,
}

/// A document as listed: without its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What else is known of it.
    pub metadata: Map<String, Value>,
    /// When it was written.
    pub at: Time,
    /// Characters of its text.
    pub chars: u32,
    /// Its passages.
    pub passages: u32,
}

/// Which documents count. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Only these, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
    /// Only those whose metadata says all of this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Filter {
    /// Whether every document counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.metadata.is_empty()
    }
}

/// Where a passage stands: its document's revision, and which of its passages it is, from 0.
pub type At = (u64, u32);

/// A passage that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Where it stands.
    pub at: At,
    /// Its document's id.
    pub document: String,
    /// Its document's title.
    pub title: String,
    /// Where it begins in the document's text, in characters.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Its text.
    pub text: String,
    /// The higher, the better; comparable within one answer only. By vector: the cosine, from -1 to 1.
    pub score: f64,
}

/// The port. Implementations live in `tutti-stores`; the one in memory in `memory`.
pub trait Index: Send + Sync {
    /// Writes a document and its passages, in the place of the one that had its id.
    fn put(&self, tenant: &str, document: Document, passages: Vec<Passage>) -> Read<Stored>;
    /// A document by its id.
    fn get(&self, tenant: &str, id: &str) -> Read<Option<Document>>;
    /// Deletes a document with its passages; answers its revision, nothing where it was not there.
    fn delete(&self, tenant: &str, id: &str) -> Read<Option<u64>>;
    /// Documents whose id comes after `after_id`, in the order of their ids' bytes.
    fn list(&self, tenant: &str, after_id: Option<String>, limit: u32) -> Read<Vec<Listed>>;
    /// Passages that share words with a question, best first. Nothing in a question is a command.
    fn by_words(&self, tenant: &str, question: &str, filter: &Filter, limit: u32) -> Read<Vec<Hit>>;
    /// Passages whose vectors of the same model lie nearest, nearest first.
    fn by_vector(&self, tenant: &str, vector: Vector, filter: &Filter, limit: u32) -> Read<Vec<Hit>>;
    /// Passages by where they stand, in this order, without those that are not there any more or do not count. Score 0.
    fn passages(&self, tenant: &str, at: Vec<At>, filter: &Filter) -> Read<Vec<Hit>>;
    /// Whether [`by_vector`](Self::by_vector) finds anything.
    ///
    /// # Errors
    /// In words: what is missing.
    fn knows_vectors(&self) -> Result<(), String>;
}
