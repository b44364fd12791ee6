//! A worker of a `queue` agent: fetches jobs, does them, sends what came of them. See docs/registry.md.
//! Needs the crates `reqwest`, `serde_json` and `tokio`, and nothing of Tutti.

use serde_json::{Value, json};
use std::time::Duration;

/// Yours: `input` is what is asked, `messages` what was said before.
fn work(job: &Value) -> Result<Value, String> {
    Ok(json!({"heard": job["input"]}))
}

async fn post(path: &str, body: &Value) -> Result<Value, reqwest::Error> {
    let url = std::env::var("TUTTI_URL").unwrap_or_else(|_| "http://127.0.0.1:8000".into());
    let request = reqwest::Client::new().post(format!("{url}{path}")).header("content-type", "application/json");
    let request = std::env::var("TUTTI_KEY").into_iter().fold(request, |request, key| request.bearer_auth(key));
    let answer = request.body(body.to_string()).send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&answer.bytes().await?).unwrap_or_default())
}

#[tokio::main]
async fn main() {
    let agent = std::env::args().nth(1).unwrap_or_else(|| "echo".into());
    let me = json!({"agent_id": agent, "instance_id": format!("rs-{}", std::process::id())});
    println!("{} works for {}", me["instance_id"], me["agent_id"]);
    let beat = me.clone();
    tokio::spawn(async move {
        // While a job takes long, this keeps it.
        while post("/orchestrator/heartbeat", &beat).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
    });
    loop {
        let job = match post("/orchestrator/jobs/claim?wait=30", &me).await {
            Ok(job) if job["job_id"].is_string() => job,
            Ok(_) => continue,
            Err(_) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let mut result =
            work(&job).map_or_else(|e| json!({"error": {"message": e, "retry": true}}), |o| json!({"output": o}));
        result["claim"] = job["claim"].clone();
        if let Err(error) =
            post(&format!("/orchestrator/jobs/{}/result", job["job_id"].as_str().unwrap_or_default()), &result).await
        {
            eprintln!("{error}"); // Somebody else has the job by now, or the server is away.
        }
    }
}
