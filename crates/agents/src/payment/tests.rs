use super::*;
use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

/// The wallet is the process's; every test uses the same.
fn wallet() {
    let assets =
        [(USDC.to_owned(), Asset { decimals: 6, units: 100 }), ("usd".to_owned(), Asset { decimals: 2, units: 100 })];
    install(Wallet { assets: assets.into(), signer: Some(TestSigner::new("secret".to_owned().into())) });
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append(name, HeaderValue::from_str(value).unwrap());
    headers
}

fn v2(accepts: Value) -> HeaderMap {
    let required = json!({"x402Version": 2, "error": "PAYMENT-SIGNATURE header is required",
        "resource": {"url": "https://m/company/detail?id=1"}, "accepts": accepts});
    headers("payment-required", &STANDARD.encode(required.to_string()))
}

fn accepted(amount: &str, asset: &str) -> Value {
    json!({"scheme": "exact", "network": "eip155:84532", "amount": amount, "asset": asset,
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "maxTimeoutSeconds": 60})
}

#[test]
fn the_dialect_is_what_the_answer_carries() {
    wallet();
    let offer = read_offer(&v2(json!([accepted("10000", USDC)])), b"{}").unwrap();
    assert_eq!((offer.dialect, offer.price), (Dialect::X402V2, 1), "a cent");
    let offer = read_offer(&v2(json!([accepted("10001", USDC)])), br#"{"price": 9}"#).unwrap();
    assert_eq!(offer.price, 2, "rounded up");
    let mut first = accepted("1", USDC);
    first["maxAmountRequired"] = json!("70000");
    let body = json!({"x402Version": 1, "accepts": [first]}).to_string();
    let offer = read_offer(&HeaderMap::new(), body.as_bytes()).unwrap();
    assert_eq!((offer.dialect, offer.price), (Dialect::X402V1, 7));
    let request = URL_SAFE_NO_PAD.encode(json!({"amount": "250", "currency": "usd"}).to_string());
    let challenge = format!(
        r#"Bearer realm="x", Payment id="a\"b", realm="m", method="card", intent="charge", request="{request}""#
    );
    let offer = read_offer(&headers("www-authenticate", &challenge), b"").unwrap();
    assert_eq!((offer.dialect, offer.price, &offer.terms["id"]), (Dialect::Mpp, 250, &json!("a\"b")));
    let offer = read_offer(&headers("www-authenticate", "Bearer realm=\"x\""), br#"{"price": 5}"#).unwrap();
    assert_eq!((offer.dialect, offer.price), (Dialect::Seed, 5));
}

#[test]
fn the_cheapest_that_can_be_paid_is_taken_and_what_cannot_is_told() {
    wallet();
    let all = json!([accepted("90000", USDC), accepted("1", "0xother"), accepted("30000", USDC), {"scheme": "upto"}]);
    assert_eq!(read_offer(&v2(all), b"").unwrap().price, 3);
    for (accepts, part) in [
        (json!([accepted("5", "0xother")]), "not in [payments.assets]"),
        (json!([accepted("0", USDC)]), "nothing"),
        (json!([accepted("-5", USDC)]), "whole number"),
        (json!([accepted("1.5", USDC)]), "whole number"),
        (json!([accepted(&"9".repeat(38), USDC)]), "counted"),
        (json!([]), "no way to"),
        (json!("x"), "no way to"),
    ] {
        let why = read_offer(&v2(accepts.clone()), b"").unwrap_err();
        assert!(why.contains(part), "{accepts}: {why}");
    }
    assert!(read_offer(&headers("payment-required", "%%%"), b"").unwrap_err().contains("cannot be read"));
}

#[test]
fn the_same_payment_is_signed_the_same_and_says_what_it_pays() {
    wallet();
    let offer = read_offer(&v2(json!([accepted("10000", USDC)])), b"").unwrap();
    let signed = sign(&offer, [7; 32], 1_000).unwrap();
    assert_eq!(signed, sign(&offer, [7; 32], 1_000).unwrap());
    assert_ne!(signed, sign(&offer, [8; 32], 1_000).unwrap());
    assert_eq!(signed.header, "payment-signature");
    let payload = decoded(signed.value.as_bytes()).unwrap();
    let authorization = &payload["payload"]["authorization"];
    assert_eq!((&payload["x402Version"], &payload["accepted"]), (&json!(2), &accepted("10000", USDC)));
    assert_eq!((&authorization["value"], &authorization["validBefore"]), (&json!("10000"), &json!("1300")));
    assert!(!signed.value.contains("secret") && payload["payload"]["signature"].as_str().unwrap().len() == 66);
    let seed = Offer { dialect: Dialect::Seed, price: 1, terms: Value::Null };
    assert!(sign(&seed, [0; 32], 0).is_err());
    let mpp = Offer { dialect: Dialect::Mpp, price: 1, terms: json!({"id": "a", "request": "e30"}) };
    let signed = sign(&mpp, [7; 32], 0).unwrap();
    let payload = decoded(signed.value.strip_prefix("Payment ").unwrap().as_bytes()).unwrap();
    assert_eq!((signed.header.as_str(), &payload["challenge"]["id"]), ("authorization", &json!("a")));
}

#[test]
fn a_price_of_the_seed_is_a_whole_number_from_one() {
    wallet();
    let asks = |body: &str| read_offer(&HeaderMap::new(), body.as_bytes()).map(|offer| offer.price);
    assert_eq!(asks(r#"{"price": 1}"#), Ok(1));
    assert_eq!(asks(r#"{"price": 9223372036854775807}"#), Ok(i64::MAX as u64));
    for odd in ["0", "-5", "1.5", "1.0", "9223372036854775808", "1e3", "\"5\"", "null", "[5]"] {
        assert!(asks(&format!("{{\"price\": {odd}}}")).is_err(), "{odd}");
    }
    for odd in ["{}", "pay!", ""] {
        assert!(asks(odd).is_err(), "{odd}");
    }
}

#[test]
fn receipts_are_read_in_each_dialect() {
    let told = json!({"success": true, "transaction": "0xabc"});
    for (name, value) in [
        ("payment-response", STANDARD.encode(told.to_string())),
        ("x-payment-response", STANDARD.encode(told.to_string())),
        ("payment-receipt", URL_SAFE_NO_PAD.encode(told.to_string())),
    ] {
        assert_eq!(receipt(&headers(name, &value)), Some(told.clone()), "{name}");
    }
    assert_eq!(receipt(&headers("payment-receipt", "?")), None);
}

proptest! {
    #[test]
    fn hostile_answers_are_told_and_never_panic(header in "[ -~]{0,200}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
        wallet();
        for name in ["payment-required", "www-authenticate"] {
            for value in [header.clone(), format!("Payment {header}"), STANDARD.encode(&body)] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    let mut headers = HeaderMap::new();
                    headers.insert(name, value);
                    let _ = read_offer(&headers, &body);
                }
            }
        }
        if let Ok(offer) = read_offer(&HeaderMap::new(), &body) {
            prop_assert!(offer.price > 0);
        }
    }
}
