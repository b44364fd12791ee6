//! Exit codes are an interface: 0 done, 1 failed, 2 wrong usage; errors are one line on stderr.

use crate::fake::{Fake, json};
use crate::tutti::Tutti;

#[test]
fn wrong_usage_is_two_and_one_line() {
    for (args, says) in [
        (&["srve"][..], "unrecognized subcommand 'srve'; tip: a similar subcommand exists: 'serve'"),
        (&["run"], "the following required arguments were not provided: <WORKFLOW|FILE>"),
        (&["runs", "list", "--limit", "0"], "invalid value '0'"),
        (&["serve", "--role", "api"], "--role api needs a store that several processes share"),
        (&["serve", "--role", "boss"], "invalid value 'boss'"),
        (&["completions", "tcsh"], "invalid value 'tcsh'"),
        (&["run", "team.yaml"], "team.yaml: cannot be read"),
        (&["run", "missing.json"], "missing.json: cannot be read"),
        (&["run", "x", "--input", "{\"a\":}"], "this looks like JSON but is not"),
        (&["simulate", "--hang", "--drop"], "only one of"),
        (&["simulate", "--status", "200"], "400 to 599"),
        (&["simulate", "--script", "none.yaml"], "none.yaml: cannot be read"),
        (&["sessions", "context", "s", "--format", "xml"], "invalid value 'xml'"),
        (&["health", "--nope"], "unexpected argument '--nope' found"),
    ] {
        let done = Tutti::new().run(args);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{args:?}: {done:?}");
        assert!(done.err.starts_with("tutti: ") && done.err.contains(says), "{args:?}: {}", done.err);
        assert_eq!(done.err.matches('\n').count(), 1, "{}", done.err);
    }
    let done = Tutti::new().run(&[]);
    assert!(done.code == 2 && done.err.contains("Usage: tutti"), "{done:?}");
}

#[test]
fn a_server_that_is_not_there_is_one() {
    for args in [
        &["health"][..],
        &["runs", "list"],
        &["runs", "get", "x"],
        &["runs", "events", "x"],
        &["runs", "cancel", "x"],
        &["run", "noop"],
    ] {
        let done = Tutti::new().env("TUTTI_URL", "http://127.0.0.1:9").run(args);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{args:?}: {done:?}");
        assert!(done.err.starts_with("tutti: no server answers at http://127.0.0.1:9 ("), "{args:?}: {}", done.err);
        assert_eq!(done.err.matches('\n').count(), 1, "{}", done.err);
    }
}

#[test]
fn an_unhealthy_server_is_one() {
    let healthy = r#"{"status":"healthy","version":"0.1.0","timestamp":"t","parts":{"store":{"status":"healthy","name":"sqlite"}}}"#;
    let fake = Fake::start(vec![json(200, healthy)]);
    let done = Tutti::new().run(&["health", "--url", &fake.url]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    assert_eq!(
        done.out,
        format!("healthy · tutti 0.1.0 at {}\n\nPARTS  STATE\nstore  healthy name=sqlite\n", fake.url)
    );

    let fake = Fake::start(vec![json(503, r#"{"status":"unhealthy","version":"0.1.0","timestamp":"t"}"#)]);
    let done = Tutti::new().run(&["health", "--json", "--url", &fake.url]);
    assert_eq!((done.code, done.err), (1, format!("tutti: the server at {} is unhealthy\n", fake.url)));
    assert!(done.out.contains("\"unhealthy\""), "{}", done.out);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_tutti"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}
