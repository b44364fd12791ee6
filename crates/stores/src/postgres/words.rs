//! Small numbers for words that stand in every row. They are written outside the transactions that use them: a word that is
//! known too early harms nobody, and no two processes wait for each other's words.

use crate::postgres::db::Db;
use std::collections::HashMap;
use tokio_postgres::Error;
use tutti_engine::ports::store::{Fence, Transition};
use tutti_engine::run::Owner;

/// Most owners remembered at once; the others are looked up again.
const OWNERS_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Words {
    names: HashMap<String, i32>,
    owners: HashMap<Owner, i32>,
}

impl Words {
    /// Learns every word of a group.
    pub async fn learn(&mut self, db: &mut Db, group: &[Transition]) -> Result<(), Error> {
        if self.owners.len() > OWNERS_MAX {
            self.owners.clear();
        }
        for transition in group {
            for append in &transition.appends {
                if let Fence::Birth(birth) = &append.fence {
                    self.learn_name(db, &birth.workflow).await?;
                    self.learn_owner(db, &birth.owner).await?;
                }
            }
            for (_, label) in &transition.labels {
                self.learn_name(db, &label.name).await?;
            }
        }
        Ok(())
    }

    async fn learn_name(&mut self, db: &mut Db, text: &str) -> Result<(), Error> {
        if self.names.contains_key(text) {
            return Ok(());
        }
        db.execute("INSERT INTO names(text) VALUES($1) ON CONFLICT DO NOTHING", &[&text]).await?;
        if let Some(row) = db.row("SELECT name FROM names WHERE text = $1", &[&text]).await? {
            self.names.insert(text.to_owned(), row.get(0));
        }
        Ok(())
    }

    async fn learn_owner(&mut self, db: &mut Db, owner: &Owner) -> Result<(), Error> {
        if self.owners.contains_key(owner) {
            return Ok(());
        }
        let insert = r#"INSERT INTO owners(tenant, "user") VALUES($1, $2) ON CONFLICT DO NOTHING"#;
        db.execute(insert, &[&owner.tenant, &owner.user]).await?;
        let find = r#"SELECT owner FROM owners WHERE tenant = $1 AND "user" = $2"#;
        if let Some(row) = db.row(find, &[&owner.tenant, &owner.user]).await? {
            self.owners.insert(owner.clone(), row.get(0));
        }
        Ok(())
    }

    /// A word's number; 0, which stands for none, where it could not be learned.
    pub fn name(&self, text: &str) -> i32 {
        self.names.get(text).copied().unwrap_or_default()
    }

    pub fn owner(&self, owner: &Owner) -> i32 {
        self.owners.get(owner).copied().unwrap_or_default()
    }
}
