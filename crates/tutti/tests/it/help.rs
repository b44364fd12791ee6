//! What `--help` says, word for word: the files under `help/` are the reference.

use crate::tutti::{Tutti, same_as_file};

/// Every command below this one, itself first, as its help lists them.
fn commands(above: &[&str]) -> Vec<Vec<String>> {
    let mut args = above.to_vec();
    args.push("--help");
    let help = Tutti::new().run(&args).out;
    let mut all = vec![above.iter().map(ToString::to_string).collect()];
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    // A line that goes on from the one before is indented further.
    for line in listed.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            all.extend(commands(&[above, &[name]].concat()));
        }
    }
    all
}

#[test]
fn help_is_as_written() {
    let mut all = commands(&[]);
    assert!(all.len() > 25, "{all:?}");
    all.push(vec!["--version".into()]);
    for command in all {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        if args != ["--version"] {
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
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = Tutti::new().run(&["completions", shell]);
        assert!(done.code == 0, "{shell}: {done:?}");
        for name in ["approvals", "sessions", "context", "reject", "simulate", "cut-stream-after", "man"] {
            assert!(done.out.contains(name), "{shell}: {name}");
        }
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let page = Tutti::new().run(&["man"]);
    assert!(page.code == 0 && page.out.contains(".SH SUBCOMMANDS") && page.out.contains("simulate"), "{page:?}");
    let page = Tutti::new().run(&["man", "runs", "list"]);
    assert!(page.out.contains("tutti\\-runs\\-list") && page.out.contains("\\-\\-workflow"), "{page:?}");
    let wrong = Tutti::new().run(&["man", "runs", "lst"]);
    assert!(wrong.code == 2 && wrong.err.contains("it has list, get"), "{wrong:?}");
}
