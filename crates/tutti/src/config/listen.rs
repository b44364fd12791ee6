//! Where the server listens and who may call it from a browser.

use super::form::{Host, Integer, List, WebOrigin};
use super::setting::concern;
use std::net::IpAddr;

concern! {
    /// Where the server listens.
    Listen, "Server" {
        AGENT_ORCHESTRATOR_HOST: host: String = Host, Some("127.0.0.1"),
            "Address to listen on; off loopback (0.0.0.0, say) other machines need the admin key, see tutti key show.";
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
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The address under which this machine reaches a server that listens there.
    #[must_use]
    pub fn url(&self) -> String {
        let host = match self.host.parse::<IpAddr>() {
            // Every address: a server is reached on one of them.
            Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1".into(),
            Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]".into(),
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        format!("http://{host}:{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_where_it_listens() {
        let url = |host: &str| Listen { host: host.into(), port: 8000, cors_origins: Vec::new() }.url();
        assert_eq!(url("0.0.0.0"), "http://127.0.0.1:8000");
        assert_eq!(url("::"), "http://[::1]:8000");
        assert_eq!(url("fd00::7"), "http://[fd00::7]:8000");
        assert_eq!((url("10.0.0.7"), url("box")), ("http://10.0.0.7:8000".into(), "http://box:8000".into()));
    }
}
