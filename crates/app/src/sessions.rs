//! `sessions`: the conversations that runs belong to. One's own only; somebody else's is not there.

mod cited;

pub use cited::Cited;

use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, Stamp, cursor};
use serde::Serialize;
use std::fmt::Write as _;
use tutti_engine::ports::store::{ListSessions, ListTurns};
use tutti_engine::run::{RunNo, Status};
use tutti_engine::session::{Said, SessionNo, SessionRow, Speaker, Window, tokens_of};

/// Most characters of a name that are repeated back to whoever sent it.
const ID_SHOWN_MAX: usize = 64;

/// Whether somebody is at work in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// `idle`, `busy`, or `waiting` for a person, a signal or a time.
    pub state: &'static str,
    /// The run that holds its lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// A session in a list.
#[derive(Debug, Serialize)]
pub struct SessionItem {
    /// Its name.
    pub session_id: String,
    /// Whose it is.
    pub user_id: String,
    /// What goes on.
    #[serde(flatten)]
    pub state: State,
    /// When its first run was accepted.
    pub created_at: Stamp,
    /// When something was said last.
    pub updated_at: Stamp,
}

/// A session with what was said in it.
#[derive(Debug, Serialize)]
pub struct Session {
    /// Its name, owner, state and times.
    #[serde(flatten)]
    pub item: SessionItem,
    /// Oldest first.
    pub messages: Vec<MessageView>,
    /// Where the turns before these begin; `null` when there are none.
    pub next_cursor: Option<String>,
}

/// One message.
#[derive(Debug, Serialize)]
pub struct MessageView {
    /// `user` or `assistant`.
    pub role: Speaker,
    /// The agent, where one answered alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What was said.
    pub content: String,
    /// When.
    pub at: Stamp,
    /// The run in which it was said.
    pub run_id: String,
    /// What a summary stands for, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<Cited>,
}

impl From<Said> for MessageView {
    fn from(said: Said) -> Self {
        let Said { role, agent, text, run_id, at, stands_for: _ } = said;
        Self { role, agent, content: text, at: Stamp(at), run_id: run_id.to_string(), stands_for: None }
    }
}

/// What the next run of a session would read.
#[derive(Debug, Serialize)]
pub struct ContextView {
    /// The session.
    pub session_id: String,
    /// The bounds.
    pub window: WindowView,
    /// The turns that are read.
    pub turns: TurnsView,
    /// Older turns that are not read, and that no summary stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Cited>,
    /// What the messages cost of the window, by estimate.
    pub tokens: u32,
    /// Oldest first.
    pub messages: Vec<MessageView>,
}

/// A window as it is answered.
#[derive(Debug, Serialize)]
pub struct WindowView {
    /// Most messages.
    pub messages: u32,
    /// Most tokens, by estimate.
    pub tokens: u32,
}

/// Which turns are read.
#[derive(Debug, Serialize)]
pub struct TurnsView {
    /// The oldest; `null` when none is read.
    pub from: Option<u32>,
    /// The session's newest; 0 before the first.
    pub head: u32,
}

impl ContextView {
    /// The same for people, and for models that read Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# Session {}\n", self.session_id);
        if let Some(dropped) = &self.dropped {
            let _ = write!(text, "\nNot read: {}.\n", dropped.words());
        }
        for message in &self.messages {
            let who = match (message.role, &message.agent) {
                (Speaker::User, _) => "User".to_owned(),
                (Speaker::Assistant, Some(agent)) => format!("Assistant ({agent})"),
                (Speaker::Assistant, None) => "Assistant".to_owned(),
                (Speaker::Summary, _) => "Summary".to_owned(),
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n## {who}, {}\n\n{}\n", message.at, message.content.trim_end());
            if let Some(cited) = &message.stands_for {
                let _ = write!(text, "\nStands for {}.\n", cited.words());
            }
        }
        text
    }
}

impl App {
    /// A page of the caller's sessions, newest first.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_sessions(
        &self,
        caller: &Caller,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<SessionItem>, Failure> {
        const LIST: &str = "sessions";
        let before = cursor.map(|text| cursor::read(LIST, text)).transpose()?.map(|(no, _)| SessionNo(no));
        let limit = limit.clamp(1, 200);
        // One more, to know whether another page follows.
        let (tenant, user) = (caller.tenant.to_string(), Some(caller.user.to_string()));
        let query = ListSessions { tenant, user, before, limit: limit + 1 };
        let mut rows = self.engine().store().sessions(query).await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = rows.last().filter(|_| has_more).map(|row| cursor::write(LIST, (row.no.0, 0)));
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            items.push(self.item(row).await?);
        }
        Ok(Page { items, next_cursor })
    }

    /// A session with its newest turns, at most `limit` of them; `cursor` leads to those before.
    ///
    /// # Errors
    /// `NotFound`, also for a session of somebody else; a cursor that this session did not give.
    pub async fn session(
        &self,
        caller: &Caller,
        id: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Session, Failure> {
        let row = self.session_row(caller, id).await?;
        let list = format!("session {}", row.no.0);
        let to = cursor.map(|text| cursor::read(&list, text)).transpose()?.map_or(row.head, |(_, n)| n);
        let limit = limit.clamp(1, 200);
        let query = ListTurns { session: row.no, from: 1, to, voids: false, limit: limit + 1 };
        let mut turns = self.engine().store().turns(query).await?;
        let has_more = turns.len() > limit as usize;
        turns.truncate(limit as usize);
        let next_cursor = turns.last().filter(|_| has_more).map(|turn| cursor::write(&list, (0, turn.n - 1)));
        let mut messages = Vec::new();
        for turn in turns.iter().rev() {
            messages.extend(self.engine().said_in(turn.run).await?.into_iter().map(MessageView::from));
        }
        Ok(Session { item: self.item(row).await?, messages, next_cursor })
    }

    /// What the next run of a session would read, given its window.
    ///
    /// # Errors
    /// `NotFound`, also for a session of somebody else.
    pub async fn session_context(
        &self,
        caller: &Caller,
        id: &str,
        messages: Option<u32>,
        tokens: Option<u32>,
    ) -> Result<ContextView, Failure> {
        let row = self.session_row(caller, id).await?;
        let default = self.window();
        let window =
            Window { messages: messages.unwrap_or(default.messages), tokens: tokens.unwrap_or(default.tokens) };
        let context = self.engine().context(&row, window).await?;
        let from = Some(context.read.from).filter(|from| *from <= context.read.head);
        let cited = self.cited(&row, &context).await?;
        let tokens = context.said.iter().map(|said| tokens_of(&said.text)).sum();
        let mut messages: Vec<_> = context.said.into_iter().map(MessageView::from).collect();
        if let Some(summary) = messages.iter_mut().find(|message| message.role == Speaker::Summary) {
            summary.stands_for = cited.summed_up;
        }
        Ok(ContextView {
            session_id: row.id,
            window: WindowView { messages: window.messages, tokens: window.tokens },
            turns: TurnsView { from, head: context.read.head },
            dropped: cited.dropped,
            tokens,
            messages,
        })
    }

    /// Removes a session with its messages and stops its runs; the runs stay.
    ///
    /// # Errors
    /// `NotFound`, also for a session of somebody else.
    pub async fn delete_session(&self, caller: &Caller, id: &str) -> Result<(), Failure> {
        let row = self.session_row(caller, id).await?;
        if self.engine().remove_session(&row, &caller.user).await? { Ok(()) } else { Err(unknown(id)) }
    }

    pub(crate) async fn session_row(&self, caller: &Caller, id: &str) -> Result<SessionRow, Failure> {
        self.engine().store().session(caller.owner(), id.into()).await?.ok_or_else(|| unknown(id))
    }

    async fn item(&self, row: SessionRow) -> Result<SessionItem, Failure> {
        Ok(SessionItem {
            state: self.state(row.no).await?,
            session_id: row.id,
            user_id: row.owner.user,
            created_at: Stamp(row.created_at),
            updated_at: Stamp(row.updated_at),
        })
    }

    /// Who holds the session: whoever has begun, else whoever comes first.
    async fn state(&self, session: SessionNo) -> Result<State, Failure> {
        let open = self.engine().store().session_runs(Some(session), RunNo(0), u32::MAX).await?;
        let holder = open.iter().find(|run| run.status != Status::Queued).or(open.first());
        let state = match holder.map(|run| run.status) {
            None => "idle",
            Some(Status::Waiting) => "waiting",
            Some(_) => "busy",
        };
        Ok(State { state, run_id: holder.map(|run| run.id.to_string()) })
    }
}

fn unknown(id: &str) -> Failure {
    let shown = if id.chars().count() <= ID_SHOWN_MAX { format!("{id:?}") } else { "with that id".into() };
    Failure::not_found(format!("there is no session {shown}"))
}
