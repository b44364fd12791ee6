//! What surrounds every route, in one function: a request's id, its bounds, where it comes from, who asks, panics, and the
//! headers of every answer. One layer, because each one more costs every request.

pub mod auth;
pub mod limits;
pub mod origin;
pub mod request_id;
pub mod security;

use crate::Shared;
use crate::failure::{Dialect, Failed, encode};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use tutti_app::{Failure, Role};

/// Guards every request and finishes every answer.
pub async fn guard(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers());
    let dialect = Dialect::of(request.headers());
    let (method, path) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let crossing = limits::check(&request).and_then(|()| {
        let entry = auth::entry(&request, &shared.options);
        origin::check(&request, &shared.options, entry).map(|origin| (entry, origin))
    });
    let (allowed_origin, mut response) = match crossing {
        Err(failure) => (None, Failed(failure).into_response()),
        // Browsers send no key with this question; the request that follows has to.
        Ok((_, Some(origin))) if origin::is_preflight(&request) => (Some(origin), origin::preflight()),
        Ok((entry, allowed_origin)) => {
            let response = match admit(&mut request, entry) {
                Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(panicked),
                Err(failure) => Failed(failure).into_response(),
            };
            (allowed_origin, response)
        }
    };
    let failed = response.extensions().get::<Failed>().map(|failed| failed.0.class.as_str());
    if failed.is_some() {
        response = encode(response, dialect, id.to_str().unwrap_or_default());
    }
    let route = path.as_ref().map_or("other", MatchedPath::as_str);
    tutti_app::metrics::requested(route, method.as_str(), response.status().as_u16(), failed);
    let headers = response.headers_mut();
    headers.insert(request_id::NAME, id);
    security::set(headers);
    if let Some(origin) = allowed_origin {
        origin::set(headers, origin);
    }
    response
}

/// Finds out who asks and whether the route is theirs to use.
fn admit(request: &mut Request, entry: auth::Entry) -> Result<(), Failure> {
    let caller = auth::caller(request.headers(), entry);
    if !caller.roles.hold(Role::Admin) {
        let path = request.extensions().get::<MatchedPath>();
        match path.and_then(|path| crate::router::role(request.method(), path.as_str())) {
            Some(Role::Public) => {}
            // Not even which addresses there are is a stranger's to learn.
            _ if entry == auth::Entry::Stranger => return Err(auth::refusal(request.headers())),
            Some(role) => caller.must_hold(role)?,
            None => {}
        }
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let said = payload.downcast_ref::<&str>().map(|s| (*s).to_owned()).or(payload.downcast_ref::<String>().cloned());
    let cause = format!("a handler panicked: {}", said.unwrap_or_else(|| "no message".into()));
    Failed(Failure::internal(cause)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Inner, ServerOptions};
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use std::sync::Arc;
    use tower::ServiceExt;
    use tutti_engine::driver::{Engine, Options, Ports};
    use tutti_engine::memory::outbound::NoOutbound;

    async fn explode() -> &'static str {
        let nothing: Option<&str> = None;
        std::hint::black_box(nothing).expect("the word is xyzzy")
    }

    #[tokio::test]
    async fn a_panic_is_one_failed_request_and_tells_nothing() {
        let ports = Ports::in_memory(Arc::new(NoOutbound));
        let engine = Engine::start(ports, tutti_engine::Registry::new(), Options::default()).await.unwrap();
        let app = tutti_app::App::new(engine, tutti_app::Options::default());
        let shared = Shared(Arc::new(Inner { app, options: ServerOptions::default(), openapi: "{}".into() }));
        let router = Router::new().route("/", get(explode)).layer(from_fn_with_state(shared.clone(), guard));
        let request = http::Request::get("/").header("host", "localhost").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert!(response.headers().contains_key(request_id::NAME));
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("InternalError") && !text.contains("xyzzy"), "{text}");
    }
}
