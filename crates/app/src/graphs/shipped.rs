//! Graphs that come with the binary.

use serde_json::Value;
use std::sync::LazyLock;
use tutti_agents::yaml::yaml_to_json;

/// Their files, by name.
const FILES: [(&str, &str); 1] = [("chat", include_str!("../../../../graphs/chat.yaml"))];

static ALL: LazyLock<Vec<(&'static str, Value)>> = LazyLock::new(|| {
    // A file that cannot be read is left out; the test below is what keeps that from being shipped.
    FILES.iter().filter_map(|(name, text)| Some((*name, yaml_to_json(text).ok()?))).collect()
});

/// Every shipped graph.
pub(super) fn all() -> &'static [(&'static str, Value)] {
    &ALL
}

/// The shipped graph of this name.
pub(super) fn find(name: &str) -> Option<&'static Value> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, graph)| graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_agents::agent::AgentBook;
    use tutti_agents::form::{Errors, Form};
    use tutti_workflows::graph;
    use tutti_workflows::patterns::Setting;

    #[test]
    fn every_shipped_graph_is_sound() {
        let book = AgentBook::default();
        for (name, text) in FILES {
            let graph = yaml_to_json(text).unwrap();
            assert_eq!(graph["name"], name);
            let errors = Errors::default();
            let setting = Setting { agents: &book, iterations_max: 10, depth: 0, named: None, tools: None };
            let read = Form::body(&graph, &errors).and_then(|form| graph::read(&form, &setting));
            let read = errors.or(read).unwrap_or_else(|wrong| panic!("{name}: {wrong:#?}"));
            assert!(read.unconfigured.is_empty(), "{name} runs on a server that has nothing configured");
            assert!(jsonschema_fits(&graph), "{name} fits the published schema");
        }
    }

    fn jsonschema_fits(graph: &Value) -> bool {
        jsonschema::validator_for(&graph::schema()).unwrap().is_valid(graph)
    }
}
