//! `.env.example` at the root of the repository is what the list of settings says.

use crate::tutti::{Tutti, same_as_file};

#[test]
fn env_example_is_fresh() {
    let done = Tutti::new().run(&["config", "--example"]);
    assert_eq!(done.code, 0, "{done:?}");
    same_as_file("../../.env.example", &done.out);
}

#[test]
fn the_example_is_a_valid_env_file_that_sets_nothing() {
    let example = Tutti::new().run(&["config", "--example"]).out;
    let done = Tutti::new().file(".env", &example).run(&["config"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    assert!(!done.out.contains(".env"), "{}", done.out);
    // Taking the comment signs off the settings of this version changes nothing either.
    let used = example.split("# --- Known, not used").next().unwrap();
    let settings: String = used
        .lines()
        .filter_map(|l| l.strip_prefix('#'))
        .filter(|l| !l.starts_with(' '))
        .map(|l| format!("{l}\n"))
        .collect();
    assert!(settings.contains("AGENT_ORCHESTRATOR_PORT=8000\n"), "{settings}");
    let done = Tutti::new().file(".env", &settings).run(&["config"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
}
