//! Tickets: take one, read, list, follow, resolve, retry.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::runs::followed;
use crate::routes::{json, locate, mark_replayed};
use crate::sse;
use axum::extract::{Request, State};
use http::StatusCode;
use tutti_app::tickets::{ListTickets, STATUSES, Taken};

pub const CREATE: Doc = Doc::new("tickets", "Take a ticket")
    .detail("Durable before it is answered; with `wait`, answered once it is resolved or escalated, or the time is up.")
    .params(&[Param::WAIT, Param::PREFER, Param::ONCE_KEY])
    .takes("TicketRequest")
    .answers(201, "Taken: it will end resolved or escalated", "Ticket");

/// `POST /api/tickets`
pub async fn create(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let wait = asked.wait();
    let body = asked.required_body(&shared).await?;
    let prepared = shared.app.read_ticket(&asked.caller, &body);
    let prepared = asked.settle(prepared)?;
    answer(StatusCode::CREATED, shared.app.take_ticket(prepared, wait).await?)
}

pub const GET: Doc = Doc::new("tickets", "A ticket").params(&[Param::TICKET]).answers(200, "The ticket", "Ticket");

/// `GET /api/tickets/{id}`
pub async fn get(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.ticket(&asked.caller, &id).await?)
}

pub const LIST: Doc = Doc::new("tickets", "Tickets, those worked on last first")
    .params(&[Param::TICKET_STATUS, Param::CUSTOMER, Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "TicketPage");

/// `GET /api/tickets`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let status = |word: &str| STATUSES.into_iter().find(|status| *status == word);
    let list = ListTickets {
        status: query.word("status", &STATUSES.join(", "), status),
        customer_id: query.text("customer_id").map(String::from),
        limit: query.integer("limit", 1, 200).unwrap_or(50),
        cursor: query.text("cursor").map(String::from),
    };
    let page = shared.app.list_tickets(&asked.caller, list).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const EVENTS: Doc = Doc::new("tickets", "Follow the events of a ticket's latest run")
    .params(&[Param::TICKET, Param::AFTER, Param::LAST_EVENT_ID])
    .streams()
    .answers(204, "The run has ended and everything was seen", "");

/// `GET /api/tickets/{id}/events`
pub async fn events(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let after = sse::after(&mut asked);
    asked.settle(Ok(()))?;
    Ok(followed(&shared, shared.app.follow_ticket(&asked.caller, &id, after).await?))
}

pub const RESOLVE: Doc = Doc::new("tickets", "A person closes an escalated ticket")
    .params(&[Param::TICKET, Param::ONCE_KEY])
    .takes("ResolveRequest")
    .answers(200, "Resolved", "Ticket")
    .answers(409, "The ticket is not escalated, or somebody else was first", "Error");

/// `POST /api/tickets/{id}/resolve`
pub async fn resolve(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(&shared).await?;
    let resolved = shared.app.resolve_ticket(&asked.caller, &id, &body).await;
    answer(StatusCode::OK, asked.settle(resolved)?)
}

pub const RETRY: Doc = Doc::new("tickets", "An escalated ticket is worked on again, from routing")
    .params(&[Param::TICKET, Param::WAIT, Param::PREFER, Param::ONCE_KEY])
    .answers(200, "At work again", "Ticket")
    .answers(409, "The ticket is not escalated, or somebody else was first", "Error");

/// `POST /api/tickets/{id}/retry`
pub async fn retry(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let wait = asked.wait();
    asked.settle(Ok(()))?;
    answer(StatusCode::OK, shared.app.retry_ticket(&asked.caller, &id, wait).await?)
}

fn answer(status: StatusCode, taken: Taken) -> Answer {
    let mut response = json(status, &taken.ticket)?;
    locate(&mut response, &format!("/api/tickets/{}", taken.ticket.ticket_id));
    mark_replayed(&mut response, taken.is_replayed);
    Ok(response)
}
