//! The ticket knowledge base: who searches it, and which one this process has.

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};

/// Most characters of an article's text in a result.
const CONTENT_CHARS_MAX: usize = 2_000;

pub use tutti_engine::ports::knowledge::{Article, Found, KnowledgeBase};

static INSTALLED: RwLock<Option<Arc<dyn KnowledgeBase>>> = RwLock::new(None);

/// Makes it the process's knowledge base.
pub fn install(base: Arc<dyn KnowledgeBase>) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(base);
}

/// The process's knowledge base, where it has one.
#[must_use]
pub fn installed() -> Option<Arc<dyn KnowledgeBase>> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Finds articles. Touches nothing, so it may be repeated at will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchKnowledge {
    /// The question, in anybody's words.
    pub query: String,
    /// Most articles.
    pub limit: u32,
}

impl Activity for SearchKnowledge {
    type Output = Vec<Found>;
    const NAME: &'static str = "kb.search";
    const EFFECT: Effect = Effect::Pure;

    async fn run(self, _: ActivityCx) -> Result<Vec<Found>, ActivityError> {
        let Some(base) = installed() else { return Ok(Vec::new()) };
        let failed = |why: String| ActivityError::retry("AgentError", format!("the knowledge base failed: {why}"));
        let found = tokio::task::spawn_blocking(move || base.search(&self.query, self.limit));
        let mut found = found.await.map_err(|e| failed(e.to_string()))?.map_err(failed)?;
        for article in &mut found {
            if let Some((at, _)) = article.content.char_indices().nth(CONTENT_CHARS_MAX) {
                article.content.truncate(at);
            }
        }
        Ok(found)
    }
}

/// Most files of a folder.
const FILES_MAX: usize = 10_000;
/// Most bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The articles of a folder: every Markdown file below it, its path being its id and its first heading its title.
///
/// # Errors
/// Which file or folder cannot be read, and why.
pub fn read_folder(dir: &Path) -> Result<Vec<Article>, String> {
    let mut articles = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        let said = |e: &dyn std::fmt::Display| format!("{} cannot be read: {e}", folder.display());
        let mut entries =
            std::fs::read_dir(&folder).map_err(|e| said(&e))?.collect::<Result<Vec<_>, _>>().map_err(|e| said(&e))?;
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            // Links are not followed: they may lead out, or round in a circle.
            let kind = entry.file_type().map_err(|e| said(&e))?;
            let path = entry.path();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("md")) {
                articles.push(read_file(dir, &path)?);
            }
            if articles.len() > FILES_MAX {
                return Err(format!("{} has more than {FILES_MAX} Markdown files", dir.display()));
            }
        }
    }
    articles.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(articles)
}

/// One Markdown file of the folder `dir`.
///
/// # Errors
/// Why it cannot be read.
pub fn read_file(dir: &Path, path: &Path) -> Result<Article, String> {
    let said = |why: &dyn std::fmt::Display| format!("{} cannot be read: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|e| said(&e))?.len();
    if size > FILE_BYTES_MAX {
        return Err(said(&format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read")));
    }
    let content = std::fs::read_to_string(path).map_err(|e| said(&e))?;
    let id = path.strip_prefix(dir).unwrap_or(path).with_extension("").display().to_string();
    let heading = content.lines().find_map(|line| line.strip_prefix("# ")).map(|title| title.trim().to_owned());
    let title = heading.filter(|title| !title.is_empty()).unwrap_or_else(|| id.clone());
    Ok(Article { id, title, content })
}
