//! The house itself: arrows between rooms, sizes, dead files, licences, and documents that lag behind the code.

mod chart;
mod graph;
mod licences;
mod packaging;
mod text;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// `cargo metadata` of what is built here, without asking any network.
fn metadata() -> Value {
    let target = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let target = String::from_utf8(target).unwrap();
    let host = target.lines().find_map(|l| l.strip_prefix("host: ")).unwrap().to_owned();
    let arguments = ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", &host];
    let output = Command::new(cargo()).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Files that git tracks; in an unpacked archive, every file outside of what building leaves behind.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let names = output.map(|o| String::from_utf8(o.stdout).unwrap()).unwrap_or_default();
    let mut files: Vec<_> = names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect();
    files.retain(|p| exists(p));
    if files.is_empty() {
        walk(Path::new(""), &mut files);
    }
    // Without this, a check over no files would pass.
    assert!(files.contains(&PathBuf::from("Cargo.lock")), "Cargo.lock is not tracked");
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root().join(folder)).unwrap().flatten() {
        let name = entry.file_name();
        let path = folder.join(&name);
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().unwrap().is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

/// Rust files below a folder, with their text.
fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let is_source = |p: &PathBuf| p.starts_with(below) && p.extension().is_some_and(|e| e == "rs");
    tracked()
        .into_iter()
        .filter(is_source)
        .map(|p| (p.clone(), std::fs::read_to_string(root().join(&p)).unwrap()))
        .collect()
}

/// A file's numbered lines without the items under `#[cfg(test)]`, which may use what the code may not. rustfmt sees to
/// it that an item ends with a line that is not indented.
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let mut is_test = false;
    let mut kept = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line == "#[cfg(test)]" {
            is_test = true;
        } else if !is_test {
            kept.push((index + 1, line));
        } else if !line.starts_with([' ', '#']) && line.ends_with([';', '}']) {
            is_test = false;
        }
    }
    kept
}

/// A line without its comment; the slashes of an address begin none.
fn code_of(line: &str) -> &str {
    let begins = line.match_indices("//").map(|(at, _)| at).find(|&at| !line[..at].ends_with(':'));
    begins.map_or(line, |at| &line[..at])
}

#[test]
fn code_after_tests_is_still_code() {
    let text = "use a;\n#[cfg(test)]\nmod tests;\nfn one() {}\n\n#[cfg(test)]\n#[allow(x)]\nmod more {\n    fn two() {}\n}\nfn three() {}";
    let kept: Vec<_> = without_tests(text).into_iter().filter(|(_, line)| !line.is_empty()).collect();
    assert_eq!(kept, [(1, "use a;"), (4, "fn one() {}"), (11, "fn three() {}")]);
    assert_eq!(code_of(r#"let a = "http://b"; // c"#), r#"let a = "http://b"; "#);
    assert_eq!(code_of("/// only words"), "");
}

fn exists(path: impl AsRef<Path>) -> bool {
    root().join(path).exists()
}
