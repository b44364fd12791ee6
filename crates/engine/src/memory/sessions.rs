//! Sessions and their turns, as the store in memory keeps them.

use crate::ports::store::{ListSessions, ListTurns, Turn};
use crate::run::{Owner, RunNo, Time};
use crate::session::{SessionNo, SessionRow};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    rows: BTreeMap<SessionNo, SessionRow>,
    names: BTreeMap<(Owner, String), SessionNo>,
    /// Which session a run was born into.
    of_run: BTreeMap<RunNo, SessionNo>,
    turns: BTreeMap<(SessionNo, u32), (RunNo, bool)>,
}

impl Sessions {
    /// A run without a parent was born.
    pub fn born(&mut self, run: RunNo, owner: &Owner, id: &str, at: Time) {
        let no = *self.names.entry((owner.clone(), id.into())).or_insert(SessionNo(run.0));
        let new = || SessionRow { no, id: id.into(), owner: owner.clone(), created_at: at, updated_at: at, head: 0 };
        self.rows.entry(no).or_insert_with(new);
        self.of_run.insert(run, no);
    }

    pub fn turn(&mut self, turn: Turn) {
        let Some(no) = self.of_run.get(&turn.run) else { return };
        let Some(row) = self.rows.get_mut(no) else { return };
        if self.turns.values().any(|(run, _)| *run == turn.run) {
            return;
        }
        row.head += 1;
        row.updated_at = turn.at;
        self.turns.insert((*no, row.head), (turn.run, false));
    }

    pub fn take_back(&mut self, run: RunNo) {
        for (of, is_void) in self.turns.values_mut() {
            *is_void |= *of == run;
        }
    }

    pub fn has(&self, no: SessionNo) -> bool {
        self.rows.contains_key(&no)
    }

    pub fn drop_session(&mut self, no: SessionNo) {
        self.rows.remove(&no);
        self.names.retain(|_, session| *session != no);
        self.turns.retain(|(session, _), _| *session != no);
        self.of_run.retain(|_, session| *session != no);
    }

    /// A run was pruned; a session that nothing is left of goes with it.
    pub fn pruned(&mut self, run: RunNo, is_open: impl Fn(RunNo) -> bool) {
        let Some(no) = self.of_run.remove(&run) else { return };
        self.turns.retain(|_, (of, _)| *of != run);
        let has_turns = self.turns.range((no, 0)..=(no, u32::MAX)).next().is_some();
        if !has_turns && !self.of_run.iter().any(|(run, session)| *session == no && is_open(*run)) {
            self.drop_session(no);
        }
    }

    pub fn of(&self, run: RunNo) -> Option<SessionNo> {
        self.of_run.get(&run).copied()
    }

    pub fn row(&self, no: SessionNo) -> Option<SessionRow> {
        self.rows.get(&no).cloned()
    }

    pub fn named(&self, owner: Owner, id: String) -> Option<SessionRow> {
        self.names.get(&(owner, id)).and_then(|no| self.row(*no))
    }

    pub fn list(&self, query: &ListSessions) -> Vec<SessionRow> {
        let is_theirs =
            |owner: &Owner| owner.tenant == query.tenant && query.user.as_ref().is_none_or(|user| owner.user == *user);
        let fits = |r: &&SessionRow| is_theirs(&r.owner) && query.before.is_none_or(|b| r.no < b);
        self.rows.values().rev().filter(fits).take(query.limit as usize).cloned().collect()
    }

    /// Number, run, and whether it was taken back.
    pub fn turns(&self, query: &ListTurns) -> Vec<(u32, RunNo, bool)> {
        if query.from > query.to {
            return Vec::new();
        }
        let all = self.turns.range((query.session, query.from)..=(query.session, query.to)).rev();
        let turns = all.map(|((_, n), (run, is_void))| (*n, *run, *is_void));
        turns.filter(|(_, _, is_void)| query.voids || !is_void).take(query.limit as usize).collect()
    }
}
