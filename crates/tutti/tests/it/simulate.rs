//! The simulated model as a person starts it, under a team that runs on it.

use crate::tutti::Tutti;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A simulator on a free port; killed when the test ends before it stops.
struct Simulated {
    child: Child,
    address: String,
    /// What it says to set.
    export: Vec<(String, String)>,
}

impl Simulated {
    fn start(tutti: &Tutti, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tutti"));
        command.args(["simulate", "--port", "0"]).args(args).env_clear().current_dir(tutti.path(""));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let first = said.next().unwrap();
        let address = first.split("http://").nth(1).unwrap_or_else(|| panic!("{first}")).to_owned();
        let line = said.find(|line| line.contains("LLM_BASE_URL=")).unwrap();
        let pairs = line.split("export ").nth(1).unwrap().split(' ').filter_map(|pair| pair.split_once('='));
        let export = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { child, address, export }
    }

    /// One exchange on a connection of its own.
    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap_or_default()
    }

    fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

const TEAM: &str = "\
pattern: sequential
input: Where is my card?
agents:
- {name: facts, instructions: List the facts.}
- name: writer
  instructions: |
    You are the writer.
    Be brief.
";

#[test]
fn a_team_of_a_yaml_file_runs_on_it_through_its_faults() {
    let script = "rules:\n- when: {agent: writer}\n  then: {reply: Dear customer.}\n";
    let tutti = Tutti::new().file("script.yaml", script).file("team.yaml", TEAM);
    let model = Simulated::start(&tutti, &["--script", "script.yaml", "--status", "503", "--every", "2"]);
    // Port 9 is where nothing answers; the private server takes a free one.
    let tutti = tutti.env("AGENT_ORCHESTRATOR_PORT", "9").env("RETRY_DELAY", "0");
    let tutti = model.export.iter().fold(tutti, |tutti, (name, value)| tutti.env(name, value));
    let done = tutti.run(&["run", "team.yaml", "--input", "Where is my refund?", "--follow"]);
    assert_eq!(done.code, 0, "{done:?}");
    for shown in
        ["“Where is my refund?”", "↻ attempt 2 follows: ", "▸ writer\n", "  Dear customer.\n", "✔ completed in "]
    {
        assert!(done.out.contains(shown), "{shown}: {}", done.out);
    }
    let stats = model.ask("GET", "/stats", "");
    assert_eq!(
        (&stats["requests"], &stats["by_fault"]["status"], &stats["repeats"]),
        (&3.into(), &1.into(), &1.into())
    );

    let faults = model.ask("POST", "/faults", r#"{"status": 401}"#);
    assert_eq!(faults["faults"][0]["status"], 401);
    let done = tutti.run(&["run", "team.yaml"]);
    assert!(done.code == 1 && done.out.is_empty() && done.err.contains("(agent facts)"), "{done:?}");
    assert_eq!(model.stop(), Some(0));
}

#[test]
fn our_own_anthropic_dialect_is_understood() {
    let tutti = Tutti::new().file("team.yaml", TEAM);
    let model = Simulated::start(&tutti, &[]);
    let provider = format!(
        "llm_provider = 'claude'\n[providers.claude]\ndialect = 'anthropic'\nbase_url = 'http://{}/v1'\ndefault_model = 'm'\n",
        model.address
    );
    let tutti = tutti.file("tutti.toml", &provider).env("AGENT_ORCHESTRATOR_PORT", "9");
    let done = tutti.run(&["run", "team.yaml"]);
    assert!(done.code == 0 && done.out.starts_with("Writer on “"), "{done:?}");
    // A chooser has to answer with JSON that fits a schema.
    let chat = TEAM.replace("sequential", "group_chat") + "options: {speaker: llm, until: {max_messages: 2}}\n";
    let tutti = tutti.file("chat.yaml", &chat);
    let done = tutti.run(&["run", "chat.yaml", "--follow"]);
    assert!(done.code == 0 && done.out.contains("→ next speaks "), "{done:?}");
    assert!(!done.out.contains("next in turn"), "no fallback was needed: {}", done.out);
    assert_eq!(model.stop(), Some(0));
}
