//! The vault of this process: secrets that activities need and no journal holds.

use std::sync::{Arc, PoisonError, RwLock};

pub use tutti_engine::ports::vault::Vault;

static INSTALLED: RwLock<Option<Arc<dyn Vault>>> = RwLock::new(None);

/// Makes it the process's vault.
pub fn install(vault: Arc<dyn Vault>) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(vault);
}

/// The process's vault, where it has one.
#[must_use]
pub fn installed() -> Option<Arc<dyn Vault>> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The secret under a handle, off the async threads.
pub(crate) async fn open(handle: String) -> Result<Option<String>, String> {
    let Some(vault) = installed() else { return Ok(None) };
    tokio::task::spawn_blocking(move || vault.get(&handle)).await.map_err(|e| e.to_string())?
}
