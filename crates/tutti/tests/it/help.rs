//! What `--help` says, word for word: the files under `help/` are the reference.

use crate::tutti::{Tutti, same_as_file};

#[test]
fn help_is_as_written() {
    let commands: [&[&str]; 15] = [
        &[],
        &["serve"],
        &["demo"],
        &["run"],
        &["runs"],
        &["runs", "list"],
        &["runs", "get"],
        &["runs", "events"],
        &["runs", "cancel"],
        &["runs", "signal"],
        &["runs", "approve"],
        &["config"],
        &["health"],
        &["completions"],
        &["--version"],
    ];
    for command in commands {
        let mut args = command.to_vec();
        if command != ["--version"] {
            args.push("--help");
        }
        let done = Tutti::new().run(&args);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{args:?}");
        let name = if command.is_empty() { "tutti".into() } else { command.join("-").replace("--", "") };
        same_as_file(&format!("tests/it/help/{name}.txt"), &done.out);
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let done = Tutti::new().run(&["completions", shell]);
        assert!(done.code == 0 && done.out.contains("approve"), "{shell}: {done:?}");
    }
}
