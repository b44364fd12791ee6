//! What compaction left out of a session's context: which turns, and where they can be read.

use crate::App;
use crate::failure::Failure;
use serde::Serialize;
use tutti_engine::driver::Context;
use tutti_engine::ports::store::ListTurns;
use tutti_engine::session::{SessionRow, Speaker, Turns};

/// Most runs that are named.
const RUNS_MAX: u32 = 200;
/// How many summaries of summaries are followed.
const SUMMARIES_MAX: usize = 100;

/// Turns of a session, and the runs that hold what was said in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cited {
    /// The oldest turn.
    pub from: u32,
    /// The newest.
    pub to: u32,
    /// Their runs, oldest first; of very many only the newest.
    pub runs: Vec<String>,
}

impl Cited {
    /// The same in a few words.
    pub(super) fn words(&self) -> String {
        let Self { from, to, runs } = self;
        format!("turns {from} to {to} ({})", runs.join(", "))
    }
}

/// What a context leaves out.
pub(super) struct LeftOut {
    /// What its summary stands for.
    pub summed_up: Option<Cited>,
    /// What nothing in it stands for.
    pub dropped: Option<Cited>,
}

impl App {
    /// What was left out of a context.
    pub(super) async fn cited(&self, session: &SessionRow, context: &Context) -> Result<LeftOut, Failure> {
        let summary = context.said.iter().find(|said| said.role == Speaker::Summary);
        let turns = summary.and_then(|summary| summary.stands_for.clone());
        let summed_up = match turns {
            Some(turns) => {
                let from = self.reaches_back(session, turns.from).await?;
                self.named(session, Turns { from, ..turns }, true).await?
            }
            None => None,
        };
        let from = summed_up.as_ref().map_or(context.read.from, |cited| cited.from.min(context.read.from));
        let before = Turns { from: 1, to: from.saturating_sub(1), skip: Vec::new() };
        let dropped = self.named(session, before, false).await?;
        Ok(LeftOut { summed_up, dropped })
    }

    /// The first turn that a summary stands for which read from `turn` on: where that turn has a summary itself, that one's.
    async fn reaches_back(&self, session: &SessionRow, turn: u32) -> Result<u32, Failure> {
        let mut from = turn;
        for _ in 0..SUMMARIES_MAX {
            let query = ListTurns { session: session.no, from, to: from, voids: true, limit: 1 };
            let Some(turn) = self.engine().store().turns(query).await?.pop() else { break };
            let said = self.engine().said_in(turn.run).await?;
            let older =
                said.iter().filter(|said| said.role == Speaker::Summary).find_map(|said| said.stands_for.as_ref());
            let Some(older) = older.filter(|older| older.from < from) else { break };
            from = older.from;
        }
        Ok(from)
    }

    /// The turns with their runs, with those taken back since where `voids` says so; nothing where there is none.
    async fn named(&self, session: &SessionRow, turns: Turns, voids: bool) -> Result<Option<Cited>, Failure> {
        let Turns { from, to, skip } = turns;
        if from > to {
            return Ok(None);
        }
        let query = ListTurns { session: session.no, from, to, voids, limit: RUNS_MAX };
        let found = self.engine().store().turns(query).await?;
        let counts = found.iter().rev().filter(|turn| !skip.contains(&turn.n));
        let runs: Vec<_> = counts.map(|turn| turn.id.to_string()).collect();
        Ok((!runs.is_empty()).then_some(Cited { from, to, runs }))
    }
}
