//! A long conversation: what a turn costs, and what it leaves behind.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError};
use tutti_engine::driver::{Engine, Entry, Options, Ports, Recall};
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{Completed, Queued};
use tutti_engine::memory::outbound::NoOutbound;
use tutti_engine::ports::store::{
    Done, InboxItem, ListRuns, ListSessions, ListTurns, OpenRun, Prune, Read, Row, RunRow, Store, StoreStats,
    Transition,
};
use tutti_engine::run::{Owner, RunId, RunNo, Status, Submit, Time};
use tutti_engine::session::{Said, SessionNo, SessionRow, Speaker, TurnRow};
use tutti_engine::{Ctx, Registry, Result, Traces};
use tutti_stores::sqlite::SqliteStore;

const TURNS: usize = 1_000;
/// A question and an answer as people and models write them.
const QUESTION: usize = 300;
const ANSWER: usize = 900;

/// What went over the port, and to the model.
#[derive(Default)]
struct Work {
    reads: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    sent: AtomicU64,
}

impl Work {
    fn take(&self) -> [u64; 4] {
        [&self.reads, &self.rows, &self.bytes, &self.sent].map(|counter| counter.swap(0, Ordering::SeqCst))
    }
}

/// A store that counts what is read from it.
struct Counted {
    store: Arc<SqliteStore>,
    work: Arc<Work>,
}

impl Counted {
    fn count<T: Send + 'static>(&self, read: Read<T>, size: fn(&T) -> (usize, usize)) -> Read<T> {
        let work = Arc::clone(&self.work);
        Box::pin(async move {
            let found = read.await?;
            let (rows, bytes) = size(&found);
            work.reads.fetch_add(1, Ordering::SeqCst);
            work.rows.fetch_add(rows as u64, Ordering::SeqCst);
            work.bytes.fetch_add(bytes as u64, Ordering::SeqCst);
            Ok(found)
        })
    }
}

fn one<T>(found: &Option<T>) -> (usize, usize) {
    (usize::from(found.is_some()), 0)
}

impl Store for Counted {
    fn submit(&self, batch: Vec<Transition>, done: Done) {
        self.store.submit(batch, done);
    }
    fn next_run(&self) -> Read<RunNo> {
        self.store.next_run()
    }
    fn run_by_id(&self, id: RunId) -> Read<Option<RunRow>> {
        self.count(self.store.run_by_id(id), one)
    }
    fn run(&self, run: RunNo) -> Read<Option<RunRow>> {
        self.count(self.store.run(run), one)
    }
    fn journal(&self, run: RunNo, after: u32, rows_max: u32) -> Read<Vec<Row>> {
        self.count(self.store.journal(run, after, rows_max), |rows| {
            (rows.len(), rows.iter().map(|row| row.body.len()).sum())
        })
    }
    fn blobs(&self, hashes: Vec<[u8; 32]>) -> Read<Vec<Bytes>> {
        self.count(self.store.blobs(hashes), |all| (all.len(), all.iter().map(Bytes::len).sum()))
    }
    fn inbox(&self, run: RunNo) -> Read<Vec<InboxItem>> {
        self.count(self.store.inbox(run), |all| (all.len(), all.iter().map(|item| item.body.len()).sum()))
    }
    // Sweeps come by the clock, not by the turn.
    fn open_runs(&self, now: Time, after: RunNo, limit: u32) -> Read<Vec<OpenRun>> {
        self.store.open_runs(now, after, limit)
    }
    fn next_due(&self, now: Time) -> Read<Option<Time>> {
        self.store.next_due(now)
    }
    fn oldest_runnable(&self, now: Time) -> Read<Option<Time>> {
        self.store.oldest_runnable(now)
    }
    fn accounts(&self, names: Vec<String>) -> Read<Vec<tutti_engine::account::AccountRow>> {
        self.store.accounts(names)
    }
    fn list(&self, query: ListRuns) -> Read<Vec<RunRow>> {
        self.count(self.store.list(query), |all| (all.len(), 0))
    }
    fn born_with(&self, scope: [u8; 16]) -> Read<Option<(RunNo, RunId, [u8; 16])>> {
        self.count(self.store.born_with(scope), one)
    }
    fn session(&self, owner: Owner, id: String) -> Read<Option<SessionRow>> {
        self.count(self.store.session(owner, id), one)
    }
    fn session_of(&self, run: RunNo) -> Read<Option<SessionRow>> {
        self.count(self.store.session_of(run), one)
    }
    fn sessions(&self, query: ListSessions) -> Read<Vec<SessionRow>> {
        self.count(self.store.sessions(query), |all| (all.len(), 0))
    }
    fn turns(&self, query: ListTurns) -> Read<Vec<TurnRow>> {
        self.count(self.store.turns(query), |all| (all.len(), 0))
    }
    fn session_runs(&self, session: Option<SessionNo>, after: RunNo, limit: u32) -> Read<Vec<RunRow>> {
        self.count(self.store.session_runs(session, after, limit), |all| (all.len(), 0))
    }
    fn stats(&self) -> Read<StoreStats> {
        self.store.stats()
    }
    fn prune(&self, prune: Prune) -> Read<u64> {
        self.store.prune(prune)
    }
    fn probe(&self) -> Read<()> {
        self.store.probe()
    }
}

static SENT: AtomicU64 = AtomicU64::new(0);

/// A model: it is sent everything, and answers at some length.
#[derive(Serialize, Deserialize)]
struct Ask {
    messages: Vec<String>,
}

impl Activity for Ask {
    type Output = Value;
    const NAME: &'static str = "ask";
    async fn run(self, _: ActivityCx) -> std::result::Result<Value, ActivityError> {
        SENT.fetch_add(self.messages.iter().map(|m| m.len() as u64).sum(), Ordering::SeqCst);
        Ok(json!({"text": text(self.messages.len(), ANSWER)}))
    }
}

/// As a pattern does it: the answer is stored once, the output refers to it.
async fn chat(ctx: Ctx, question: String) -> Result<Value> {
    let mut messages: Vec<String> = ctx.history().iter().map(|said| said.text.clone()).collect();
    messages.push(question);
    ctx.call("ask", Ask { messages }).traces(Traces::Agent).agent("llm").await?;
    Ok(json!({"from": "ask"}))
}

fn text(n: usize, bytes: usize) -> String {
    let words = ["what", "does", "it", "cost", "to", "talk", "for", "long", "and", "longer"];
    let mut text = format!("{n}");
    for i in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push(' ');
        text.push_str(words[(n * 7 + i * 3) % words.len()]);
    }
    text.truncate(bytes);
    text
}

fn recall(journal: &[Entry]) -> Vec<Said> {
    let queued: Queued = serde_json::from_slice(&journal[0].body).unwrap();
    let answer = journal.iter().find(|e| e.kind == Kind::AgentMessage).unwrap();
    let done: Completed = serde_json::from_slice(&answer.body).unwrap();
    let output: Value = serde_json::from_str(done.output.get()).unwrap();
    let said = |role, text: String, at| Said { role, agent: None, text, run_id: queued.run_id, at, stands_for: None };
    vec![
        said(Speaker::User, serde_json::from_str(queued.input.get()).unwrap(), journal[0].at),
        said(Speaker::Assistant, output["text"].as_str().unwrap().into(), answer.at),
    ]
}

async fn say(engine: &Engine, n: usize) -> Duration {
    let mut submit = Submit::new("chat", Bytes::from(json!(text(n, QUESTION)).to_string()));
    submit.session = Some("case-4711".into());
    let began = Instant::now();
    let done = engine.submit_and_wait(submit, Duration::from_secs(60)).await.unwrap();
    assert_eq!((done.status, done.end.is_some()), (Status::Completed, true));
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turn_1000_costs_what_turn_10_did_and_text_is_stored_once() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
    let empty = store.stats().await.unwrap().bytes;
    let work = Arc::new(Work::default());
    let mut ports = Ports::in_memory(Arc::new(NoOutbound));
    ports.store = Arc::new(Counted { store: Arc::clone(&store), work: Arc::clone(&work) });
    let options = Options { recall: Recall(Arc::new(recall)), ..Options::default() };
    let engine = Engine::start(ports, Registry::new().with("chat", 1, chat), options).await.unwrap();
    // 20 messages are ten turns: from the eleventh turn on the window is full.
    let (mut cost, mut took) = (Vec::new(), Vec::new());
    for n in 1..=TURNS {
        work.take();
        SENT.store(0, Ordering::SeqCst);
        took.push(say(&engine, n).await);
        work.sent.store(SENT.load(Ordering::SeqCst), Ordering::SeqCst);
        cost.push(work.take());
    }
    engine.shutdown(Duration::from_secs(5)).await;
    // The median of a few turns: whoever waits may, or may not, look for the end once more.
    for (what, counter) in ["reads", "rows read", "bytes read", "bytes sent"].iter().zip(0..) {
        let of = |turns: &[[u64; 4]]| median(turns.iter().map(|turn| turn[counter]).collect());
        let (early, late) = (of(&cost[9..29]), of(&cost[TURNS - 20..]));
        println!("{what}: turn 10 {early}, turn {TURNS} {late}");
        assert!(late as f64 <= 1.2 * early as f64, "{what}: turn 10 {early}, turn {TURNS} {late}");
    }
    let (early, late) = (median(took[9..109].to_vec()), median(took[TURNS - 100..].to_vec()));
    println!("time, median of 100: turn 10 {early:?}, turn {TURNS} {late:?}");

    let stored = store.stats().await.unwrap().bytes - empty;
    let useful = (TURNS * (QUESTION + ANSWER)) as u64;
    println!("{stored} bytes stored for {useful} bytes of text: {:.2} times", stored as f64 / useful as f64);
    assert!(stored <= 2 * useful, "{stored} bytes stored for {useful} bytes of text");
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}
