//! `budgets`: what a session, a user and a tenant may spend, and what is left. A run holds all that it may spend in each account
//! from its birth to its end, so the limits hold however many runs there are at once and whatever crashes.

use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, Class};
use serde::Serialize;
use std::fmt;
use tutti_engine::account::{Account, AccountRow, Overdrawn};
use tutti_engine::run::{Submit, Time};
use tutti_engine::{Amounts, Limits};

/// How often a submission looks again when others were faster.
const TRIES: usize = 8;

/// When an account begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Each day, by UTC.
    Day,
    /// Each month, by UTC.
    Month,
    /// Never.
    Total,
}

/// What the runs of an account may spend together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// How much.
    pub limits: Limits,
    /// Until when.
    pub period: Period,
}

/// What the operator allows; nothing is bounded by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budgets {
    /// A run, in the units that its request does not bound.
    pub run: Limits,
    /// A session.
    pub session: Option<Cap>,
    /// A user.
    pub user: Option<Cap>,
    /// A tenant.
    pub tenant: Option<Cap>,
}

/// An account for people.
#[derive(Debug, Serialize)]
pub struct BudgetView {
    /// Its name.
    pub account: String,
    /// What may be spent.
    pub limits: Limits,
    /// What runs that have not ended may spend yet.
    pub held: Amounts,
    /// What was spent.
    pub spent: Amounts,
    /// What is left.
    pub left: Limits,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        })
    }
}

impl Period {
    /// The part of the account's name that says which day or month.
    fn part(self, now: Time) -> String {
        let text = crate::Stamp(now).to_string();
        match self {
            Self::Day => format!("/{}", text.get(..10).unwrap_or_default()),
            Self::Month => format!("/{}", text.get(..7).unwrap_or_default()),
            Self::Total => String::new(),
        }
    }
}

impl Budgets {
    /// The accounts of a caller's run.
    fn accounts(&self, caller: &Caller, session: Option<&str>, now: Time) -> Vec<Account> {
        let (tenant, user) = (&caller.tenant, &caller.user);
        let of = |cap: Option<Cap>, name: String| {
            cap.map(|cap| Account { name: format!("{name}{}", cap.period.part(now)), limits: cap.limits })
        };
        let session = session.and_then(|id| of(self.session, format!("session/{tenant}/{user}/{id}")));
        let (user, tenant) =
            (of(self.user, format!("user/{tenant}/{user}")), of(self.tenant, format!("tenant/{tenant}")));
        [session, user, tenant].into_iter().flatten().collect()
    }
}

/// The smaller of what is asked and what is left, unit by unit; a unit that only the accounts bound is bounded by them.
fn fund(own: Limits, accounts: &[Account], rows: &[AccountRow]) -> Result<Limits, Overdrawn> {
    let mut budget = own;
    for (account, row) in accounts.iter().zip(rows) {
        // With nothing left of a unit nothing that needs it could begin.
        let one = |limit: Option<u64>| u64::from(limit.is_some());
        let Limits { tokens, cost, purchases } = account.limits;
        let buys = one(purchases.and(own.purchases));
        account.admits(row, Amounts { tokens: one(tokens), cost: one(cost), purchases: buys })?;
        budget = budget.within(account.left(row));
    }
    Ok(budget)
}

impl App {
    /// The run's accounts, and what of its budget they leave.
    pub(crate) async fn funded(&self, caller: &Caller, submit: &mut Submit) -> Result<(), Failure> {
        let budgets = self.inner.options.budgets;
        if budgets == Budgets::default() {
            return Ok(());
        }
        // What a request does not bound is bounded as the operator says.
        let asked = submit.budget.unwrap_or_default();
        let own = Limits {
            tokens: asked.tokens.or(budgets.run.tokens),
            cost: asked.cost.or(budgets.run.cost),
            purchases: asked.purchases.or(budgets.run.purchases),
        };
        submit.accounts = budgets.accounts(caller, submit.session.as_deref(), self.engine().now());
        if submit.accounts.is_empty() {
            submit.budget = Some(own).filter(|own| *own != Limits::default());
            return Ok(());
        }
        // Who repeats a request is given what it begot, however little is left by now.
        if let Some(once) = submit.once
            && self.engine().store().born_with(once.scope).await?.is_some()
        {
            return Ok(());
        }
        let names = submit.accounts.iter().map(|account| account.name.clone()).collect();
        let rows = self.engine().store().accounts(names).await?;
        submit.budget = Some(fund(own, &submit.accounts, &rows).map_err(|overdrawn| refused(&overdrawn))?);
        Ok(())
    }

    /// How often a submission that others overtook is funded anew.
    pub(crate) fn funding_tries(&self) -> usize {
        if self.inner.options.budgets == Budgets::default() { 1 } else { TRIES }
    }

    /// The caller's accounts, and a session's where one is named.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn budgets(&self, caller: &Caller, session: Option<&str>) -> Result<Page<BudgetView>, Failure> {
        let accounts = self.inner.options.budgets.accounts(caller, session, self.engine().now());
        let names = accounts.iter().map(|account| account.name.clone()).collect();
        let rows = self.engine().store().accounts(names).await?;
        let view = |(account, row): (Account, AccountRow)| BudgetView {
            left: account.left(&row),
            account: account.name,
            limits: account.limits,
            held: row.held,
            spent: row.spent,
        };
        Ok(Page { items: accounts.into_iter().zip(rows).map(view).collect(), next_cursor: None })
    }
}

/// An account that leaves too little, as the contract tells it.
pub(crate) fn refused(overdrawn: &Overdrawn) -> Failure {
    let mut failure = Failure::new(Class::BudgetExceeded, overdrawn.to_string());
    let Overdrawn { account, unit, limit, left, .. } = overdrawn;
    failure.ids.push(("account", account.clone()));
    failure.ids.push(("unit", (*unit).into()));
    failure.ids.push(("limit", limit.to_string()));
    failure.ids.push(("left", left.to_string()));
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(n: u64) -> Limits {
        Limits { tokens: Some(n), ..Limits::default() }
    }

    fn row(held: u64, spent: u64) -> AccountRow {
        let amounts = |tokens| Amounts { tokens, ..Amounts::default() };
        AccountRow { name: "a".into(), held: amounts(held), spent: amounts(spent) }
    }

    #[test]
    fn a_run_is_given_what_it_asks_or_what_is_left() {
        let account = Account { name: "a".into(), limits: tokens(100) };
        let given = |own: Limits, row: AccountRow| fund(own, std::slice::from_ref(&account), &[row]);
        assert_eq!(given(tokens(30), row(20, 40)), Ok(tokens(30)));
        assert_eq!(given(tokens(50), row(20, 40)), Ok(tokens(40)));
        assert_eq!(given(Limits::default(), row(0, 99)), Ok(tokens(1)), "who asks for nothing takes all that is left");
        let refused = given(tokens(1), row(60, 40)).unwrap_err();
        assert_eq!((refused.account.as_str(), refused.unit, refused.limit, refused.left), ("a", "tokens", 100, 0));
        let buys = Limits { purchases: Some(5), ..Limits::default() };
        let shop = Account { name: "s".into(), limits: buys };
        let full = AccountRow { spent: Amounts { purchases: 5, ..Amounts::default() }, ..AccountRow::default() };
        assert!(fund(buys, std::slice::from_ref(&shop), std::slice::from_ref(&full)).is_err());
        assert!(fund(tokens(9), &[shop], &[full]).is_ok(), "who buys nothing needs nothing to buy with");
    }

    #[test]
    fn accounts_are_named_by_whose_and_when() {
        let cap = |period| Some(Cap { limits: tokens(1), period });
        let budgets = Budgets {
            run: Limits::default(),
            session: cap(Period::Total),
            user: cap(Period::Month),
            tenant: cap(Period::Day),
        };
        // Thu, 1 Jan 1970
        let names: Vec<_> =
            budgets.accounts(&Caller::local(), Some("talk"), Time(0)).into_iter().map(|a| a.name).collect();
        let all = ["session/default/local/talk", "user/default/local/1970-01", "tenant/default/1970-01-01"];
        assert_eq!(names, all);
        assert_eq!(budgets.accounts(&Caller::local(), None, Time(0)).len(), 2);
    }
}
