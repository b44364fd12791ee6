//! The four agents of tickets, by the words of subject and body. Cheap: a load test asks them thousands of times a second.

use crate::World;
use crate::role::Role;
use crate::service::Answer;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    ticket: Ticket<'a>,
}

#[derive(Deserialize)]
struct Ticket<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

/// Category, the words that lead to it, and what is known about it.
const DESKS: [(&str, &[&str], &str, &str); 8] = [
    (
        "refund",
        &["refund", "money back"],
        "Refunds",
        "Refunds arrive within ten working days on the card that was charged.",
    ),
    (
        "card",
        &["card", "pin", "contactless"],
        "Cards",
        "A new card arrives within five working days; block a lost one in the app.",
    ),
    (
        "transfer",
        &["transfer", "iban", "beneficiary"],
        "Transfers",
        "A transfer takes up to two working days; weekends do not count.",
    ),
    ("top_up", &["top up", "top-up", "topping"], "Top-ups", "A top-up by card is there at once, by bank within a day."),
    (
        "cash",
        &["cash", "atm", "withdraw"],
        "Cash",
        "Withdrawals are free up to 200 a month; a declined one is given back in a day.",
    ),
    (
        "exchange",
        &["exchange", "currency", "rate"],
        "Exchange",
        "We use the rate of the moment of the payment, without a fee on working days.",
    ),
    (
        "account",
        &["account", "identity", "verify", "passcode"],
        "Your account",
        "Verify your identity with a passport; it takes up to a day.",
    ),
    (
        "billing",
        &["charged", "charge", "fee", "payment"],
        "Charges",
        "A charge that shows twice is pending once; it goes away in three days.",
    ),
];
const URGENT: [&str; 6] = ["stolen", "fraud", "lawyer", "immediately", "compromised", "scam"];
const BAD: [&str; 8] = ["terrible", "angry", "not working", "still", "why", "unacceptable", "worst", "wrong"];
const GOOD: [&str; 4] = ["thank", "great", "love", "please"];

pub(crate) async fn router(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    world.play(Role::Router, &headers, |_| with(&body, route)).await
}

pub(crate) async fn knowledge(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    world.play(Role::Knowledge, &headers, |_| with(&body, find)).await
}

pub(crate) async fn sentiment(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    world.play(Role::Sentiment, &headers, |_| with(&body, judge)).await
}

pub(crate) async fn decision(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    world.play(Role::Decision, &headers, |_| with(&body, decide)).await
}

fn with(body: &[u8], answer: impl FnOnce(&str) -> Answer) -> Answer {
    match serde_json::from_slice::<Asked<'_>>(body) {
        Ok(asked) => answer(&format!("{} {}", asked.ticket.subject, asked.ticket.body).to_lowercase()),
        Err(e) => Answer::wrong(StatusCode::UNPROCESSABLE_ENTITY, &e.to_string()),
    }
}

fn holds(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

fn desk(text: &str) -> Option<&'static (&'static str, &'static [&'static str], &'static str, &'static str)> {
    DESKS.iter().find(|(_, words, ..)| holds(text, words))
}

fn route(text: &str) -> Answer {
    let found = desk(text);
    let priority = if holds(text, &URGENT) { "urgent" } else { "normal" };
    let confidence = if found.is_some() { 0.9 } else { 0.4 };
    let category = found.map_or("general", |desk| desk.0);
    Answer::ok(&json!({"category": category, "priority": priority, "confidence": confidence, "tags": [category]}))
}

fn find(text: &str) -> Answer {
    let fits = DESKS.iter().filter(|(_, words, ..)| holds(text, words)).take(3);
    let article = |(id, _, title, content): &(&str, _, &str, &str)| json!({"id": id, "title": title, "content": content, "score": 0.8});
    Answer::ok(&json!({"articles": fits.map(article).collect::<Vec<_>>()}))
}

fn judge(text: &str) -> Answer {
    let (mood, score) = match (holds(text, &BAD), holds(text, &GOOD)) {
        (true, _) => ("negative", -0.6),
        (false, true) => ("positive", 0.5),
        _ => ("neutral", 0.0),
    };
    let urgency = if holds(text, &URGENT) { "high" } else { "medium" };
    Answer::ok(&json!({"sentiment": mood, "score": score, "urgency": urgency}))
}

fn decide(text: &str) -> Answer {
    let (action, response, reason) = match desk(text) {
        _ if holds(text, &URGENT) => ("escalate", "", "urgent: a person should look at it"),
        Some((.., content)) => ("resolve", *content, "an article answers it"),
        None => ("escalate", "", "nothing is known about it"),
    };
    Answer::ok(&json!({"action": action, "response": response, "confidence": 0.8, "reason": reason}))
}
