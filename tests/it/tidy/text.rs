//! Sizes, dead files, left-over marks, paths of machines, and documents that lag.

use super::{code_of, exists, root, sources, tracked, without_tests};
use std::collections::BTreeSet;
use std::path::Path;

const LINES_MAX: usize = 600;

#[test]
fn no_file_is_too_long() {
    for (path, text) in sources("") {
        let lines = without_tests(&text).len();
        assert!(lines <= LINES_MAX, "{} has {lines} lines; {LINES_MAX} are enough", path.display());
    }
}

#[test]
fn every_file_is_reached_from_its_crates_root() {
    for (path, _) in sources("") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert_ne!(name, "mod", "{}: name it after its folder", path.display());
        let folder = path.parent().unwrap();
        let is_top = folder.ends_with("src") || folder.ends_with("it");
        let is_root = is_top && (name == "lib" || name == "main");
        if is_root || folder.ends_with("bin") || folder.ends_with("examples") {
            continue;
        }
        let parents = if is_top {
            vec![folder.join("lib.rs"), folder.join("main.rs")]
        } else {
            vec![folder.with_extension("rs")]
        };
        let is_named = |parent: &Path| {
            let text = std::fs::read_to_string(root().join(parent)).unwrap_or_default();
            text.lines().any(|l| code_of(l).trim_end().ends_with(&format!("mod {name};")))
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
    assert_eq!(sources, BTreeSet::from([r#""registry+https://github.com/rust-lang/crates.io-index""#]));
}

#[test]
fn documents_name_what_is_there() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: Vec<_> = makefile.lines().filter(|l| l.contains(": ") && l.contains("## ")).collect();
    assert!(targets.len() <= 12, "{} targets are too many", targets.len());
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/deploy.md", "docs/house/tests.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let quoted: Vec<_> = text.split('`').skip(1).step_by(2).collect();
        for path in quoted
            .iter()
            .filter(|q| ["crates/", "tests/", "docs/"].iter().any(|f| q.starts_with(f)) && !q.contains('<'))
        {
            assert!(exists(path), "{document} names `{path}`, which is not there");
        }
        let code = quoted.iter().copied().chain(text.lines().filter(|l| l.starts_with("    ")));
        for target in
            code.flat_map(|c| c.split_once("make ")).map(|(_, t)| t.split_whitespace().next().unwrap_or_default())
        {
            let is_target = targets.iter().any(|t| t.starts_with(&format!("{target}:")));
            assert!(is_target, "{document} names `make {target}`, which is no target");
        }
    }
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for folder in std::fs::read_dir(root().join("crates")).unwrap() {
        let name = format!("crates/{}", folder.unwrap().file_name().to_string_lossy());
        assert!(architecture.contains(&name), "ARCHITECTURE.md does not name {name}");
    }
}

/// The contract's classes of errors with their statuses.
const CLASSES: &[(&str, u16)] = &[
    ("BadRequest", 400),
    ("AuthenticationError", 401),
    ("PermissionDenied", 403),
    ("BudgetExceeded", 403),
    ("NotFound", 404),
    ("MethodNotAllowed", 405),
    ("Conflict", 409),
    ("PreconditionFailed", 412),
    ("PayloadTooLarge", 413),
    ("UnsupportedMediaType", 415),
    ("ValidationError", 422),
    ("RateLimited", 429),
    ("HeadersTooLarge", 431),
    ("InternalError", 500),
    ("WorkflowError", 502),
    ("PaymentError", 502),
    ("DataError", 502),
    ("AgentError", 502),
    ("LlmError", 502),
    ("ToolError", 502),
    ("Unavailable", 503),
    ("Timeout", 504),
];

#[test]
fn each_class_of_error_has_its_page() {
    for (class, status) in CLASSES {
        let page = format!("docs/errors/{class}.md");
        let text = std::fs::read_to_string(root().join(&page)).unwrap_or_else(|_| panic!("{page} is missing"));
        assert!(text.starts_with(&format!("# {class}\n\nStatus: {status}")), "{page} begins otherwise");
        for part in ["**What it means.**", "**If you sent the request.**", "**If you run the server.**"] {
            assert!(text.contains(part), "{page} lacks {part}");
        }
    }
    let is_class = |name: &str| CLASSES.iter().any(|(class, _)| *class == name);
    for page in tracked().into_iter().filter(|p| p.starts_with("docs/errors")) {
        assert!(is_class(&page.file_stem().unwrap().to_string_lossy()), "{} stands for no class", page.display());
    }
    let words = std::fs::read_to_string(root().join("crates/app/src/failure.rs")).unwrap();
    let words: Vec<_> = words.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(words.contains(&"InternalError"), "the classes moved out of crates/app/src/failure.rs: tell this test");
    for class in words {
        assert!(is_class(class), "{class} is in crates/app/src/failure.rs and not in the contract");
    }
}
