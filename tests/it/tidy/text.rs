//! Sizes, dead files, left-over marks, paths of machines, and documents that lag.

use super::{exists, root, sources, tracked, without_tests};
use std::collections::BTreeSet;
use std::path::Path;

const LINES_MAX: usize = 600;

#[test]
fn no_file_is_too_long() {
    for (path, text) in sources("") {
        let lines = without_tests(&text).lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines; {LINES_MAX} are enough", path.display());
    }
}

#[test]
fn every_file_is_reached_from_its_crates_root() {
    let all = sources("crates");
    for (path, _) in all.iter().filter(|(p, _)| p.components().nth(2).is_some_and(|c| c.as_os_str() == "src")) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert_ne!(name, "mod", "{}: name it after its folder", path.display());
        let folder = path.parent().unwrap();
        if folder.ends_with("src") && (name == "lib" || name == "main") {
            continue;
        }
        let parents = if folder.ends_with("src") {
            vec![folder.join("lib.rs"), folder.join("main.rs")]
        } else {
            vec![folder.with_extension("rs")]
        };
        let is_named = |parent: &Path| {
            let text = std::fs::read_to_string(root().join(parent)).unwrap_or_default();
            text.lines().any(|l| l.trim_end().ends_with(&format!("mod {name};")))
        };
        assert!(parents.iter().any(|p| is_named(p)), "{}: no `mod {name};` names it", path.display());
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("db", "g!("),
    ];
    for (path, text) in sources("") {
        for mark in marks {
            assert!(!text.contains(mark), "{} holds {mark}", path.display());
        }
    }
}

#[test]
fn no_file_knows_a_machine() {
    let places = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/tm", "p/")];
    for path in tracked() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for place in places {
            assert!(!text.contains(place), "{} holds a path below {place}", path.display());
        }
    }
}

#[test]
fn the_lock_names_one_source() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let sources: BTreeSet<_> = lock.lines().filter_map(|l| l.strip_prefix("source = ")).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
}

#[test]
fn documents_name_what_is_there() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: Vec<_> = makefile.lines().filter(|l| l.contains(": ") && l.contains("## ")).collect();
    assert!(targets.len() <= 12, "{} targets are too many", targets.len());
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/house/tests.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let quoted: Vec<_> = text.split('`').skip(1).step_by(2).collect();
        for path in quoted
            .iter()
            .filter(|q| ["crates/", "tests/", "docs/"].iter().any(|f| q.starts_with(f)) && !q.contains('<'))
        {
            assert!(exists(path), "{document} names `{path}`, which is not there");
        }
        for target in text.split("make ").skip(1).filter_map(|t| t.split(|c: char| !c.is_ascii_lowercase()).next()) {
            let is_target = targets.iter().any(|t| t.starts_with(&format!("{target}:")));
            let is_prose = ["missing", "writes", "a", "it", ""].contains(&target);
            assert!(is_target || is_prose, "{document} names `make {target}`, which is no target");
        }
    }
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for folder in std::fs::read_dir(root().join("crates")).unwrap() {
        let name = format!("crates/{}", folder.unwrap().file_name().to_string_lossy());
        assert!(architecture.contains(&name), "ARCHITECTURE.md does not name {name}");
    }
}

/// The contract's classes of errors.
const CLASSES: &[&str] = &[
    "BadRequest",
    "AuthenticationError",
    "PermissionDenied",
    "NotFound",
    "Conflict",
    "PayloadTooLarge",
    "UnsupportedMediaType",
    "RateLimited",
    "BudgetExceeded",
    "WorkflowError",
    "PaymentError",
    "DataError",
    "AgentError",
    "LlmError",
    "ToolError",
    "MethodNotAllowed",
    "PreconditionFailed",
    "HeadersTooLarge",
    "Unavailable",
    "Timeout",
    "InternalError",
    "ValidationError",
];

#[test]
fn each_class_of_error_has_its_page() {
    for class in CLASSES {
        assert!(exists(format!("docs/errors/{class}.md")), "docs/errors/{class}.md is missing");
    }
    let pages = tracked().into_iter().filter(|p| p.starts_with("docs/errors"));
    for page in pages {
        let name = page.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(CLASSES.contains(&name.as_str()), "{} stands for no class", page.display());
    }
}
