//! Pages of runs, newest first.

use crate::caller::{Caller, Role};
use crate::failure::Failure;
use crate::runs::Run;
use crate::{App, cursor};
use serde::Serialize;
use tutti_engine::ports::store::{self, Label};
use tutti_engine::run::{RunNo, Status};
use tutti_workflows::graph;

const LIST: &str = "runs";

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRuns {
    /// Only with this status.
    pub status: Option<Status>,
    /// Only of this workflow, or graph.
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

/// A page that is filled row by row, where rows that do not fit are passed over.
pub(crate) struct Filling<'a, T> {
    list: &'a str,
    limit: usize,
    items: Vec<T>,
    last: RunNo,
}

impl<'a, T> Filling<'a, T> {
    /// An empty page of a list.
    pub fn new(list: &'a str, limit: u32) -> Self {
        Self { list, limit: limit.clamp(1, 200) as usize, items: Vec::new(), last: RunNo(0) }
    }

    /// Takes what a run's row shows; false where the page is full already.
    pub fn take(&mut self, run: RunNo, item: T) -> bool {
        let has_room = self.items.len() < self.limit;
        if has_room {
            self.last = run;
            self.items.push(item);
        }
        has_room
    }

    /// The page, behind which another one follows.
    pub fn full(self) -> Page<T> {
        Page { next_cursor: Some(cursor::write(self.list, (self.last.0, 0))), items: self.items }
    }

    /// The last page.
    pub fn last(self) -> Page<T> {
        Page { items: self.items, next_cursor: None }
    }
}

/// Runs that a caller may list: its own, for an admin the tenant's.
pub(crate) fn seen_by(caller: &Caller) -> store::ListRuns {
    let user = (!caller.roles.hold(Role::Admin)).then(|| caller.user.to_string());
    store::ListRuns { tenant: Some(caller.tenant.to_string()), user, ..store::ListRuns::default() }
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
        // A graph's runs are found by the label with its name.
        let (workflow, labels) = match query.workflow {
            Some(name) if !self.knows(&name) => (Some(graph::NAME.into()), vec![Label::new(graph::GRAPH, name)]),
            workflow => (workflow, Vec::new()),
        };
        let query = store::ListRuns {
            status: query.status,
            workflow,
            labels,
            before,
            // One more, to know whether another page follows.
            limit: limit + 1,
            ..seen_by(caller)
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
