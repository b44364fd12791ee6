//! Lists of the API as tables: one page, one row each, a hint where more is.

use super::Server;
use crate::client::query;
use crate::config::Loaded;
use crate::show::{self, fit, table::table};
use serde_json::Value;

/// A cell is cut to so many columns.
const CELL_COLUMNS_MAX: usize = 80;

/// Which page.
#[derive(Debug, clap::Args)]
pub struct Page {
    /// How many, at most 200
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    pub limit: Option<u16>,
    /// Where the page before ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    #[command(flatten)]
    pub server: Server,
    /// JSON for programs
    #[arg(long)]
    pub json: bool,
}

/// A column: its heading, and where its cell stands in an item, as a JSON pointer; behind `|` another place to look.
pub type Column = (&'static str, &'static str);

impl Page {
    /// Shows the page at `path`; `what` is what it lists, `command` what shows the next one.
    pub async fn show(&self, loaded: &Loaded, path: &str, what: &str, columns: &[Column]) -> anyhow::Result<()> {
        self.show_only(loaded, path, &[], what, columns).await
    }

    /// As [`show`](Self::show), of those that fit these filters.
    pub async fn show_only(
        &self,
        loaded: &Loaded,
        path: &str,
        only: &[(&str, Option<String>)],
        what: &str,
        columns: &[Column],
    ) -> anyhow::Result<()> {
        let mut asked = vec![("limit", self.limit.map(|n| n.to_string())), ("cursor", self.cursor.clone())];
        asked.extend(only.iter().cloned());
        let query = query(&asked);
        let page = self.server.client(loaded)?.get(&format!("{path}{query}")).await?;
        if self.json {
            return Ok(show::json(&page)?);
        }
        let items = page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            show::err(&format!("no {what}\n"));
            return Ok(());
        }
        let headings: Vec<_> = columns.iter().map(|(heading, _)| *heading).collect();
        let rows: Vec<Vec<String>> =
            items.iter().map(|item| columns.iter().map(|c| cell(item, c.1)).collect()).collect();
        show::out(&table(show::paint(), &headings, &rows))?;
        if let Some(cursor) = page.get("next_cursor").and_then(Value::as_str) {
            show::err(&format!("more: --cursor {}\n", show::line(cursor)));
        }
        Ok(())
    }
}

fn cell(item: &Value, pointers: &str) -> String {
    let found = pointers.split('|').find_map(|pointer| item.pointer(pointer).filter(|cell| !cell.is_null()));
    match found {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => fit(text, CELL_COLUMNS_MAX),
        Some(other) => fit(&other.to_string(), CELL_COLUMNS_MAX),
    }
}
