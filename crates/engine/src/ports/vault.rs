//! Secrets that a run needs and its journal must not hold: kept under a handle, gone when the run has ended.

/// Handles that begin so do not age: their secrets belong to no run, and whoever keeps them removes them.
pub const KEPT: &str = "kept/";

/// Where secrets are kept, encrypted. Calls may block.
pub trait Vault: Send + Sync {
    /// Keeps a secret under a handle.
    ///
    /// # Errors
    /// In words: it cannot be written.
    fn put(&self, handle: &str, secret: &str) -> Result<(), String>;
    /// The secret under a handle, as long as it is kept.
    ///
    /// # Errors
    /// In words: it cannot be read.
    fn get(&self, handle: &str) -> Result<Option<String>, String>;
    /// Forgets a secret; there may be none.
    ///
    /// # Errors
    /// In words: it cannot be written.
    fn remove(&self, handle: &str) -> Result<(), String>;
    /// What stays of a secret: equal for equal secrets, and of no other use.
    fn fingerprint(&self, secret: &str) -> String;
}
