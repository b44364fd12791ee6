//! The house itself: arrows between rooms, sizes, dead files, licences, and documents that lag behind the code.

mod graph;
mod licences;
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

/// Files that git tracks.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).filter(|p| root().join(p).exists()).collect()
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

/// A file's text without its unit tests, which may use what the code may not.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

fn exists(path: impl AsRef<Path>) -> bool {
    root().join(path).exists()
}
