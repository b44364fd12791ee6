//! Every route on one page, by caller, each with the role it needs.

use crate::failure::Failed;
use crate::layers::guard;
use crate::openapi::{self, Doc};
use crate::routes::{
    about, approvals, articles, budgets, chat, data_sources, db, documents, graphs, health, memory, models,
    orchestrate, orchestrator, runs, sessions, tasks, tickets, tools, transfer,
};
use crate::{Inner, ServerOptions, Shared};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, Uri};
use std::sync::Arc;
use std::sync::OnceLock;
use tutti_app::{App, Class, Failure, Role};

/// One route.
#[derive(Clone)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, with `{id}` for what varies.
    pub path: &'static str,
    /// Who may use it.
    pub role: Role,
    pub(crate) doc: Doc,
    handler: MethodRouter<Shared>,
}

macro_rules! route {
    ($method:ident $path:literal $role:ident $doc:path => $handler:path) => {
        Route {
            method: Method::$method,
            path: $path,
            role: Role::$role,
            doc: $doc,
            handler: on(MethodFilter::$method, $handler),
        }
    };
}

/// The table.
#[must_use]
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table: every route on one page")]
pub fn routes() -> Vec<Route> {
    vec![
        // Anybody
        route!(GET  "/health"                  Public   health::HEALTH           => health::health),
        route!(GET  "/health/live"             Public   health::LIVE             => health::live),
        route!(GET  "/health/ready"            Public   health::READY            => health::ready),
        // People and programs that look
        route!(GET  "/metrics"                 Viewer   about::METRICS           => about::metrics),
        route!(GET  "/"                        Viewer   about::API               => about::api),
        route!(GET  "/openapi.json"            Viewer   about::OPENAPI           => about::openapi),
        route!(GET  "/patterns"                Viewer   orchestrate::PATTERNS    => orchestrate::patterns),
        route!(GET  "/sessions"                Viewer   sessions::LIST           => sessions::list),
        route!(GET  "/sessions/{id}"           Viewer   sessions::GET            => sessions::get),
        route!(GET  "/sessions/{id}/context"   Viewer   sessions::CONTEXT        => sessions::context),
        route!(GET  "/api/articles"            Viewer   articles::LIST           => articles::list),
        route!(GET  "/tasks"                   Viewer   tasks::LIST              => tasks::list),
        route!(GET  "/tasks/{id}"              Viewer   tasks::GET               => tasks::get),
        route!(GET  "/tasks/{id}/report"       Viewer   tasks::REPORT            => tasks::report),
        route!(GET  "/tasks/{id}/events"       Viewer   tasks::EVENTS            => tasks::events),
        route!(GET  "/api/tickets"             Viewer   tickets::LIST            => tickets::list),
        route!(GET  "/api/tickets/{id}"        Viewer   tickets::GET             => tickets::get),
        route!(GET  "/api/tickets/{id}/events" Viewer   tickets::EVENTS          => tickets::events),
        route!(GET  "/orchestrator/agents"     Viewer   orchestrator::LIST       => orchestrator::list),
        route!(GET  "/orchestrator/agents/{id}" Viewer  orchestrator::GET        => orchestrator::get),
        route!(GET  "/orchestrator/agents/{id}/sessions" Viewer orchestrator::SESSIONS => orchestrator::sessions),
        route!(GET  "/orchestrator/tasks"      Viewer   orchestrator::TASKS      => orchestrator::tasks),
        route!(GET  "/orchestrator/tasks/{id}" Viewer   orchestrator::TASK       => orchestrator::task),
        route!(GET  "/v1/approvals"            Viewer   approvals::LIST          => approvals::list),
        route!(GET  "/v1/budgets"              Viewer   budgets::LIST            => budgets::list),
        route!(GET  "/v1/db/status"            Admin    db::STATUS               => db::status),
        route!(GET  "/v1/graphs"               Viewer   graphs::LIST             => graphs::list),
        route!(GET  "/v1/graphs/schema"        Viewer   graphs::SCHEMA           => graphs::schema),
        route!(GET  "/v1/graphs/{id}"          Viewer   graphs::GET              => graphs::get),
        route!(GET  "/v1/llm/models"           Viewer   models::LIST             => models::list),
        route!(GET  "/v1/memory/stats"         Viewer   memory::STATS            => memory::stats),
        route!(GET  "/v1/memory/facts"         Viewer   memory::FACTS            => memory::facts),
        route!(GET  "/v1/tools/list"           Viewer   tools::LIST              => tools::list),
        route!(GET  "/v1/workflows"            Viewer   runs::WORKFLOWS          => runs::workflows),
        route!(GET  "/v1/runs"                 Viewer   runs::LIST               => runs::list),
        route!(GET  "/v1/runs/{id}"            Viewer   runs::GET                => runs::get),
        route!(GET  "/v1/runs/{id}/events"     Viewer   runs::EVENTS             => runs::events),
        route!(GET  "/v1/documents"            Viewer   documents::LIST          => documents::list),
        route!(GET  "/v1/documents/{id}"       Viewer   documents::GET           => documents::get),
        route!(GET  "/v1/data-sources"         Viewer   data_sources::LIST       => data_sources::list),
        route!(GET  "/v1/data-sources/{id}"    Viewer   data_sources::GET        => data_sources::get),
        route!(POST "/v1/search"               Viewer   documents::SEARCH        => documents::search),
        // People and programs that work
        route!(POST "/orchestrate"             Operator orchestrate::ORCHESTRATE => orchestrate::orchestrate),
        route!(POST "/orchestrate/stream"      Operator orchestrate::STREAM      => orchestrate::stream),
        route!(DELETE "/sessions/{id}"         Operator sessions::DELETE         => sessions::delete),
        route!(POST "/api/tickets"             Operator tickets::CREATE          => tickets::create),
        route!(POST "/api/tickets/{id}/resolve" Operator tickets::RESOLVE        => tickets::resolve),
        route!(POST "/api/tickets/{id}/retry"  Operator tickets::RETRY           => tickets::retry),
        route!(POST "/orchestrator/execute-task" Operator orchestrator::EXECUTE  => orchestrator::execute),
        route!(POST "/orchestrator/tasks/{id}/cancel" Operator orchestrator::CANCEL => orchestrator::cancel),
        route!(POST "/orchestrator/heartbeat"  Operator orchestrator::HEARTBEAT  => orchestrator::heartbeat),
        route!(POST "/orchestrator/jobs/claim" Operator orchestrator::CLAIM      => orchestrator::claim),
        route!(POST "/orchestrator/jobs/{id}/result" Operator orchestrator::RESULT => orchestrator::result),
        route!(POST "/v1/chat"                 Operator chat::CHAT               => chat::chat),
        route!(POST "/v1/graphs/draw"          Operator graphs::DRAW             => graphs::draw),
        route!(PUT  "/v1/graphs/{id}"          Operator graphs::PUT              => graphs::put),
        route!(POST "/v1/tools/{name}/call"    Operator tools::CALL              => tools::call),
        route!(POST "/v1/runs"                 Operator runs::START              => runs::start),
        route!(POST "/v1/runs/{id}/cancel"     Operator runs::CANCEL             => runs::cancel),
        route!(POST "/v1/runs/{id}/signal"     Operator runs::SIGNAL             => runs::signal),
        route!(POST "/v1/runs/{id}/approve"    Operator runs::APPROVE            => runs::approve),
        route!(POST "/v1/documents"            Operator documents::PUT           => documents::put),
        route!(DELETE "/v1/documents/{id}"     Operator documents::DELETE        => documents::delete),
        route!(POST "/v1/llm/test-connection"  Operator models::TEST             => models::test),
        route!(POST "/v1/llm/count-tokens"     Operator models::COUNT            => models::count),
        route!(POST "/v1/memory/clear"         Operator memory::CLEAR            => memory::clear),
        route!(DELETE "/v1/memory/facts/{id}"  Operator memory::FORGET           => memory::forget),
        route!(POST "/v1/data-sources/{id}/query" Operator data_sources::QUERY   => data_sources::query),
        // People and programs that spend
        route!(POST "/tasks"                   Payer    tasks::CREATE            => tasks::create),
        route!(POST "/tasks/{id}/payments/{source}" Payer tasks::SETTLE          => tasks::settle),
        // People who set it up
        route!(GET  "/v1/export"               Admin    transfer::EXPORT         => transfer::export),
        route!(POST "/v1/import"               Admin    transfer::IMPORT         => transfer::import),
        route!(POST "/v1/db/prune"             Admin    db::PRUNE                => db::prune),
        route!(POST "/orchestrator/register"   Admin    orchestrator::REGISTER   => orchestrator::register),
        route!(POST "/orchestrator/unregister" Admin    orchestrator::UNREGISTER => orchestrator::unregister),
        route!(POST "/orchestrator/start"      Admin    orchestrator::START      => orchestrator::start),
        route!(POST "/orchestrator/stop"       Admin    orchestrator::STOP       => orchestrator::stop),
        route!(POST "/v1/data-sources"         Admin    data_sources::CREATE     => data_sources::create),
        route!(PUT  "/v1/data-sources/{id}"    Admin    data_sources::PUT        => data_sources::put),
        route!(DELETE "/v1/data-sources/{id}"  Admin    data_sources::DELETE     => data_sources::delete),
        route!(POST "/v1/tools/register"       Admin    tools::REGISTER          => tools::register),
        route!(POST "/v1/tools/{name}/approve" Admin    tools::APPROVE           => tools::approve),
        route!(DELETE "/v1/tools/{name}"       Admin    tools::DELETE            => tools::delete),
        route!(PUT  "/api/articles"            Admin    articles::PUT            => articles::put),
        route!(DELETE "/v1/graphs/{id}"        Admin    graphs::DELETE           => graphs::delete),
        route!(DELETE "/api/articles/{id}"     Admin    articles::DELETE         => articles::delete),
    ]
}

/// The role that a route needs; `None` where there is no such route.
pub(crate) fn role(method: &Method, path: &str) -> Option<Role> {
    static TABLE: OnceLock<Vec<Route>> = OnceLock::new();
    // A HEAD is a GET whose body nobody reads.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    TABLE.get_or_init(routes).iter().find(|r| r.path == path && r.method == *method).map(|r| r.role)
}

/// The whole HTTP surface of an application.
pub fn router(app: App, options: ServerOptions) -> Router {
    let table = routes();
    let openapi = openapi::document(&app, &table).to_string().into();
    let options_are_of_worker = options.is_worker;
    let shared = Shared(Arc::new(Inner { app, options, openapi }));
    let mut router = Router::new();
    for route in table.into_iter().filter(|route| !options_are_of_worker || is_for_worker(route)) {
        router = router.route(route.path, route.handler);
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// What a process that only works runs still answers.
fn is_for_worker(route: &Route) -> bool {
    route.path.starts_with("/health") || route.path == "/metrics"
}

async fn not_found(method: Method, uri: Uri) -> Failed {
    let path: String = uri.path().chars().take(200).collect();
    Failure::not_found(format!("there is nothing at {method} {path}; GET /openapi.json lists what there is")).into()
}

async fn method_not_allowed(method: Method, uri: Uri) -> Failed {
    let path: String = uri.path().chars().take(200).collect();
    Failure::new(Class::MethodNotAllowed, format!("{path} does not take {method}; see the Allow header")).into()
}
