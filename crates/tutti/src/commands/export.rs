//! `tutti export`: what a server's user configured, as files.

use super::{Server, Usage};
use crate::client::query;
use crate::config::Loaded;
use crate::show::{self, line};
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files a page.
const PAGE: &str = "200";

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write to; its files are overwritten where they differ
    #[arg(value_name = "DIR", default_value = "tutti-export")]
    dir: PathBuf,
    /// Remove files of things that the server does not have
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    server: Server,
}

/// Writes one file a thing: `agents/NAME.yaml` and so on. Files that are as they should be are not touched.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let client = args.server.client(loaded)?;
    let (mut counts, mut paths): (BTreeMap<String, usize>, BTreeSet<String>) = (BTreeMap::new(), BTreeSet::new());
    let (mut written, mut cursor) = (0, None);
    let folders = loop {
        let asked = query(&[("limit", Some(PAGE.into())), ("cursor", cursor)]);
        let page = client.get(&format!("/v1/export{asked}")).await?;
        for file in page["items"].as_array().into_iter().flatten() {
            let path = file["path"].as_str().unwrap_or_default();
            let Some(folder) = folder_of(path) else { bail!("{} offers a file at {path:?}", client.url()) };
            written += usize::from(write(&args.dir.join(path), file["content"].as_str().unwrap_or_default())?);
            *counts.entry(folder.to_owned()).or_default() += 1;
            paths.insert(path.to_owned());
        }
        cursor = page["next_cursor"].as_str().map(String::from);
        if cursor.is_none() {
            let folders = page["folders"].as_array().into_iter().flatten();
            break folders.filter_map(|folder| Some(folder.as_str()?.to_owned())).collect::<Vec<_>>();
        }
    };
    let left = others(&args.dir, &folders, &paths)?;
    for path in &left {
        let file = args.dir.join(path);
        if args.delete {
            std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
        } else {
            show::err(&format!("{} is not on the server; --delete removes it\n", line(&file.display().to_string())));
        }
    }
    for (folder, count) in &counts {
        show::out(&format!("{count:>7} {}\n", line(folder)))?;
    }
    let removed = if args.delete && !left.is_empty() { format!(", {} removed", left.len()) } else { String::new() };
    show::err(&format!(
        "{}: {written} of {} files written{removed}\n",
        line(&args.dir.display().to_string()),
        paths.len()
    ));
    Ok(())
}

/// The folder of `FOLDER/NAME.yaml`; nothing for a path that leads elsewhere, whoever says it.
fn folder_of(path: &str) -> Option<&str> {
    let (folder, name) = path.split_once('/')?;
    let plain = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    let is_ours = plain(folder, b"-_") && plain(name, b"-_.%~") && !folder.is_empty();
    (is_ours && name.ends_with(".yaml") && !name.starts_with('.')).then_some(folder)
}

/// Whether there was something to write.
fn write(file: &Path, content: &str) -> anyhow::Result<bool> {
    if std::fs::read(file).is_ok_and(|there| there == content.as_bytes()) {
        return Ok(false);
    }
    let folder = file.parent().ok_or_else(|| Usage(format!("{} is no file", file.display())))?;
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    std::fs::write(file, content).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(true)
}

/// Files in the folders of the export that it does not hold.
fn others(dir: &Path, folders: &[String], held: &BTreeSet<String>) -> anyhow::Result<Vec<String>> {
    let mut others = Vec::new();
    for folder in folders {
        let place = dir.join(folder);
        if !place.is_dir() {
            continue;
        }
        let entries = std::fs::read_dir(&place).with_context(|| format!("{} cannot be read", place.display()))?;
        let paths = entries.flatten().filter_map(|entry| Some(format!("{folder}/{}", entry.file_name().to_str()?)));
        others.extend(paths.filter(|path| folder_of(path).is_some() && !held.contains(path)));
    }
    others.sort();
    Ok(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_write_elsewhere() {
        assert_eq!(folder_of("agents/billing-agent_2.yaml"), Some("agents"));
        assert_eq!(folder_of("data-sources/%C3%A9.yaml"), Some("data-sources"));
        for path in [
            "../x.yaml",
            "agents/../x.yaml",
            "/etc/x.yaml",
            "agents/.git.yaml",
            "agents/x.sh",
            "a/b/c.yaml",
            "x.yaml",
            "",
        ] {
            assert_eq!(folder_of(path), None, "{path}");
        }
    }
}
