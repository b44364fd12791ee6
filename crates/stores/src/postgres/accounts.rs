//! Accounts that runs share: held at birth, settled at the end, inside the writer's transaction.

use crate::postgres::db::Db;
use tokio_postgres::{Error, Row};
use tutti_engine::Amounts;
use tutti_engine::account::{AccountRow, Hold, Overdrawn, Settle};

pub(super) const SELECT: &str =
    "SELECT name, held_tokens, held_cost, held_purchases, tokens, cost, purchases FROM accounts WHERE name = ANY($1)";

pub(super) fn row(r: &Row) -> AccountRow {
    let amounts = |at: usize| {
        let amount = |n: usize| r.get::<_, i64>(at + n).cast_unsigned();
        Amounts { tokens: amount(0), cost: amount(1), purchases: amount(2) }
    };
    AccountRow { name: r.get(0), held: amounts(1), spent: amounts(4) }
}

/// The account's row, which nobody else may change until this transaction has ended.
async fn locked(db: &mut Db, name: &str) -> Result<AccountRow, Error> {
    let open = "INSERT INTO accounts VALUES($1, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING";
    db.execute(open, &[&name]).await?;
    let select = "SELECT name, held_tokens, held_cost, held_purchases, tokens, cost, purchases FROM accounts WHERE name = $1 FOR UPDATE";
    let found = db.row(select, &[&name]).await?;
    Ok(found.as_ref().map_or_else(|| AccountRow { name: name.into(), ..AccountRow::default() }, row))
}

async fn write(db: &mut Db, row: &AccountRow) -> Result<(), Error> {
    let AccountRow { name, held, spent } = row;
    // Amounts come from integers that fit; what does not is cut rather than turned round.
    let int = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let update = "UPDATE accounts SET held_tokens = $2, held_cost = $3, held_purchases = $4, tokens = $5, cost = $6, purchases = $7 WHERE name = $1";
    let (h, s) = (held, spent);
    let (a, b, c, d, e, f) =
        (int(h.tokens), int(h.cost), int(h.purchases), int(s.tokens), int(s.cost), int(s.purchases));
    db.execute(update, &[name, &a, &b, &c, &d, &e, &f]).await?;
    Ok(())
}

/// Holds more in an account, if it has room.
pub(super) async fn hold(db: &mut Db, hold: &Hold) -> Result<Option<Overdrawn>, Error> {
    let mut row = locked(db, &hold.account.name).await?;
    if let Err(overdrawn) = hold.account.admits(&row, hold.amounts) {
        return Ok(Some(overdrawn));
    }
    row.hold(hold.amounts);
    write(db, &row).await.map(|()| None)
}

/// Settles what was held.
pub(super) async fn settle(db: &mut Db, settle: &Settle) -> Result<(), Error> {
    let mut row = locked(db, &settle.name).await?;
    row.settle(settle.held, settle.spent);
    write(db, &row).await
}
