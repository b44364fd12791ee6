//! Accounts that runs share: held by births, settled by ends.

use super::topic;
use super::trial::{Trial, after, birth, rows};
use crate::account::{Account, AccountRow, Hold, Settle};
use crate::ledger::{Amounts, Limits};
use crate::ports::store::{Receipt, Refusal, Transition};

topic! { "accounts":
    accounts_hold_and_settle,
}

async fn accounts_hold_and_settle(trial: Trial) {
    let account = |name: &str| Account {
        name: name.into(),
        limits: Limits { tokens: Some(100), purchases: Some(10), ..Limits::default() },
    };
    let tokens = |tokens| Amounts { tokens, ..Amounts::default() };
    let born = |run: i64, names: &[&str], n: u64| {
        let holds = names.iter().map(|name| Hold { account: account(name), amounts: tokens(n) }).collect();
        Transition { holds, ..rows([birth(run)]) }
    };
    let stands = async |name: &str| trial.account(name).await;
    assert_eq!(stands("ann").await, AccountRow { name: "ann".into(), ..AccountRow::default() });
    trial.commits(born(1, &["ann", "team"], 60)).await;
    // One of two that do not fit refuses all of it.
    let Receipt::Refused(Refusal::Overdrawn(why)) = trial.send(born(2, &["bob", "team"], 41)).await else {
        panic!("it was taken")
    };
    assert_eq!((why.account.as_str(), why.unit, why.limit, why.left, why.need), ("team", "tokens", 100, 40, 41));
    assert_eq!((stands("bob").await.held, stands("team").await.held), (tokens(0), tokens(60)));
    assert!(trial.journal(2, 0).await.is_empty(), "what is refused leaves no run");
    trial.commits(born(2, &["bob", "team"], 40)).await;
    let settle = |name: &str| Settle { name: name.into(), held: tokens(60), spent: tokens(25) };
    let ends = |epoch| Transition { settles: vec![settle("ann"), settle("team")], ..rows([after(1, 1, 4, 4, epoch)]) };
    assert!(matches!(trial.send(ends(9)).await, Receipt::Refused(_)), "a stale owner settles nothing");
    trial.commits(ends(1)).await;
    assert_eq!((stands("ann").await.held, stands("ann").await.spent), (tokens(0), tokens(25)));
    assert_eq!((stands("team").await.held, stands("team").await.spent), (tokens(40), tokens(25)));
    assert!(matches!(trial.send(born(3, &["team"], 36)).await, Receipt::Refused(Refusal::Overdrawn(_))));
    trial.commits(born(3, &["team"], 35)).await;
}
