//! Tools: the operator's own file, and what the built-in ones that reach out need.

use super::form::{List, Maybe, OneOf, Path as PathForm, Secret, Text, WebUrl};
use super::setting::concern;
use super::values::Problem;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tutti_agents::agent::AgentDefinition;
use tutti_agents::tool::{Keys, named_secrets, presets};
use tutti_agents::yaml::yaml_to_json;

concern! {
    /// Tools.
    Tools, "Tools" {
        TOOLS_CONFIG_PATH: file: Option<PathBuf> = Maybe(PathForm), None,
            "File that declares tools: YAML or JSON, {\"tools\": […]}.";
        TOOL_SECRETS: secrets: Vec<String> = List(Text), None,
            "Variables whose values tools that are registered may use as ${NAME}.";
        SEARCH_PROVIDER: search: Option<&'static str> = Maybe(OneOf(&["searxng", "brave", "tavily"])), None,
            "Who searches the web.";
        SEARCH_URL: search_url: Option<Url> = Maybe(WebUrl), None,
            "Address of that provider; brave and tavily have one of their own.";
        SEARCH_API_KEY: search_key: Option<SecretString> = Maybe(Secret), None,
            "Its key.";
        JIRA_BASE_URL: jira_url: Option<Url> = Maybe(WebUrl), None,
            "The Jira that the jira agent works on.";
        JIRA_EMAIL: jira_email: Option<String> = Maybe(Text), None,
            "Its account.";
        JIRA_API_TOKEN: jira_token: Option<SecretString> = Maybe(Secret), None,
            "Its token.";
    }
}

/// The operator's own tools as the file has them, and the secrets that tools may use.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Each tool as it is written.
    pub tools: Vec<Value>,
    /// Secrets that the file names.
    pub file_keys: Keys,
    /// Secrets that registered tools may name.
    pub keys: Keys,
}

/// Reads the file, and looks secrets up: `secret` answers what an environment variable holds.
pub fn read(tools: &Tools, secret: impl Fn(&str) -> Option<String>) -> (Declared, Vec<Problem>) {
    let mut problems = Vec::new();
    let found = tools.file.as_deref().map(|path| read_file(path).map_err(|why| format!("{}: {why}", path.display())));
    let list = match found {
        Some(Ok(list)) => list,
        Some(Err(why)) => {
            problems.push(Problem::of("TOOLS_CONFIG_PATH", why));
            Vec::new()
        }
        None => Vec::new(),
    };
    let mut keys = |names: Vec<String>, of: &'static str| {
        let found = names.into_iter().filter_map(|name| match secret(&name) {
            Some(value) => Some((name, value)),
            None => {
                problems.push(Problem::of(of, format!("names the secret {name}, but that variable is not set")));
                None
            }
        });
        Keys::of(found.collect::<Vec<_>>())
    };
    let file_keys = keys(list.iter().flat_map(named_secrets).collect(), "TOOLS_CONFIG_PATH");
    let keys = keys(tools.secrets.clone(), "TOOL_SECRETS");
    let mut declared = Declared { tools: list, file_keys, keys };
    declared.add_presets(tools);
    problems.extend(tools.problems());
    (declared, problems)
}

impl Declared {
    /// What a few settings make, written as a file would have it.
    fn add_presets(&mut self, tools: &Tools) {
        if let Some(provider) = tools.search {
            self.tools.push(presets::web_search(
                provider,
                tools.search_url.as_ref().map(Url::as_str),
                tools.search_key.is_some(),
            ));
        }
        if let Some(key) = &tools.search_key {
            self.file_keys.insert(presets::SEARCH_KEY, key.clone());
        }
        if let (Some(url), Some(email), Some(token)) = (&tools.jira_url, &tools.jira_email, &tools.jira_token) {
            self.tools.extend(presets::jira(url.as_str()));
            self.file_keys.insert(presets::JIRA_LOGIN, format!("{email}:{}", token.expose_secret()).into());
        }
    }
}

impl Tools {
    /// The built-in agents that these settings make ready.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentDefinition> {
        let search = self.search.map(|_| presets::search_agent());
        search.into_iter().chain(self.jira_url.as_ref().map(|_| presets::jira_agent())).collect()
    }

    /// Settings that do not go together.
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut needs = |is_there: bool, name: &'static str, because: &str| {
            if !is_there {
                problems.push(Problem::of(name, format!("not set, but {because}")));
            }
        };
        match self.search {
            Some("searxng") => needs(self.search_url.is_some(), "SEARCH_URL", "SEARCH_PROVIDER is searxng"),
            Some(other) => needs(self.search_key.is_some(), "SEARCH_API_KEY", &format!("SEARCH_PROVIDER is {other}")),
            None => {}
        }
        if self.jira_url.is_some() {
            needs(self.jira_email.is_some(), "JIRA_EMAIL", "JIRA_BASE_URL is");
            needs(self.jira_token.is_some(), "JIRA_API_TOKEN", "JIRA_BASE_URL is");
        }
        problems
    }
}

fn read_file(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    // JSON is YAML.
    let Value::Object(mut fields) = yaml_to_json(&text)? else { return Err("should be {\"tools\": […]}".into()) };
    let tools = fields.shift_remove("tools").unwrap_or_default();
    if let Some(key) = fields.keys().next() {
        return Err(format!("{key:?} is not known; the file should be {{\"tools\": […]}}"));
    }
    let Value::Array(tools) = tools else { return Err("tools should be a list".into()) };
    Ok(tools)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> (Declared, Vec<String>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let tools = Tools {
            file: Some(file.path().to_owned()),
            secrets: vec!["SET".into(), "UNSET".into()],
            search: None,
            search_url: None,
            search_key: None,
            jira_url: None,
            jira_email: None,
            jira_token: None,
        };
        let (declared, problems) = read(&tools, |name| (name == "SET").then(|| "value".to_owned()));
        (declared, problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn the_file_is_a_list_and_its_secrets_are_looked_up() {
        let text = "tools:\n- name: a\n  config: {headers: {authorization: 'Bearer ${SET}', x: {secret: LOST}}}\n";
        let (declared, problems) = declared(text);
        assert_eq!(declared.tools.len(), 1);
        assert!(declared.file_keys.has("SET") && declared.keys.has("SET") && !declared.keys.has("UNSET"));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("LOST") && problems[1].contains("UNSET"), "{problems:?}");
        for (text, part) in
            [("[", "line 1"), ("a: 1\ntools: []", "\"a\" is not known"), ("tools: 1", "a list"), ("7", "{\"tools\"")]
        {
            assert!(self::declared(text).1[0].contains(part), "{text}: {:?}", self::declared(text).1);
        }
    }
}
