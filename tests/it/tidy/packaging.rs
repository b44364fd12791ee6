//! What is shipped around the binary: image, composition, unit. Read as data and held against the settings, the help, and each
//! other, so that nothing here needs a container engine; what only one can tell, `docs/deploy.md` names as not checked.

use super::{exists, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use tutti_tests::queries::skipped;

pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

pub fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names that a server knows, as `.env.example` lists them.
pub fn settings() -> BTreeSet<String> {
    let text = text(".env.example");
    let plain = text.lines().filter_map(|l| l.strip_prefix('#')?.split_once('=').map(|(name, _)| name));
    let names: BTreeSet<String> = plain.filter(|n| !n.contains(' ')).map(String::from).collect();
    assert!(names.contains("TUTTI_ADMIN_KEY") && names.contains("POSTGRES_HOST"), "{names:?}");
    names
}

/// The version of everything here.
pub fn version() -> String {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    manifest["workspace"]["package"]["version"].as_str().unwrap().to_owned()
}

/// Fails where the binary has no such command, flag or value, by its help.
#[track_caller]
fn is_command(words: &[&str]) {
    let (command, rest) = words.split_first().expect("a command");
    let help = text(&format!("crates/tutti/tests/it/help/{command}.txt"));
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for pair in rest.chunks(2) {
        let about = help.split_once(pair[0]).unwrap_or_else(|| panic!("tutti {command} has no {}", pair[0])).1;
        if let Some(value) = pair.get(1) {
            let values = about.split_once("Possible values: ").and_then(|(_, v)| v.split_once('[')).unwrap().0;
            assert!(values.contains(&format!("- {value}: ")), "tutti {command} {} takes {values}", pair[0]);
        }
    }
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap_or_else(|| panic!("{list} is no list")).iter().map(|w| w.as_str().unwrap()).collect()
}

fn keys(table: &Value) -> BTreeSet<&str> {
    table.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// `${NAME:-default}` in a text, as name and default.
fn variables(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split("${").skip(1).map(|rest| rest.split_once('}').expect("a brace that closes").0);
    parts.map(|p| p.split_once(":-").unwrap_or_else(|| panic!("{p}: say what holds where it is not set"))).collect()
}

const OURS: [&str; 3] = ["tutti", "api", "worker"];

#[test]
fn the_composition_is_one_server_until_more_is_asked_for() {
    let compose = yaml("compose.yaml");
    let of = |profile: Option<&str>| -> BTreeSet<&str> {
        let services = compose["services"].as_object().unwrap().iter();
        let is_in = |s: &Value| s.get("profiles").map(words).unwrap_or_default() == Vec::from_iter(profile);
        services.filter(|(_, s)| is_in(s)).map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(of(None), ["tutti"].into());
    assert_eq!(of(Some("scale")), ["api", "worker", "postgres", "rabbitmq", "redis"].into());
    let service = |name: &str| compose["services"][name].clone();
    assert_eq!(words(&service("tutti")["volumes"]), ["data:/data"]);
    for (name, image) in [("postgres", "postgres:16"), ("rabbitmq", "rabbitmq:4"), ("redis", "redis:7")] {
        assert_eq!(service(name)["image"], image);
        assert!(service(name).get("ports").is_none(), "{name} is nobody's business outside");
    }
    for role in ["api", "worker"] {
        assert_eq!(service(role)["deploy"]["replicas"], 2, "{role}");
        assert_eq!(words(&service(role)["command"]), ["serve", "--role", role]);
        is_command(&words(&service(role)["command"]));
        for shared in ["TUTTI_ADMIN_KEY", "VAULT_KEY"] {
            assert_eq!(service(role)["environment"][shared], format!("${{{shared}:-none}}"), "{role}");
        }
    }
}

#[test]
fn the_composition_names_what_is_there() {
    let compose = yaml("compose.yaml");
    let mut used = [BTreeSet::new(), BTreeSet::new()];
    for (name, service) in compose["services"].as_object().unwrap() {
        for (at, kind) in ["volumes", "networks"].into_iter().enumerate() {
            let listed = service.get(kind).map(words).unwrap_or_default();
            let listed = listed.into_iter().map(|v| v.split(':').next().unwrap().to_owned());
            used[at].extend(listed);
        }
        for other in keys(&service["depends_on"]) {
            let other_service = compose["services"].get(other).unwrap_or_else(|| panic!("{name} needs {other}"));
            assert_eq!(other_service["profiles"], service["profiles"], "{name} needs {other}");
            assert!(other_service["healthcheck"].is_object(), "{other} does not tell that it is healthy");
        }
    }
    assert_eq!(used[0], keys(&compose["volumes"]).into_iter().map(String::from).collect());
    assert_eq!(used[1], keys(&compose["networks"]).into_iter().map(String::from).collect());
}

#[test]
fn our_containers_are_healthy_closed_and_set_by_known_names() {
    let (compose, known) = (yaml("compose.yaml"), settings());
    for name in OURS {
        let service = &compose["services"][name];
        assert_eq!(service["image"], format!("${{TUTTI_IMAGE:-tutti:{}}}", version()), "{name}");
        assert_eq!(words(&service["healthcheck"]["test"]), ["CMD", "/usr/local/bin/tutti", "health"], "{name}");
        assert_eq!((&service["read_only"], words(&service["cap_drop"])), (&Value::Bool(true), vec!["ALL"]), "{name}");
        assert_eq!(words(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        for setting in keys(&service["environment"]) {
            assert!(known.contains(setting), "{name} sets {setting}, which no server knows");
        }
        for port in service.get("ports").map(words).unwrap_or_default() {
            assert!(port.starts_with("${TUTTI_BIND:-127.0.0.1}:"), "{name} is open to the network: {port}");
        }
    }
    is_command(&["health"]);
}

#[test]
fn no_password_stands_in_the_composition() {
    let compose = yaml("compose.yaml");
    for (name, service) in compose["services"].as_object().unwrap() {
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            if ["PASS", "KEY", "SECRET", "TOKEN"].iter().any(|word| variable.contains(word)) {
                let value = value.as_str().unwrap();
                // Neither is accepted as a password or a key: without one the start stops.
                let default = variables(value).first().map(|(_, default)| *default);
                assert!(matches!(default, Some("" | "none")), "{name} has {variable}: {value}");
            }
        }
    }
    let known = settings();
    for (variable, _) in variables(&text("compose.yaml")) {
        let is_its_own = ["TUTTI_IMAGE", "TUTTI_BIND"].contains(&variable);
        assert!(
            known.contains(variable) || is_its_own,
            "compose.yaml reads {variable}, which .env.example does not list"
        );
    }
}

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Vec<(String, String)> {
    let text = text("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|l| l.split_once(' ').map(|(a, b)| (a.to_owned(), b.trim().to_owned())).unwrap()).collect()
}

#[test]
fn the_image_is_what_is_tested_and_nothing_else() {
    let all = instructions();
    let of =
        |name: &str| -> Vec<&str> { all.iter().filter(|(n, _)| n == name).map(|(_, rest)| rest.as_str()).collect() };
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    let from = of("FROM");
    assert!(from[0].starts_with(&format!("rust:{rust}-bookworm ")), "{from:?}");
    assert_eq!(from[1], "gcr.io/distroless/cc-debian12:nonroot", "the Debian of the build, without a shell");
    assert!(of("RUN").iter().any(|run| run.contains("cargo build --locked --release -p tutti")), "{all:?}");
    assert_eq!((of("VOLUME"), of("USER")), (vec!["/data"], vec!["65532:65532"]));
    assert!(of("COPY").iter().any(|c| c.ends_with("/out/data /data") && c.contains("--chown=65532:65532")));
    assert!(of("COPY").iter().any(|c| c.ends_with(" /usr/local/bin/tutti")));
    assert_eq!(of("ENTRYPOINT"), [r#"["/usr/local/bin/tutti"]"#]);
    let command: Vec<String> = serde_json::from_str(of("CMD")[0]).unwrap();
    is_command(&command.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(of("HEALTHCHECK")[0].ends_with(r#"CMD ["/usr/local/bin/tutti", "health"]"#));
    let known = settings();
    for (name, value) in of("ENV")[0].split_whitespace().map(|pair| pair.split_once('=').unwrap()) {
        assert!(known.contains(name), "{name}={value} is no setting");
    }
}

#[test]
fn no_secret_gets_into_the_image_and_all_sources_do() {
    let ignored = text(".dockerignore");
    let ignored: BTreeSet<&str> = ignored.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    for name in [".env", ".git", ".tutti", "**/target", "*.key"] {
        assert!(ignored.contains(name), ".dockerignore lets {name} in");
    }
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let folder = member.as_str().unwrap().split('/').next().unwrap();
        assert!(exists(folder) && !ignored.contains(folder), "cargo needs {folder} to build");
    }
}

#[test]
fn the_unit_starts_what_there_is() {
    let unit = text("deploy/tutti.service");
    let of = |key: &str| -> Vec<&str> { unit.lines().filter_map(|l| l.strip_prefix(key)?.strip_prefix('=')).collect() };
    assert_eq!((of("Type"), of("DynamicUser"), of("StateDirectory")), (vec!["exec"], vec!["yes"], vec!["tutti"]));
    assert_eq!(of("ExecStart").len(), 1);
    let words: Vec<&str> = of("ExecStart")[0].split_whitespace().collect();
    assert_eq!(words[0], "/usr/local/bin/tutti");
    is_command(&words[1..]);
    let known = settings();
    for (name, _) in of("Environment").into_iter().map(|pair| pair.split_once('=').unwrap()) {
        assert!(known.contains(name), "{name} is no setting");
    }
}

#[test]
fn systemd_takes_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tutti.service");
    // It is asked whether the binary is there, so it is given one that is.
    let here = std::env::current_exe().unwrap();
    let unit = text("deploy/tutti.service").replace("/usr/local/bin/tutti", here.to_str().unwrap());
    std::fs::write(&path, unit).unwrap();
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
        return skipped("deploy/tutti.service by systemd-analyze verify, which this machine does not have");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|l| l.contains("tutti")).collect();
    assert!(ours.is_empty(), "{said}");
    if !output.status.success() {
        skipped(&format!("deploy/tutti.service by systemd-analyze verify, which does not work here: {said}"));
    }
}
