//! Discovery by DNS: an endpoint `srv+http://_agent._tcp.example.internal/ask` stands for the hosts and ports that the name's SRV
//! records list, the preferred first. Source: RFC 2782.

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::OnceLock;

/// What such an endpoint begins with.
const PREFIX: &str = "srv+";
/// Most targets that are tried.
const TARGETS_MAX: usize = 16;

static RESOLVER: OnceLock<TokioResolver> = OnceLock::new();

/// Asks this name server instead of the system's. Called once, before the first endpoint is looked up.
pub fn use_server(server: SocketAddr) -> Result<(), String> {
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let mut name_server = NameServerConfig::udp(server.ip());
    name_server.connections = vec![connection];
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![name_server]);
    let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build();
    let _ = RESOLVER.set(resolver.map_err(|e| e.to_string())?);
    Ok(())
}

fn resolver() -> Result<&'static TokioResolver, String> {
    if let Some(resolver) = RESOLVER.get() {
        return Ok(resolver);
    }
    let system = TokioResolver::builder_tokio().and_then(|builder| builder.build());
    let system = system.map_err(|e| format!("the system's name servers cannot be used: {e}"))?;
    Ok(RESOLVER.get_or_init(|| system))
}

/// The address itself, or what its SRV name stands for: addresses in the order in which they are to be tried.
///
/// # Errors
/// The name has no records, or nobody could be asked.
pub async fn endpoints(endpoint: &str) -> Result<Vec<String>, String> {
    let Some((scheme, rest)) = endpoint.strip_prefix(PREFIX).and_then(|url| url.split_once("://")) else {
        return Ok(vec![endpoint.to_owned()]);
    };
    let (name, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let found = resolver()?.srv_lookup(name).await.map_err(|e| format!("{name} cannot be looked up: {e}"))?;
    let mut records: Vec<(u16, u16, String)> = Vec::new();
    for record in found.answers() {
        if let RData::SRV(srv) = &record.data {
            let host = srv.target.to_utf8();
            let address = format!("{scheme}://{}:{}{path}", host.trim_end_matches('.'), srv.port);
            records.push((srv.priority, srv.weight, address));
        }
    }
    if records.is_empty() {
        return Err(format!("{name} has no SRV records"));
    }
    let dice = RandomState::new().build_hasher().finish();
    Ok(in_order(records, dice).into_iter().take(TARGETS_MAX).collect())
}

/// By priority, and among equals by chance in proportion to the weights.
fn in_order(mut records: Vec<(u16, u16, String)>, mut dice: u64) -> Vec<String> {
    records.sort();
    let mut ordered = Vec::with_capacity(records.len());
    while let Some((priority, ..)) = records.first().cloned() {
        let equals = records.iter().take_while(|(p, ..)| *p == priority).count();
        let total: u64 = records[..equals].iter().map(|(_, weight, _)| u64::from(*weight) + 1).sum();
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut left = (dice >> 33) % total.max(1);
        let mut at = 0;
        while at + 1 < equals && left > u64::from(records[at].1) {
            left -= u64::from(records[at].1) + 1;
            at += 1;
        }
        ordered.push(records.remove(at).2);
    }
    ordered
}

/// The address as it is judged at registration: without the prefix, since the name itself is never called.
#[must_use]
pub fn plain(endpoint: &str) -> &str {
    endpoint.strip_prefix(PREFIX).unwrap_or(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_come_first_and_weights_decide_among_equals() {
        let records = || vec![(20, 1, "last".to_owned()), (10, 90, "heavy".into()), (10, 10, "light".into())];
        let mut first = std::collections::BTreeMap::new();
        for dice in 0..2_000_u64 {
            let order = in_order(records(), dice.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            assert_eq!((order.len(), order[2].as_str()), (3, "last"));
            *first.entry(order[0].clone()).or_insert(0) += 1;
        }
        assert!((1_500..1_950).contains(&first["heavy"]), "{first:?}");
    }

    #[tokio::test]
    async fn other_addresses_stand_for_themselves() {
        assert_eq!(endpoints("https://a.example/ask").await.unwrap(), ["https://a.example/ask"]);
        assert_eq!(plain("srv+https://_a._tcp.example/ask"), "https://_a._tcp.example/ask");
    }
}
