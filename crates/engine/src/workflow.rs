//! Workflows by name and number. A run keeps the number it was born with.

use crate::ctx::Ctx;
use crate::error::{Error, Result};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A run's root future. It lives and dies on its shard's thread.
pub type Root = Pin<Box<dyn Future<Output = Result<Bytes>>>>;

/// Makes a run's root future from its context and its input (JSON).
pub type Factory = Arc<dyn Fn(Ctx, Bytes) -> Root + Send + Sync>;

/// The workflows this process knows.
#[derive(Clone, Default)]
pub struct Registry {
    by_name: BTreeMap<String, BTreeMap<u32, Factory>>,
}

impl Registry {
    /// No workflows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a workflow function under a name and number. New runs get the highest number; live ones keep theirs, so an
    /// old function stays listed until no live run needs it.
    #[must_use]
    pub fn with<I, O, F, Fut>(mut self, name: &str, version: u32, run: F) -> Self
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(Ctx, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O>> + 'static,
    {
        let run = Arc::new(run);
        let factory: Factory = Arc::new(move |ctx, input| {
            let run = Arc::clone(&run);
            Box::pin(async move {
                let input = serde_json::from_slice(&input)
                    .map_err(|e| Error::workflow("WorkflowError", format!("the input does not fit: {e}")))?;
                let output = run(ctx, input).await?;
                serde_json::to_vec(&output)
                    .map(Bytes::from)
                    .map_err(|e| Error::workflow("InternalError", format!("the output cannot be written: {e}")))
            })
        });
        self.by_name.entry(name.into()).or_default().insert(version, factory);
        self
    }

    /// The function for a live run.
    #[must_use]
    pub fn find(&self, name: &str, version: u32) -> Option<&Factory> {
        self.by_name.get(name)?.get(&version)
    }

    /// The number a new run gets.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<u32> {
        self.by_name.get(name)?.keys().next_back().copied()
    }

    /// Every name with each of its numbers.
    #[must_use]
    pub fn known(&self) -> Vec<(String, u32)> {
        self.by_name.iter().flat_map(|(name, numbers)| numbers.keys().map(|n| (name.clone(), *n))).collect()
    }

    /// Every name with its newest number.
    #[must_use]
    pub fn list(&self) -> Vec<(String, u32)> {
        self.by_name.iter().filter_map(|(n, v)| Some((n.clone(), *v.keys().next_back()?))).collect()
    }
}
