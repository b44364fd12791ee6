//! Articles of the ticket knowledge base.

use super::{Noun, Thing};
use crate::articles::{read_article, with};
use crate::failure::Failure;
use serde_json::{Value, json};
use tutti_agents::form::{Errors, Form};
use tutti_agents::knowledge::Article;

pub(super) const NOUN: Noun = Noun {
    folder: "articles",
    key: "id",
    list: |_, _, after, limit| Box::pin(list(after, limit)),
    check: |_, _, body, _| Box::pin(check(body)),
    write: |_, _, body, _| Box::pin(write(body)),
};

async fn list(after: Option<String>, limit: u32) -> Result<Vec<Thing>, Failure> {
    let articles = with(move |base| base.list(after.as_deref(), limit)).await?;
    Ok(articles.iter().map(thing).collect())
}

fn thing(article: &Article) -> Thing {
    let Article { id, title, content } = article;
    Thing { name: id.clone(), body: json!({"id": id, "title": title, "content": content}) }
}

fn read(body: &Value) -> Result<Article, Failure> {
    let errors = Errors::default();
    let article = Form::body(body, &errors).and_then(|form| read_article(&form));
    errors.or(article).map_err(Failure::invalid)
}

async fn check(body: &Value) -> Result<Thing, Failure> {
    let article = read(body)?;
    // Keeping none says whether any may be kept: those of a folder may not.
    with(|base| base.put(Vec::new())).await?;
    Ok(thing(&article))
}

async fn write(body: &Value) -> Result<(), Failure> {
    let article = read(body)?;
    with(move |base| base.put(vec![article])).await?;
    Ok(())
}
