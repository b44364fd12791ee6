//! Grounding: documents are cut into passages and indexed; questions find passages by their words and, where a model says what
//! texts mean, by their vectors; answers cite what they were given.

mod chunk;
mod cite;
mod embed;
mod html;
pub mod pdf;
mod qdrant;
mod rank;
mod retrieve;
mod text;

pub use chunk::{CHARS_MAX as PASSAGE_CHARS_MAX, Chunk, cut};
pub use cite::{Citation, cited, context, with_sources};
pub use embed::Embedder;
pub use qdrant::Qdrant;
pub use retrieve::{Found, Passage, Ranking, Retrieve};
pub use text::{Kind, Text};
pub use tutti_engine::ports::index::{Document, Filter, Index, Listed};

use bytes::Bytes;
use std::sync::{Arc, PoisonError, RwLock};
use tutti_engine::activity::{ActivityCx, ActivityError};
use tutti_engine::ports::cache::Cache;
use tutti_engine::ports::index::{self, Stored, Vector};
use tutti_engine::ports::outbound::Outbound;
use tutti_engine::ports::store::StoreError;
use tutti_engine::run::{Owner, Time};

/// Most characters of a document's text.
pub const CONTENT_CHARS_MAX: usize = 2_000_000;

/// What answers are grounded in.
#[derive(Clone)]
pub struct Library {
    /// The documents.
    pub index: Arc<dyn Index>,
    /// The way out.
    pub outbound: Arc<dyn Outbound>,
    /// What texts mean, remembered for a while.
    pub cache: Option<Arc<dyn Cache>>,
    /// Who says what texts mean, if anybody does.
    pub embedder: Option<Embedder>,
    /// Where vectors are kept, if not in the index.
    pub qdrant: Option<Qdrant>,
    /// How PDFs are read.
    pub pdfs: Option<pdf::Reader>,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The index.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The embedding provider, or the vector database.
    #[error(transparent)]
    Upstream(#[from] ActivityError),
}

static INSTALLED: RwLock<Option<Library>> = RwLock::new(None);

/// Makes it the process's library.
pub fn install(library: Library) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(library);
}

/// The process's library, where it has one.
#[must_use]
pub fn installed() -> Option<Library> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Library {
    /// What a call outside of any run may touch.
    #[must_use]
    pub fn context(&self, owner: Owner, now: Time, deadline: Time, traceparent: Option<String>) -> ActivityCx {
        ActivityCx::outside(Arc::clone(&self.outbound), owner, now, deadline, traceparent)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// In words: it is not of this kind, is broken, or takes too much to read.
    pub async fn read(&self, kind: Kind, bytes: Bytes) -> Result<Text, String> {
        text::read(kind, bytes, self.pdfs.as_ref()).await
    }

    /// Keeps a document, in the place of the one with its id; answers how many passages it has, and whether it is new.
    ///
    /// # Errors
    /// It could not be written, or nobody says what it means: then the one before stays. Where only the vector database fails, the
    /// document is kept and found by its words.
    pub async fn put(&self, cx: &ActivityCx, tenant: &str, document: Document) -> Result<(usize, bool), Problem> {
        let content = document.content.clone();
        let chunks = tokio::task::spawn_blocking(move || cut(&content)).await;
        let chunks = chunks.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        // A title says what a passage is about.
        let texts: Vec<String> = chunks.iter().map(|chunk| format!("{}\n{}", document.title, chunk.text)).collect();
        let vectors = self.vectors(cx, &texts).await?;
        let (kept, sent) = if self.qdrant.is_some() { (Vec::new(), vectors) } else { (vectors, Vec::new()) };
        let mut kept = kept.into_iter();
        let passage = |Chunk { start, end, text }| index::Passage { start, end, text, vector: kept.next() };
        let passages: Vec<index::Passage> = chunks.into_iter().map(passage).collect();
        let (id, count) = (document.id.clone(), passages.len());
        let Stored { revision, replaced } = self.index.put(tenant, document, passages).await?;
        if let Some(qdrant) = &self.qdrant {
            if self.embedder.is_some() {
                qdrant.put(cx, tenant, &id, revision, &sent).await?;
            }
            self.forget(cx, tenant, replaced).await;
        }
        Ok((count, replaced.is_none()))
    }

    /// Deletes a document; false where it is not there.
    ///
    /// # Errors
    /// It could not be deleted.
    pub async fn delete(&self, cx: &ActivityCx, tenant: &str, id: &str) -> Result<bool, Problem> {
        let revision = self.index.delete(tenant, id).await?;
        self.forget(cx, tenant, revision).await;
        Ok(revision.is_some())
    }

    /// Takes vectors out that nothing can mean any more. Those that stay cost room and are never shown.
    async fn forget(&self, cx: &ActivityCx, tenant: &str, revision: Option<u64>) {
        if let (Some(qdrant), Some(revision)) = (&self.qdrant, revision)
            && let Err(error) = qdrant.forget(cx, tenant, revision).await
        {
            tracing::warn!("vectors of a document that is gone stay in the vector database: {error}");
        }
    }

    /// Whether what texts mean is of use here.
    fn knows_vectors(&self) -> bool {
        self.embedder.is_some() && (self.qdrant.is_some() || self.index.knows_vectors().is_ok())
    }

    async fn vectors(&self, cx: &ActivityCx, texts: &[String]) -> Result<Vec<Vector>, ActivityError> {
        match &self.embedder {
            Some(embedder) if self.knows_vectors() => {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                embedder.embed(cx, self.cache.as_deref(), &texts).await
            }
            _ => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
