//! Accounts that many runs share: a session's, a user's, a tenant's. What a run may spend at most is held in each of its accounts
//! by the transaction that begets it, and settled by the one that ends it: no two runs can promise the same money, and what a
//! crash leaves behind is settled by whoever ends the run.

use crate::ledger::{Amounts, Limits};
use serde::{Deserialize, Serialize};

/// An account that a run draws on, and what may be spent through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name, with its period where it has one: `user/default/ann/2026-11`.
    pub name: String,
    /// What all runs together may spend.
    pub limits: Limits,
}

/// Where an account stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// What runs that have not ended may spend yet.
    pub held: Amounts,
    /// What runs that have ended spent.
    pub spent: Amounts,
}

/// What a birth holds in an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The account.
    pub account: Account,
    /// How much.
    pub amounts: Amounts,
}

/// What an end settles in an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// The account.
    pub name: String,
    /// What was held.
    pub held: Amounts,
    /// What was spent.
    pub spent: Amounts,
}

/// A limit that leaves too little.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the account {account} has {left} of its limit of {limit} {unit} left, and this needs {need}")]
pub struct Overdrawn {
    /// Which account.
    pub account: String,
    /// Which unit.
    pub unit: &'static str,
    /// Its limit.
    pub limit: u64,
    /// What is left.
    pub left: u64,
    /// What was asked for.
    pub need: u64,
}

impl Account {
    /// What is left of each unit; a unit without a limit has no end.
    #[must_use]
    pub fn left(&self, row: &AccountRow) -> Limits {
        let out = row.held.plus(row.spent);
        let left = |limit: Option<u64>, out: u64| limit.map(|limit| limit.saturating_sub(out));
        Limits {
            tokens: left(self.limits.tokens, out.tokens),
            cost: left(self.limits.cost, out.cost),
            purchases: left(self.limits.purchases, out.purchases),
        }
    }

    /// Whether so much can be held beside what is.
    ///
    /// # Errors
    /// The first unit of which less is left.
    pub fn admits(&self, row: &AccountRow, need: Amounts) -> Result<(), Overdrawn> {
        let left = self.left(row);
        let units = [
            ("tokens", self.limits.tokens, left.tokens, need.tokens),
            ("cost", self.limits.cost, left.cost, need.cost),
            ("purchases", self.limits.purchases, left.purchases, need.purchases),
        ];
        for (unit, limit, left, need) in units {
            if let (Some(limit), Some(left)) = (limit, left)
                && need > left
            {
                return Err(Overdrawn { account: self.name.clone(), unit, limit, left, need });
            }
        }
        Ok(())
    }
}

impl AccountRow {
    /// Holds more.
    pub fn hold(&mut self, amounts: Amounts) {
        self.held = self.held.plus(amounts);
    }

    /// Settles what was held.
    pub fn settle(&mut self, held: Amounts, spent: Amounts) {
        self.held = self.held.minus(held);
        self.spent = self.spent.plus(spent);
    }
}
