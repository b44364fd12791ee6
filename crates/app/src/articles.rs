//! `articles`: what the ticket knowledge base holds, and what it finds.

use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, Caller, Class, Role};
use serde_json::{Value, json};
use std::sync::Arc;
use tutti_agents::form::{Errors, Form};
use tutti_agents::knowledge::{self, Article, KnowledgeBase};

/// Most articles of one request.
const ARTICLES_MAX: usize = 1_000;
const ID_CHARS_MAX: usize = 200;
const CONTENT_CHARS_MAX: usize = 1_000_000;

impl App {
    /// The articles that answer a question, best first, each with its score; or without one all of them, by id.
    ///
    /// # Errors
    /// The knowledge base does not answer.
    pub async fn articles(
        &self,
        query: Option<String>,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<Value>, Failure> {
        let limit = limit.clamp(1, 200);
        with(move |base| {
            if let Some(query) = query {
                let items = base.search(&query, limit)?.into_iter().map(|found| json!(found)).collect();
                return Ok(Page { items, next_cursor: None });
            }
            let mut all = base.list(cursor.as_deref(), limit + 1)?;
            let has_more = all.len() > limit as usize;
            all.truncate(limit as usize);
            let next_cursor = all.last().filter(|_| has_more).map(|article| article.id.clone());
            Ok(Page { items: all.into_iter().map(|article| json!(article)).collect(), next_cursor })
        })
        .await
    }

    /// Keeps `{articles: [{id?, title, content}]}`; one with the same id is replaced. Answers how many.
    ///
    /// # Errors
    /// Every wrong field at once, or the articles are those of a folder.
    pub async fn put_articles(&self, caller: &Caller, body: &Value) -> Result<u64, Failure> {
        caller.must_hold(Role::Admin)?;
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| {
            let list = form.field("articles").required().list(ARTICLES_MAX)?;
            let articles: Vec<Option<Article>> = list.items().map(|item| read_article(&item.form()?)).collect();
            articles.into_iter().collect::<Option<Vec<_>>>()
        });
        let articles = errors.or(read).map_err(Failure::invalid)?;
        with(move |base| base.put(articles)).await
    }

    /// Removes an article.
    ///
    /// # Errors
    /// `NotFound`, or the articles are those of a folder.
    pub async fn remove_article(&self, caller: &Caller, id: String) -> Result<(), Failure> {
        caller.must_hold(Role::Admin)?;
        match with(move |base| base.remove(&id)).await? {
            true => Ok(()),
            false => Err(Failure::not_found("there is no such article")),
        }
    }
}

pub(crate) fn read_article(form: &Form<'_>) -> Option<Article> {
    let title = form.field("title").required().text(ID_CHARS_MAX).map(ToOwned::to_owned);
    let content = form.field("content").required().text(CONTENT_CHARS_MAX).map(ToOwned::to_owned);
    let id = form.field("id");
    let id = if id.is_present() { id.text(ID_CHARS_MAX).map(ToOwned::to_owned) } else { title.as_deref().map(slug) };
    form.no_others();
    Some(Article { id: id?, title: title?, content: content? })
}

/// `My card, lost!` → `my-card-lost`.
fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// Asks the knowledge base, off the async threads.
pub(crate) async fn with<T: Send + 'static>(
    work: impl FnOnce(Arc<dyn KnowledgeBase>) -> Result<T, String> + Send + 'static,
) -> Result<T, Failure> {
    let Some(base) = knowledge::installed() else { return Err(Failure::internal("there is no knowledge base")) };
    let done = tokio::task::spawn_blocking(move || work(base)).await.map_err(|e| Failure::internal(e.to_string()))?;
    done.map_err(|why| {
        if why.contains("KNOWLEDGE_DIR") { Failure::new(Class::Conflict, why) } else { Failure::internal(why) }
    })
}
