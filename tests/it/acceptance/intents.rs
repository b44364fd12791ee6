//! Real input: 3 080 questions of a bank's customers through an intent node with all 77 intents, on the offline model; and
//! again with examples that are found for each question.

use super::text;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tutti_tests::client::Client;
use tutti_tests::queries::{aloud, banking77_with_intents};
use tutti_tests::server::Server;

/// Questions under way at once.
const AT_ONCE: usize = 16;

async fn put(client: &Client, graph: &Value) {
    let path = format!("/v1/graphs/{}", text(&graph["name"]));
    let call = client.call(Method::PUT, path).header("content-type", "application/json");
    call.body(graph.to_string()).await.expect(201);
}

/// How many of the questions get their intent.
async fn right(client: &Client, graph: &str, questions: &[(String, String)]) -> usize {
    let ask = |(question, intent): &(String, String)| {
        let call = client.post("/v1/runs?wait=60", &json!({"workflow": graph, "input": question}));
        let intent = intent.clone();
        async move {
            let run = call.await.expect(200).json();
            usize::from(run["output"]["output"] == json!(intent))
        }
    };
    let asked: Vec<_> = questions.iter().map(ask).collect();
    stream::iter(asked).buffer_unordered(AT_ONCE).fold(0, async |all, one| all + one).await
}

#[tokio::test]
async fn intents_of_real_questions_are_found_better_with_examples() {
    let Some(all) = banking77_with_intents() else { return };
    let mut by_intent: BTreeMap<&str, Vec<&(String, String)>> = BTreeMap::new();
    for row in &all {
        by_intent.entry(&row.1).or_default().push(row);
    }
    let intents: Vec<&str> = by_intent.keys().copied().collect();
    assert_eq!(intents.len(), 77);
    let server = Server::start().await;
    let client = server.client();
    let plain = json!({"name": "plain", "start": "sort", "nodes": {
        "sort": {"type": "intent", "input": "{{ input }}", "intents": intents}}, "output": "{{ nodes.sort.intent }}"});
    let mut shown = plain.clone();
    shown["name"] = json!("shown");
    shown["start"] = json!("find");
    shown["nodes"]["find"] = json!({"type": "ground", "query": "{{ input }}", "limit": 20, "next": "sort"});
    shown["nodes"]["sort"]["examples"] =
        json!("{% for p in nodes.find.passages %}- {{ p.passage }}: {{ p.title }}\n{% endfor %}");
    put(&client, &plain).await;
    put(&client, &shown).await;
    // Half of each intent's questions are examples, the other half is asked.
    let (mut examples, mut asked) = (Vec::new(), Vec::new());
    for questions in by_intent.values() {
        let (first, second) = questions.split_at(questions.len() / 2);
        examples.extend(first.iter().copied());
        asked.extend(second.iter().map(|row| (*row).clone()));
    }
    let keep = |(n, (question, intent)): (usize, &(String, String))| {
        let call = client.post("/v1/documents", &json!({"id": format!("q{n}"), "title": intent, "content": question}));
        async move { drop(call.await.expect(201)) }
    };
    let kept: Vec<_> = examples.iter().enumerate().map(|(n, row)| keep((n, row))).collect();
    stream::iter(kept).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let whole = right(&client, "plain", &all).await;
    let half = right(&client, "plain", &asked).await;
    let taught = right(&client, "shown", &asked).await;
    let percent = |right: usize, of: usize| 100.0 * right as f64 / of as f64;
    aloud(&format!(
        "banking77 on the offline model: {whole} of {} ({:.1} %) by the names of 77 intents alone; of the {} that are no \
         examples {half} ({:.1} %), with 20 found examples each {taught} ({:.1} %)",
        all.len(),
        percent(whole, all.len()),
        asked.len(),
        percent(half, asked.len()),
        percent(taught, asked.len())
    ));
    // Chance is 1.3 %.
    assert!(percent(whole, all.len()) > 20.0, "{whole}");
    assert!(2 * taught > 3 * half, "{half}, with examples {taught}");
}
