//! Calls that leave the process: how often, where to.

use super::form::{Destination, Integer, List, Maybe, Seconds, SocketAddress};
use super::setting::concern;
use std::net::SocketAddr;
use std::time::Duration;

concern! {
    /// Calls that leave the process.
    Calls, "Outgoing calls" {
        MAX_RETRIES: retries_max: u32 = Integer { min: 0_u32, max: 20 }, Some("3"),
            "Tries after the first, where a failure may pass by itself.";
        RETRY_DELAY: retry_delay: Duration = Seconds { min_ms: 0, max_s: 30 }, Some("1"),
            "Wait before the first repeat; doubled each time, jittered, at most 30 s.";
        HTTP_TIMEOUT: http_timeout: Duration = Seconds { min_ms: 100, max_s: 86_400 }, Some("30"),
            "How long an HTTP agent, tool or service may take to answer.";
        DNS_SERVER: dns_server: Option<SocketAddr> = Maybe(SocketAddress), None,
            "Name server (address:port) for endpoints found by SRV records; the system's if absent.";
        EGRESS_ALLOW: egress_allow: Vec<String> = List(Destination), None,
            "Private hosts and networks that may be called; all others are refused.";
    }
}
