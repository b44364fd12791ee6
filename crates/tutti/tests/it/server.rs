//! The server, the demo and a private run, as a person starts them.

use crate::tutti::Tutti;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A server on a free port; killed when the test ends before it stops.
struct Served {
    child: Child,
    url: String,
    rest: BufReader<std::process::ChildStderr>,
}

impl Served {
    fn start(tutti: &Tutti) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tutti"));
        command.args(["serve", "--port", "0"]).env_clear().current_dir(tutti.path(""));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut rest = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, url, rest }
    }

    /// Asks it to stop as a service manager does; gives back its exit code and what it said.
    fn stop(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let said = std::io::read_to_string(&mut self.rest).unwrap();
        (code, said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn a_server_serves_until_it_is_asked_to_stop() {
    let tutti = Tutti::new();
    let served = Served::start(&tutti);
    let url = served.url.clone();
    let health = tutti.run(&["health", "--url", &url]);
    assert!(health.code == 0 && health.out.starts_with("healthy · tutti "), "{health:?}");

    let done =
        tutti.run(&["run", "sequential", "--agents", "llm", "--input", "Where is my card?", "--url", &url, "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let run: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(run["status"], "completed");
    let id = run["run_id"].as_str().unwrap();
    let list = tutti.run(&["runs", "list", "--url", &url]);
    assert!(list.out.contains(id) && list.out.contains("sequential"), "{list:?}");
    let story = tutti.run(&["runs", "events", id, "--url", &url]);
    assert!(story.code == 0 && story.out.contains("▸ llm\n") && story.out.contains("✔ completed"), "{story:?}");
    let journal = tutti.run(&["runs", "get", id, "--journal", "--url", &url]);
    assert!(journal.code == 0 && journal.out.contains("agent.message"), "{journal:?}");
    let ended = tutti.run(&["runs", "cancel", id, "--url", &url]);
    assert_eq!((ended.code, ended.out), (0, format!("{id}  completed\n")));

    let locked = tutti.run(&["serve", "--port", "0"]);
    assert!(locked.code == 1 && locked.err.starts_with("tutti: data directory"), "{locked:?}");
    assert_eq!(locked.err.lines().count(), 1);

    let (code, said) = served.stop();
    assert_eq!((code, said.as_str()), (Some(0), "tutti: stopping; open runs go on at the next start\n"));
}

#[test]
fn refusals_of_the_server_name_each_field() {
    let tutti = Tutti::new();
    let served = Served::start(&tutti);
    let done = tutti.run(&["run", "sequental", "--agents", "lm,llm", "--url", &served.url]);
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    let lines: Vec<&str> = done.err.lines().collect();
    assert_eq!(lines.len(), 3, "pattern, agents[0] and input: {lines:?}");
    for (line, field) in lines.iter().zip(["pattern", "input", "agents[0]"]) {
        assert!(lines.iter().any(|l| l.starts_with(&format!("tutti: {field}: "))), "{field}: {line}");
    }
    let done = tutti.run(&["runs", "get", "nobody", "--url", &served.url]);
    assert!(done.code == 1 && done.err.starts_with("tutti: NotFound: "), "{done:?}");
    served.stop();
}

#[test]
fn the_demo_shows_five_teams_and_the_files_it_is_made_of_run() {
    let tutti = Tutti::new();
    let done = tutti.run(&["demo", "--exit", "--port", "0"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    for shown in [
        "tutti-offline",
        "→ triage hands over to payments: ",
        "▸ architect\n",
        "→ next speaks critic: next in turn",
        "▸ scribe\n",
        "≡ plan by manager\n  s1 ask architect: ",
        "▸ editor\n",
        "Every step is in the journal",
    ] {
        assert!(done.out.contains(shown), "{shown}: {}", done.out);
    }
    assert_eq!(done.out.matches("✔ completed").count(), 5, "{}", done.out);
    assert!(!done.out.contains('\x1b'), "no colours without a terminal");
}

#[test]
fn run_starts_a_server_of_its_own_when_none_answers() {
    // Port 9 is where nothing answers; the private server takes a free one.
    let tutti = Tutti::new().env("AGENT_ORCHESTRATOR_PORT", "9");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/demos/support.json");
    let done = tutti.run(&["run", file, "--follow"]);
    assert!(done.code == 0 && done.out.contains("▸ payments\n"), "{done:?}");
    let served = Served::start(&tutti);
    let list = tutti.run(&["runs", "list", "--url", &served.url]);
    assert!(list.out.contains("completed"), "its run is kept: {list:?}");
    served.stop();
}
