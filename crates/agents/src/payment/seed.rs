//! The seed's dialect: a whole number of the budget's unit.

use super::{Dialect, Offer};
use serde_json::Value;

pub(super) fn offer(body: &Value) -> Result<Offer, String> {
    let asked = body.get("price").ok_or("it asks to be paid and names no price")?;
    let price = asked.as_u64().filter(|price| *price > 0 && i64::try_from(*price).is_ok());
    let price = price.ok_or_else(|| {
        let asked: String = asked.to_string().chars().take(40).collect();
        format!("it asks {asked}, which is no price (a whole number from 1)")
    })?;
    Ok(Offer { dialect: Dialect::Seed, price, terms: Value::Null })
}
