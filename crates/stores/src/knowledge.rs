//! Articles on SQLite, found by FTS5.

use rusqlite::{Connection, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tutti_engine::ports::knowledge::{Article, Found, KnowledgeBase};

/// Most words of a question that are looked for.
const WORDS_MAX: usize = 64;
/// Words that stand in every question.
const COMMON: [&str; 30] = [
    "the", "and", "for", "was", "are", "but", "not", "you", "all", "can", "had", "her", "his", "how", "its", "our",
    "out", "why", "what", "when", "with", "have", "this", "that", "from", "they", "will", "would", "there", "please",
];

/// See the module.
pub struct SqliteKnowledge {
    db: Mutex<Connection>,
    /// Set where the articles are those of a folder: what to change instead.
    is_folder: bool,
}

const SCHEMA: &str = "CREATE VIRTUAL TABLE IF NOT EXISTS articles USING fts5(
    id UNINDEXED, title, content, tokenize = \"porter unicode61 remove_diacritics 2\");";

impl SqliteKnowledge {
    /// The table in `knowledge.db` in the data directory.
    ///
    /// # Errors
    /// In words: the file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let file = dir.join("knowledge.db");
        let said = |e: &dyn std::fmt::Display| format!("{} cannot be used: {e}", file.display());
        std::fs::create_dir_all(dir).map_err(|e| said(&e))?;
        let db = Connection::open(&file).map_err(|e| said(&e))?;
        db.execute_batch(&format!("PRAGMA journal_mode=WAL; {SCHEMA}")).map_err(|e| said(&e))?;
        Ok(Self { db: Mutex::new(db), is_folder: false })
    }

    /// The articles of a folder, in memory: they are changed there.
    ///
    /// # Errors
    /// In words: SQLite has no full text search.
    pub fn of_folder(articles: Vec<Article>) -> Result<Self, String> {
        let db = Connection::open_in_memory().map_err(|e| e.to_string())?;
        db.execute_batch(SCHEMA).map_err(|e| e.to_string())?;
        let base = Self { db: Mutex::new(db), is_folder: false };
        base.put(articles)?;
        Ok(Self { is_folder: true, ..base })
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn must_be_writable(&self) -> Result<(), String> {
        if self.is_folder {
            Err("the articles come from the folder KNOWLEDGE_DIR; change them there".into())
        } else {
            Ok(())
        }
    }
}

/// The words of a question that are worth looking for, each once.
pub(crate) fn words(question: &str) -> Vec<String> {
    let words = question.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    // Short words say little in English; elsewhere, and as part of a name (`5G`), they may say all.
    let says_something = |word: &String| word.chars().count() > 2 || word.chars().any(|c| !c.is_ascii_lowercase());
    let words = words.filter(|word| !word.is_empty() && says_something(word) && !COMMON.contains(&word.as_str()));
    let mut words: Vec<String> = words.collect();
    words.sort();
    words.dedup();
    words.truncate(WORDS_MAX);
    words
}

/// How well articles fit beside the best of them, which has 1.
pub(crate) fn rate(found: &mut [Found]) {
    let best = found.first().map_or(1.0, |first| first.score.max(f64::MIN_POSITIVE));
    for article in found {
        article.score = (article.score / best * 1_000.0).round().clamp(0.0, 1_000.0) / 1_000.0;
    }
}

/// Any of the question's words; none of them is taken for a command of FTS5.
fn query(question: &str) -> Option<String> {
    let quoted: Vec<String> = words(question).into_iter().map(|word| format!("\"{word}\"")).collect();
    if quoted.is_empty() { None } else { Some(quoted.join(" OR ")) }
}

impl KnowledgeBase for SqliteKnowledge {
    fn search(&self, question: &str, limit: u32) -> Result<Vec<Found>, String> {
        let Some(query) = query(question) else { return Ok(Vec::new()) };
        let db = self.db();
        let select = "SELECT id, title, content, bm25(articles, 0.0, 4.0, 1.0) AS rank FROM articles
            WHERE articles MATCH ?1 ORDER BY rank, id LIMIT ?2";
        let mut statement = db.prepare_cached(select).map_err(|e| e.to_string())?;
        let found = statement.query_map(params![query, limit], |r| {
            // The better, the lower.
            Ok(Found { id: r.get(0)?, title: r.get(1)?, content: r.get(2)?, score: -r.get::<_, f64>(3)? })
        });
        let mut found: Vec<Found> = found.and_then(Iterator::collect).map_err(|e| e.to_string())?;
        rate(&mut found);
        Ok(found)
    }

    fn put(&self, articles: Vec<Article>) -> Result<u64, String> {
        self.must_be_writable()?;
        let mut db = self.db();
        let change = db.transaction().map_err(|e| e.to_string())?;
        for article in &articles {
            change.execute("DELETE FROM articles WHERE id = ?1", [&article.id]).map_err(|e| e.to_string())?;
            let insert = "INSERT INTO articles(id, title, content) VALUES(?1, ?2, ?3)";
            change.execute(insert, params![article.id, article.title, article.content]).map_err(|e| e.to_string())?;
        }
        change.commit().map_err(|e| e.to_string())?;
        Ok(articles.len() as u64)
    }

    fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Article>, String> {
        let db = self.db();
        let select = "SELECT id, title, content FROM articles WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut statement = db.prepare_cached(select).map_err(|e| e.to_string())?;
        let all = statement.query_map(params![after.unwrap_or_default(), limit], |r| {
            Ok(Article { id: r.get(0)?, title: r.get(1)?, content: r.get(2)? })
        });
        all.and_then(Iterator::collect).map_err(|e| e.to_string())
    }

    fn remove(&self, id: &str) -> Result<bool, String> {
        self.must_be_writable()?;
        let removed = self.db().execute("DELETE FROM articles WHERE id = ?1", [id]);
        removed.map(|n| n > 0).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tempfile::TempDir;

    fn article(id: &str, title: &str, content: &str) -> Article {
        Article { id: id.into(), title: title.into(), content: content.into() }
    }

    fn filled(base: &SqliteKnowledge) {
        let articles = vec![
            article("refunds", "Refunds", "A refund arrives within ten working days."),
            article("cards", "Lost cards", "Block a lost card in the app. A new one arrives in five days."),
            article("umlaut", "Überweisung", "Eine Überweisung dauert zwei Tage."),
        ];
        assert_eq!(base.put(articles).unwrap(), 3);
    }

    #[test]
    fn articles_are_found_by_their_words_best_first() {
        let dir = TempDir::new().unwrap();
        let base = SqliteKnowledge::open(dir.path()).unwrap();
        filled(&base);
        let ids = |question: &str| base.search(question, 5).unwrap().into_iter().map(|f| f.id).collect::<Vec<_>>();
        assert_eq!(ids("When will my REFUND arrive?"), ["refunds", "cards"], "both arrive, one is about refunds");
        assert_eq!(ids("uberweisung"), ["umlaut"]);
        assert!(ids("what is this").is_empty());
        assert_eq!(words("Is 5G in Tokyo (東京)?"), ["5g", "tokyo", "東京"]);
        for odd in ["", "\"", "a OR b NEAR(c)", "card* AND", "💳 \u{0} card", &"card ".repeat(20_000)] {
            let _ = base.search(odd, 5).unwrap();
        }
        let best = &base.search("lost card", 1).unwrap()[0];
        assert!(best.id == "cards" && best.score == 1.0, "{best:?}");
    }

    #[test]
    fn the_same_id_replaces_and_what_is_kept_stays() {
        let dir = TempDir::new().unwrap();
        filled(&SqliteKnowledge::open(dir.path()).unwrap());
        let base = SqliteKnowledge::open(dir.path()).unwrap();
        base.put(vec![article("cards", "Cards", "Nothing.")]).unwrap();
        let all = base.list(None, 10).unwrap();
        assert_eq!(all.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["cards", "refunds", "umlaut"]);
        assert_eq!((all[0].title.as_str(), base.list(Some("cards"), 1).unwrap()[0].id.as_str()), ("Cards", "refunds"));
        assert!(base.remove("cards").unwrap() && !base.remove("cards").unwrap());
    }

    #[test]
    fn a_folders_articles_are_changed_in_the_folder() {
        let base = SqliteKnowledge::of_folder(vec![article("a", "A", "alpha")]).unwrap();
        assert_eq!(base.search("alpha", 5).unwrap().len(), 1);
        assert!(base.remove("a").unwrap_err().contains("KNOWLEDGE_DIR"));
    }
}
