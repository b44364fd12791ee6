//! A marketplace that sells data, and who pays there: what a research run asks of them, one activity each.
//!
//! A payment has three outcomes. Paid: the till said so. Refused: it said no. Unknown: nothing came back, or nothing that says
//! either; it is never sent again, since it may have been made.

use crate::payment::{self, Credential, Offer, read_offer};
use crate::upstream::{Ask, Reply};
use crate::vault;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_engine::Amounts;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect, Next};

/// Most sources of one task.
pub const SOURCES_MAX: usize = 50;
/// Most characters of an id or a name.
const NAME_CHARS_MAX: usize = 200;
/// The header that shows a token.
const TOKEN_HEADER: &str = "x-payment-token";
const MARKET: &str = "the marketplace";
const TILL: &str = "the marketplace's till";
const PAYMENTS: &str = "the payment manager";
/// Nobody else can have been asked; the contract's class for data.
const DATA: &str = "DataError";
const PAYMENT: &str = "PaymentError";
/// The contract's class for a voice that is not accepted.
pub const AUTHENTICATION: &str = "AuthenticationError";

/// Something that can be asked for data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// As the marketplace names it: the text of its number or word.
    pub id: String,
    /// For people.
    pub name: String,
}

/// Finds sources for a theme.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Discover {
    /// The marketplace.
    pub base: String,
    /// What about.
    pub theme: String,
}

impl Activity for Discover {
    type Output = Vec<Source>;
    const NAME: &'static str = "market.discover";

    async fn run(self, cx: ActivityCx) -> Result<Vec<Source>, ActivityError> {
        let query: String = url::form_urlencoded::byte_serialize(self.theme.as_bytes()).collect();
        let ask = get(format!("{}/companies?query={query}", self.base), HeaderMap::new());
        let reply = ask.send(&cx).await?;
        if reply.status != 404 {
            let found: Value = ask.read(&reply)?;
            let items = found.get("items").and_then(Value::as_array);
            let items = items.ok_or_else(|| ask.off_contract("there are no items", &reply.body))?;
            return sources(items).map_err(|why| ask.off_contract(&why, &reply.body));
        }
        // An older marketplace knows one company and no search.
        let ask = get(format!("{}/company/basic?id=1", self.base), HeaderMap::new());
        let reply = ask.send(&cx).await?;
        let basic: Value = ask.read(&reply)?;
        let id = basic.get("id").cloned().unwrap_or(json!(1));
        let name = basic.get("name").cloned().unwrap_or(json!("company 1"));
        sources(&[json!({"id": id, "name": name})]).map_err(|why| ask.off_contract(&why, &reply.body))
    }
}

fn sources(items: &[Value]) -> Result<Vec<Source>, String> {
    let mut all: Vec<Source> = Vec::new();
    for item in items.iter().take(SOURCES_MAX) {
        let id = match &item["id"] {
            Value::Number(n) => n.to_string(),
            Value::String(text) if !text.is_empty() && text.chars().count() <= NAME_CHARS_MAX => text.clone(),
            _ => return Err("an item has no usable id".into()),
        };
        let name =
            item["name"].as_str().unwrap_or(&id).chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        if !all.iter().any(|source| source.id == id) {
            all.push(Source { id, name });
        }
    }
    Ok(all)
}

/// Asks a source, with a token where one was paid with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskSource {
    /// The marketplace.
    pub base: String,
    /// Which.
    pub id: String,
    /// What was paid with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// What shows that a source was paid, or pays it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The seed's dialect: the token that the till was paid with.
    Token(String),
    /// x402 and MPP: a signed payment, always the same for the same source.
    Signed(Credential),
}

impl Proof {
    fn headers(&self) -> Result<HeaderMap, ActivityError> {
        let (name, value) = match self {
            Self::Token(token) => (TOKEN_HEADER, token.as_str()),
            Self::Signed(Credential { header, value }) => (header.as_str(), value.as_str()),
        };
        let unusable = |_| ActivityError::fatal(PAYMENT, "what was paid with cannot be sent in a header");
        let mut value = HeaderValue::from_str(value).map_err(|_| unusable(()))?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable(()))?;
        Ok(HeaderMap::from_iter([(name, value)]))
    }
}

/// What a source answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What it knows.
    Data(Value),
    /// It wants to be paid.
    Asks(Offer),
    /// It wants something that is no price, told in words.
    Odd(String),
}

impl Activity for AskSource {
    type Output = Answer;
    const NAME: &'static str = "market.ask";

    async fn run(self, cx: ActivityCx) -> Result<Answer, ActivityError> {
        let headers = self.proof.as_ref().map(Proof::headers).transpose()?.unwrap_or_default();
        let ask = get(detail(&self.base, &self.id), headers);
        let reply = ask.send(&cx).await?;
        if reply.status == 402 {
            return Ok(match read_offer(&reply.headers, &reply.body) {
                Ok(offer) => Answer::Asks(offer),
                Err(why) => Answer::Odd(why),
            });
        }
        ask.read(&reply).map(Answer::Data)
    }
}

/// Asks the payment manager for a token that may spend a budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetToken {
    /// The payment manager.
    pub base: String,
    /// The most that may be spent with it.
    pub budget: u64,
    /// The vault's handle of the voice.
    pub voice: String,
}

impl Activity for GetToken {
    type Output = String;
    const NAME: &'static str = "payments.token";

    async fn run(self, cx: ActivityCx) -> Result<String, ActivityError> {
        let voice = voice(self.voice).await?;
        let body = json!({"budget": self.budget, "voice_id": voice});
        let ask = post(PAYMENTS, PAYMENT, format!("{}/token", self.base), &body);
        let reply = ask.send(&cx).await?;
        if matches!(reply.status, 401 | 403) {
            return Err(ActivityError::fatal(AUTHENTICATION, "the payment manager did not accept the voice"));
        }
        let answer: Value = ask.read(&reply)?;
        let token = answer["token_id"].as_str().filter(|token| !token.is_empty() && token.len() <= 4_096);
        token.map(ToOwned::to_owned).ok_or_else(|| ask.off_contract("there is no token_id", b""))
    }
}

/// Asks whether a voice is who it says it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyVoice {
    /// Who is asked.
    pub url: String,
    /// The vault's handle of the voice.
    pub voice: String,
    /// The task that it wants to pay for.
    pub task_id: String,
}

impl Activity for VerifyVoice {
    type Output = bool;
    const NAME: &'static str = "voice.verify";

    async fn run(self, cx: ActivityCx) -> Result<bool, ActivityError> {
        let body = json!({"voice_id": voice(self.voice).await?, "task_id": self.task_id});
        let ask = post("the voice check", "WorkflowError", self.url, &body);
        let reply = ask.send(&cx).await?;
        let answer: Value = ask.read(&reply)?;
        answer["verified"].as_bool().ok_or_else(|| ask.off_contract("verified is no boolean", &reply.body))
    }
}

/// Pays a source: with a token at the till, or by asking it with a signed payment. Sent at most once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pay {
    /// The marketplace.
    pub base: String,
    /// With what.
    pub proof: Proof,
    /// How much.
    pub amount: u64,
    /// For whom.
    pub source: String,
}

/// A payment that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paid {
    /// How much.
    pub amount: u64,
    /// What came with it, where the payment went with the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The seller's receipt, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Value>,
}

impl Activity for Pay {
    type Output = Paid;
    const NAME: &'static str = "market.pay";
    const EFFECT: Effect = Effect::AtMostOnce;

    async fn run(self, cx: ActivityCx) -> Result<Paid, ActivityError> {
        let ask = match &self.proof {
            Proof::Token(token) => {
                let body = json!({"tokenId": token, "amount": self.amount});
                post(TILL, PAYMENT, format!("{}/pay", self.base), &body)
            }
            Proof::Signed(_) => Ask { class: PAYMENT, ..get(detail(&self.base, &self.source), self.proof.headers()?) },
        };
        let unknown = |message: String| ActivityError {
            next: Next::Person,
            ..ActivityError::fatal(PAYMENT, format!("{message}; whether it was paid is not known")).sent()
        };
        let outcome = match ask.send(&cx).await {
            Ok(reply @ Reply { status: 200..=299, .. }) => {
                let is_signed = matches!(self.proof, Proof::Signed(_));
                let data = if is_signed { serde_json::from_slice(&reply.body).ok() } else { None };
                Ok(Paid { amount: self.amount, data, receipt: payment::receipt(&reply.headers) })
            }
            Ok(reply @ Reply { status: 408 | 409 | 425 | 429, .. }) => Err(unknown(ask.status(&reply).message)),
            Ok(reply @ Reply { status: 400..=499, .. }) => {
                Err(ActivityError::fatal(PAYMENT, ask.status(&reply).message))
            }
            Ok(reply) => Err(unknown(ask.status(&reply).message)),
            Err(error) if error.may_have_cost => Err(unknown(error.message)),
            // Nothing was sent: it may be tried again, or can never be.
            Err(error) => Err(error),
        };
        let word = match &outcome {
            Ok(_) => "paid",
            Err(error) if error.may_have_cost => "unknown",
            Err(_) => "refused",
        };
        metrics::counter!("tutti_payments_total", "outcome" => word).increment(1);
        outcome
    }

    fn spent(paid: &Paid) -> Option<Amounts> {
        Some(Amounts { purchases: paid.amount, ..Amounts::default() })
    }
}

async fn voice(handle: String) -> Result<String, ActivityError> {
    let gone = "the voice is not kept any more";
    let found = vault::open(handle).await.map_err(|why| ActivityError::retry(PAYMENT, why))?;
    found.ok_or_else(|| ActivityError::fatal(AUTHENTICATION, gone))
}

fn detail(base: &str, id: &str) -> String {
    let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("{base}/company/detail?id={id}")
}

fn get(url: String, headers: HeaderMap) -> Ask<'static> {
    Ask { service: MARKET, class: DATA, method: Method::GET, url, headers, body: Bytes::new() }
}

fn post(service: &'static str, class: &'static str, url: String, body: &Value) -> Ask<'static> {
    let body = body.to_string().into();
    Ask { service, class, method: Method::POST, url, headers: HeaderMap::new(), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_once_and_bounded() {
        let items: Vec<_> = (0..200).map(|n| json!({"id": n / 2, "name": "a\u{7}b"})).collect();
        let all = sources(&items).unwrap();
        assert_eq!((all.len(), all[0].name.as_str()), (SOURCES_MAX / 2, "ab"));
        assert_eq!(sources(&[json!({"id": "x"})]).unwrap()[0], Source { id: "x".into(), name: "x".into() });
        for odd in [json!({"name": "a"}), json!({"id": ""}), json!({"id": [1]}), json!(7)] {
            assert!(sources(&[odd]).is_err());
        }
    }
}
