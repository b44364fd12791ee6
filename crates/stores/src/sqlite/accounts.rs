//! Accounts that runs share: held at birth, settled at the end, inside the writer's transaction.

use rusqlite::{Connection, OptionalExtension, Result, params};
use tutti_engine::Amounts;
use tutti_engine::account::{AccountRow, Hold, Overdrawn, Settle};

/// Where an account stands; one that was never used stands at nothing.
pub(super) fn row(db: &Connection, name: &str) -> Result<AccountRow> {
    let select = "SELECT held_tokens, held_cost, held_purchases, tokens, cost, purchases FROM accounts WHERE name = ?1";
    let found = db.prepare_cached(select)?.query_row([name], |r| {
        let amounts = |at: usize| -> Result<Amounts> {
            let amount = |n: usize| r.get::<_, i64>(at + n).map(i64::cast_unsigned);
            Ok(Amounts { tokens: amount(0)?, cost: amount(1)?, purchases: amount(2)? })
        };
        Ok(AccountRow { name: name.into(), held: amounts(0)?, spent: amounts(3)? })
    });
    Ok(found.optional()?.unwrap_or_else(|| AccountRow { name: name.into(), ..AccountRow::default() }))
}

fn write(db: &Connection, row: &AccountRow) -> Result<()> {
    let AccountRow { name, held, spent } = row;
    // Amounts come from integers that fit; what does not is cut rather than turned round.
    let int = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    db.prepare_cached("INSERT OR REPLACE INTO accounts VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
        name,
        int(held.tokens),
        int(held.cost),
        int(held.purchases),
        int(spent.tokens),
        int(spent.cost),
        int(spent.purchases)
    ])?;
    Ok(())
}

/// Holds more in an account, if it has room.
pub(super) fn hold(db: &Connection, hold: &Hold) -> Result<Option<Overdrawn>> {
    let mut row = row(db, &hold.account.name)?;
    if let Err(overdrawn) = hold.account.admits(&row, hold.amounts) {
        return Ok(Some(overdrawn));
    }
    row.hold(hold.amounts);
    write(db, &row).map(|()| None)
}

/// Settles what was held.
pub(super) fn settle(db: &Connection, settle: &Settle) -> Result<()> {
    let mut row = row(db, &settle.name)?;
    row.settle(settle.held, settle.spent);
    write(db, &row)
}
