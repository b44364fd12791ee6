//! `[payments.assets]` of `tutti.toml`: what x402 and MPP payments may be made with, and what it is worth.

use super::values::Problem;
use serde_json::Value;
use std::collections::BTreeMap;
use tutti_agents::form::{Errors, Form};
use tutti_agents::payment::Asset;

/// Assets by the name under which a 402 asks for them.
pub type Assets = BTreeMap<String, Asset>;

/// Reads the table of a file called `name`.
pub fn read(table: &toml::Value, name: &str) -> (Assets, Vec<Problem>) {
    let (errors, mut assets) = (Errors::default(), Assets::new());
    let root: Value = serde_json::to_value(table).unwrap_or_default();
    if let Some(form) = Form::new(&root, vec!["file".into(), "payments".into()], &errors) {
        let field = form.field("assets");
        let table = if field.is_present() { field.form() } else { None };
        for asset in table.iter().flat_map(|table| table.keys().map(move |key| (key, table.entry(key)))) {
            let (key, field) = asset;
            let Some(asset) = field.form() else { continue };
            let decimals = asset.field("decimals").required().integer(0, 30).and_then(|n| u32::try_from(n).ok());
            let units = asset.field("units").required().integer(1, i64::MAX).and_then(|n| u64::try_from(n).ok());
            asset.no_others();
            if let (Some(decimals), Some(units)) = (decimals, units) {
                assets.insert(key.to_owned(), Asset { decimals, units });
            }
        }
        form.no_others();
    }
    let problems = errors.into_vec().into_iter().map(|e| Problem::file(format!("{name}: {}: {}", e.path(), e.msg)));
    (assets, problems.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Assets, Vec<String>) {
        let table: toml::Table = text.parse().unwrap();
        let (assets, problems) = read(&table["payments"], "tutti.toml");
        (assets, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn assets_are_read_and_slips_are_told() {
        let (assets, problems) = read_text("[payments.assets]\n\"0xA\" = { decimals = 6, units = 100 }\n");
        assert_eq!((assets["0xA"].decimals, assets["0xA"].units, problems.len()), (6, 100, 0));
        let (_, problems) =
            read_text("[payments]\nasset = 1\n[payments.assets]\n\"0xA\" = { decimals = 6, unit = 100 }\n");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
