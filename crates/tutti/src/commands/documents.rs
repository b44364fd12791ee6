//! `tutti documents …`: what answers are grounded in.

use super::page::Page;
use super::{Server, Usage};
use crate::client::{Client, Part, segment};
use crate::config::Loaded;
use crate::show::{self, clean, line};
use anyhow::bail;
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tutti_agents::grounding::Kind;

/// Most bytes of a file.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most files of one command.
const FILES_MAX: usize = 10_000;

/// What to do with documents.
#[derive(Debug, Subcommand)]
pub enum Documents {
    /// Keep files (.txt, .md, .html, .pdf), or all of a folder; the same file again takes its own place
    Add(Add),
    /// List documents
    List(Page),
    /// Print a document's text
    Get(One),
    /// Delete a document
    Delete(One),
}

/// Which files.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// Files or folders
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Id of the document, of a single file; its name if absent
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Title of the document, of a single file; its own, or its name, if absent
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// What else is known of them; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    #[command(flatten)]
    server: Server,
}

/// Which document.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The document's id
    id: String,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Does it.
pub async fn run(what: &Documents, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Documents::Add(args) => add(args, loaded).await,
        Documents::List(page) => {
            let columns = [
                ("DOCUMENT", "/id"),
                ("CHARS", "/chars"),
                ("PASSAGES", "/passages"),
                ("UPDATED", "/updated_at"),
                ("TITLE", "/title"),
            ];
            page.show(loaded, "/v1/documents", "documents", &columns).await
        }
        Documents::Get(one) => {
            let document = one.server.client(loaded)?.get(&one.path()).await?;
            if one.json {
                return Ok(show::json(&document)?);
            }
            let text = clean(document["content"].as_str().unwrap_or_default());
            Ok(show::out(&format!("{}\n", text.trim_end()))?)
        }
        Documents::Delete(one) => {
            one.server.client(loaded)?.delete(&one.path()).await?;
            show::err(&format!("document {} is deleted\n", line(&one.id)));
            Ok(())
        }
    }
}

impl One {
    fn path(&self) -> String {
        format!("/v1/documents/{}", segment(&self.id))
    }
}

async fn add(args: &Add, loaded: &Loaded) -> anyhow::Result<()> {
    let metadata = read_metadata(&args.metadata)?;
    let files = files(&args.files)?;
    if files.len() != 1 && (args.id.is_some() || args.title.is_some()) {
        return Err(Usage("--id and --title are for a single file".into()).into());
    }
    let client = args.server.client(loaded)?;
    let mut failed = 0;
    for (path, id) in &files {
        let id = args.id.as_ref().unwrap_or(id);
        match send(&client, path, id, args.title.as_deref(), &metadata).await {
            Ok(document) => {
                let count = |name: &str| document[name].as_u64().unwrap_or_default();
                let title = line(document["title"].as_str().unwrap_or_default());
                let passages = count("passages");
                let word = if passages == 1 { "passage" } else { "passages" };
                show::out(&format!("{}  {passages} {word}  {title}\n", line(id)))?;
            }
            Err(error) => {
                failed += 1;
                show::err(&format!("{}: {error:#}\n", line(&path.display().to_string())));
            }
        }
    }
    match failed {
        0 => Ok(()),
        n => bail!("{n} of {} files were not kept", files.len()),
    }
}

async fn send(client: &Client, path: &Path, id: &str, title: Option<&str>, metadata: &str) -> anyhow::Result<Value> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        bail!("it has {size} bytes, at most {FILE_BYTES_MAX} are read");
    }
    let bytes = std::fs::read(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut parts = vec![Part { name: "id", file: None, bytes: id.into() }];
    parts.push(Part { name: "metadata", file: None, bytes: metadata.into() });
    parts.extend(title.map(|title| Part { name: "title", file: None, bytes: title.into() }));
    parts.push(Part { name: "file", file: Some(name), bytes });
    Ok(client.upload("/v1/documents", &parts).await?)
}

fn read_metadata(pairs: &[String]) -> Result<String, Usage> {
    let mut metadata = Map::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Usage(format!("--metadata {pair}: it should be KEY=VALUE")));
        };
        metadata.insert(key.to_owned(), json!(value));
    }
    Ok(Value::Object(metadata).to_string())
}

/// Each file with its id: its name, or its way below a folder that was given.
fn files(given: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Usage> {
    let mut files = Vec::new();
    for path in given {
        let said = |e: &dyn std::fmt::Display| Usage(format!("{}: {e}", path.display()));
        if !path.is_dir() {
            std::fs::metadata(path).map_err(|e| said(&e))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            files.push((path.clone(), name));
            continue;
        }
        let before = files.len();
        let mut open = vec![path.clone()];
        while let Some(folder) = open.pop() {
            let entries = std::fs::read_dir(&folder).map_err(|e| said(&e))?;
            for entry in entries {
                let entry = entry.map_err(|e| said(&e))?;
                // Links are not followed: they may lead out, or round in a circle.
                let kind = entry.file_type().map_err(|e| said(&e))?;
                let file = entry.path();
                if kind.is_dir() {
                    open.push(file);
                } else if kind.is_file() && Kind::of(&file.to_string_lossy(), None).is_ok() {
                    let id = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
                    files.push((file, id));
                }
                if files.len() > FILES_MAX {
                    return Err(said(&format!("more than {FILES_MAX} files")));
                }
            }
        }
        if files.len() == before {
            return Err(said(&"there is no file in it that can be read (.txt, .md, .html, .pdf)"));
        }
        files[before..].sort();
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_files_are_called_by_their_way() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["a.md", "b/c.html", "b/d.bin"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let names = |given: &[PathBuf]| files(given).map(|all| all.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
        assert_eq!(names(&[dir.path().into()]).unwrap(), ["a.md", "b/c.html"]);
        assert_eq!(names(&[dir.path().join("b/c.html")]).unwrap(), ["c.html"]);
        assert!(names(&[dir.path().join("nope")]).unwrap_err().0.contains("nope"));
        assert!(
            read_metadata(&["a=b=c".into()]).unwrap() == r#"{"a":"b=c"}"# && read_metadata(&["=b".into()]).is_err()
        );
    }
}
