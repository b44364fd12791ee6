//! `tutti import`: files of a configuration to a server.

use super::{Server, Usage};
use crate::client::Failure;
use crate::config::Loaded;
use crate::show::{self, line};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Endings of files that are read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What to import.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with files as `tutti export` writes them: agents/NAME.yaml and so on
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Check everything, say what would change, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Makes what is not there, changes what is different, leaves the rest; nothing at all where one file has a fault.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let files = read(&args.dir)?;
    if files.is_empty() {
        let ways = "agents/NAME.yaml and so on; see tutti export";
        return Err(Usage(format!("{} has no files to import: {ways}", args.dir.display())).into());
    }
    let body = json!({"files": files, "dry_run": args.dry_run});
    let imported = args.server.client(loaded)?.post("/v1/import", &body).await.map_err(told)?;
    if args.json {
        return Ok(show::json(&imported)?);
    }
    for item in imported["items"].as_array().into_iter().flatten() {
        let (change, path) = (item["change"].as_str().unwrap_or("-"), item["path"].as_str().unwrap_or("-"));
        if change != "unchanged" {
            show::out(&format!("{change:<9} {}\n", line(path)))?;
        }
    }
    let count = |word: &str| imported["counts"][word].as_u64().unwrap_or(0);
    let would = if args.dry_run { " (nothing was written)" } else { "" };
    let [created, changed, unchanged] = ["created", "changed", "unchanged"].map(count);
    show::err(&format!("{created} created, {changed} changed, {unchanged} unchanged{would}\n"));
    Ok(())
}

/// The files of each folder, in the order of their paths. What lies elsewhere, and hidden folders, are not looked at.
fn read(dir: &Path) -> anyhow::Result<Vec<Value>> {
    let mut paths = Vec::new();
    for folder in entries(dir)?.into_iter().filter(|folder| dir.join(folder).is_dir()) {
        let files = entries(&dir.join(&folder))?.into_iter();
        let is_read = |file: &String| file.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending));
        paths.extend(files.filter(is_read).map(|file| format!("{folder}/{file}")));
    }
    let read = |path: String| {
        let file = dir.join(&path);
        let content =
            std::fs::read_to_string(&file).map_err(|e| Usage(format!("{} cannot be read: {e}", file.display())))?;
        Ok(json!({"path": path, "content": content}))
    };
    paths.into_iter().map(read).collect()
}

/// Names in a folder, in order; hidden ones left out.
fn entries(dir: &Path) -> anyhow::Result<Vec<String>> {
    let wrong = |e: std::io::Error| Usage(format!("{} cannot be read: {e}", dir.display()));
    let all = std::fs::read_dir(dir).map_err(wrong)?.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let mut names: Vec<String> = all.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

/// A fault of a file begins with its place, as editors like it: `agents/a.yaml:7:3: brain_config.persona: field required`.
fn told(failure: Failure) -> Failure {
    let Failure::Answered { status: 422, text, detail } = failure else { return failure };
    let place_first = |fault: &str| {
        let (path, rest) = fault.strip_prefix("files[")?.split_once("].content")?.1.split_once(": ")?;
        let (place, msg) = rest.split_once(": ")?;
        let path = path.trim_start_matches('.');
        Some(if path.is_empty() { rest.to_owned() } else { format!("{place}: {path}: {msg}") })
    };
    let lines: Vec<String> = text.lines().map(|fault| place_first(fault).unwrap_or_else(|| fault.to_owned())).collect();
    Failure::Answered { status: 422, text: lines.join("\n"), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_begin_with_their_place() {
        let text = "files[0].content.brain_config.persona: agents/a.yaml:7:3: field required\n\
            files[1].content: agents/b.yaml:1:1: not YAML: really\nfiles[2].path: x/y.yaml: nothing to import"
            .to_owned();
        let told = told(Failure::Answered { status: 422, text, detail: Vec::new() }).to_string();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "agents/a.yaml:7:3: brain_config.persona: field required",
                "agents/b.yaml:1:1: not YAML: really",
                "files[2].path: x/y.yaml: nothing to import"
            ]
        );
    }
}
