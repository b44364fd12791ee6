//! Registered agents: how much they do at once, how long they may be silent, who makes them.

use super::form::{Boolean, Integer, Maybe, Minutes, Seconds, WebUrl};
use super::setting::concern;
use reqwest::Url;
use std::time::Duration;
use tutti_agents::factory::Hooks;

concern! {
    /// Registered agents.
    Orchestrator, "Registered agents" {
        MAX_CONCURRENT_AGENT_SESSIONS: sessions_max: u32 = Integer { min: 1_u32, max: 1_000_000 }, Some("10"),
            "Most open sessions of an agent; tasks beyond that wait.";
        AGENT_SESSION_TIMEOUT_MINUTES: idle: Duration = Minutes { max: 525_600 }, Some("60"),
            "After so long an idle session gives its place free; its messages stay.";
        AGENT_HEARTBEAT_TIMEOUT: silence: Duration = Seconds { min_ms: 100, max_s: 86_400 }, Some("90"),
            "An instance that was heard of, and then not for so long, gets no more work.";
        AGENT_METRICS_ENABLED: metrics: bool = Boolean, Some("true"),
            "Whether /metrics has the series agent_orchestrator_*.";
        BRAIN_FACTORY_URL: brain_factory: Option<Url> = Maybe(WebUrl), None,
            "Who instantiates agents when they start (POST /agents); the built-in factory if absent.";
        DEPLOYMENT_PIPELINE_URL: pipeline: Option<Url> = Maybe(WebUrl), None,
            "Who deploys agents when they start (POST /deployments); nobody if absent.";
    }
}

impl Orchestrator {
    /// Who makes agents.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        let plain = |url: &Option<Url>| url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
        Hooks { brain_factory: plain(&self.brain_factory), pipeline: plain(&self.pipeline) }
    }
}
