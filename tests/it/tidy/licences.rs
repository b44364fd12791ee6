//! Licences of everything that is built in, against `deny.toml`; advisories where a database lies on this machine.

use super::{metadata, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use toml::Table;

fn deny() -> Table {
    std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

fn allowed() -> BTreeSet<String> {
    let list = deny()["licenses"]["allow"].clone();
    list.try_into().unwrap()
}

/// Whether an SPDX expression (AND, OR, WITH, parentheses, and the old `/` for OR) can be met.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(&words, &mut at, allowed);
    met && at == words.len()
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
        let is_closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && is_closed;
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
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-2.0", "MIT GPL-3.0", "(MIT", "MIT)", "MIT AND", ""]
    {
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
    let (metadata, ignored) = (metadata(), ignored());
    let mut open = Vec::new();
    for package in packages(&metadata) {
        let folder = database.join("crates").join(package["name"].as_str().unwrap());
        let version: semver::Version = package["version"].as_str().unwrap().parse().unwrap();
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap();
            let is_ignored = file.path().file_stem().is_some_and(|id| ignored.contains(&*id.to_string_lossy()));
            if !is_ignored && concerns(&text, &version) {
                open.push(format!("{} {version}: {}", package["name"], file.path().display()));
            }
        }
    }
    assert!(open.is_empty(), "open advisories: {open:#?}");
}

/// Ids that `deny.toml` sets aside, each with its reason.
fn ignored() -> BTreeSet<String> {
    let deny = deny();
    let rows = deny["advisories"]["ignore"].as_array().unwrap();
    let text = |row: &toml::Value, key: &str| {
        let text = row.get(key).and_then(toml::Value::as_str).map(String::from);
        text.unwrap_or_else(|| {
            panic!("deny.toml: an ignored advisory is {{ id = \"RUSTSEC-…\", reason = \"…\" }}, not {row}")
        })
    };
    rows.iter().map(|row| (text(row, "reason"), text(row, "id")).1).collect()
}

/// Whether an advisory's front matter leaves a version unpatched. Notices (unmaintained and the like) and withdrawn ones
/// concern nobody; one that cannot be read concerns everybody.
fn concerns(advisory: &str, version: &semver::Version) -> bool {
    let front = advisory.split("```toml").nth(1).and_then(|t| t.split("\n```").next());
    let Some(front) = front.and_then(|f| f.parse::<Table>().ok()) else { return true };
    let is_set = |key| front.get("advisory").and_then(|a| a.get(key)).is_some();
    if is_set("informational") || is_set("withdrawn") {
        return false;
    }
    let is_within = |key| {
        let ranges = front.get("versions").and_then(|v| v.get(key)).and_then(toml::Value::as_array);
        let ranges = ranges.into_iter().flatten().filter_map(|r| r.as_str()?.parse::<semver::VersionReq>().ok());
        ranges.into_iter().any(|r| r.matches(version))
    };
    !is_within("patched") && !is_within("unaffected")
}

#[test]
fn an_advisory_concerns_unpatched_versions_only() {
    let front = "id = \"RUSTSEC-2020-0001\"\n[versions]\npatched = [\n  \">= 1.2.3\",\n  \"^0.9.7\",\n]\nunaffected = [\"< 0.5\"]";
    // Words in the prose are no front matter.
    let text = format!("```toml\n[advisory]\n{front}\n```\n# Title\nwithdrawn = no\n");
    let of = |v: &str| concerns(&text, &v.parse().unwrap());
    assert!(of("1.2.2") && of("0.8.0") && !of("1.2.3") && !of("0.9.8") && !of("0.4.0"));
    let notice = format!("```toml\n[advisory]\ninformational = \"unmaintained\"\n{front}\n```\n");
    assert!(!concerns(&notice, &"1.2.2".parse().unwrap()));
    assert!(concerns("no front matter", &"1.2.2".parse().unwrap()));
}
