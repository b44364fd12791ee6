//! Licences of everything that is built in, against `deny.toml`; advisories where a database lies on this machine.

use super::{metadata, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The words between the brackets of `allow` in `deny.toml`.
fn allowed() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let list = text.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).map(String::from).collect()
}

/// Whether an SPDX expression (AND, OR, WITH, parentheses, and the old `/` for OR) can be met.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at, allowed)
}

fn either(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, allowed);
    }
    met
}

fn both(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = either(words, at, allowed);
        *at += 1;
        return met;
    }
    // An exception only ever permits more.
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    allowed.contains(*word)
}

/// Packages that end up in a build here, without ours.
fn packages(metadata: &Value) -> Vec<&Value> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let built: BTreeSet<&str> = nodes.iter().map(|n| n["id"].as_str().unwrap()).collect();
    let foreign = |p: &&Value| !p["source"].is_null() && built.contains(p["id"].as_str().unwrap());
    metadata["packages"].as_array().unwrap().iter().filter(foreign).collect()
}

#[test]
fn every_licence_is_allowed() {
    let (metadata, allowed) = (metadata(), allowed());
    let bad: Vec<_> = packages(&metadata)
        .into_iter()
        .filter(|p| !p["license"].as_str().is_some_and(|l| is_met(l, &allowed)))
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert!(bad.is_empty(), "not allowed by deny.toml: {bad:#?}");
}

#[test]
fn expressions_are_read() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "Zlib".to_owned(), "Apache-2.0".to_owned()]);
    for good in
        ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "MIT AND (GPL-2.0 OR Zlib)", "Apache-2.0 WITH LLVM-exception AND MIT"]
    {
        assert!(is_met(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-2.0", ""] {
        assert!(!is_met(bad, &allowed), "{bad}");
    }
}

#[test]
fn advisories_are_met_where_they_are_known() {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cargo")));
    let named = std::env::var_os("RUSTSEC_DB").map(PathBuf::from);
    let Some(database) = named.or_else(|| home.map(|h| h.join("advisory-db"))).filter(|d| d.join("crates").is_dir())
    else {
        println!("advisories: skipped, no RustSec database on this machine");
        return;
    };
    let metadata = metadata();
    let mut open = Vec::new();
    for package in packages(&metadata) {
        let folder = database.join("crates").join(package["name"].as_str().unwrap());
        let version: semver::Version = package["version"].as_str().unwrap().parse().unwrap();
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap();
            if concerns(&text, &version) {
                open.push(format!("{} {version}: {}", package["name"], file.path().display()));
            }
        }
    }
    assert!(open.is_empty(), "open advisories: {open:#?}");
}

/// Whether an advisory's front matter leaves a version unpatched. Notices without a `[versions]` list concern nobody.
fn concerns(advisory: &str, version: &semver::Version) -> bool {
    if advisory.contains("informational =") || advisory.contains("withdrawn =") {
        return false;
    }
    let ranges = |key: &str| -> Vec<semver::VersionReq> {
        let list = advisory.lines().find_map(|l| l.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        list.unwrap_or_default().split('"').skip(1).step_by(2).filter_map(|r| r.parse().ok()).collect()
    };
    let is_safe = ranges("patched").iter().chain(&ranges("unaffected")).any(|r| r.matches(version));
    advisory.contains("[versions]") && !is_safe
}

#[test]
fn an_advisory_concerns_unpatched_versions_only() {
    let text = "[advisory]\nid = \"RUSTSEC-2020-0001\"\n[versions]\npatched = [\">= 1.2.3\", \"^0.9.7\"]\nunaffected = [\"< 0.5\"]\n";
    let concerns = |v: &str| concerns(text, &v.parse().unwrap());
    assert!(concerns("1.2.2") && concerns("0.8.0") && !concerns("1.2.3") && !concerns("0.9.8") && !concerns("0.4.0"));
}
