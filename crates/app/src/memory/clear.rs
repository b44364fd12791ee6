//! Clearing memory: whose, and what of it. Journals stay, and what is under way goes on with what it has read.

use super::{PAGE, label};
use crate::App;
use crate::caller::{Caller, Role};
use crate::failure::Failure;
use crate::start::{read_session_id, read_user_id};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tutti_agents::form::{Errors, FieldError, Form};
use tutti_agents::memory::facts;
use tutti_agents::memory::state::{self, Scope};
use tutti_agents::model::cache;
use tutti_engine::ports::store::ListRuns;
use tutti_engine::session::{SessionNo, SessionRow};

/// What can be cleared.
pub const WHAT: [&str; 4] = ["conversations", "cache", "state", "facts"];

/// How much was cleared; what was not to be is not there.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cleared {
    /// Conversations that later runs read nothing of any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversations: Option<u64>,
    /// Things that were remembered to save time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<u64>,
    /// States of graphs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<u64>,
    /// Facts about users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<u64>,
}

/// Whose memory.
enum Whose {
    /// A user that the caller serves; the caller, too, where it bears that name; for an admin whoever does.
    User(String),
    /// One conversation.
    Session(String),
    /// The tenant's.
    All,
}

impl Cleared {
    /// Nothing yet, of what is to be cleared.
    fn nothing_of(what: &[&str]) -> Self {
        let of = |word: &str| what.contains(&word).then_some(0);
        Self { conversations: of(WHAT[0]), cache: of(WHAT[1]), state: of(WHAT[2]), facts: of(WHAT[3]) }
    }
}

/// Adds to a count, where that is counted.
fn add(count: &mut Option<u64>, more: u64) {
    if let Some(count) = count {
        *count += more;
    }
}

impl App {
    /// Clears memory: `{user_id? | session_id? | all?, what?}`. Answers how much of each it was.
    ///
    /// # Errors
    /// Wrong fields, an unknown session, or `all` without being an admin.
    pub async fn clear_memory(&self, caller: &Caller, body: &Value) -> Result<Cleared, Failure> {
        let (whose, what) = read(body).map_err(Failure::invalid)?;
        let mut cleared = Cleared::nothing_of(&what);
        match &whose {
            Whose::Session(id) => {
                let session = self.session_row(caller, id).await?;
                self.clear_session(&session, &mut cleared).await?;
            }
            Whose::User(user) => self.clear_user(caller, user, &mut cleared).await?,
            Whose::All => {
                caller.must_hold(Role::Admin)?;
                self.clear_sessions(caller, None, &mut cleared).await?;
                self.clear_kept(caller, None, None, &mut cleared).await?;
                if let (Some(_), Some(store)) = (cleared.cache, self.engine().cache()) {
                    add(&mut cleared.cache, store.clear(&cache::prefix(&caller.tenant)).await.unwrap_or_default());
                }
            }
        }
        tracing::info!(by = %caller.user, cleared = %json!(cleared), "memory was cleared");
        Ok(cleared)
    }

    async fn clear_user(&self, caller: &Caller, user: &str, cleared: &mut Cleared) -> Result<(), Failure> {
        let is_admin = caller.roles.hold(Role::Admin);
        if is_admin || caller.user == user {
            self.clear_sessions(caller, Some(user), cleared).await?;
            self.clear_kept(caller, Some(user), None, cleared).await?;
        }
        // Whoever else serves a user of that name.
        let owner = (!is_admin).then_some(caller.user.as_ref());
        let mut query = ListRuns {
            tenant: Some(caller.tenant.to_string()),
            user: owner.map(String::from),
            labels: vec![label(user)],
            limit: PAGE,
            ..ListRuns::default()
        };
        let mut seen: BTreeSet<SessionNo> = BTreeSet::new();
        loop {
            let runs = self.engine().store().list(query.clone()).await?;
            let Some(last) = runs.last() else { break };
            query.before = Some(last.run);
            for run in &runs {
                let session = self.engine().store().session_of(run.run).await?;
                if let Some(session) = session.filter(|session| seen.insert(session.no)) {
                    self.clear_session(&session, cleared).await?;
                }
            }
        }
        self.clear_kept(caller, owner, Some(user), cleared).await
    }

    /// Clears the sessions of the tenant, or there of one user.
    async fn clear_sessions(&self, caller: &Caller, user: Option<&str>, cleared: &mut Cleared) -> Result<(), Failure> {
        let mut before = None;
        loop {
            let page = self.conversations_of(caller, user, before.as_ref()).await?;
            for session in &page {
                self.clear_session(session, cleared).await?;
            }
            before = page.into_iter().next_back();
            if before.is_none() {
                return Ok(());
            }
        }
    }

    /// Clears one session: first what is remembered of its turns, while they are still found.
    async fn clear_session(&self, session: &SessionRow, cleared: &mut Cleared) -> Result<(), Failure> {
        if cleared.cache.is_some() {
            add(&mut cleared.cache, self.engine().forget_recalled(session).await?);
        }
        if cleared.conversations.is_some() {
            let turns = self.engine().take_back(session).await?;
            add(&mut cleared.conversations, u64::from(turns > 0));
        }
        if cleared.state.is_some() {
            let (tenant, owner) = (&session.owner.tenant, session.owner.user.as_str());
            let scope = Scope::Session(session.id.clone());
            add(&mut cleared.state, state::clear(self.records(), tenant, Some(owner), Some(&scope)).await?);
        }
        Ok(())
    }

    /// Clears states and facts of the tenant, of an owner there, or of a user that is served.
    async fn clear_kept(
        &self,
        caller: &Caller,
        owner: Option<&str>,
        user: Option<&str>,
        cleared: &mut Cleared,
    ) -> Result<(), Failure> {
        if cleared.state.is_some() {
            let scope = user.map(|user| Scope::User(user.into()));
            let count = state::clear(self.records(), &caller.tenant, owner, scope.as_ref()).await?;
            add(&mut cleared.state, count);
        }
        if cleared.facts.is_some() {
            add(&mut cleared.facts, facts::clear(self.records(), &caller.tenant, owner, user).await?);
        }
        Ok(())
    }
}

fn read(body: &Value) -> Result<(Whose, Vec<&'static str>), Vec<FieldError>> {
    let (errors, empty) = (Errors::default(), json!({}));
    let read = Form::body(if body.is_null() { &empty } else { body }, &errors).and_then(|form| {
        let (user, session) = (read_user_id(&form), read_session_id(&form));
        let all = form.field("all").boolean().filter(|all| *all);
        let what = read_what(&form);
        form.no_others();
        let named = ["user_id", "session_id"].into_iter().filter(|name| form.field(name).is_present()).count();
        if named + usize::from(all.is_some()) != 1 {
            let msg = "name one of user_id, session_id and all: true";
            errors.push(FieldError::value(vec!["body".into()], msg));
        }
        let whose = user.map(Whose::User).or(session.map(Whose::Session)).or(all.map(|_| Whose::All))?;
        let is_session = matches!(whose, Whose::Session(_));
        if is_session && what.as_ref().is_some_and(|what| what.contains(&"facts")) {
            form.field("what").fail("facts belong to users; name user_id, or all: true");
        }
        let usual = || WHAT.into_iter().filter(|word| !is_session || *word != "facts").collect();
        Some((whose, what.unwrap_or_else(usual)))
    });
    errors.or(read)
}

fn read_what(form: &Form<'_>) -> Option<Vec<&'static str>> {
    let field = form.field("what");
    let list = field.list(WHAT.len())?;
    if list.is_empty() {
        field.fail("what must name at least one of: conversations, cache, state, facts");
    }
    Some(list.items().filter_map(|item| item.choice(&WHAT.map(|word| (word, word)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_named_and_what_of_it() {
        let wrong = |body: Value| read(&body).err().map(|all| all.iter().map(FieldError::path).collect::<Vec<_>>());
        let nobody =
            [json!({}), json!({"all": false}), json!({"user_id": "a", "all": true}), json!({"what": ["cache"]})];
        for body in nobody.into_iter().chain([Value::Null]) {
            assert_eq!(wrong(body.clone()), Some(vec![String::new()]), "{body}");
        }
        let body = json!({"user_id": "a\u{7}", "session_id": 5, "waht": [], "what": ["facts", "journals"]});
        assert_eq!(wrong(body).unwrap().len(), 5);
        assert_eq!(wrong(json!({"session_id": "s", "what": ["facts"]})), Some(vec!["what".to_owned()]));
        let of = |body: Value| read(&body).map(|(_, what)| what).unwrap();
        assert_eq!(of(json!({"session_id": "s"})), ["conversations", "cache", "state"]);
        assert_eq!(of(json!({"all": true})), WHAT);
        assert_eq!(of(json!({"user_id": "a", "what": ["state"]})), ["state"]);
    }
}
