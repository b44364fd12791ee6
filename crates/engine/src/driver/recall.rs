//! What a run reads of its session: the newest turns inside its window, the same ones on every replay.

use crate::driver::engine::Ports;
use crate::driver::read::{Entry, entries};
use crate::event::Kind;
use crate::journal::body::{Queued, SessionRead};
use crate::ports::store::{ListTurns, Receipt, RunRow, Store, StoreError, Transition};
use crate::run::{RunId, RunNo};
use crate::session::{Said, SessionRow, Speaker, TurnRow, Window, tokens_of};
use crate::shard::wire::Recalled;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long what was said in a turn is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What a completed run's journal says in a conversation. The engine does not know what inputs and outputs mean, so the
/// wiring tells it.
#[derive(Clone)]
pub struct Recall(pub Arc<RecallFn>);

/// From a run's whole journal to what was said in it, in the order of the conversation.
pub type RecallFn = dyn Fn(&[Entry]) -> Vec<Said> + Send + Sync;

impl Default for Recall {
    /// Nothing.
    fn default() -> Self {
        Self(Arc::new(|_| Vec::new()))
    }
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recall")
    }
}

impl Recall {
    /// What was said in one run.
    pub(crate) async fn run(&self, store: &dyn Store, run: RunNo) -> Result<Vec<Said>, StoreError> {
        Ok((self.0)(&entries(store, run, 0, u32::MAX).await?))
    }

    /// As [`run`](Self::run), of a turn: its run has ended, so what was said in it stays the same and may be remembered.
    async fn turn(&self, ports: &Ports, turn: &TurnRow) -> Result<Vec<Said>, StoreError> {
        let Some(cache) = &ports.cache else { return self.run(ports.store.as_ref(), turn.run).await };
        let key = key(turn.id);
        if let Some(said) = cache.get(&key).await.and_then(|kept| serde_json::from_slice(&kept).ok()) {
            return Ok(said);
        }
        let said = self.run(ports.store.as_ref(), turn.run).await?;
        if let Ok(kept) = serde_json::to_vec(&said) {
            cache.put(&key, kept.into(), REMEMBERED).await;
        }
        Ok(said)
    }
}

/// Where what was said in a run is remembered.
pub(crate) fn key(run: RunId) -> String {
    format!("said:{run}")
}

/// The newest turns inside a window: whole turns, until one would not fit.
pub(crate) async fn newest(
    ports: &Ports,
    recall: &Recall,
    session: &SessionRow,
    window: Window,
) -> Result<Recalled, StoreError> {
    let head = session.head;
    // A turn has at least one message, so no more of them can fit.
    let query = ListTurns { session: session.no, from: 1, to: head, voids: false, limit: window.messages };
    let turns = if head == 0 { Vec::new() } else { ports.store.turns(query).await? };
    let (mut from, mut messages, mut tokens) = (head + 1, 0_u32, 0_u32);
    let mut parts: Vec<Vec<Said>> = Vec::new();
    let mut skip = Vec::new();
    for turn in turns {
        let said = recall.turn(ports, &turn).await?;
        messages = messages.saturating_add(u32::try_from(said.len().max(1)).unwrap_or(u32::MAX));
        tokens = said.iter().fold(tokens, |sum, said| sum.saturating_add(tokens_of(&said.text)));
        if messages > window.messages || tokens > window.tokens {
            break;
        }
        skip.extend(turn.n + 1..from);
        from = turn.n;
        // What stands before a summary is in it.
        let is_summed_up = said.iter().any(|said| said.role == Speaker::Summary);
        parts.push(said);
        if is_summed_up {
            break;
        }
    }
    skip.sort_unstable();
    let said = parts.into_iter().rev().flatten().collect();
    Ok(Recalled { read: SessionRead { head, from, skip }, said, is_torn: false })
}

/// Exactly the turns that were read before, those taken back since included.
async fn again(
    ports: &Ports,
    recall: &Recall,
    session: Option<&SessionRow>,
    read: SessionRead,
) -> Result<Recalled, StoreError> {
    let mut recalled = Recalled { read, ..Recalled::default() };
    let SessionRead { head, from, skip } = &recalled.read;
    let wanted = (*from..=*head).filter(|n| !skip.contains(n)).count();
    if wanted == 0 {
        return Ok(recalled);
    }
    let mut turns: Vec<TurnRow> = Vec::new();
    if let Some(session) = session {
        let query = ListTurns { session: session.no, from: *from, to: *head, voids: true, limit: head - from + 1 };
        turns = ports.store.turns(query).await?;
    }
    turns.retain(|turn| !skip.contains(&turn.n));
    recalled.is_torn = turns.len() != wanted;
    for turn in turns.iter().rev() {
        recalled.said.extend(recall.turn(ports, turn).await?);
    }
    Ok(recalled)
}

/// What a root run of a session reads. A run that began without reading anything goes on so.
pub(crate) async fn recalled(
    ports: &Ports,
    recall: &Recall,
    row: &RunRow,
    journal: &[Entry],
) -> Result<Option<Recalled>, StoreError> {
    let store = ports.store.as_ref();
    let note = journal.iter().find(|e| e.kind == Kind::EngineSession);
    if let Some(read) = note.and_then(|e| serde_json::from_slice::<SessionRead>(&e.body).ok()) {
        let session = store.session_of(row.run).await?;
        return Ok(Some(again(ports, recall, session.as_ref(), read).await?));
    }
    if journal.iter().any(|e| e.kind == Kind::RunStarted) {
        return Ok(None);
    }
    let Some(queued) = queued(journal) else { return Ok(None) };
    if !queued.replaces.is_empty() {
        take_back(store, queued.replaces).await?;
    }
    let Some(session) = store.session_of(row.run).await? else { return Ok(None) };
    Ok(Some(newest(ports, recall, &session, queued.terms.window).await?))
}

pub(crate) fn queued(journal: &[Entry]) -> Option<Queued> {
    journal.first().filter(|e| e.kind == Kind::RunQueued).and_then(|e| serde_json::from_slice(&e.body).ok())
}

pub(crate) async fn take_back(store: &dyn Store, runs: Vec<RunNo>) -> Result<(), StoreError> {
    match commit(store, Transition { voids: runs, ..Transition::default() }).await {
        Receipt::Committed => Ok(()),
        other => Err(failure(other)),
    }
}

/// Submits one transition and waits for its fate.
pub(crate) async fn commit(store: &dyn Store, transition: Transition) -> Receipt {
    let (tell, told) = oneshot::channel();
    let done = Box::new(move |receipts: Vec<Receipt>| {
        let _ = tell.send(receipts.into_iter().next());
    });
    store.submit(vec![transition], done);
    told.await.ok().flatten().unwrap_or_else(|| Receipt::Unknown("the store has stopped".into()))
}

/// What a transition that should have been committed came to.
pub(crate) fn failure(receipt: Receipt) -> StoreError {
    match receipt {
        Receipt::Failed(error) => error,
        Receipt::Unknown(why) => StoreError::Unavailable(why),
        Receipt::Refused(refusal) => StoreError::Unavailable(refusal.to_string()),
        Receipt::Committed => StoreError::Unavailable("written".into()),
    }
}
