//! MCP over HTTP through the one way out: what the client library asks for goes through [`Outbound`], under its rules and bounds.

use crate::upstream::{BODY_BYTES_MAX, excerpt};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorData, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::common::http_header::{
    EVENT_STREAM_MIME_TYPE, HEADER_LAST_EVENT_ID, HEADER_SESSION_ID, JSON_MIME_TYPE,
};
use rmcp::transport::streamable_http_client::{
    HttpStatusError, SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tutti_engine::ports::outbound::{OutError, OutRequest, OutResponse, Outbound};

/// How long a server may be silent; a call has its own bound besides.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Most bytes of one answer, all its events together.
const ANSWER_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// See the module.
#[derive(Clone)]
pub(super) struct Gate(pub Arc<dyn Outbound>);

type Failed = StreamableHttpError<OutError>;

/// What the library says of one request.
struct Asked {
    url: Arc<str>,
    session: Option<Arc<str>>,
    token: Option<String>,
    headers: HashMap<HeaderName, HeaderValue>,
}

impl Gate {
    async fn send(&self, method: Method, asked: Asked, body: Bytes) -> Result<OutResponse, Failed> {
        let mut headers: HeaderMap = asked.headers.into_iter().collect();
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, accept);
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON_MIME_TYPE));
        }
        let unusable = |_| StreamableHttpError::UnexpectedServerResponse("a header of it cannot be sent back".into());
        if let Some(session) = &asked.session {
            let name = HeaderName::from_bytes(HEADER_SESSION_ID.as_bytes());
            let name = name.map_err(|_| Failed::UnexpectedServerResponse(HEADER_SESSION_ID.into()))?;
            headers.insert(name, HeaderValue::from_str(session).map_err(unusable)?);
        }
        if let Some(token) = &asked.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(unusable)?;
            headers.insert(header::AUTHORIZATION, value);
        }
        let url = asked.url.to_string();
        let request = OutRequest { method, url, headers, body, idle: IDLE_MAX, body_bytes_max: ANSWER_BYTES_MAX };
        self.0.send(request).await.map_err(Failed::Client)
    }
}

impl StreamableHttpClient for Gate {
    type Error = OutError;

    async fn post_message(
        &self,
        url: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let body = serde_json::to_vec(&message)?;
        let has_session = session.is_some();
        let response = self.send(Method::POST, Asked { url, session, token, headers }, body.into()).await?;
        let session = text(&response.headers, HEADER_SESSION_ID).map(String::from);
        match response.status {
            202 | 204 => return Ok(StreamableHttpPostResponse::Accepted),
            404 if has_session => return Err(Failed::SessionExpired),
            401 | 403 => {
                let why = format!("it answered {}; does it want a header with a token?", response.status);
                return Err(Failed::UnexpectedServerResponse(why.into()));
            }
            status @ (429 | 500..=599) => {
                let after = text(&response.headers, "retry-after").map(String::from);
                return Err(HttpStatusError::new(status, after).into());
            }
            _ => {}
        }
        let kind = text(&response.headers, "content-type").unwrap_or_default().to_owned();
        let is_good = (200..300).contains(&response.status);
        if is_good && kind.starts_with(EVENT_STREAM_MIME_TYPE) {
            return Ok(StreamableHttpPostResponse::Sse(events(response), session));
        }
        let status = response.status;
        let body = whole(response).await?;
        if is_good && body.is_empty() && !matches!(message, JsonRpcMessage::Request(_)) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let read = serde_json::from_slice::<ServerJsonRpcMessage>(&body);
        match read {
            Ok(answer) if is_good => Ok(StreamableHttpPostResponse::Json(answer, session)),
            read => {
                let error =
                    read.ok().and_then(|said| if let JsonRpcMessage::Error(e) = said { Some(e.error) } else { None });
                refused(&message, has_session, status, error, &body)
            }
        }
    }

    async fn delete_session(
        &self,
        url: Arc<str>,
        session: Arc<str>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failed> {
        let asked = Asked { url, session: Some(session), token, headers };
        self.send(Method::DELETE, asked, Bytes::new()).await.map(drop)
    }

    async fn get_stream(
        &self,
        url: Arc<str>,
        session: Option<Arc<str>>,
        last_event_id: Option<String>,
        token: Option<String>,
        mut headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failed> {
        // What a server says unasked is of no use here; only an answer that broke off is taken up again.
        let Some(last) = last_event_id.and_then(|id| HeaderValue::from_str(&id).ok()) else {
            return Err(Failed::ServerDoesNotSupportSse);
        };
        if let Ok(name) = HeaderName::from_bytes(HEADER_LAST_EVENT_ID.as_bytes()) {
            headers.insert(name, last);
        }
        let response = self.send(Method::GET, Asked { url, session, token, headers }, Bytes::new()).await?;
        let kind = text(&response.headers, "content-type").unwrap_or_default();
        if (200..300).contains(&response.status) && kind.starts_with(EVENT_STREAM_MIME_TYPE) {
            return Ok(events(response));
        }
        Err(Failed::ServerDoesNotSupportSse)
    }
}

/// An answer that is none. A server of the older generation refuses the first word of the newer one, each in its own way; the
/// library asks it in the older way then.
fn refused(
    message: &ClientJsonRpcMessage,
    has_session: bool,
    status: u16,
    error: Option<ErrorData>,
    body: &[u8],
) -> Result<StreamableHttpPostResponse, Failed> {
    if let JsonRpcMessage::Request(request) = message {
        let is_first = matches!(request.request, ClientRequest::DiscoverRequest(_)) && !has_session;
        if error.is_some() || (is_first && (400..500).contains(&status)) {
            let why = || ErrorData::invalid_request(format!("it answered {status}"), None);
            let answer = ServerJsonRpcMessage::error(error.unwrap_or_else(why), Some(request.id.clone()));
            return Ok(StreamableHttpPostResponse::Json(answer, None));
        }
    }
    let why = format!("it answered {status}, not in JSON-RPC; its answer begins: {:?}", excerpt(body));
    Err(Failed::UnexpectedServerResponse(why.into()))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn events(response: OutResponse) -> BoxStream<'static, Result<Sse, SseError>> {
    SseStream::from_bytes_stream(response.body).boxed()
}

async fn whole(response: OutResponse) -> Result<Vec<u8>, Failed> {
    let gather = |mut all: Vec<u8>, piece: Bytes| {
        all.extend_from_slice(&piece);
        std::future::ready(Ok(all))
    };
    response.body.try_fold(Vec::new(), gather).await.map_err(Failed::Client)
}
