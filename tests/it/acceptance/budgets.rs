//! Accounts that runs share: their limits hold however many runs there are at once, and through `kill -9`.

use super::{text, three};
use serde_json::{Value, json};
use tutti_tests::client::Client;
use tutti_tests::server::Start;
use tutti_tests::simulator::Simulator;

async fn account(client: &Client, name: &str) -> Value {
    let page = client.get("/v1/budgets?session_id=talk").await.expect(200).json();
    let items = page["items"].as_array().unwrap();
    items.iter().find(|item| text(&item["account"]).starts_with(name)).unwrap_or_else(|| panic!("{page}")).clone()
}

fn amount(account: &Value, what: &str, unit: &str) -> u64 {
    account[what][unit].as_u64().unwrap_or(0)
}

#[tokio::test]
async fn a_users_purchases_are_bounded_over_all_tasks_and_kills() {
    let world = Simulator::start(&[]).await;
    let config = "[budgets.user]\npurchases = 60\nper = \"month\"\n";
    let mut server = world.market(Start::new()).file("tutti.toml", config).start().await;
    let client = server.client();
    let task = |n: usize| json!({"theme": "information technology and industrials", "budget": 30, "voice_id": format!("v{n}")});
    let asked: Vec<_> = (0..8)
        .map(|n| tokio::spawn(client.post("/tasks?wait=60", &task(n)).once(format_args!("t{n}")).persist()))
        .collect();
    server.kill9();
    server.restart().await;
    let (mut taken, mut refused) = (0, 0);
    for answer in asked {
        match answer.await.unwrap() {
            answer if answer.status == 200 => taken += 1,
            answer => {
                assert_eq!((answer.status, answer.class().as_str()), (403, "BudgetExceeded"));
                let body = answer.json();
                assert!(text(&body["account"]).starts_with("user/default/local/"), "{body}");
                assert_eq!((&body["limit"], &body["unit"]), (&json!("60"), &json!("purchases")), "{body}");
                refused += 1;
            }
        }
    }
    assert!(taken >= 2 && taken + refused == 8, "{taken} taken, {refused} refused");
    let user = account(&client, "user/").await;
    let paid = world.books().await["totals"]["paid"].as_u64().unwrap();
    assert_eq!(amount(&user, "held", "purchases"), 0, "nothing stays held: {user}");
    assert!(paid <= amount(&user, "spent", "purchases") && amount(&user, "spent", "purchases") <= 60, "{paid}: {user}");
    // The same request again is the same task, however little is left.
    let again = client.post("/tasks", &task(0)).once("t0").await;
    assert!([200, 403].contains(&again.status), "{}", again.text());
}

#[tokio::test]
async fn sessions_users_and_tenants_share_tokens() {
    let config = "[budgets.run]\ntokens = 3000\n[budgets.session]\ntokens = 4000\n[budgets.tenant]\ntokens = 20000\n";
    let server = Start::new().file("tutti.toml", config).start().await;
    let client = server.client();
    let ask = |session: Option<&str>| {
        let mut body = three("sequential");
        if let Some(session) = session {
            body["session_id"] = session.into();
        }
        client.post("/orchestrate", &body)
    };
    let all: Vec<_> = (0..12).map(|_| tokio::spawn(ask(None).persist())).collect();
    let mut statuses = Vec::new();
    for answer in all {
        statuses.push(answer.await.unwrap().status);
    }
    assert!(statuses.iter().all(|s| [200, 403].contains(s)) && statuses.contains(&200), "{statuses:?}");
    let tenant = account(&client, "tenant/").await;
    let spent = amount(&tenant, "spent", "tokens");
    assert!(spent > 0 && spent <= 20_000 && amount(&tenant, "held", "tokens") == 0, "{tenant}");
    // A session has its own account: it runs dry, and then its runs end before they ask anything, or are not taken.
    let mut is_dry = false;
    for _ in 0..40 {
        let answer = ask(Some("talk")).await;
        is_dry = answer.status == 403 || answer.json()["usage"]["tokens"] == 0;
        if is_dry {
            break;
        }
    }
    assert!(is_dry, "forty runs on four thousand tokens");
    let session = account(&client, "session/").await;
    assert!(amount(&session, "spent", "tokens") <= 4_000, "{session}");
}
