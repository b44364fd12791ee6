//! x402: requirements with an amount of an asset, answered by a signed EIP-3009 authorization. Only the scheme `exact`.

use super::{Credential, Dialect, Offer, STANDARD, TestSigner, Wallet, decoded};
use base64::Engine as _;
use serde_json::{Value, json};

pub(super) fn v2(header: &[u8], wallet: &Wallet) -> Result<Offer, String> {
    let required = decoded(header).ok_or("its PAYMENT-REQUIRED header cannot be read")?;
    if required["x402Version"] != 2 {
        return Err(format!("it speaks version {} of x402; 2 and 1 are understood", required["x402Version"]));
    }
    let resource = required["resource"].clone();
    let terms = |accepted: &Value| json!({"accepted": accepted, "resource": resource});
    wallet.cheapest(offers(&required, "amount", wallet, terms), Dialect::X402V2)
}

pub(super) fn v1(body: &Value, wallet: &Wallet) -> Result<Offer, String> {
    let terms = |accepted: &Value| json!({ "accepted": accepted });
    wallet.cheapest(offers(body, "maxAmountRequired", wallet, terms), Dialect::X402V1)
}

fn offers(
    required: &Value,
    amount: &str,
    wallet: &Wallet,
    terms: impl Fn(&Value) -> Value,
) -> Vec<(Result<u64, String>, Value)> {
    let accepts = required["accepts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let price = |accepted: &Value| {
        let word = |name: &str| accepted[name].as_str().unwrap_or_default();
        if word("scheme") != "exact" {
            return Err(format!("the scheme {:?} is not understood", word("scheme")));
        }
        wallet.price(word("asset"), word("network"), &accepted[amount])
    };
    accepts.iter().map(|accepted| (price(accepted), terms(accepted))).collect()
}

pub(super) fn credential(offer: &Offer, signer: &TestSigner, nonce: &str, until: i64) -> Credential {
    let accepted = &offer.terms["accepted"];
    let amount = if offer.dialect == Dialect::X402V2 { &accepted["amount"] } else { &accepted["maxAmountRequired"] };
    let authorization = json!({"from": format!("0x{}", signer.address()), "to": accepted["payTo"], "value": amount,
        "validAfter": "0", "validBefore": until.to_string(), "nonce": nonce});
    let signature = format!("0x{}", signer.sign(&format!("{}{authorization}", accepted["asset"])));
    let payload = json!({"signature": signature, "authorization": authorization});
    let (header, body) = match offer.dialect {
        Dialect::X402V2 => {
            let resource = &offer.terms["resource"];
            let body = json!({"x402Version": 2, "resource": resource, "accepted": accepted, "payload": payload});
            ("payment-signature", body)
        }
        _ => {
            let (scheme, network) = (&accepted["scheme"], &accepted["network"]);
            ("x-payment", json!({"x402Version": 1, "scheme": scheme, "network": network, "payload": payload}))
        }
    };
    Credential { header: header.into(), value: STANDARD.encode(body.to_string()) }
}
