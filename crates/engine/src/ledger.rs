//! The budget of a run tree: what is held for calls under way, what was spent, what may still be asked for.
//!
//! A reservation is a check of integers and an entry; it stands in the same row as the intent of the call it pays for, so
//! no call leaves before its reservation is durable. What a call cost is settled in the row of its outcome. A child run is
//! given an allotment when it is born and settles it when it ends, so trees need no shared counter. Each limit keeps back
//! a tenth for the closing answer. Integers only: tokens, and millionths of the price table's currency.

use crate::cell::{Produced, Shared, json};
use crate::error::{Error, Result};
use crate::event::Kind;
use crate::journal::body::{Reserved, RunError, Shortage, Spent};
use crate::name::Key;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of how many parts one is kept back for the closing answer.
const CLOSING_PART: u64 = 10;
/// The account of a run tree.
pub(crate) const ACCOUNT: &str = "run";
/// The class of a refusal.
pub(crate) const REFUSED: &str = "BudgetExceeded";

/// An amount of each unit that is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Tokens read and written.
    pub tokens: u64,
    /// Money, in millionths.
    pub cost: u64,
    /// What is bought, in whole units of the operator's choice.
    #[serde(skip_serializing_if = "is_nothing")]
    pub purchases: u64,
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_nothing(amount: &u64) -> bool {
    *amount == 0
}

impl Amounts {
    fn each(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            tokens: of(self.tokens, other.tokens),
            cost: of(self.cost, other.cost),
            purchases: of(self.purchases, other.purchases),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        self.each(other, u64::min)
    }

    fn parts(self, n: u32) -> Self {
        let part = |amount: u64| if amount == u64::MAX { amount } else { amount / u64::from(n.max(1)) };
        self.each(self, |amount, _| part(amount))
    }

    fn max(self, other: Self) -> Self {
        self.each(other, u64::max)
    }

    /// The first without the second; nothing where there is less.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }
}

/// The most a run tree may spend; a unit without a limit is not bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Millionths of money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// What may be bought; nothing of it is kept for the closing answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchases: Option<u64>,
}

impl Limits {
    /// The stricter of each.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| [a, b].into_iter().flatten().min();
        Self {
            tokens: least(self.tokens, other.tokens),
            cost: least(self.cost, other.cost),
            purchases: least(self.purchases, other.purchases),
        }
    }

    /// As amounts that can be held: a unit without a limit is not.
    #[must_use]
    pub fn held(self) -> Amounts {
        let held = |limit: Option<u64>| limit.unwrap_or(0);
        Amounts { tokens: held(self.tokens), cost: held(self.cost), purchases: held(self.purchases) }
    }

    fn amounts(self) -> Amounts {
        let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        Amounts { tokens: most(self.tokens), cost: most(self.cost), purchases: most(self.purchases) }
    }
}

/// Which part of a budget may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// All but what is kept back.
    #[default]
    Ordinary,
    /// All: this is the closing answer.
    Closing,
}

/// What a call asks of the budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// The most it could use.
    pub want: Amounts,
    /// With less it is not worth beginning.
    pub least: Amounts,
    /// Which part of the budget it may use.
    pub share: Share,
    /// How many like it share what is left, itself included: none takes more than its part, unless that is less than
    /// `least`.
    pub siblings: u32,
}

/// The ledger of one run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    limits: Option<Limits>,
    /// What calls and children said that they cost, budget or not.
    used: Amounts,
    settled: Amounts,
    held: BTreeMap<Key, Reserved>,
    /// The sum of what is held, for units with a limit.
    out: Amounts,
}

impl Ledger {
    pub fn new(limits: Option<Limits>) -> Self {
        Self { limits, ..Self::default() }
    }

    pub fn is_bounded(&self) -> bool {
        self.limits.is_some()
    }

    /// What may still be asked for.
    fn free(&self, share: Share) -> Amounts {
        let limit = self.limits.unwrap_or_default().amounts();
        let kept = |limit: u64| if limit == u64::MAX { 0 } else { limit.div_ceil(CLOSING_PART) };
        let back = match share {
            Share::Ordinary => Amounts { tokens: kept(limit.tokens), cost: kept(limit.cost), purchases: 0 },
            Share::Closing => Amounts::default(),
        };
        let free = limit.minus(back).minus(self.settled).minus(self.out);
        // A unit without a limit is never short.
        limit.each(free, |limit, free| if limit == u64::MAX { u64::MAX } else { free })
    }

    /// What is granted of `want`, or which limit leaves less than `least`.
    pub fn grant(&self, need: Need) -> Result<Amounts, Shortage> {
        let Need { want, least, share, siblings } = need;
        let free = self.free(share);
        let granted = want.min(free.parts(siblings).max(least)).min(free);
        let short = |unit: &str, limit: Option<u64>, left: u64, need: u64| {
            let limit = limit.filter(|_| left < need)?;
            Some(Shortage { account: ACCOUNT.into(), unit: unit.into(), limit, left, need })
        };
        let limits = self.limits.unwrap_or_default();
        let found = short("tokens", limits.tokens, free.tokens, least.tokens);
        let found = found.or_else(|| short("cost", limits.cost, free.cost, least.cost));
        match found.or_else(|| short("purchases", limits.purchases, free.purchases, least.purchases)) {
            Some(shortage) => Err(shortage),
            None => Ok(granted),
        }
    }

    pub fn hold(&mut self, key: Key, reserved: Reserved) {
        self.out = self.out.plus(reserved.amounts);
        if let Some(before) = self.held.insert(key, reserved) {
            self.out = self.out.minus(before.amounts);
        }
    }

    fn release(&mut self, key: &str) -> Option<Reserved> {
        let held = self.held.remove(key)?;
        self.out = self.out.minus(held.amounts);
        Some(held)
    }

    pub fn held(&self, key: &str) -> Option<Amounts> {
        self.held.get(key).map(|held| held.amounts)
    }

    /// Books what is held as spent and holds the same again; an error when there is no room for it.
    fn book(&mut self, key: &str) -> Result<(), Shortage> {
        let Some(held) = self.release(key) else { return Ok(()) };
        self.settled = self.settled.plus(held.amounts);
        let again =
            self.grant(Need { want: held.amounts, least: held.amounts, share: held.share, siblings: 1 }).map(|_| ());
        self.hold(key.into(), held);
        again
    }

    /// Keys still held.
    pub fn open(&self) -> Vec<Key> {
        self.held.keys().cloned().collect()
    }

    /// Takes a settlement in; the rest of what was held is free again once it is the last for its key.
    pub fn settle(&mut self, key: &str, spent: Amounts, is_last: bool) {
        self.settled = self.settled.plus(spent);
        if is_last {
            self.release(key);
        }
    }

    /// Something said what it cost.
    pub fn count(&mut self, used: Option<Amounts>) {
        self.used = self.used.plus(used.unwrap_or_default());
    }

    /// All that the run and its children spent: what was booked where there is a budget, else what was told.
    pub fn spent(&self) -> Amounts {
        if self.limits.is_some() { self.settled } else { self.used }
    }

    /// What a child may be given: an even share of what is free, within limits of its own.
    pub fn allotment(&self, shares: u32, own: Option<Limits>) -> Option<Limits> {
        let Some(limits) = self.limits else { return own };
        let free = self.free(Share::Ordinary);
        let part = |limit: Option<u64>, free: u64| limit.map(|_| free / u64::from(shares.max(1)));
        let mine = Limits {
            tokens: part(limits.tokens, free.tokens),
            cost: part(limits.cost, free.cost),
            purchases: part(limits.purchases, free.purchases),
        };
        Some(own.map_or(mine, |own| own.within(mine)))
    }
}

impl Shortage {
    pub(crate) fn error(&self) -> Error {
        let Self { unit, limit, left, need, .. } = self;
        if *need == u64::MAX {
            let message = format!(
                "the budget of this run is {limit} {unit}, and what the next call may cost cannot be bounded: its model has no \
                 price; set one under [prices] in tutti.toml"
            );
            return Error::Workflow(RunError::new(REFUSED, message));
        }
        if unit == "purchases" {
            return Error::workflow(REFUSED, format!("it costs {need}, and {left} are left of the budget of {limit}"));
        }
        let message = format!(
            "the budget of this run is {limit} {unit}; {left} are left beside what is kept for the closing answer, and this \
             needs at least {need}"
        );
        Error::Workflow(RunError::new(REFUSED, message))
    }
}

/// An amount that is held until a call settles it. Dropped unused, it is given back.
#[must_use = "a grant that no call uses is given back"]
pub struct Grant {
    shared: Shared,
    key: Option<Key>,
    /// What may be spent.
    pub amounts: Amounts,
}

impl Grant {
    /// The key, for the call that takes it over.
    pub(crate) fn take(mut self) -> Option<Key> {
        self.key.take()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        if let Ok(mut cell) = self.shared.try_borrow_mut()
            && !cell.closing
        {
            cell.settle(&key, Amounts::default(), false, true);
        }
    }
}

impl crate::cell::Cell {
    /// Writes a settlement down, unless the journal has it already.
    pub(crate) fn settle(&mut self, key: &str, spent: Amounts, estimated: bool, is_last: bool) {
        let Some(reserved) = self.ledger.held(key) else { return };
        self.ledger.settle(key, spent, is_last);
        let body = Spent { account: ACCOUNT.into(), reserved, spent, estimated, is_open: !is_last };
        self.push(Kind::BudgetSpent, key, None, json(&body));
    }

    /// An attempt may have cost what was held for it: books that, and holds the same again for the next one.
    pub(crate) fn book_attempt(&mut self, key: &str) -> Result<(), Shortage> {
        let Some(held) = self.ledger.held(key) else { return Ok(()) };
        let again = self.ledger.book(key);
        let body = Spent { account: ACCOUNT.into(), reserved: held, spent: held, estimated: true, is_open: true };
        self.push(Kind::BudgetSpent, key, None, json(&body));
        again
    }

    /// Holds what `decide` grants under `key`, or meets again what was decided before.
    pub(crate) fn reserve(
        &mut self,
        key: &Key,
        share: Share,
        decide: impl FnOnce(&Ledger) -> Result<Amounts, Shortage>,
    ) -> Option<Result<Amounts, Shortage>> {
        let bad = |e: serde_json::Error| format!("the reservation `{key}` cannot be read: {e}");
        let is_refused = self.replay.front().is_some_and(|f| f.kind == Kind::BudgetRefused);
        let decided = if self.replay.is_empty() { decide(&self.ledger) } else { Ok(Amounts::default()) };
        let (kind, body) = match &decided {
            Ok(amounts) if !is_refused => (Kind::BudgetReserved, json(&Reserved { amounts: *amounts, share })),
            Ok(_) => (Kind::BudgetRefused, bytes::Bytes::new()),
            Err(shortage) => (Kind::BudgetRefused, json(shortage)),
        };
        match self.produce(kind, key, None, || body) {
            Produced::New(_) => {
                if let Ok(amounts) = &decided {
                    self.ledger.hold(key.clone(), Reserved { amounts: *amounts, share });
                }
                Some(decided)
            }
            Produced::Recorded(frame) if is_refused => match serde_json::from_slice(frame.body.text()) {
                Ok(shortage) => Some(Err(shortage)),
                Err(e) => {
                    self.blame(bad(e));
                    None
                }
            },
            Produced::Recorded(frame) => match serde_json::from_slice::<Reserved>(frame.body.text()) {
                Ok(reserved) => Some(Ok(reserved.amounts)),
                Err(e) => {
                    self.blame(bad(e));
                    None
                }
            },
            Produced::Fault => None,
        }
    }
}

impl crate::ctx::Ctx {
    /// The limits this run was born with.
    #[must_use]
    pub fn budget(&self) -> Option<Limits> {
        self.shared().borrow().ledger.limits
    }

    /// Holds as much of what is wanted as the run's budget leaves; nothing when the run has no budget. The same on every
    /// replay.
    ///
    /// # Errors
    /// `BudgetExceeded` when less than the least is left: it says which limit and what was left.
    pub fn reserve(&self, name: &'static str, need: Need) -> Result<Option<Grant>> {
        let shared = self.shared();
        if !shared.borrow().ledger.is_bounded() {
            return Ok(None);
        }
        let key = self.key(name, false)?;
        let granted = shared.borrow_mut().reserve(&key, need.share, |ledger| ledger.grant(need));
        match granted {
            Some(Ok(amounts)) => Ok(Some(Grant { shared: std::rc::Rc::clone(shared), key: Some(key), amounts })),
            Some(Err(shortage)) => Err(shortage.error()),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(n: u64) -> Amounts {
        Amounts { tokens: n, cost: 0, ..Amounts::default() }
    }

    fn granted(ledger: &Ledger, want: Amounts, least: Amounts, share: Share) -> Result<Amounts, Shortage> {
        ledger.grant(Need { want, least, share, siblings: 1 })
    }

    fn held(n: u64) -> Reserved {
        Reserved { amounts: tokens(n), share: Share::Ordinary }
    }

    #[test]
    fn a_tenth_is_kept_for_the_closing_answer_and_a_refusal_says_what_was_left() {
        let mut ledger = Ledger::new(Some(Limits { tokens: Some(100), cost: None, purchases: None }));
        assert_eq!(granted(&ledger, tokens(500), tokens(10), Share::Ordinary), Ok(tokens(90)));
        ledger.hold("a".into(), held(85));
        let refused = granted(&ledger, tokens(50), tokens(10), Share::Ordinary).unwrap_err();
        assert_eq!((refused.unit.as_str(), refused.limit, refused.left, refused.need), ("tokens", 100, 5, 10));
        assert_eq!(granted(&ledger, tokens(50), tokens(10), Share::Closing), Ok(tokens(15)));
        ledger.settle("a", tokens(20), true);
        assert_eq!(granted(&ledger, tokens(500), tokens(10), Share::Ordinary), Ok(tokens(70)));
    }

    #[test]
    fn an_overdraft_blocks_and_money_is_bounded_too() {
        let mut ledger = Ledger::new(Some(Limits { tokens: None, cost: Some(10), purchases: None }));
        let ask = Amounts { tokens: 1_000_000, cost: 3, ..Amounts::default() };
        ledger.hold(
            "a".into(),
            Reserved { amounts: granted(&ledger, ask, ask, Share::Ordinary).unwrap(), share: Share::Ordinary },
        );
        ledger.settle("a", Amounts { tokens: 1, cost: 50, ..Amounts::default() }, true);
        assert_eq!(granted(&ledger, ask, ask, Share::Closing).unwrap_err().left, 0);
        assert_eq!(ledger.spent(), Amounts { tokens: 1, cost: 50, ..Amounts::default() });
    }

    #[test]
    fn an_attempt_that_may_have_cost_is_booked_before_the_next() {
        let mut ledger = Ledger::new(Some(Limits { tokens: Some(100), cost: None, purchases: None }));
        ledger.hold("a".into(), held(40));
        assert_eq!((ledger.book("a"), ledger.settled), (Ok(()), tokens(40)));
        assert_eq!(ledger.book("a").unwrap_err().left, 10, "a third attempt has no room");
        ledger.settle("a", Amounts::default(), true);
        assert_eq!(ledger.settled, tokens(80));
    }

    #[test]
    fn siblings_take_their_part_each() {
        let ledger = Ledger::new(Some(Limits { tokens: Some(100), cost: None, purchases: None }));
        let need = Need { want: tokens(80), least: tokens(10), siblings: 3, ..Need::default() };
        assert_eq!(ledger.grant(need), Ok(tokens(30)));
        assert_eq!(ledger.grant(Need { least: tokens(40), ..need }), Ok(tokens(40)), "unless that is too little");
    }

    #[test]
    fn children_share_what_is_free() {
        let mut ledger = Ledger::new(Some(Limits { tokens: Some(100), cost: None, purchases: None }));
        ledger.hold("a".into(), held(30));
        assert_eq!(ledger.allotment(2, None), Some(Limits { tokens: Some(30), cost: None, purchases: None }));
        let own = Limits { tokens: Some(7), cost: Some(5), purchases: None };
        assert_eq!(ledger.allotment(1, Some(own)), Some(own));
        assert_eq!(Ledger::new(None).allotment(1, None), None);
    }

    proptest! {
        #[test]
        fn what_is_held_and_spent_never_passes_the_limit(
            limit in 0u64..1_000, steps in proptest::collection::vec((0u64..200, 0u64..200, 0u64..200, any::<bool>()), 0..60),
        ) {
            let mut ledger = Ledger::new(Some(Limits { tokens: Some(limit), cost: None, purchases: None }));
            let mut open: Vec<(Key, u64)> = Vec::new();
            for (i, (want, least, spent, settles)) in steps.into_iter().enumerate() {
                if settles && let Some((key, held)) = open.pop() {
                    ledger.settle(&key, tokens(spent.min(held)), true);
                } else if let Ok(got) = granted(&ledger, tokens(want), tokens(least.min(want)), Share::Ordinary) {
                    let key: Key = format!("k{i}").into();
                    ledger.hold(key.clone(), held(got.tokens));
                    open.push((key, got.tokens));
                }
                let held: u64 = open.iter().map(|(_, n)| n).sum();
                prop_assert!(ledger.settled.tokens + held <= limit);
            }
        }
    }
}
