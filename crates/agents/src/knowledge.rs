//! The ticket knowledge base: articles, found by full text.

use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};

/// Most characters of an article's text in a result.
const CONTENT_CHARS_MAX: usize = 2_000;

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
    /// The beginning of its text.
    pub content: String,
    /// How well it fits, 0 to 1.
    pub score: f64,
}

/// Where articles are kept. Calls may block.
pub trait KnowledgeBase: Send + Sync {
    /// The articles that share words with the question, best first.
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

static INSTALLED: RwLock<Option<Arc<dyn KnowledgeBase>>> = RwLock::new(None);

/// Makes it the process's knowledge base.
pub fn install(base: Arc<dyn KnowledgeBase>) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(base);
}

/// The process's knowledge base, where it has one.
#[must_use]
pub fn installed() -> Option<Arc<dyn KnowledgeBase>> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Finds articles. Touches nothing, so it may be repeated at will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchKnowledge {
    /// The question, in anybody's words.
    pub query: String,
    /// Most articles.
    pub limit: u32,
}

impl Activity for SearchKnowledge {
    type Output = Vec<Found>;
    const NAME: &'static str = "kb.search";
    const EFFECT: Effect = Effect::Pure;

    async fn run(self, _: ActivityCx) -> Result<Vec<Found>, ActivityError> {
        let Some(base) = installed() else { return Ok(Vec::new()) };
        let failed = |why: String| ActivityError::retry("AgentError", format!("the knowledge base failed: {why}"));
        let found = tokio::task::spawn_blocking(move || base.search(&self.query, self.limit));
        let mut found = found.await.map_err(|e| failed(e.to_string()))?.map_err(failed)?;
        for article in &mut found {
            if let Some((at, _)) = article.content.char_indices().nth(CONTENT_CHARS_MAX) {
                article.content.truncate(at);
            }
        }
        Ok(found)
    }
}
