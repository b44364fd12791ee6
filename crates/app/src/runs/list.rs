//! Pages of runs, newest first.

use crate::caller::{Caller, Role};
use crate::failure::Failure;
use crate::runs::Run;
use crate::{App, cursor};
use serde::Serialize;
use tutti_engine::ports::store;
use tutti_engine::run::{RunNo, Status};

const LIST: &str = "runs";

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRuns {
    /// Only with this status.
    pub status: Option<Status>,
    /// Only of this workflow.
    pub workflow: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// 1 to 200.
    pub limit: u32,
}

/// One page.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// Where the next page begins; `null` after the last.
    pub next_cursor: Option<String>,
}

/// The status of that name.
#[must_use]
pub fn read_status(word: &str) -> Option<Status> {
    Status::ALL.into_iter().find(|s| s.as_str() == word)
}

impl App {
    /// A page of the caller's runs (for an admin the tenant's), newest first, without input, output and journal.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_runs(&self, caller: &Caller, query: ListRuns) -> Result<Page<Run>, Failure> {
        let before = query.cursor.as_deref().map(|text| cursor::read(LIST, text)).transpose()?.map(|(no, _)| RunNo(no));
        let limit = query.limit.clamp(1, 200);
        let only = (!caller.roles.hold(Role::Admin)).then(|| caller.user.to_string());
        let query = store::ListRuns {
            tenant: Some(caller.tenant.to_string()),
            user: only,
            status: query.status,
            workflow: query.workflow,
            asking: false,
            labels: Vec::new(),
            before,
            // One more, to know whether another page follows.
            limit: limit + 1,
        };
        let mut rows = self.engine().store().list(query).await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = rows.last().filter(|_| has_more).map(|row| cursor::write(LIST, (row.run.0, 0)));
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut run = Run::of_row(row);
            if let Some(parent) = row.parent {
                run.parent_run_id = self.engine().store().run(parent).await?.map(|p| p.id.to_string());
            }
            items.push(run);
        }
        Ok(Page { items, next_cursor })
    }
}
