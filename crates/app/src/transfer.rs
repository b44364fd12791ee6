//! `transfer`: what a user configured, as files that can live in git, and such files back again.
//!
//! A file is `FOLDER/NAME.yaml` and holds one thing in the words in which it is registered; the same thing is always written
//! the same. What comes from the operator's own files, and what runs did, is not among them. No secret is: where one stands,
//! the file says [`HIDDEN`].

mod agents;
mod articles;
mod data_sources;
mod documents;
mod file;
mod graphs;
mod import;
mod tools;

pub use file::File;
pub use import::{Change, Imported};

use crate::caller::{Caller, Role};
use crate::failure::Failure;
use crate::{App, cursor};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;

/// Every kind of thing that is exported, in the order in which it is imported.
const NOUNS: &[Noun] = &[tools::NOUN, agents::NOUN, articles::NOUN, data_sources::NOUN, documents::NOUN, graphs::NOUN];

/// Most files of one import.
pub const FILES_MAX: usize = 20_000;
/// Stands in a file where a secret stands in the thing.
pub const HIDDEN: &str = "***";
const LIST: &str = "export";

/// What is being done for somebody, later.
type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Reads things; see [`Noun::list`].
type List = for<'a> fn(&'a App, &'a Caller, Option<String>, u32) -> Doing<'a, Vec<Thing>>;

/// A kind of thing.
struct Noun {
    /// The folder of its files.
    folder: &'static str,
    /// The field that names one.
    key: &'static str,
    /// At most so many of them, by name, after a name.
    list: List,
    /// What a file would make, as [`list`](Self::list) would show it; every fault of it otherwise, with its path in the file.
    check: for<'a> fn(&'a App, &'a Caller, &'a Value, &'a Together) -> Doing<'a, Thing>,
    /// Makes it. Whatever it names has been found in the import, if not on the server.
    write: for<'a> fn(&'a App, &'a Caller, &'a Value, &'a Together) -> Doing<'a, ()>,
}

/// One thing, as it is written down.
#[derive(Debug, Clone, PartialEq)]
struct Thing {
    /// Unique among its kind.
    name: String,
    /// What it says.
    body: Value,
}

/// A page of an export.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// Files, by folder and name.
    pub items: Vec<File>,
    /// Where the next page begins; absent on the last one.
    pub next_cursor: Option<String>,
    /// Every folder that an export may have, so that a file of a thing that is gone can be told from a stranger's.
    pub folders: Vec<&'static str>,
}

/// The names of all things that one import brings, by folder: they may name each other.
#[derive(Debug, Default)]
struct Together(BTreeMap<&'static str, BTreeSet<String>>);

impl Together {
    /// Those of a kind.
    fn of(&self, folder: &str) -> impl Iterator<Item = &String> {
        self.0.get(folder).into_iter().flatten()
    }
}

impl App {
    /// A page of what the tenant has configured, as files.
    ///
    /// # Errors
    /// A cursor that no page gave, or the caller is no admin.
    pub async fn export(&self, caller: &Caller, cursor: Option<&str>, limit: u32) -> Result<Exported, Failure> {
        caller.must_hold(Role::Admin)?;
        let limit = limit.clamp(1, 200);
        let after = cursor.map(|text| cursor::read_name(LIST, text)).transpose()?;
        let exported = |items, next_cursor| {
            Ok(Exported { items, next_cursor, folders: NOUNS.iter().map(|noun| noun.folder).collect() })
        };
        let (folder, mut after) = match after.as_deref().and_then(|place| place.split_once('/')) {
            Some((folder, name)) => (folder.to_owned(), Some(name.to_owned())),
            None => {
                tracing::info!(by = %caller.user, tenant = %caller.tenant, "the configuration is exported");
                (NOUNS[0].folder.into(), None)
            }
        };
        let mut items: Vec<File> = Vec::new();
        let mut last = String::new();
        for noun in NOUNS.iter().skip_while(|noun| noun.folder != folder) {
            let room = limit - u32::try_from(items.len()).unwrap_or(limit);
            // One more tells whether there is more.
            let mut things = (noun.list)(self, caller, after.take(), room + 1).await?;
            let has_more = things.len() > room as usize;
            things.truncate(room as usize);
            for thing in &things {
                items.push(File::of(noun.folder, thing)?);
                last = format!("{}/{}", noun.folder, thing.name);
            }
            if has_more {
                return exported(items, Some(cursor::write_name(LIST, &last)));
            }
        }
        exported(items, None)
    }
}

/// Each thing of a kind, page by page.
async fn all(app: &App, caller: &Caller, noun: &Noun, mut take: impl FnMut(Thing) + Send) -> Result<(), Failure> {
    const PAGE: u32 = 200;
    let mut after = None;
    loop {
        let things = (noun.list)(app, caller, after, PAGE).await?;
        let is_end = things.len() < PAGE as usize;
        after = things.last().map(|thing| thing.name.clone());
        things.into_iter().for_each(&mut take);
        if is_end {
            return Ok(());
        }
    }
}
