//! The harness of the tests over the real binary: it starts `tutti`, talks to it as a client would, kills it, and judges what it
//! did by what others saw: the journal it shows and the log of a model server that never dies.
//!
//! Nothing here names a crate of ours: what is not visible from outside is not tested here.
//!
//! Every wait is for an event and bounded in time; a bound that is met is a failure with a sentence. A harness fails by
//! panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a harness fails by panicking, as tests do")]

pub mod backends;
pub mod chance;
pub mod client;
pub mod journal;
pub mod openai;
pub mod process;
pub mod provider;
pub mod queries;
pub mod server;
pub mod simulator;
pub mod sse;

use std::path::PathBuf;
use std::time::Duration;

/// The longest that anything may take that is waited for. Long, because it is only ever met by a fault.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// The workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

/// A file that cargo built beside the running test, e.g. `tutti`.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a test has a path");
    let found = here.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built; run `cargo build -p {name}` first, or `make test`"))
}

/// Awaits something for at most [`WAIT_MAX`].
///
/// # Panics
/// When it does not come in time; `what` says what was awaited.
pub async fn in_time<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, future)
        .await
        .unwrap_or_else(|_| panic!("waited {} s in vain for {what}", WAIT_MAX.as_secs()))
}
