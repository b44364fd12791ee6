//! `[budgets]` of `tutti.toml`: what a run that names no budget, a session, a user and a tenant may spend.

use super::values::Problem;
use serde_json::Value;
use tutti_agents::form::{Errors, Field, Form};
use tutti_app::budgets::{Budgets, Cap, Period};
use tutti_engine::Limits;

/// Reads the table of a file called `name`.
pub fn read(table: &toml::Value, name: &str) -> (Budgets, Vec<Problem>) {
    let (errors, mut budgets) = (Errors::default(), Budgets::default());
    let root: Value = serde_json::to_value(table).unwrap_or_default();
    if let Some(form) = Form::new(&root, vec!["file".into(), "budgets".into()], &errors) {
        budgets.run = limits(&form.field("run"), false).map_or(Limits::default(), |cap| cap.limits);
        budgets.session = limits(&form.field("session"), true);
        budgets.user = limits(&form.field("user"), true);
        budgets.tenant = limits(&form.field("tenant"), true);
        form.no_others();
    }
    let problems = errors.into_vec().into_iter().map(|e| Problem::file(format!("{name}: {}: {}", e.path(), e.msg)));
    (budgets, problems.collect())
}

/// `tokens`, `cost` (dollars), `purchases`, and for accounts `per`.
fn limits(field: &Field<'_, '_>, is_account: bool) -> Option<Cap> {
    let form = if field.is_present() { field.form()? } else { return None };
    let whole = |name: &'static str| form.field(name).integer(1, i64::MAX).and_then(|n| u64::try_from(n).ok());
    let limits = Limits { tokens: whole("tokens"), cost: whole("cost"), purchases: whole("purchases") };
    let periods = [("day", Period::Day), ("month", Period::Month), ("total", Period::Total)];
    let period = if is_account { form.field("per").choice(&periods) } else { None };
    form.no_others();
    if limits == Limits::default() {
        field.fail("it limits nothing; name tokens, cost (millionths of a dollar) or purchases");
    }
    Some(Cap { limits, period: period.unwrap_or(Period::Total) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Budgets, Vec<String>) {
        let table: toml::Table = text.parse().unwrap();
        let (budgets, problems) = read(&table["budgets"], "tutti.toml");
        (budgets, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn budgets_are_read_and_slips_are_told() {
        let (budgets, problems) =
            read_text("[budgets.run]\ntokens = 5000\n[budgets.user]\npurchases = 100\nper = \"month\"\n");
        assert_eq!((budgets.run.tokens, problems.len()), (Some(5_000), 0));
        let user = budgets.user.unwrap();
        assert_eq!((user.limits.purchases, user.period, budgets.tenant), (Some(100), Period::Month, None));
        let (_, problems) =
            read_text("[budgets.run]\nper = \"day\"\n[budgets.users]\ntokens = 1\n[budgets.user]\ntokens = 0\n");
        assert!(problems.len() >= 4, "{problems:?}");
    }
}
