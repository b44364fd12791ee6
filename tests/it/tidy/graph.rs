//! Who may name whom.

use super::{code_of, metadata, sources, without_tests};
use std::collections::BTreeMap;

/// What each crate of ours may depend on; tests' own dependencies are free.
const ARROWS: &[(&str, &[&str])] = &[
    ("tutti-engine", &[]),
    ("tutti-stores", &["tutti-engine"]),
    ("tutti-sandbox", &[]),
    ("tutti-agents", &["tutti-sandbox", "tutti-engine"]),
    ("tutti-workflows", &["tutti-agents", "tutti-engine"]),
    ("tutti-app", &["tutti-workflows", "tutti-agents", "tutti-engine"]),
    ("tutti-server", &["tutti-app"]),
    ("tutti-simulate", &["tutti-agents"]),
    (
        "tutti",
        &[
            "tutti-server",
            "tutti-simulate",
            "tutti-app",
            "tutti-workflows",
            "tutti-agents",
            "tutti-sandbox",
            "tutti-engine",
            "tutti-stores",
        ],
    ),
    ("tutti-tests", &[]),
    ("tutti-bench", &["tutti-tests"]),
];

/// Crates with a wall around them, and the only ones of ours that may name them.
const WALLS: &[(&str, &[&str])] = &[
    ("rusqlite", &["tutti-stores"]),
    ("sqlx", &["tutti-stores"]),
    ("redis", &["tutti-stores"]),
    ("lapin", &["tutti-stores"]),
    ("reqwest", &["tutti-agents", "tutti", "tutti-tests", "tutti-bench"]),
    ("axum", &["tutti-server", "tutti-simulate", "tutti-tests"]),
    ("hyper", &["tutti-server", "tutti-simulate"]),
    ("monty", &["tutti-sandbox"]),
    ("anyhow", &["tutti", "tutti-tests", "tutti-bench"]),
];

/// What a crate does without, beyond the walls.
const NEVER: &[(&str, &[&str])] = &[
    ("tutti-workflows", &["tokio", "http", "jiff", "time", "chrono", "uuid", "rand"]),
    ("tutti-app", &["http"]),
    ("tutti-stores", &["http"]),
];

/// What each crate of ours depends on by its manifest: to run, or with what only its tests need.
fn dependencies(with_tests: bool) -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let members = metadata["workspace_members"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours = packages.iter().filter(|p| members.contains(&p["id"]));
    ours.map(|p| {
        let all = p["dependencies"].as_array().unwrap().iter();
        let counted = all.filter(|d| with_tests || d["kind"].as_str() != Some("dev"));
        let names = counted.map(|d| d["name"].as_str().unwrap().to_owned()).collect();
        (p["name"].as_str().unwrap().to_owned(), names)
    })
    .collect()
}

#[test]
fn each_crate_names_only_what_stands_to_its_right() {
    for (name, found) in dependencies(false) {
        let allowed =
            ARROWS.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name} is in no row of ARROWS")).1;
        let ours: Vec<_> = found.iter().filter(|d| ARROWS.iter().any(|(n, _)| n == d)).collect();
        assert!(ours.iter().all(|d| allowed.contains(&d.as_str())), "{name} may name {allowed:?}, it names {ours:?}");
    }
}

#[test]
fn what_looks_from_outside_names_nothing_of_ours() {
    let all = dependencies(true);
    for name in ["tutti-tests", "tutti-bench"] {
        // The harness is no part of what is looked at.
        let ours: Vec<_> = all[name].iter().filter(|d| all.contains_key(*d) && *d != "tutti-tests").collect();
        assert!(ours.is_empty(), "{name} looks at the binary from outside, it names {ours:?}");
    }
}

#[test]
fn heavy_dependencies_stay_behind_their_walls() {
    let all = dependencies(false);
    for (name, never) in NEVER {
        let named: Vec<_> = all[*name].iter().filter(|d| never.contains(&d.as_str())).collect();
        assert!(named.is_empty(), "{name} names {named:?}; it does without");
    }
    for (name, found) in all {
        for (crate_name, allowed) in WALLS {
            let names_it = found.iter().any(|d| d == crate_name);
            assert!(!names_it || allowed.contains(&name.as_str()), "{name} names {crate_name}; only {allowed:?} may");
        }
    }
}

fn assert_absent(below: &str, words: &[&str], except: &[&str]) {
    for (path, text) in sources(below) {
        let path = path.to_string_lossy().into_owned();
        if except.iter().any(|e| path.contains(e)) || path.ends_with("tests.rs") {
            continue;
        }
        for (number, line) in without_tests(&text) {
            for word in words {
                assert!(!code_of(line).contains(word), "{path}:{number} names {word}");
            }
        }
    }
}

#[test]
fn time_threads_and_tokio_live_in_the_driver_alone() {
    let words = ["tokio::", "std::thread", "Instant::now", "SystemTime", "HashMap", "HashSet"];
    // The suite races claimants against each other, which takes threads.
    assert_absent("crates/engine/src", &words, &["src/driver", "src/conformance"]);
    assert_absent("crates/workflows/src", &words, &[]);
}

#[test]
fn there_is_one_way_out() {
    assert_absent("crates/agents/src", &["reqwest"], &["src/egress"]);
    assert_absent("crates/workflows/src", &["reqwest", "std::net", "std::fs"], &[]);
    assert_absent("crates/engine/src", &["reqwest", "std::net", "std::fs"], &[]);
}

#[test]
fn the_application_knows_no_http_and_the_binary_builds_in_few_files() {
    assert_absent("crates/app/src", &["http::", "axum", "StatusCode"], &[]);
    let rooms = ["tutti_engine", "tutti_stores", "tutti_server", "tutti_workflows", "tutti_agents"];
    // Files that people write are read where they are named.
    let readers = [
        "src/config/",
        "src/commands/graphs.rs",
        "src/commands/run/request.rs",
        "src/commands/simulate.rs",
        "src/commands/tickets/import.rs",
        "src/commands/documents.rs",
        "src/commands/read_pdf.rs",
    ];
    assert_absent(
        "crates/tutti/src",
        &rooms,
        &[&["src/wiring.rs", "src/backends.rs", "src/discovery.rs"], &readers[..]].concat(),
    );
}
