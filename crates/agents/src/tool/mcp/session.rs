//! Sessions with servers, kept open between calls: a program is not started for each, and what it keeps in memory stays there.
//! They are a matter of this process; losing one costs a new beginning.

use super::gate::Gate;
use super::program::{self, Program};
use super::{At, Mcp};
use crate::tool::{CLASS, TOOLS_OFFERED_MAX};
use http::{HeaderName, HeaderValue};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams,
    ProtocolVersion, Tool as Offered,
};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError};
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransport, StreamableHttpClientTransportConfig};
use rmcp::{ClientLifecycleMode, RoleClient, serve_client_with_lifecycle};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tutti_engine::activity::ActivityError;
use tutti_engine::ports::outbound::Outbound;

/// How long a session may take to open, its list of tools included.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// How old its list may be.
const LIST_AGE_MAX: Duration = Duration::from_secs(60);
/// How long a session is kept that nobody uses.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// Most pages of a list.
const PAGES_MAX: usize = 50;

/// A session with what its server offers.
pub(super) struct Open {
    service: RunningService<RoleClient, ClientConfig>,
    pub offered: Vec<Offered>,
    listed_at: Instant,
    /// Lives as long as the session.
    program: Option<Program>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Open>>>>;

/// Sessions and when they were used last, by what they were opened with.
type Sessions = BTreeMap<[u8; 32], (Slot, Instant)>;

static SESSIONS: LazyLock<Mutex<Sessions>> = LazyLock::new(Mutex::default);

/// The session with a server, open, its list of tools no older than a minute.
pub(super) async fn open(
    mcp: &Mcp,
    filled: &[(String, String)],
    outbound: &Arc<dyn Outbound>,
) -> Result<Arc<Open>, String> {
    let slot = slot(key(mcp, filled));
    let mut slot = slot.lock().await;
    if let Some(open) =
        slot.as_ref().filter(|open| !open.service.is_closed() && open.listed_at.elapsed() < LIST_AGE_MAX)
    {
        return Ok(Arc::clone(open));
    }
    // A list that is too old is asked for anew, in the same session where it still lives.
    let old = slot.take().filter(|open| !open.service.is_closed()).and_then(Arc::into_inner);
    let opening = async {
        match old {
            Some(old) => match list(&old.service).await {
                Ok(offered) => Ok(Open { offered, listed_at: Instant::now(), ..old }),
                Err(_) => begin(mcp, filled, outbound).await,
            },
            None => begin(mcp, filled, outbound).await,
        }
    };
    let opened = tokio::time::timeout(OPEN_MAX, Box::pin(opening)).await;
    let opened = Arc::new(opened.map_err(|_| format!("it did not answer within {} s", OPEN_MAX.as_secs()))??);
    *slot = Some(Arc::clone(&opened));
    Ok(opened)
}

/// The place of a session. Those that nobody has used for long are closed by the way.
fn slot(key: [u8; 32]) -> Slot {
    let mut all = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    all.retain(|_, (slot, used)| now - *used < IDLE_MAX || Arc::strong_count(slot) > 1);
    let (slot, used) = all.entry(key).or_insert_with(|| (Slot::default(), now));
    *used = now;
    Arc::clone(slot)
}

fn key(mcp: &Mcp, filled: &[(String, String)]) -> [u8; 32] {
    let how = serde_json::to_string(&(&mcp.at, filled)).unwrap_or_default();
    Sha256::digest(how).into()
}

/// Closes every session, and with it its program.
pub(super) fn close_all() {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

async fn begin(mcp: &Mcp, filled: &[(String, String)], outbound: &Arc<dyn Outbound>) -> Result<Open, String> {
    let us = ClientConfig::new(ClientCapabilities::default(), Implementation::new("tutti", env!("CARGO_PKG_VERSION")));
    let both =
        ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None };
    let (service, program) = match &mcp.at {
        At::Url { url, .. } => {
            let transport =
                StreamableHttpClientTransport::with_client(Gate(Arc::clone(outbound)), config(url, filled)?);
            let begun = Box::pin(serve_client_with_lifecycle(us, transport, both)).await;
            (begun.map_err(|e| words(&e))?, None)
        }
        At::Program { command, dir, .. } => {
            let (program, out, into) = program::start(command, filled, dir.as_deref())?;
            let begun = Box::pin(serve_client_with_lifecycle(us, (out, into), both)).await;
            let said = |e: &ClientInitializeError| match program.complaint() {
                Some(complaint) => format!("{}; it said: {complaint}", words(e)),
                None => words(e),
            };
            (begun.map_err(|e| said(&e))?, Some(program))
        }
    };
    let offered = list(&service).await?;
    Ok(Open { service, offered, listed_at: Instant::now(), program })
}

fn config(url: &str, filled: &[(String, String)]) -> Result<StreamableHttpClientTransportConfig, String> {
    let mut headers = HashMap::new();
    for (name, value) in filled {
        let name = HeaderName::from_str(name).map_err(|e| e.to_string())?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| format!("the value of header {name} cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(StreamableHttpClientTransportConfig::with_uri(url).custom_headers(headers))
}

async fn list(service: &RunningService<RoleClient, ClientConfig>) -> Result<Vec<Offered>, String> {
    let (mut offered, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = PaginatedRequestParams::default().with_cursor(cursor);
        let page = service.list_tools(Some(page)).await.map_err(|e| format!("its tools cannot be listed: {e}"))?;
        offered.extend(page.tools);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(offered);
        }
        if offered.len() > TOOLS_OFFERED_MAX {
            break;
        }
    }
    Err(format!("it lists more than {TOOLS_OFFERED_MAX} tools, or never comes to an end"))
}

/// Without the message that it was about, which may hold anything.
fn words(error: &ClientInitializeError) -> String {
    let text = match error {
        ClientInitializeError::TransportError { error, .. } => error.to_string(),
        other => other.to_string(),
    };
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}

impl Open {
    /// Calls one of its tools. Dropping the call tells the server that nobody waits any more.
    pub async fn call(&self, request: CallToolRequestParams) -> Result<CallToolResult, ActivityError> {
        let done = Box::pin(self.service.call_tool(request)).await;
        done.map_err(|error| match error {
            ServiceError::McpError(error) => ActivityError::fatal(CLASS, error.message.to_string()),
            ServiceError::TransportSend(_) | ServiceError::TransportClosed => {
                let complaint = self.program.as_ref().and_then(Program::complaint);
                let said = complaint.map_or(String::new(), |said| format!("; it said: {said}"));
                ActivityError::retry(CLASS, format!("the connection to the server broke: {error}{said}")).sent()
            }
            error => ActivityError::fatal(CLASS, error.to_string()).sent(),
        })
    }
}
