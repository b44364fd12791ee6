//! Where the server listens and who may call it from a browser.

use super::form::{Host, Integer, List, WebOrigin};
use super::setting::concern;

concern! {
    /// Where the server listens.
    Listen, "Server" {
        AGENT_ORCHESTRATOR_HOST: host: String = Host, Some("127.0.0.1"),
            "Address to listen on; this version serves this machine only (127.0.0.1, ::1, localhost).";
        AGENT_ORCHESTRATOR_PORT: port: u16 = Integer { min: 0_u16, max: 65_535 }, Some("8000"),
            "Port to listen on; 0 takes any free one and says which.";
        CORS_ORIGINS: cors_origins: Vec<String> = List(WebOrigin), None,
            "Web pages that may call the API from a browser.";
    }
}

impl Listen {
    /// Whether only this machine can reach the server.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The address of a server that listens there.
    #[must_use]
    pub fn url(&self) -> String {
        let v6 = self.host.contains(':');
        let host = if v6 { format!("[{}]", self.host) } else { self.host.clone() };
        format!("http://{host}:{}", self.port)
    }
}
