//! Articles, found by full text.

use serde::{Deserialize, Serialize};

/// What is known about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its text, Markdown or plain.
    pub content: String,
}

/// An article that fits a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub content: String,
    /// How well it fits beside the best one, which has 1.
    pub score: f64,
}

/// Where articles are kept. Calls may block.
pub trait KnowledgeBase: Send + Sync {
    /// The articles that share words with the question, best first; equally good ones by id.
    ///
    /// # Errors
    /// In words: it cannot be read.
    fn search(&self, query: &str, limit: u32) -> Result<Vec<Found>, String>;
    /// Keeps articles; one with the same id is replaced. Answers how many.
    ///
    /// # Errors
    /// In words: it cannot be written.
    fn put(&self, articles: Vec<Article>) -> Result<u64, String>;
    /// Articles after `after`, by id.
    ///
    /// # Errors
    /// In words: it cannot be read.
    fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Article>, String>;
    /// Removes one; false when it is not there.
    ///
    /// # Errors
    /// In words: it cannot be written.
    fn remove(&self, id: &str) -> Result<bool, String>;
}
