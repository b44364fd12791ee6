//! Layers, origins, and what stops a start.

use crate::tutti::{Done, Tutti};
use serde_json::Value;

fn setting(done: &Done, name: &str) -> (String, String) {
    let config: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:?}"));
    let found = config["settings"].as_array().unwrap().iter().find(|s| s["name"] == name).unwrap();
    let text = |field: &str| found[field].as_str().unwrap_or("-").to_owned();
    (text("value"), text("from"))
}

/// The lines that stop the start.
fn stops(tutti: &Tutti) -> Vec<String> {
    let done = tutti.run(&["serve"]);
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
    done.err.lines().map(|line| line.strip_prefix("tutti: ").unwrap_or_else(|| panic!("{line}")).to_owned()).collect()
}

#[test]
fn each_layer_beats_the_next_and_is_named() {
    let get = |tutti: &Tutti| setting(&tutti.run(&["config", "--json"]), "LLM_TIMEOUT");
    let tutti = Tutti::new();
    assert_eq!(get(&tutti), ("120".into(), "default".into()));
    let tutti = tutti.file("tutti.toml", "llm_timeout = 2.5\n");
    assert_eq!(get(&tutti), ("2.5".into(), "tutti.toml".into()));
    let tutti = tutti.file(".env", "LLM_TIMEOUT=3\n");
    assert_eq!(get(&tutti), ("3".into(), ".env".into()));
    let tutti = tutti.env("LLM_TIMEOUT", "4");
    assert_eq!(get(&tutti), ("4".into(), "environment".into()));
    // An empty variable is as good as none.
    let tutti = tutti.env("LLM_TIMEOUT", "");
    assert_eq!(get(&tutti), ("3".into(), ".env".into()));
}

#[test]
fn flags_beat_everything_and_their_faults_are_wrong_usage() {
    let tutti = Tutti::new().env("AGENT_ORCHESTRATOR_PORT", "9000");
    let done = tutti.run(&["serve", "--port", "many"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert_eq!(
        done.err,
        "tutti: AGENT_ORCHESTRATOR_PORT: \"many\" (flag --port) is not a whole number from 0 to 65535\n"
    );
}

#[test]
fn another_file_can_be_named_and_must_be_there() {
    let tutti = Tutti::new().file("other.toml", "max_retries = 7\ncors_origins = [\"https://a.example\", \"*\"]\n");
    let done = tutti.run(&["config", "--json", "--config", "other.toml"]);
    assert_eq!(setting(&done, "MAX_RETRIES"), ("7".into(), "other.toml".into()));
    assert_eq!(setting(&done, "CORS_ORIGINS").0, "https://a.example,*");
    let done = tutti.run(&["config", "--config", "missing.toml"]);
    assert!(done.code == 1 && done.err.starts_with("tutti: missing.toml: cannot be read"), "{done:?}");
}

#[test]
fn secrets_are_hidden_and_may_lie_in_files() {
    let secret = "sk-very-secret";
    let tutti = Tutti::new().file("key", &format!("{secret}\n")).env("LLM_API_KEY_FILE", "key");
    for args in [&["config"][..], &["config", "--json"]] {
        let done = tutti.run(args);
        assert!(done.code == 0 && !done.out.contains(secret) && done.out.contains("(hidden)"), "{done:?}");
    }
    let done = tutti.run(&["config", "--json"]);
    assert_eq!(setting(&done, "LLM_API_KEY"), ("(hidden)".into(), "file key (environment)".into()));

    let tutti = tutti.file(".env", &format!("LLM_API_KEY={secret}\n"));
    assert_eq!(
        stops(&tutti),
        ["LLM_API_KEY: both LLM_API_KEY (.env) and LLM_API_KEY_FILE (environment) are set; unset one of them"]
    );
    let lines = stops(&Tutti::new().env("LLM_API_KEY_FILE", "nowhere"));
    assert!(lines[0].starts_with("LLM_API_KEY_FILE: \"nowhere\" (environment) cannot be read"), "{lines:?}");
}

#[test]
fn a_password_in_an_address_is_hidden() {
    let tutti = Tutti::new().env("LLM_BASE_URL", "https://me:hunter2@llm.example/v1").env("LLM_DEFAULT_MODEL", "m");
    let done = tutti.run(&["config"]);
    assert!(done.out.contains("https://***@llm.example/v1") && !done.out.contains("hunter2"), "{done:?}");
}

#[test]
fn every_malformed_value_has_its_line() {
    let tutti = Tutti::new()
        .env("LLM_TIMEOUT", "soon")
        .env("LLM_API_KEY", "two\nlines")
        .env("REQUIRE_AUTH", "maybe")
        .env("TUTTI_HOSTS", "tutti.example, http://x")
        .env("TUTTI_ADMIN_KEY", "tt_admin_1234")
        .file(".env", "MAX_RETRIES=-1\n")
        .file("tutti.toml", "llm_base_url = 'ftp://x'\negress_allow = ['10.0.0.0/99']\nmax_iterations = [1]\n");
    assert_eq!(
        stops(&tutti),
        [
            "TUTTI_HOSTS: \"tutti.example, http://x\" (environment) is not a comma-separated list, each item a host name or an IP address, without a port",
            "TUTTI_ADMIN_KEY: the value (environment) is not a key of tt_admin_ and 64 hexadecimal digits, as `echo tt_admin_$(openssl rand -hex 32)` makes them",
            "LLM_BASE_URL: \"ftp://x\" (tutti.toml) is not an address that begins with http:// or https://",
            "LLM_API_KEY: the value (environment) is not text on one line without control characters",
            "LLM_TIMEOUT: \"soon\" (environment) is not a number of seconds from 0.1 to 3600, decimals allowed",
            "MAX_RETRIES: \"-1\" (.env) is not a whole number from 0 to 20",
            "EGRESS_ALLOW: \"10.0.0.0/99\" (tutti.toml) is not a comma-separated list, each item a host, an IP address, or a network such as 10.0.0.0/8",
            "MAX_ITERATIONS: in tutti.toml it is of type array; it should be a whole number from 1 to 1000",
            "REQUIRE_AUTH: \"maybe\" (environment) is not true or false (also 1, 0, yes, no)",
        ]
    );
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let file = "llm_base_ulr = 'http://x'\n[agents.critic]\ninstruction = 'x'\nname = 'other'\n[agent.x]\n";
    assert_eq!(
        stops(&Tutti::new().file("tutti.toml", file)),
        [
            "tutti.toml: agents.critic.instruction is not known; did you mean instructions?",
            "tutti.toml: agents.critic.name is \"other\"; leave it out or write \"critic\"",
            "tutti.toml: agent is not known; did you mean agents?",
            "tutti.toml: llm_base_ulr is not known; did you mean llm_base_url?",
        ]
    );
}

#[test]
fn broken_files_name_the_place_and_never_quote_it() {
    let lines = stops(&Tutti::new().file("tutti.toml", "max_retries = 1\nllm_api_key = sk-secret\n"));
    assert!(lines.len() == 1 && lines[0].starts_with("tutti.toml line 2: "), "{lines:?}");
    assert!(!lines[0].contains("sk-secret"), "{lines:?}");
    let lines = stops(&Tutti::new().file(".env", "MAX_RETRIES=1\nLLM_API_KEY='sk-secret\n"));
    assert_eq!(lines, [".env: the line after MAX_RETRIES should look like NAME=value"]);
}

#[test]
fn what_this_version_lacks_stops_the_start() {
    let tutti = Tutti::new().env("RABBITMQ_HOST", "mq").env("REQUIRE_AUTH", "true").env("AUTH_ENABLED", "0");
    assert_eq!(
        stops(&tutti),
        [
            "REQUIRE_AUTH: set (environment), but this version has no login yet and would let everybody in; unset it to start",
            "RABBITMQ_HOST: set, but several processes need a store that they share; set POSTGRES_DSN or POSTGRES_HOST too",
        ]
    );
    let lines = stops(&Tutti::new().env("LLM_BASE_URL", "http://localhost:11434/v1"));
    assert_eq!(
        lines,
        ["LLM_DEFAULT_MODEL: not set, but LLM_BASE_URL is; set it to the name of a model that this API offers"]
    );
}

#[test]
fn names_of_later_versions_are_taken_with_a_note() {
    let tutti = Tutti::new()
        .env("JWT_ISSUER", "somebody")
        .env("METRICS_TOKEN", "x")
        .env("AUTH_ENABLED", "false")
        .file(".env", "LLM_TIMOUT=5\nSOMETHING_ELSE=1\n");
    let done = tutti.run(&["config"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        done.err,
        "tutti: note: set, but not used by this version: JWT_ISSUER, METRICS_TOKEN\n\
         tutti: note: .env: LLM_TIMOUT is not known; did you mean LLM_TIMEOUT?\n"
    );
}

#[test]
fn agents_of_the_file_are_shown() {
    let file = "[agents.critic]\ninstructions = 'Find what is wrong.'\nroutes = ['writer']\n";
    let done = Tutti::new().file("tutti.toml", file).run(&["config", "--json"]);
    let config: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(config["agents"]["critic"]["instructions"], "Find what is wrong.");
    assert_eq!(config["agents"]["critic"]["routes"][0], "writer");
}

#[test]
fn a_fault_of_the_server_does_not_stop_a_command_that_only_talks_to_one() {
    let tutti =
        Tutti::new().env("LLM_TIMEOUT", "soon").env("TUTTI_HOSTS", "a b").env("TUTTI_URL", "http://127.0.0.1:9");
    let done = tutti.run(&["health"]);
    assert!(done.code == 1 && done.err.contains("no server answers at http://127.0.0.1:9 "), "{done:?}");
    let done = Tutti::new().env("TUTTI_URL", "localhost").run(&["health"]);
    assert!(done.code == 1 && done.err.starts_with("tutti: TUTTI_URL: \"localhost\" (environment) is not"), "{done:?}");
}

#[test]
fn the_admin_key_is_shown_where_it_is() {
    let key = format!("tt_admin_{}", "0a".repeat(32));
    let none = Tutti::new().run(&["key", "show", "--data", "there"]);
    assert!(none.code == 1 && none.err.contains("there is no key at there/admin.key"), "{none:?}");
    assert!(!Tutti::new().path("there").exists(), "a look makes nothing");

    let kept = Tutti::new().file("admin.key", &format!("{key}\n")).env("LLM_TIMEOUT", "soon");
    let done = kept.run(&["key", "show", "--data", "."]);
    assert_eq!((done.code, done.out, done.err.as_str()), (0, format!("{key}\n"), ""), "other faults do not matter");
    let done = kept.env("TUTTI_DATA", ".").run(&["key", "show"]);
    assert_eq!(done.out, format!("{key}\n"));

    let set = Tutti::new().file("secret", &key).env("TUTTI_ADMIN_KEY_FILE", "secret");
    assert_eq!(set.run(&["key", "show"]).out, format!("{key}\n"));
    let config = set.run(&["config"]);
    assert!(config.out.contains("file secret") && !config.out.contains(&key), "{config:?}");

    let broken = Tutti::new().file("admin.key", "x").run(&["key", "show", "--data", "."]);
    assert!(broken.code == 1 && broken.err.contains("./admin.key holds no key"), "{broken:?}");
}
