//! An index in memory: words are counted, vectors compared one by one.

use crate::ports::index::{At, Document, Filter, Hit, Index, Listed, Passage, Stored, Vector};
use crate::ports::store::Read;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Kept {
    revision: u64,
    document: Document,
    passages: Vec<Passage>,
}

#[derive(Debug, Default)]
struct State {
    revisions: u64,
    /// By tenant and id.
    kept: BTreeMap<(String, String), Kept>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    state: Mutex<State>,
}

fn now<T: Send + 'static>(answer: T) -> Read<T> {
    Box::pin(std::future::ready(Ok(answer)))
}

/// The words of a text, in small letters.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn counts(filter: &Filter, document: &Document) -> bool {
    let says = |(key, wanted): (&String, &String)| {
        document.metadata.get(key).and_then(Value::as_str).is_some_and(|found| found == wanted)
    };
    (filter.documents.is_empty() || filter.documents.contains(&document.id)) && filter.metadata.iter().all(says)
}

impl Kept {
    fn hit(&self, ordinal: usize, score: f64) -> Option<Hit> {
        let passage = self.passages.get(ordinal)?;
        Some(Hit {
            at: (self.revision, u32::try_from(ordinal).ok()?),
            document: self.document.id.clone(),
            title: self.document.title.clone(),
            start: passage.start,
            end: passage.end,
            text: passage.text.clone(),
            score,
        })
    }
}

impl MemoryIndex {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The best passages by a score; those without one are not found.
    fn best(
        &self,
        tenant: &str,
        filter: &Filter,
        limit: u32,
        score: impl Fn(&Document, &Passage) -> Option<f64>,
    ) -> Vec<Hit> {
        let state = self.state();
        let ours = state.kept.iter().filter(|((of, _), kept)| of == tenant && counts(filter, &kept.document));
        let mut hits: Vec<Hit> = ours
            .flat_map(|(_, kept)| {
                let scored = kept.passages.iter().enumerate();
                scored.filter_map(|(n, passage)| kept.hit(n, score(&kept.document, passage)?)).collect::<Vec<_>>()
            })
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.at.cmp(&b.at)));
        hits.truncate(limit as usize);
        hits
    }
}

impl Index for MemoryIndex {
    fn put(&self, tenant: &str, document: Document, passages: Vec<Passage>) -> Read<Stored> {
        let mut state = self.state();
        state.revisions += 1;
        let revision = state.revisions;
        let key = (tenant.to_owned(), document.id.clone());
        let replaced = state.kept.insert(key, Kept { revision, document, passages }).map(|kept| kept.revision);
        now(Stored { revision, replaced })
    }

    fn get(&self, tenant: &str, id: &str) -> Read<Option<Document>> {
        now(self.state().kept.get(&(tenant.into(), id.into())).map(|kept| kept.document.clone()))
    }

    fn delete(&self, tenant: &str, id: &str) -> Read<Option<u64>> {
        now(self.state().kept.remove(&(tenant.into(), id.into())).map(|kept| kept.revision))
    }

    fn list(&self, tenant: &str, after_id: Option<String>, limit: u32) -> Read<Vec<Listed>> {
        let state = self.state();
        let from = match after_id {
            Some(id) => Bound::Excluded((tenant.to_owned(), id)),
            None => Bound::Included((tenant.to_owned(), String::new())),
        };
        let ours = state.kept.range((from, Bound::Unbounded)).take_while(|((of, _), _)| of == tenant);
        let listed = |Kept { document, passages, .. }: &Kept| Listed {
            id: document.id.clone(),
            title: document.title.clone(),
            metadata: document.metadata.clone(),
            at: document.at,
            chars: u32::try_from(document.content.chars().count()).unwrap_or(u32::MAX),
            passages: u32::try_from(passages.len()).unwrap_or(u32::MAX),
        };
        now(ours.map(|(_, kept)| listed(kept)).take(limit as usize).collect())
    }

    fn by_words(&self, tenant: &str, question: &str, filter: &Filter, limit: u32) -> Read<Vec<Hit>> {
        let asked = words(question);
        now(self.best(tenant, filter, limit, |document, passage| {
            let (title, text) = (words(&document.title), words(&passage.text));
            let shared = asked.iter().filter(|word| title.contains(word) || text.contains(word)).count();
            (shared > 0).then_some(shared as f64)
        }))
    }

    fn by_vector(&self, tenant: &str, vector: Vector, filter: &Filter, limit: u32) -> Read<Vec<Hit>> {
        now(self.best(tenant, filter, limit, |_, passage| {
            let near = passage.vector.as_ref().filter(|of| of.model == vector.model)?;
            let same = near.values.len() == vector.values.len();
            same.then(|| near.values.iter().zip(&vector.values).map(|(a, b)| f64::from(a * b)).sum())
        }))
    }

    fn passages(&self, tenant: &str, at: Vec<At>, filter: &Filter) -> Read<Vec<Hit>> {
        let state = self.state();
        let ours: Vec<&Kept> = state.kept.iter().filter(|((of, _), _)| of == tenant).map(|(_, kept)| kept).collect();
        let find = |(revision, ordinal): At| {
            let kept = ours.iter().find(|kept| kept.revision == revision && counts(filter, &kept.document))?;
            kept.hit(ordinal as usize, 0.0)
        };
        now(at.into_iter().filter_map(find).collect())
    }

    fn knows_vectors(&self) -> Result<(), String> {
        Ok(())
    }
}
