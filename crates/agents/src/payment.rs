//! What a 402 answer asks and how it is paid, in four dialects: the seed's (a price, a token), x402 version 2 and 1
//! (<https://github.com/coinbase/x402>, `specs/`), and MPP, the `Payment` scheme of HTTP authentication
//! (draft-ryan-httpauth-payment). The dialect is chosen by what the answer carries.
//!
//! x402 and MPP ask an amount of an asset; only assets of `[payments.assets]` are paid with, converted into the budget's unit and
//! rounded up. Their payments are signed once and sent as they were signed: the same payload cannot be charged twice.

mod mpp;
mod seed;
mod x402;

use crate::digest::hex;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Most bytes of a header or body that is read as an offer.
const BYTES_MAX: usize = 64 * 1024;
/// How long a signed payment is good, in seconds.
const VALID_SECONDS: i64 = 300;
/// Most offers of one answer that are looked at.
const OFFERS_MAX: usize = 32;

/// In whose words a price is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `{"price"}`, `POST /pay`, `x-payment-token`.
    Seed,
    /// `PAYMENT-REQUIRED`, `PAYMENT-SIGNATURE`.
    X402V2,
    /// A body with `x402Version: 1`, `X-PAYMENT`.
    X402V1,
    /// `WWW-Authenticate: Payment`, `Authorization: Payment`.
    Mpp,
}

/// What a 402 answer asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// In whose words.
    pub dialect: Dialect,
    /// In units of the budget, at least one.
    pub price: u64,
    /// What is signed, as it came.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub terms: Value,
}

/// A payment that goes with a request, in a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Which header.
    pub header: String,
    /// What it holds.
    pub value: String,
}

/// What a token of an asset is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its smallest unit is ten to the minus this.
    pub decimals: u32,
    /// Units of the budget that a whole one is worth.
    pub units: u64,
}

/// What this process may pay with.
#[derive(Debug, Default)]
pub struct Wallet {
    /// By the name under which a 402 asks for it.
    pub assets: BTreeMap<String, Asset>,
    /// Signs payments of x402 and MPP; without it only the seed's dialect can be paid.
    pub signer: Option<TestSigner>,
}

static WALLET: RwLock<Option<Wallet>> = RwLock::new(None);

/// Makes it the process's wallet.
pub fn install(wallet: Wallet) {
    *WALLET.write().unwrap_or_else(PoisonError::into_inner) = Some(wallet);
}

fn with_wallet<T>(use_it: impl FnOnce(&Wallet) -> T) -> T {
    let wallet = WALLET.read().unwrap_or_else(PoisonError::into_inner);
    match wallet.as_ref() {
        Some(wallet) => use_it(wallet),
        None => use_it(&Wallet::default()),
    }
}

/// Signs with a shared secret: whoever knows it can verify, no chain can. For test networks and facilitators of one's own.
#[derive(Debug)]
pub struct TestSigner(SecretString);

impl TestSigner {
    /// From a secret.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    fn mac(&self, text: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()) else {
            return String::new();
        };
        mac.update(text.as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    /// The account that pays: twenty bytes, as an address has.
    #[must_use]
    pub fn address(&self) -> String {
        self.mac("address").chars().take(40).collect()
    }

    /// The signature over a text.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        self.mac(text)
    }
}

impl Asset {
    /// What an amount of smallest units is worth, rounded up.
    ///
    /// # Errors
    /// It is nothing, or more than can be counted.
    fn price(self, amount: u128) -> Result<u64, String> {
        let one = 10_u128.checked_pow(self.decimals).ok_or("the asset has too many decimals")?;
        let worth = amount.checked_mul(self.units.into()).ok_or("it asks more than can be counted")?.div_ceil(one);
        let worth = u64::try_from(worth).ok().filter(|worth| i64::try_from(*worth).is_ok());
        worth.filter(|worth| *worth > 0).ok_or_else(|| "it asks nothing, or more than can be counted".into())
    }
}

impl Wallet {
    /// What so much of an asset is worth, where it is one that is paid with.
    fn price(&self, asset: &str, network: &str, amount: &Value) -> Result<u64, String> {
        let named = self.assets.get(asset).or_else(|| self.assets.get(&format!("{network}/{asset}")));
        let asset = named.ok_or_else(|| format!("{asset} is not in [payments.assets]"))?;
        let digits = amount.as_str().filter(|text| text.len() <= 38 && text.bytes().all(|b| b.is_ascii_digit()));
        let amount = digits.and_then(|text| text.parse::<u128>().ok());
        asset.price(amount.ok_or("its amount is no whole number of the asset's smallest unit")?)
    }

    /// The cheapest of the offers that can be paid.
    fn cheapest(&self, offers: Vec<(Result<u64, String>, Value)>, dialect: Dialect) -> Result<Offer, String> {
        let mut wrong = Vec::new();
        let mut best: Option<Offer> = None;
        for (price, terms) in offers.into_iter().take(OFFERS_MAX) {
            match price {
                Ok(price) if best.as_ref().is_none_or(|best| price < best.price) => {
                    best = Some(Offer { dialect, price, terms });
                }
                Ok(_) => {}
                Err(why) => wrong.push(why),
            }
        }
        best.ok_or_else(|| match wrong.is_empty() {
            true => "it asks to be paid and offers no way to".into(),
            false => format!("it cannot be paid: {}", wrong.join("; ")),
        })
    }
}

/// What a 402 answer asks, or in words why it cannot be paid.
///
/// # Errors
/// It asks no price that can be paid.
pub fn read_offer(headers: &HeaderMap, body: &[u8]) -> Result<Offer, String> {
    if body.len() > BYTES_MAX {
        return Err("it asks to be paid with more words than are read".into());
    }
    let read = |wallet: &Wallet| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(required) = headers.get("payment-required") {
            return x402::v2(required.as_bytes(), wallet);
        }
        let challenges = mpp::challenges(headers);
        if !challenges.is_empty() {
            return mpp::offer(challenges, wallet);
        }
        if body.get("x402Version").and_then(Value::as_u64) == Some(1) {
            return x402::v1(&body, wallet);
        }
        seed::offer(&body)
    };
    with_wallet(read).map_err(|why| printable(&why))
}

/// Signs a payment. The same offer, nonce and time give the same payload.
///
/// # Errors
/// There is no signer, or the offer is one that is not signed.
pub fn sign(offer: &Offer, nonce: [u8; 32], now_seconds: i64) -> Result<Credential, String> {
    with_wallet(|wallet| {
        let signer = wallet.signer.as_ref().ok_or("no signer is set for such payments (PAYMENT_SIGNER_SECRET)")?;
        let (nonce, until) = (format!("0x{}", hex(&nonce)), now_seconds.saturating_add(VALID_SECONDS));
        match offer.dialect {
            Dialect::X402V2 | Dialect::X402V1 => Ok(x402::credential(offer, signer, &nonce, until)),
            Dialect::Mpp => Ok(mpp::credential(offer, signer, &nonce)),
            Dialect::Seed => Err("the seed's dialect is paid with a token".into()),
        }
    })
}

/// What a seller says of a payment, where it says something.
#[must_use]
pub fn receipt(headers: &HeaderMap) -> Option<Value> {
    let names = ["payment-response", "x-payment-response", "payment-receipt"];
    names.into_iter().find_map(|name| decoded(headers.get(name)?.as_bytes()))
}

/// JSON in a header: base64 in either alphabet, with or without padding.
fn decoded(text: &[u8]) -> Option<Value> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let text: Vec<u8> = text
        .iter()
        .filter(|b| **b != b'=')
        .map(|b| match b {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests;
