//! How the marketplace asks to be paid: in the seed's words, in x402's or in MPP's. Signed payments are taken for good, as long as
//! they pay enough: who signed them is not the question here. An asset unit is a millionth of a dollar, a price a cent.

use crate::service::Answer;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// In whose words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Asks {
    /// `{"price"}`
    #[default]
    Seed,
    /// x402 version 2.
    X402,
    /// x402 version 1.
    X402V1,
    /// `WWW-Authenticate: Payment`
    Mpp,
}

impl Asks {
    /// The words for them.
    pub const ALL: [(&'static str, Self); 4] =
        [("seed", Self::Seed), ("x402", Self::X402), ("x402-v1", Self::X402V1), ("mpp", Self::Mpp)];
}

/// What is asked for, and where.
const ASSET: &str = "0xTEST";
const NETWORK: &str = "eip155:84532";
/// Smallest units of the asset in a cent.
const UNITS: i64 = 10_000;

/// A payment that came with a request.
pub(crate) struct Signed {
    pub payer: String,
    pub nonce: String,
    pub amount: i64,
}

pub(crate) fn ask(asks: Asks, price: &Value) -> Answer {
    let amount = price.as_i64().map_or_else(|| price.to_string(), |price| (price.saturating_mul(UNITS)).to_string());
    let mut accepted =
        json!({"scheme": "exact", "network": NETWORK, "asset": ASSET, "payTo": "0xMARKET", "maxTimeoutSeconds": 60});
    let (headers, body) = match asks {
        Asks::Seed => (None, json!({ "price": price })),
        Asks::X402 => {
            accepted["amount"] = json!(amount);
            let required = json!({"x402Version": 2, "resource": {"url": "/company/detail"}, "accepts": [accepted]});
            (header("payment-required", &STANDARD.encode(required.to_string())), json!({}))
        }
        Asks::X402V1 => {
            accepted["maxAmountRequired"] = json!(amount);
            (None, json!({"x402Version": 1, "error": "X-PAYMENT header is required", "accepts": [accepted]}))
        }
        Asks::Mpp => {
            let request = URL_SAFE_NO_PAD.encode(json!({"amount": amount, "currency": ASSET}).to_string());
            let challenge =
                format!(r#"Payment id="c1", realm="market", method="test", intent="charge", request="{request}""#);
            (header(header::WWW_AUTHENTICATE.as_str(), &challenge), json!({}))
        }
    };
    Answer { headers: headers.into_iter().collect(), ..Answer::new(StatusCode::PAYMENT_REQUIRED, &body) }
}

pub(crate) fn receipt(asks: Asks) -> Vec<(HeaderName, HeaderValue)> {
    let told = json!({"success": true, "transaction": "0xabc", "network": NETWORK}).to_string();
    let told = match asks {
        Asks::Seed => None,
        Asks::X402 => header("payment-response", &STANDARD.encode(told)),
        Asks::X402V1 => header("x-payment-response", &STANDARD.encode(told)),
        Asks::Mpp => header("payment-receipt", &URL_SAFE_NO_PAD.encode(told)),
    };
    told.into_iter().collect()
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
}

/// The payment in a request's headers, in whichever words.
pub(crate) fn signed(headers: &HeaderMap) -> Option<Signed> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(payload) = text("payment-signature").or_else(|| text("x-payment")) {
        let payload: Value = serde_json::from_slice(&STANDARD.decode(payload).ok()?).ok()?;
        let authorization = &payload["payload"]["authorization"];
        return paid(&authorization["from"], &authorization["nonce"], &authorization["value"]);
    }
    let credential = text("authorization")?.strip_prefix("Payment ")?;
    let credential: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(credential).ok()?).ok()?;
    let request = credential["challenge"]["request"].as_str()?;
    let request: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(request).ok()?).ok()?;
    paid(&credential["source"], &credential["payload"]["nonce"], &request["amount"])
}

fn paid(payer: &Value, nonce: &Value, amount: &Value) -> Option<Signed> {
    let amount: i64 = amount.as_str()?.parse().ok()?;
    Some(Signed { payer: payer.as_str()?.into(), nonce: nonce.as_str()?.into(), amount: amount / UNITS })
}
