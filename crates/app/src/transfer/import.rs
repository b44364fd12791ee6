//! Import: every file is read and checked before the first thing is written, so what is refused leaves nothing behind.

use super::{FILES_MAX, HIDDEN, NOUNS, Noun, Thing, Together, all};
use crate::caller::{Caller, Role};
use crate::failure::Failure;
use crate::{App, Class, FieldError, Loc};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tutti_agents::form::{Errors, Form, nearest};
use tutti_agents::yaml::{self, Places, Wrong};

const PATH_CHARS_MAX: usize = 400;
const CONTENT_CHARS_MAX: usize = yaml::BYTES_MAX * 8;

/// What an import did, or would do, with one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// There was no such thing.
    Created,
    /// There was another one of that name.
    Changed,
    /// The thing is as the file says.
    Unchanged,
}

impl Change {
    /// What becomes of what is there. A secret shows in neither, so where there is one it may be another.
    fn of(found: Option<&Value>, made: &Value) -> Self {
        match found {
            None => Self::Created,
            Some(found) if found == made && hidden(found).is_empty() => Self::Unchanged,
            Some(_) => Self::Changed,
        }
    }
}

/// One file of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The file.
    pub path: String,
    /// What became of it.
    pub change: Change,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// How many files of each kind.
    pub counts: BTreeMap<Change, usize>,
    /// Each file, in the order in which it was sent.
    pub items: Vec<Item>,
}

/// A file that was read.
struct Read {
    index: usize,
    path: String,
    noun: &'static Noun,
    body: Value,
    /// For the lines of what is wrong.
    content: String,
    /// The thing of that name as it is now.
    found: Option<Value>,
    change: Change,
}

impl App {
    /// Imports `{files: [{path, content}], dry_run?}`: makes what is not there, changes what is different, leaves the rest. Nothing
    /// is taken out.
    ///
    /// # Errors
    /// Every fault of every file with its line, and then nothing was written; or the store failed, and then what was written
    /// stays: the same import goes on from there.
    pub async fn import(&self, caller: &Caller, body: &Value) -> Result<Imported, Failure> {
        caller.must_hold(Role::Admin)?;
        let errors = Errors::default();
        let asked = Form::body(body, &errors).and_then(|form| {
            let files = read_files(&form, &errors);
            let dry_run = form.field("dry_run").boolean().unwrap_or(false);
            form.no_others();
            Some((files?, dry_run))
        });
        let mut wrong = errors.into_vec();
        let Some((mut files, dry_run)) = asked else { return Err(Failure::invalid(wrong)) };
        let together = self.find_present(caller, &mut files).await?;
        wrong.extend(self.check(caller, &mut files, &together).await?);
        if !wrong.is_empty() {
            return Err(Failure::invalid(wrong));
        }
        if !dry_run {
            self.write(caller, &files, &together).await?;
        }
        let mut counts = BTreeMap::new();
        for file in &files {
            *counts.entry(file.change).or_default() += 1;
        }
        let items = files.into_iter().map(|Read { path, change, .. }| Item { path, change }).collect();
        Ok(Imported { dry_run, counts, items })
    }

    /// Finds out what is there of what the files name.
    async fn find_present(&self, caller: &Caller, files: &mut [Read]) -> Result<Together, Failure> {
        let mut together = Together::default();
        for noun in NOUNS {
            let mut mine: BTreeMap<String, &mut Read> = BTreeMap::new();
            for file in files.iter_mut().filter(|file| file.noun.folder == noun.folder) {
                mine.insert(name_of(noun, &file.body).to_owned(), file);
            }
            if mine.is_empty() {
                continue;
            }
            together.0.insert(noun.folder, mine.keys().cloned().collect());
            all(self, caller, noun, |Thing { name, body }| {
                if let Some(file) = mine.get_mut(&name) {
                    file.found = Some(body);
                }
            })
            .await?;
        }
        Ok(together)
    }

    /// Checks every file, and finds out what it changes; answers all that is wrong.
    async fn check(
        &self,
        caller: &Caller,
        files: &mut [Read],
        together: &Together,
    ) -> Result<Vec<FieldError>, Failure> {
        let mut wrong = Vec::new();
        for file in files {
            if file.found.as_ref() == Some(&file.body) {
                continue;
            }
            let hidden = hidden(&file.body);
            if !hidden.is_empty() {
                wrong.extend(placed(file, hidden));
                continue;
            }
            match (file.noun.check)(self, caller, &file.body, together).await {
                Ok(thing) => file.change = Change::of(file.found.as_ref(), &thing.body),
                Err(failure) if failure.class == Class::Validation => wrong.extend(placed(file, failure.fields)),
                Err(failure) if failure.class == Class::Conflict => {
                    wrong.extend(placed(file, vec![FieldError::value(vec!["body".into()], failure.message)]));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(wrong)
    }

    async fn write(&self, caller: &Caller, files: &[Read], together: &Together) -> Result<(), Failure> {
        let mut written = 0;
        for noun in NOUNS {
            let mine = files.iter().filter(|file| file.noun.folder == noun.folder);
            for file in mine.filter(|file| file.change != Change::Unchanged) {
                (noun.write)(self, caller, &file.body, together).await?;
                written += 1;
            }
        }
        tracing::info!(by = %caller.user, tenant = %caller.tenant, written, "a configuration was imported");
        Ok(())
    }
}

/// The files of a request as far as they can be read: each in a known folder, YAML, and no two about the same thing.
fn read_files(form: &Form<'_>, errors: &Errors) -> Option<Vec<Read>> {
    let list = form.field("files").required().list(FILES_MAX)?;
    let mut files: Vec<Read> = Vec::new();
    let mut names: BTreeMap<(&str, String), String> = BTreeMap::new();
    for (index, item) in list.items().enumerate() {
        let Some(file) = item.form() else { continue };
        let place = file.field("path").required();
        let path = place.text(PATH_CHARS_MAX);
        let content = file.field("content").required().string();
        file.no_others();
        let (Some(path), Some(content)) = (path, content) else { continue };
        let Some(noun) = noun_of(path) else {
            let folders: Vec<_> = NOUNS.iter().map(|noun| noun.folder).collect();
            let hint = nearest(folder_of(path), folders.iter().copied())
                .map_or(String::new(), |near| format!("; did you mean {near}/?"));
            place.fail(format!(
                "{path}: there is nothing to import from this folder, only from {}/{hint}",
                folders.join("/, ")
            ));
            continue;
        };
        let fail = |line: u64, column: u64, why: String| {
            let loc = vec!["body".into(), "files".into(), index.into(), "content".into()];
            errors.push(FieldError::value(loc, format!("{path}:{line}:{column}: {why}")));
        };
        if content.len() > CONTENT_CHARS_MAX {
            fail(1, 1, format!("more than {CONTENT_CHARS_MAX} bytes"));
            continue;
        }
        let body = match yaml::parse_yaml(content) {
            Ok(body) => body,
            Err(Wrong { message, line, column }) => {
                let said = message.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(&message);
                fail(line, column, said.to_owned());
                continue;
            }
        };
        if let Some(other) = names.insert((noun.folder, name_of(noun, &body).to_owned()), path.to_owned())
            && !name_of(noun, &body).is_empty()
        {
            fail(1, 1, format!("{other} is about the same thing, {:?}", name_of(noun, &body)));
        }
        let (path, content) = (path.to_owned(), content.to_owned());
        files.push(Read { index, path, noun, body, content, found: None, change: Change::Unchanged });
    }
    Some(files)
}

fn folder_of(path: &str) -> &str {
    path.split_once('/').map_or("", |(folder, _)| folder)
}

fn noun_of(path: &str) -> Option<&'static Noun> {
    NOUNS.iter().find(|noun| noun.folder == folder_of(path))
}

/// What a thing is called; nothing where it does not say.
fn name_of<'b>(noun: &Noun, body: &'b Value) -> &'b str {
    body[noun.key].as_str().unwrap_or_default()
}

/// Where secrets were left out.
fn hidden(body: &Value) -> Vec<FieldError> {
    let mut found = Vec::new();
    let mut open = vec![(vec![Loc::from("body")], body)];
    while let Some((loc, value)) = open.pop() {
        let below = |step: Loc| loc.iter().cloned().chain([step]).collect();
        match value {
            Value::String(text) if text == HIDDEN => {
                let why = "a secret stands here that no export holds; write it here, or the name under which the operator keeps it";
                found.push(FieldError::value(loc, why));
            }
            Value::Array(items) => open.extend(items.iter().enumerate().map(|(at, item)| (below(at.into()), item))),
            Value::Object(fields) => open.extend(fields.iter().map(|(name, item)| (below(name.clone().into()), item))),
            _ => {}
        }
    }
    found
}

/// Faults of a thing as faults of its file: `agents/a.yaml:7:3: field required`.
fn placed(file: &Read, faults: Vec<FieldError>) -> Vec<FieldError> {
    let places = Places::read(&file.content);
    let mut faults: Vec<_> = faults
        .into_iter()
        .map(|FieldError { loc, msg, kind }| {
            let path = loc.get(1..).unwrap_or_default();
            let (line, column) = places.as_ref().map_or((1, 1), |places| places.find(path));
            let above = ["body".into(), "files".into(), file.index.into(), "content".into()];
            let loc = above.into_iter().chain(path.iter().cloned()).collect();
            ((line, column), FieldError { loc, msg: format!("{}:{line}:{column}: {msg}", file.path), kind })
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    faults.into_iter().map(|(_, fault)| fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_that_were_left_out_are_found_wherever_they_stand() {
        let body =
            json!({"name": "x", "config": {"headers": {"authorization": HIDDEN}, "list": ["a", HIDDEN, "***x"]}});
        let mut paths: Vec<_> = hidden(&body).iter().map(FieldError::path).collect();
        paths.sort();
        assert_eq!(paths, ["config.headers.authorization", "config.list[1]"]);
        assert_eq!(Change::of(Some(&body), &body), Change::Changed, "the secret may be another");
        let open = json!({"name": "x"});
        assert_eq!((Change::of(Some(&open), &open), Change::of(None, &open)), (Change::Unchanged, Change::Created));
    }
}
