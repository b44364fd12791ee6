//! MPP: challenges `Payment id="…", realm="…", method="…", intent="charge", request="…"` in `WWW-Authenticate`, the request being
//! base64url JSON with `amount` and `currency`; answered by `Authorization: Payment …`, which repeats the challenge.

use super::{Credential, Dialect, Offer, TestSigner, URL_SAFE_NO_PAD, Wallet, decoded};
use base64::Engine as _;
use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

/// The parameters of each challenge.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Map<String, Value>> {
    let all = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(split).collect()
}

/// Several challenges may stand in one header.
fn split(text: &str) -> Vec<Map<String, Value>> {
    let mut found: Vec<Map<String, Value>> = Vec::new();
    let (mut rest, mut is_ours) = (text.trim(), false);
    while !rest.is_empty() {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let end = rest.find(['=', ' ', ',']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if let Some(value) = tail.strip_prefix('=') {
            let (value, tail) = parameter(value);
            if is_ours && let Some(challenge) = found.last_mut() {
                challenge.insert(word.to_ascii_lowercase(), value.into());
            }
            rest = tail;
        } else {
            is_ours = word.eq_ignore_ascii_case("Payment");
            if is_ours {
                found.push(Map::new());
            }
            rest = tail;
        }
    }
    found
}

/// A token or a quoted text, and what follows it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut is_escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if is_escaped => {
                value.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

pub(super) fn offer(challenges: Vec<Map<String, Value>>, wallet: &Wallet) -> Result<Offer, String> {
    let price = |challenge: &Map<String, Value>| {
        let word = |name: &str| challenge.get(name).and_then(Value::as_str).unwrap_or_default();
        if word("intent") != "charge" {
            return Err(format!("the intent {:?} is not understood", word("intent")));
        }
        let request = decoded(word("request").as_bytes()).ok_or("its request cannot be read")?;
        wallet.price(request["currency"].as_str().unwrap_or_default(), word("method"), &request["amount"])
    };
    let offers = challenges.into_iter().map(|challenge| (price(&challenge), Value::Object(challenge)));
    wallet.cheapest(offers.collect(), Dialect::Mpp)
}

pub(super) fn credential(offer: &Offer, signer: &TestSigner, nonce: &str) -> Credential {
    let signature = signer.sign(&format!("{}{nonce}", offer.terms));
    let payload = json!({"type": "hmac", "nonce": nonce, "signature": signature});
    let body =
        json!({"challenge": offer.terms, "source": format!("did:test:{}", signer.address()), "payload": payload});
    let value = format!("Payment {}", URL_SAFE_NO_PAD.encode(body.to_string()));
    Credential { header: "authorization".into(), value }
}
