//! What sets stand for, as it is kept: the operator's own are looked at when the process starts, and what changed since somebody
//! approved it waits for the next look.

use super::definition::{Definition, How, Part};
use super::shelf::{Shelf, TOOL};
use crate::registry::{self, Kept};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tutti_engine::ports::records::{Expect, Put};
use tutti_engine::ports::store::StoreError;
use tutti_engine::run::Time;

/// Records of what the operator's own sets stand for, under the tenant `""`.
const PARTS: &str = "tool.parts";
/// Most sets whose trouble is remembered.
const TROUBLES_MAX: usize = 1_000;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Kit {
    parts: Vec<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Of which definition: the operator's own change is approval enough.
    of: String,
}

/// Sets that could not be reached when this process last tried, and why; by tenant and name.
static TROUBLES: Mutex<BTreeMap<(String, String), String>> = Mutex::new(BTreeMap::new());

/// Remembers how the last attempt to reach a set went.
pub(super) fn note_trouble(tenant: Option<&str>, name: &str, trouble: Option<&str>) {
    let mut all = TROUBLES.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (tenant.unwrap_or_default().to_owned(), name.to_owned());
    match trouble {
        None => drop(all.remove(&key)),
        Some(_) if all.len() >= TROUBLES_MAX => {}
        Some(why) => drop(all.insert(key, why.to_owned())),
    }
}

/// Why a set could not be reached when this process last tried.
#[must_use]
pub fn trouble(tenant: Option<&str>, name: &str) -> Option<String> {
    let all = TROUBLES.lock().unwrap_or_else(PoisonError::into_inner);
    all.get(&(tenant.unwrap_or_default().to_owned(), name.to_owned())).cloned()
}

fn fingerprint(definition: &Definition) -> String {
    let config = serde_json::to_string(&(definition.kind(), definition.config())).unwrap_or_default();
    Sha256::digest(config).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Shelf {
    /// One of the operator's own with what it stands for.
    pub(super) async fn filled(&self, definition: &Definition) -> Result<Definition, StoreError> {
        if !definition.is_set() || !definition.parts.is_empty() {
            return Ok(definition.clone());
        }
        let kit = self.kit(definition).await?.unwrap_or_default();
        Ok(Definition { parts: kit.parts, note: kit.note, ..definition.clone() })
    }

    async fn kit(&self, definition: &Definition) -> Result<Option<Kit>, StoreError> {
        let kept = registry::get::<Kit>(self.records.as_ref(), PARTS, "", &definition.name).await?;
        let of = fingerprint(definition);
        Ok(kept.map(|kept| kept.value).filter(|kit| kit.of == of))
    }

    /// Looks at each of the operator's own sets. One that cannot be reached keeps its list, and says so.
    pub async fn look(&self, now: Time) {
        for definition in self.file.values().filter(|one| one.is_set() && one.parts.is_empty()) {
            let fetched = Box::pin(definition.fetch(&self.outbound, None, &self.file_keys)).await;
            let fetched = fetched.map_err(|wrong| wrong.join("; "));
            if let Err(why) = &fetched {
                tracing::warn!(tool = definition.name, "tools of {:?} cannot be looked at: {why}", definition.name);
            }
            if let Err(error) = self.keep(definition, fetched, false, now).await {
                tracing::warn!(tool = definition.name, "tools of {:?} cannot be kept: {error}", definition.name);
            }
        }
    }

    /// Takes what one of the operator's own sets stands for now as approved.
    ///
    /// # Errors
    /// It cannot be reached, in words.
    pub async fn approve(&self, definition: &Definition, now: Time) -> Result<Result<(), Vec<String>>, StoreError> {
        if !definition.parts.is_empty() {
            return Ok(Ok(()));
        }
        match Box::pin(definition.fetch(&self.outbound, None, &self.file_keys)).await {
            Ok(fetched) => self.keep(definition, Ok(fetched), true, now).await.map(Ok),
            Err(wrong) => Ok(Err(wrong)),
        }
    }

    async fn keep(
        &self,
        definition: &Definition,
        fetched: Result<(Vec<Part>, Option<String>), String>,
        is_approved: bool,
        now: Time,
    ) -> Result<(), StoreError> {
        let old = self.kit(definition).await?;
        let of = fingerprint(definition);
        let kit = match (fetched, old) {
            (Ok((parts, note)), Some(old)) if !is_approved => Kit { parts: merged(old.parts, parts), note, of },
            (Ok((parts, note)), _) => Kit { parts, note, of },
            (Err(why), Some(old)) => Kit { note: Some(format!("the list is that of before: {why}")), ..old },
            (Err(why), None) => Kit { parts: Vec::new(), note: Some(why), of },
        };
        let key = (PARTS, "", definition.name.as_str());
        registry::put(self.records.as_ref(), key, &kit, now, Expect::Any).await?;
        note_trouble(None, &definition.name, None);
        Ok(())
    }

    /// Keeps a part from being called until somebody has looked at it. Where others are faster, the next call finds out anew.
    pub(super) async fn disable(
        &self,
        tenant: Option<&str>,
        set: &str,
        part: &str,
        why: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        let bar = |parts: &mut [Part]| {
            for found in parts.iter_mut().filter(|found| found.name == part) {
                found.disabled = Some(why.to_owned());
            }
        };
        let records = self.records.as_ref();
        let _: Put = match tenant {
            Some(tenant) => {
                let kept = registry::get::<Definition>(records, TOOL, tenant, set).await?;
                let Some(Kept { mut value, version }) = kept else { return Ok(()) };
                bar(&mut value.parts);
                registry::put(records, (TOOL, tenant, set), &value, now, Expect::Version(version)).await?
            }
            None => {
                let kept = registry::get::<Kit>(records, PARTS, "", set).await?;
                let Some(Kept { mut value, version }) = kept else { return Ok(()) };
                bar(&mut value.parts);
                registry::put(records, (PARTS, "", set), &value, now, Expect::Version(version)).await?
            }
        };
        Ok(())
    }
}

/// What a set stands for now, beside what it stood for when somebody approved it: what is new or changed waits.
fn merged(old: Vec<Part>, now: Vec<Part>) -> Vec<Part> {
    let source = |part: &Part| match &part.how {
        Some(How::Remote { tool, hash }) => Some((tool.clone(), hash.clone())),
        _ => None,
    };
    let is_pinned = now.iter().any(|part| source(part).is_some());
    if !is_pinned {
        return now;
    }
    let known = |tool: &str| old.iter().find(|part| source(part).is_some_and(|(name, _)| name == tool));
    let mut merged = Vec::new();
    for part in &now {
        let Some((tool, hash)) = source(part) else { continue };
        merged.push(match known(&tool) {
            Some(before) if source(before).is_some_and(|(_, pinned)| pinned == hash) && is_approved(before) => {
                part.clone()
            }
            Some(before) if source(before).is_some_and(|(_, pinned)| pinned == hash) => before.clone(),
            Some(before) => Part { disabled: Some(CHANGED.into()), ..before.clone() },
            None => Part { disabled: Some(NEW.into()), ..part.clone() },
        });
    }
    let gone = old.iter().filter(|part| {
        source(part).is_some_and(|(tool, _)| now.iter().all(|other| source(other).is_none_or(|(name, _)| name != tool)))
    });
    merged.extend(gone.map(|part| Part { disabled: Some(GONE.into()), ..part.clone() }));
    merged
}

const CHANGED: &str = "the server has changed its definition since it was approved";
const NEW: &str = "the server has it since the others were approved";
const GONE: &str = "the server no longer has it";

/// Whether somebody has looked at it: all but what came later.
fn is_approved(part: &Part) -> bool {
    part.disabled.as_deref() != Some(NEW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tutti_engine::activity::Effect;

    fn part(tool: &str, hash: &str) -> Part {
        Part {
            name: format!("s__{tool}"),
            description: hash.into(),
            parameters: json!({}),
            effect: Effect::Pure,
            how: Some(How::Remote { tool: tool.into(), hash: hash.into() }),
            disabled: None,
        }
    }

    #[test]
    fn what_is_new_or_changed_waits_and_what_comes_back_is_as_before() {
        let approved = vec![part("a", "1"), part("b", "1"), part("c", "1")];
        let now = merged(approved.clone(), vec![part("a", "1"), part("b", "2"), part("d", "1")]);
        let said: Vec<_> =
            now.iter().map(|p| (p.name.as_str(), p.description.as_str(), p.disabled.as_deref())).collect();
        assert_eq!(
            said,
            [("s__a", "1", None), ("s__b", "1", Some(CHANGED)), ("s__d", "1", Some(NEW)), ("s__c", "1", Some(GONE))]
        );
        let again = merged(now.clone(), vec![part("a", "1"), part("b", "2"), part("d", "1")]);
        assert_eq!(again, now, "a restart approves nothing");
        let back = merged(now, vec![part("a", "1"), part("b", "1"), part("c", "1"), part("d", "1")]);
        assert_eq!(back[..3], approved, "what was approved is approved");
        assert_eq!(back[3].disabled.as_deref(), Some(NEW));
    }
}
