//! Names become addresses here, once per connection; the address that was checked is the one that is connected to.

use super::policy::EgressPolicy;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Asks for a name's addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> Lookup {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// A name that resolves only to addresses that may not be called.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Forbidden(pub String);

/// Resolves names; with a policy it passes on only what may be called.
pub(super) struct Resolver {
    pub lookup: Lookup,
    pub policy: Option<Arc<EgressPolicy>>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.lookup)(name.as_str().to_owned());
        let policy = self.policy.clone();
        Box::pin(async move {
            let found = found.await?;
            let Some(policy) = policy else { return Ok(Box::new(found.into_iter()) as Addrs) };
            let mut refusal = None;
            let mut open = Vec::with_capacity(found.len());
            for addr in found {
                match policy.check_ip(addr.ip()) {
                    Ok(()) => open.push(addr),
                    Err(why) => refusal = refusal.or(Some(why)),
                }
            }
            match refusal {
                Some(why) if open.is_empty() => {
                    Err(Forbidden(format!("{} resolves to a forbidden address: {why}", name.as_str())).into())
                }
                _ => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}
