//! The command line: data on stdout, the rest on stderr, exit codes that mean something.

use super::{QUESTION, as_run, on_models, text, three};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use tutti_tests::process::{Ended, Process};
use tutti_tests::provider::Provider;
use tutti_tests::server::{Server, Start, tutti};

/// Runs a command in an empty directory, where no server answers at the usual place.
async fn run(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Ended {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let mut command = tutti(dir, args);
    command.env("AGENT_ORCHESTRATOR_PORT", free).envs(env.iter().copied());
    Process::run(&mut command).await
}

async fn alone(args: &[&str], env: &[(&str, &str)]) -> Ended {
    let dir = TempDir::new().unwrap();
    run(dir.path(), args, env).await
}

async fn on(server: &Server, args: &[&str]) -> Ended {
    let url = server.url();
    let dir = TempDir::new().unwrap();
    run(dir.path(), &[args, &["--url", &url]].concat(), &[]).await
}

#[track_caller]
fn done(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    &ended.stdout
}

#[track_caller]
fn json_of(ended: &Ended) -> Value {
    serde_json::from_str(done(ended)).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

/// A failure told in one line on stderr, and nothing on stdout.
#[track_caller]
fn one_line(ended: &Ended, code: i32) -> &str {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "{ended:?}");
    ended.stderr.trim_end()
}

#[tokio::test]
async fn help_and_version_are_answers() {
    let help = alone(&["--help"], &[]).await;
    for command in ["serve", "demo", "run", "runs", "config", "health"] {
        assert!(done(&help).contains(command), "{command} is not in the help");
    }
    assert!(done(&alone(&["--version"], &[]).await).starts_with("tutti "));
}

#[tokio::test]
async fn wrong_usage_is_exit_2() {
    one_line(&alone(&["serv"], &[]).await, 2);
    one_line(&alone(&["serve", "--port", "99999"], &[]).await, 2);
    assert!(one_line(&alone(&["serve", "--prot", "1"], &[]).await, 2).contains("--port"));
}

#[tokio::test]
async fn run_starts_a_server_of_its_own_where_none_answers() {
    let dir = TempDir::new().unwrap();
    let args = ["run", "sequential", "--agents", "llm", "--input", QUESTION, "--json"];
    let result = json_of(&run(dir.path(), &args, &[]).await);
    assert_eq!(result["status"], "completed");
    assert!(dir.path().join(".tutti").is_dir(), "the run is kept in .tutti here");
}

#[tokio::test]
async fn run_prints_the_answer_and_nothing_else() {
    let server = Server::start().await;
    let ended = on(&server, &["run", "sequential", "--agents", "llm", "--input", QUESTION]).await;
    let result =
        server.client().orchestrate(&json!({"pattern": "sequential", "input": QUESTION, "agents": ["llm"]})).await;
    assert_eq!(done(&ended).trim_end(), text(&result["output"]).trim_end());
}

#[tokio::test]
async fn run_takes_a_file() {
    let server = Server::start().await;
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("team.json"), three("concurrent").to_string()).unwrap();
    let url = server.url();
    let result = json_of(&run(dir.path(), &["run", "team.json", "--json", "--url", &url], &[]).await);
    assert_eq!((&result["workflow"], &result["status"]), (&json!("concurrent"), &json!("completed")));
}

#[tokio::test]
async fn run_with_follow_and_json_prints_every_event() {
    let server = Server::start().await;
    let ended = on(&server, &["run", "sequential", "--agents", "llm", "--input", QUESTION, "--follow", "--json"]).await;
    let events: Vec<Value> = done(&ended).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.len() > 3, "{events:?}");
    assert!(
        events[0].to_string().contains("run.queued") && events.last().unwrap().to_string().contains("run.completed")
    );
}

#[tokio::test]
async fn a_run_that_fails_is_exit_1() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("team.json"), on_models("sequential", &["fail-401"]).to_string()).unwrap();
    let url = server.url();
    let ended = run(dir.path(), &["run", "team.json", "--url", &url], &[]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("agent a") && ended.stderr.contains("401"), "{ended:?}");
}

#[tokio::test]
async fn a_wrong_request_is_told_by_its_field() {
    let server = Server::start().await;
    let ended = on(&server, &["run", "sequential", "--agents", "nobody", "--input", "x"]).await;
    assert!([Some(1), Some(2)].contains(&ended.code), "{ended:?}");
    assert!(ended.stdout.is_empty() && ended.stderr.contains("nobody"), "{ended:?}");
}

#[tokio::test]
async fn runs_are_listed_read_and_told() {
    let server = Server::start().await;
    let run_id = text(&server.client().orchestrate(&three("sequential")).await["run_id"]).to_owned();
    let list = json_of(&on(&server, &["runs", "list", "--json"]).await);
    assert_eq!(list["items"][0]["run_id"], run_id.as_str());
    assert!(done(&on(&server, &["runs", "list"]).await).contains(&run_id));
    let run = json_of(&on(&server, &["runs", "get", &run_id, "--json"]).await);
    assert_eq!(run["status"], "completed");
    let events = on(&server, &["runs", "events", &run_id, "--json"]).await;
    assert_eq!(done(&events).lines().count(), server.client().run(&run_id).await.journal.len());
    assert!(done(&on(&server, &["runs", "events", &run_id]).await).contains("writer"));
}

#[tokio::test]
async fn a_run_is_cancelled() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let body = as_run(&on_models("sequential", &["fail-hang"]));
    let run_id = text(&server.client().post("/v1/runs", &body).await.expect(202).json()["run_id"]).to_owned();
    provider.begun(1).await;
    done(&on(&server, &["runs", "cancel", &run_id]).await);
    provider.ended(1).await;
    assert_eq!(server.client().run(&run_id).await.status, "cancelled");
}

#[tokio::test]
async fn an_unknown_run_is_exit_1_and_one_line() {
    let server = Server::start().await;
    one_line(&on(&server, &["runs", "get", "01890000-0000-7000-8000-000000000000"]).await, 1);
}

#[tokio::test]
async fn health_tells_by_its_exit() {
    let server = Server::start().await;
    assert!(done(&on(&server, &["health"]).await).contains("healthy"));
    one_line(&alone(&["health", "--url", "http://127.0.0.1:1"], &[]).await, 1);
}

#[tokio::test]
async fn config_says_where_values_come_from_and_hides_secrets() {
    let env =
        [("LLM_BASE_URL", "http://127.0.0.1:9/v1"), ("LLM_DEFAULT_MODEL", "m"), ("LLM_API_KEY", "sk-very-secret")];
    let ended = alone(&["config"], &env).await;
    assert!(!format!("{ended:?}").contains("sk-very-secret"), "{ended:?}");
    let line = done(&ended).lines().find(|line| line.contains("LLM_DEFAULT_MODEL")).unwrap();
    assert!(line.contains("environment"), "{line}");
    let ended = alone(&["config", "--json"], &env).await;
    assert!(!format!("{ended:?}").contains("sk-very-secret"), "{ended:?}");
    assert!(json_of(&ended).is_object());
}

#[tokio::test]
async fn a_malformed_value_stops_the_start_with_one_line_that_names_it() {
    let wrong = [
        ("MAX_RETRIES", "many"),
        ("LLM_TIMEOUT", "-1"),
        ("LLM_BASE_URL", "not a url"),
        ("AGENT_ORCHESTRATOR_HOST", "0.0.0.0:80"),
        ("TUTTI_ADMIN_KEY", "too-short"),
    ];
    for (name, value) in wrong {
        let ended = Start::new().env(name, value).try_start().await.expect_err("the server must not start");
        assert!(one_line(&ended, 1).contains(name), "{ended:?}");
    }
    let ended = Start::new().env("LLM_BASE_URL", "http://127.0.0.1:9/v1").try_start().await.err().unwrap();
    assert!(one_line(&ended, 1).contains("LLM_DEFAULT_MODEL"), "{ended:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start_with_one_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let ended = alone(&["serve", "--port", &port], &[]).await;
    assert!(one_line(&ended, 1).contains(&port), "{ended:?}");
}

#[tokio::test]
async fn demo_shows_five_teams_and_stays() {
    let mut server = Start::new().command("demo").start().await;
    server.line("the demo's last words", |line| line.contains("stays up").then_some(())).await;
    let page = server.client().get("/v1/runs").await.expect(200).json();
    let runs: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|r| (text(&r["workflow"]), text(&r["status"]))).collect();
    let patterns = ["sequential", "dynamic", "group_chat", "concurrent", "handoff"];
    assert_eq!(runs, patterns.map(|pattern| (pattern, "completed")));
    assert_eq!(server.client().get("/health").await.expect(200).json()["status"], "healthy");
    assert_eq!(server.terminate().await.code, Some(0));
}
