//! Where settings come from: flags, environment, `.env`, `tutti.toml`. Reading only; meaning is given in `values.rs`.

use super::discovery;
use super::setting::Setting;
use super::values::Problem;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Which layer a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag.
    Flag(&'static str),
    /// The environment.
    Environment,
    /// `.env` in this directory.
    DotEnv,
    /// `tutti.toml`, or what `--config` named.
    File(String),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment => f.write_str("environment"),
            Self::DotEnv => f.write_str(".env"),
            Self::File(path) => f.write_str(path),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A flag that sets a setting.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The setting's name.
    pub name: &'static str,
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// What was given.
    pub text: String,
}

/// All layers, unread.
#[derive(Default)]
pub struct Sources {
    /// Flags, the first layer.
    pub flags: Vec<Flag>,
    /// The environment.
    pub environment: BTreeMap<String, OsString>,
    /// `.env`.
    pub dotenv: BTreeMap<String, String>,
    /// `tutti.toml`.
    pub file: toml::Table,
    /// What to call that file.
    pub file_name: String,
}

impl Sources {
    /// What the environment, or `.env`, holds under a name.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let set = self.environment.get(name).and_then(|text| text.to_str()).map(ToOwned::to_owned);
        set.or_else(|| self.dotenv.get(name).cloned())
    }

    /// This process's environment, and the files of this directory. `config` names another file than `./tutti.toml`.
    pub fn here(flags: Vec<Flag>, config: Option<&Path>) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let environment =
            std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text))).collect();
        let dotenv = read_dotenv(Path::new(".env")).unwrap_or_else(|problem| {
            problems.push(problem);
            BTreeMap::new()
        });
        let path = config.map_or_else(|| PathBuf::from("tutti.toml"), Path::to_owned);
        let file = read_toml(&path, config.is_some()).unwrap_or_else(|problem| {
            problems.push(problem);
            toml::Table::new()
        });
        (Self { flags, environment, dotenv, file, file_name: path.display().to_string() }, problems)
    }

    /// The first layer that sets a name, with what it holds. An empty text counts as not set.
    pub fn find(&self, name: &str, setting: &Setting) -> Result<Option<(String, Origin)>, Problem> {
        if let Some(flag) = self.flags.iter().find(|f| f.name == name) {
            return Ok(Some((flag.text.clone(), Origin::Flag(flag.flag))));
        }
        if let Some(text) = self.environment.get(name).filter(|text| !text.is_empty()) {
            let wants = setting.form.wants();
            let text = text.to_str().ok_or_else(|| {
                Problem::of(name, format!("the environment's value is not UTF-8; it should be {wants}"))
            })?;
            if !text.trim().is_empty() {
                return Ok(Some((text.trim().to_owned(), Origin::Environment)));
            }
        }
        if let Some(text) = self.dotenv.get(name).map(|t| t.trim()).filter(|t| !t.is_empty()) {
            return Ok(Some((text.to_owned(), Origin::DotEnv)));
        }
        match self.in_file(&name.to_ascii_lowercase()) {
            None => Ok(None),
            Some(value) => match scalar(value, setting.form.is_list()) {
                Some(text) if text.is_empty() => Ok(None),
                Some(text) => Ok(Some((text, Origin::File(self.file_name.clone())))),
                None => {
                    let (file, found, wants) = (&self.file_name, value.type_str(), setting.form.wants());
                    Err(Problem::of(name, format!("in {file} it is of type {found}; it should be {wants}")))
                }
            },
        }
    }
}

impl Sources {
    /// What the file says under a name, or under the rest of it in the table that it begins with: `discovery_srv`, or `srv` in
    /// `[discovery]`.
    fn in_file(&self, key: &str) -> Option<&toml::Value> {
        let in_table = || self.file.get(discovery::TABLE)?.get(key.strip_prefix(discovery::TABLE)?.strip_prefix('_')?);
        self.file.get(key).or_else(in_table)
    }
}

fn scalar(value: &toml::Value, list: bool) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.trim().to_owned()),
        toml::Value::Integer(n) => Some(n.to_string()),
        toml::Value::Float(n) => Some(n.to_string()),
        toml::Value::Boolean(b) => Some(b.to_string()),
        toml::Value::Array(items) if list => {
            items.iter().map(|item| scalar(item, false)).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        _ => None,
    }
}

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, String>, Problem> {
    let lines = match dotenvy::from_path_iter(path) {
        Ok(lines) => lines,
        Err(e) if e.not_found() => return Ok(BTreeMap::new()),
        Err(e) => return Err(Problem::file(format!("{}: {}", path.display(), io_reason(&e)))),
    };
    let mut found = BTreeMap::new();
    let mut last = "the beginning".to_owned();
    for line in lines {
        // The line itself may hold a secret: the place must do.
        let (name, text) = line.map_err(|e| match e {
            dotenvy::Error::Io(_) => Problem::file(format!("{}: {}", path.display(), io_reason(&e))),
            _ => Problem::file(format!("{}: the line after {last} should look like NAME=value", path.display())),
        })?;
        last.clone_from(&name);
        found.insert(name, text);
    }
    Ok(found)
}

fn io_reason(e: &dotenvy::Error) -> String {
    match e {
        dotenvy::Error::Io(e) => format!("cannot be read: {e}"),
        _ => "cannot be read".into(),
    }
}

pub(super) fn read_toml(path: &Path, wanted: bool) -> Result<toml::Table, Problem> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !wanted => return Ok(toml::Table::new()),
        Err(e) => return Err(Problem::file(format!("{}: cannot be read: {e}", path.display()))),
    };
    // The parser's own display quotes the line, which may hold a secret.
    text.parse::<toml::Table>().map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Problem::file(format!("{} line {line}: {}", path.display(), e.message().replace('\n', " ")))
    })
}
