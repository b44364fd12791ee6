//! Agents that are found, `[discovery]` of `tutti.toml`: a list of them, a DNS name, addresses of cards.

use super::agents::{self, Agents};
use super::form::{List, Maybe, Seconds, Text, WebUrl};
use super::setting::concern;
use super::sources::read_toml;
use super::values::Problem;
use reqwest::Url;
use std::path::Path;
use std::time::Duration;
use tutti_agents::discovery::Places;

/// The table's name.
pub const TABLE: &str = "discovery";
/// The key of the list in it.
const LIST: &str = "agents";

concern! {
    /// Agents that are found.
    Discovery, "Discovery of agents" {
        DISCOVERY_SRV: srv: Option<String> = Maybe(Text), None,
            "DNS name whose SRV records list agents; each has a card at /.well-known/agent-card.json.";
        DISCOVERY_CARDS: cards: Vec<Url> = List(WebUrl), None,
            "Addresses of agent cards.";
        DISCOVERY_INTERVAL: interval: Duration = Seconds { min_ms: 100, max_s: 86_400 }, Some("30"),
            "How often agents are looked for.";
    }
}

impl Discovery {
    /// Where to look.
    #[must_use]
    pub fn places(&self) -> Places {
        Places { srv: self.srv.clone(), cards: self.cards.iter().map(|url| url.as_str().to_owned()).collect() }
    }
}

/// The agents that the table of a file called `name` lists. Its other keys are settings.
pub fn read(file: &toml::Table, name: &str) -> (Agents, Vec<Problem>) {
    let Some(table) = file.get(TABLE) else { return <_>::default() };
    let Some(fields) = table.as_table() else {
        return (Agents::new(), vec![Problem::file(format!("{name}: {TABLE} should be a table, [{TABLE}]"))]);
    };
    let (agents, mut problems) =
        fields.get(LIST).map(|list| agents::read(list, &format!("{TABLE}.{LIST}"), name)).unwrap_or_default();
    let names = || Discovery::CONCERN.settings.iter().map(|setting| setting.name.to_ascii_lowercase());
    let keys: Vec<String> =
        names().filter_map(|key| Some(key.strip_prefix(TABLE)?.strip_prefix('_')?.into())).collect();
    for key in fields.keys().filter(|key| *key != LIST) {
        let full = format!("{TABLE}_{key}");
        if !keys.contains(key) {
            let hint = super::nearest(key, keys.iter().map(String::as_str).chain([LIST]));
            problems.push(Problem::file(format!("{name}: {TABLE}.{key} is not known; {hint}")));
        } else if file.contains_key(&full) {
            problems.push(Problem::file(format!("{name}: {TABLE}.{key} and {full} say the same; leave one out")));
        }
    }
    (agents, problems)
}

/// The list as the file has it now.
///
/// # Errors
/// Why it cannot be used, in words.
pub fn read_again(path: &Path) -> Result<Agents, String> {
    let file = read_toml(path, false).map_err(|problem| problem.to_string())?;
    let (agents, problems) = read(&file, &path.display().to_string());
    match problems.first() {
        None => Ok(agents),
        Some(problem) => Err(problem.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_agents_and_holds_settings() {
        let read = |text: &str| {
            let (agents, problems) = read(&text.parse().unwrap(), "f");
            (agents.into_keys().collect::<Vec<_>>(), problems.into_iter().map(|p| p.message).collect::<Vec<_>>())
        };
        let good =
            "[discovery]\nsrv = \"_a._tcp.example\"\n[discovery.agents.near]\nkind = \"http\"\nendpoint = \"http://a\"";
        assert_eq!(read(good), (vec!["near".to_owned()], Vec::new()));
        let (_, wrong) =
            read("discovery_srv = \"a\"\n[discovery]\nsrv = \"b\"\ncard = 1\n[discovery.agents.x]\nkin = 1");
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].starts_with("f: discovery.agents.x.kin is not known"), "{wrong:?}");
        assert!(wrong.iter().any(|w| w.contains("discovery.card is not known; did you mean cards?")), "{wrong:?}");
        assert!(wrong.iter().any(|w| w.contains("discovery.srv and discovery_srv")), "{wrong:?}");
        assert_eq!(read("discovery = 1").1, ["f: discovery should be a table, [discovery]"]);
    }
}
