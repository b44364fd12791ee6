//! Finding passages: by words, by vectors, and both in one order.

use super::{Library, Problem, installed, rank};
use serde::{Deserialize, Serialize};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};
use tutti_engine::ports::index::{Filter, Hit, Vector};

/// How many more each list holds than are wanted: what stands low in one may stand high in the other.
const DEPTH: u32 = 4;
/// Most passages of one list.
const HITS_MAX: u32 = 200;

/// A passage that was found, in the contract's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// Its document.
    pub document_id: String,
    /// Its document's title.
    pub title: String,
    /// Its text.
    pub passage: String,
    /// How well it fits beside the best one, which has 1.
    pub score: f64,
    /// Where it begins in the document's text, in characters.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
}

/// How passages were put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// By words alone.
    Words,
    /// By words and vectors.
    Hybrid,
}

/// What a question found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Best first.
    pub passages: Vec<Passage>,
    /// How they were put in order.
    pub ranking: Ranking,
    /// Why vectors were left out, where they should have counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Finds passages. Touches nothing, so it may be repeated at will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrieve {
    /// Whose documents.
    pub tenant: String,
    /// The question, in anybody's words.
    pub query: String,
    /// Most passages.
    pub limit: u32,
    /// Which documents count.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    pub filter: Filter,
}

impl Activity for Retrieve {
    type Output = Found;
    const NAME: &'static str = "grounding.retrieve";
    const EFFECT: Effect = Effect::Pure;

    async fn run(self, cx: ActivityCx) -> Result<Found, ActivityError> {
        let Some(library) = installed() else {
            return Ok(Found { passages: Vec::new(), ranking: Ranking::Words, note: None });
        };
        Ok(library.search(&cx, &self).await?)
    }
}

impl Library {
    /// The passages that fit a question, best first. Where nobody says what the question means, words have to do, and the answer
    /// says so.
    ///
    /// # Errors
    /// The index cannot be read.
    pub async fn search(&self, cx: &ActivityCx, asked: &Retrieve) -> Result<Found, Problem> {
        let Retrieve { tenant, query, limit, filter } = asked;
        let depth = limit.saturating_mul(DEPTH).min(HITS_MAX);
        let by_words = self.index.by_words(tenant, query, filter, depth).await?;
        let (ranking, near, note) = match self.near(cx, asked, depth).await {
            Ok(Some(near)) => (Ranking::Hybrid, near, None),
            Ok(None) => (Ranking::Words, Vec::new(), None),
            Err(Problem::Store(error)) => return Err(error.into()),
            Err(Problem::Upstream(error)) => (Ranking::Words, Vec::new(), Some(error.message)),
        };
        let passage = |hit: Hit| Passage {
            document_id: hit.document,
            title: hit.title,
            passage: hit.text,
            score: hit.score,
            start: hit.start,
            end: hit.end,
        };
        let fused = rank::fuse(vec![by_words, near], *limit as usize);
        Ok(Found { passages: fused.into_iter().map(passage).collect(), ranking, note })
    }

    /// The nearest passages; nothing where vectors do not count.
    async fn near(&self, cx: &ActivityCx, asked: &Retrieve, depth: u32) -> Result<Option<Vec<Hit>>, Problem> {
        if asked.query.trim().is_empty() {
            return Ok(None);
        }
        let Some(vector) = self.vectors(cx, std::slice::from_ref(&asked.query)).await?.pop() else { return Ok(None) };
        let Retrieve { tenant, filter, .. } = asked;
        match &self.qdrant {
            None => Ok(Some(self.index.by_vector(tenant, vector, filter, depth).await?)),
            Some(_) => Ok(Some(self.near_elsewhere(cx, asked, vector, depth).await?)),
        }
    }

    async fn near_elsewhere(
        &self,
        cx: &ActivityCx,
        asked: &Retrieve,
        vector: Vector,
        depth: u32,
    ) -> Result<Vec<Hit>, Problem> {
        let (Some(qdrant), Retrieve { tenant, filter, .. }) = (&self.qdrant, asked) else { return Ok(Vec::new()) };
        // What metadata says stands in the index, so what does not fit is taken out afterwards.
        let wanted = if filter.metadata.is_empty() { depth } else { HITS_MAX };
        let near = qdrant.nearest(cx, tenant, &vector, filter, wanted).await?;
        let hits = self.index.passages(tenant, near.iter().map(|near| near.at).collect(), filter).await?;
        let scored = |hit: Hit| {
            let near = near.iter().find(|near| near.at == hit.at && near.document == hit.document)?;
            Some(Hit { score: near.score, ..hit })
        };
        Ok(hits.into_iter().filter_map(scored).take(depth as usize).collect())
    }
}

impl From<Problem> for ActivityError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Upstream(error) => error,
            Problem::Store(error) => Self::retry("DataError", format!("the documents cannot be read: {error}")),
        }
    }
}
