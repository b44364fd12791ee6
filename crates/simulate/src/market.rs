//! A marketplace that sells company data, the payment manager that hands out tokens, and who checks voices. The books are the
//! judge of whoever buys here: every accepted payment is charged, also one that was made before.

use crate::World;
use crate::companies::{self, Company};
use crate::fault::Fault;
use crate::paywall::{self, Asks, Signed};
use crate::role::Role;
use crate::service::Answer;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most tokens that are remembered; the oldest go first.
const TOKENS_MAX: usize = 100_000;
/// Every so-manieth company costs nothing.
const FREE_EVERY: usize = 5;

/// Goods and books.
#[derive(Debug)]
pub(crate) struct Market {
    companies: Vec<Company>,
    asks: Asks,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    accounts: BTreeMap<u64, Account>,
    /// Tokens by the key under which they were asked for.
    by_key: BTreeMap<String, u64>,
    last: u64,
    /// Who pays with signed payments, by address.
    payers: BTreeMap<String, Account>,
    /// What each signed payment bought, by its nonce.
    nonces: BTreeMap<String, usize>,
}

#[derive(Debug, Default)]
struct Account {
    budget: i64,
    paid: i64,
    credit: i64,
    bought: BTreeMap<usize, i64>,
    payments: Vec<(i64, String)>,
}

impl Account {
    fn json(&self) -> Value {
        let bought: Vec<_> = self.bought.iter().map(|(id, price)| json!({"id": id, "price": price})).collect();
        let payments: Vec<_> =
            self.payments.iter().map(|(amount, key)| json!({"amount": amount, "key": key})).collect();
        json!({"budget": self.budget, "paid": self.paid, "credit": self.credit, "bought": bought, "payments": payments})
    }
}

#[derive(Deserialize)]
pub(crate) struct Which {
    #[serde(default)]
    query: String,
    #[serde(default)]
    id: usize,
}

#[derive(Deserialize)]
struct Payment {
    #[serde(rename = "tokenId")]
    token: String,
    amount: i64,
}

#[derive(Deserialize)]
struct TokenAsked {
    budget: i64,
    voice_id: String,
}

/// What a company's data costs; nothing for some.
fn price(id: usize) -> i64 {
    if id.is_multiple_of(FREE_EVERY) { 0 } else { 1 + i64::try_from(id * 7 % 20).unwrap_or(0) }
}

fn name(token: u64) -> String {
    format!("tok-{token}")
}

fn key(headers: &HeaderMap) -> Option<&str> {
    headers.get("idempotency-key")?.to_str().ok()
}

impl Market {
    pub fn new(companies: Vec<Company>, asks: Asks) -> Self {
        Self { companies, asks, books: Mutex::default() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn company(&self, id: usize) -> Option<&Company> {
        self.companies.get(id.checked_sub(1)?)
    }

    fn detail(&self, id: usize, headers: &HeaderMap, fault: Option<&Fault>) -> Answer {
        let Some(company) = self.company(id) else {
            return Answer::wrong(StatusCode::NOT_FOUND, "there is no such company");
        };
        let asks = |price: Value| paywall::ask(self.asks, &price);
        let token = headers.get("x-payment-token").and_then(|value| value.to_str().ok());
        let real = price(id);
        let wrong = fault.and_then(|fault| fault.price.clone());
        if fault.is_some_and(|fault| fault.always_402) {
            return asks(wrong.unwrap_or(real.into()));
        }
        if real == 0 && wrong.is_none() {
            return Answer::ok(&company.detail(id));
        }
        let mut books = self.books();
        if let Some(account) = token.and_then(|token| books.account(token)) {
            let is_bought = account.bought.contains_key(&id);
            // A lie about the price is charged all the same: the till knows only what was paid.
            let due = wrong.as_ref().and_then(Value::as_i64).unwrap_or(real).max(1);
            if !is_bought && account.credit >= due {
                account.credit -= due;
                account.bought.insert(id, due);
            }
            if account.bought.contains_key(&id) {
                return match fault.and_then(|fault| fault.price_after) {
                    Some(more) => asks(more.into()),
                    None => Answer::ok(&company.detail(id)),
                };
            }
        }
        if let Some(signed) = paywall::signed(headers)
            && books.charge(&signed, id, real)
        {
            return match fault.and_then(|fault| fault.price_after) {
                Some(more) => asks(more.into()),
                None => Answer { headers: paywall::receipt(self.asks), ..Answer::ok(&company.detail(id)) },
            };
        }
        asks(wrong.unwrap_or(real.into()))
    }
}

impl Books {
    /// Charges a signed payment once, however often it comes; whether it has bought this.
    fn charge(&mut self, signed: &Signed, id: usize, price: i64) -> bool {
        if let Some(bought) = self.nonces.get(&signed.nonce) {
            return *bought == id;
        }
        if signed.amount < price.max(1) || self.nonces.len() >= TOKENS_MAX {
            return false;
        }
        let account = self.payers.entry(signed.payer.clone()).or_default();
        account.paid += signed.amount;
        account.bought.insert(id, signed.amount);
        account.payments.push((signed.amount, signed.nonce.clone()));
        self.nonces.insert(signed.nonce.clone(), id);
        true
    }

    fn account(&mut self, token: &str) -> Option<&mut Account> {
        self.accounts.get_mut(&token.strip_prefix("tok-")?.parse().ok()?)
    }

    fn open(&mut self, budget: i64, key: Option<&str>) -> u64 {
        if let Some(token) = key.and_then(|key| self.by_key.get(key)) {
            return *token;
        }
        self.last += 1;
        self.accounts.insert(self.last, Account { budget, ..Account::default() });
        if let Some(key) = key {
            self.by_key.insert(key.to_owned(), self.last);
        }
        if self.accounts.len() > TOKENS_MAX {
            self.accounts.pop_first();
        }
        self.last
    }

    fn pay(&mut self, payment: &Payment, key: Option<&str>) -> Answer {
        let Some(account) = self.account(&payment.token) else {
            return Answer::wrong(StatusCode::UNAUTHORIZED, "there is no such token");
        };
        if payment.amount < 1 {
            return Answer::wrong(StatusCode::UNPROCESSABLE_ENTITY, "amount should be above 0");
        }
        if payment.amount > account.budget - account.paid {
            return Answer::wrong(StatusCode::FORBIDDEN, "the token's budget does not cover it");
        }
        account.paid += payment.amount;
        account.credit += payment.amount;
        account.payments.push((payment.amount, key.unwrap_or_default().to_owned()));
        Answer::ok(&json!({"status": "paid", "paid": account.paid}))
    }

    fn json(&self) -> Value {
        let tokens: Map<String, Value> =
            self.accounts.iter().map(|(no, account)| (name(*no), account.json())).collect();
        let payers: Map<String, Value> =
            self.payers.iter().map(|(who, account)| (who.clone(), account.json())).collect();
        let sum = |of: fn(&Account) -> i64| self.accounts.values().chain(self.payers.values()).map(of).sum::<i64>();
        let totals = json!({"tokens": self.accounts.len(), "paid": sum(|a| a.paid), "credit": sum(|a| a.credit)});
        json!({"tokens": tokens, "payers": payers, "totals": totals})
    }
}

pub(crate) async fn search(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Response {
    let market = &world.market;
    let basic = |id: usize| market.company(id).map(|company| company.basic(id));
    let found = || companies::find(&market.companies, &which.query).into_iter().filter_map(basic).collect::<Vec<_>>();
    world.play(Role::Market, &headers, |_| Answer::ok(&json!({"items": found()}))).await
}

pub(crate) async fn basic(State(world): State<Arc<World>>, headers: HeaderMap, Query(which): Query<Which>) -> Response {
    let answer = || match world.market.company(which.id) {
        Some(company) => Answer::ok(&company.basic(which.id)),
        None => Answer::wrong(StatusCode::NOT_FOUND, "there is no such company"),
    };
    world.play(Role::Market, &headers, |_| answer()).await
}

pub(crate) async fn detail(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Response {
    world.play(Role::Market, &headers, |fault| world.market.detail(which.id, &headers, fault)).await
}

pub(crate) async fn pay(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    let work = || match serde_json::from_slice::<Payment>(&body) {
        Ok(payment) => world.market.books().pay(&payment, key(&headers)),
        Err(e) => Answer::wrong(StatusCode::UNPROCESSABLE_ENTITY, &e.to_string()),
    };
    world.play(Role::Pay, &headers, |_| work()).await
}

pub(crate) async fn token(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    let work = || match serde_json::from_slice::<TokenAsked>(&body) {
        Ok(asked) if asked.voice_id.starts_with("denied") => {
            Answer::wrong(StatusCode::FORBIDDEN, "this voice is not accepted")
        }
        Ok(asked) if asked.budget < 1 => Answer::wrong(StatusCode::UNPROCESSABLE_ENTITY, "budget should be above 0"),
        Ok(asked) => {
            let token = world.market.books().open(asked.budget, key(&headers));
            Answer::ok(&json!({"token_id": name(token)}))
        }
        Err(e) => Answer::wrong(StatusCode::UNPROCESSABLE_ENTITY, &e.to_string()),
    };
    world.play(Role::Payments, &headers, |_| work()).await
}

#[derive(Deserialize)]
struct Voice {
    voice_id: String,
}

pub(crate) async fn voice(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    let work = || match serde_json::from_slice::<Voice>(&body) {
        Ok(voice) => Answer::ok(&json!({"verified": !voice.voice_id.starts_with("stranger")})),
        Err(e) => Answer::wrong(StatusCode::UNPROCESSABLE_ENTITY, &e.to_string()),
    };
    world.play(Role::Voice, &headers, |_| work()).await
}

pub(crate) async fn books(State(world): State<Arc<World>>) -> axum::Json<Value> {
    axum::Json(world.market.books().json())
}

pub(crate) async fn forget(State(world): State<Arc<World>>) -> StatusCode {
    *world.market.books() = Books::default();
    StatusCode::NO_CONTENT
}
