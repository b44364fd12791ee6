//! The log: a line for every request, written when it ends, however it ends.

use crate::provider::Seen;
use axum::response::Response;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Where requests are written down.
#[derive(Debug)]
pub struct Log {
    file: Mutex<Box<dyn Sink>>,
    arrived: AtomicU64,
    begun: watch::Sender<u64>,
    ended: watch::Sender<u64>,
}

trait Sink: Write + Send + std::fmt::Debug {}
impl<T: Write + Send + std::fmt::Debug> Sink for T {}

impl Log {
    /// A log that appends to a file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn append(path: &std::path::Path) -> std::io::Result<Arc<Self>> {
        Ok(Self::to(std::fs::File::options().create(true).append(true).open(path)?))
    }

    pub(super) fn to(file: impl Write + Send + std::fmt::Debug + 'static) -> Arc<Self> {
        let (begun, ended) = (watch::Sender::new(0), watch::Sender::new(0));
        Arc::new(Self { file: Mutex::new(Box::new(file)), arrived: AtomicU64::new(0), begun, ended })
    }

    /// Writes down that a request arrived.
    pub fn request(self: &Arc<Self>, key: &str, model: &str, body_hash: &str, traceparent: &str) -> Request {
        let n = self.arrived.fetch_add(1, Ordering::SeqCst) + 1;
        self.begun.send_modify(|count| *count += 1);
        let seen = Seen {
            n,
            idempotency_key: key.into(),
            model: model.into(),
            body_hash: body_hash.into(),
            started_at: now_ms(),
            ended_at: 0,
            answered: false,
            status: 0,
            traceparent: traceparent.into(),
        };
        Request { seen, log: self.clone() }
    }

    /// Waits until so many requests have arrived.
    pub async fn begun(&self, n: u64) {
        let _ = self.begun.subscribe().wait_for(|&count| count >= n).await;
    }

    /// Waits until so many requests have ended.
    pub async fn ended(&self, n: u64) {
        let _ = self.ended.subscribe().wait_for(|&count| count >= n).await;
    }
}

/// A request that is being answered; dropping it writes its line.
#[derive(Debug)]
pub struct Request {
    seen: Seen,
    log: Arc<Log>,
}

impl Request {
    /// Notes the status that is sent.
    pub fn status(&mut self, status: u16) {
        self.seen.status = status;
    }

    /// Notes that the whole answer was handed over.
    pub fn answered(&mut self) {
        self.seen.answered = true;
    }

    /// Ends with an answer in one piece.
    #[must_use]
    pub fn ends(mut self, response: Response) -> Response {
        self.status(response.status().as_u16());
        self.answered();
        response
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.seen.ended_at = now_ms();
        if let (Ok(mut line), Ok(mut file)) = (serde_json::to_vec(&self.seen), self.log.file.lock()) {
            line.push(b'\n');
            // One write a line: whoever reads the file meanwhile sees whole lines.
            if let Err(error) = file.write_all(&line) {
                eprintln!("the log cannot be written: {error}");
            }
        }
        self.log.ended.send_modify(|count| *count += 1);
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
