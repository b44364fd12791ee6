//! What may be called: the rules, and the decision for one address.

use super::address;
use reqwest::Url;
use std::net::IpAddr;
use std::str::FromStr;

/// Who may be called besides the public internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Hosts and networks the operator opened (`EGRESS_ALLOW`).
    pub allow: Vec<AllowRule>,
    /// Origins of addresses that the operator's own configuration names (`*_URL`): allowed exactly as configured.
    pub configured_origins: Vec<Origin>,
}

impl EgressPolicy {
    /// The policy of `EGRESS_ALLOW` (comma-separated hosts, addresses and CIDRs) and the configured addresses.
    ///
    /// # Errors
    /// One sentence that names the wrong entry.
    pub fn parse(allow: &str, configured: &[&str]) -> Result<Self, PolicyError> {
        let entries = allow.split(',').map(str::trim).filter(|e| !e.is_empty());
        Ok(Self {
            allow: entries.map(str::parse).collect::<Result<_, _>>()?,
            configured_origins: configured.iter().map(|url| Origin::of(url)).collect::<Result<_, _>>()?,
        })
    }
}

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// An entry of `EGRESS_ALLOW`.
    #[error("EGRESS_ALLOW takes host names, addresses and networks like 10.0.0.0/8; {0:?} is none of them")]
    Allow(String),
    /// A configured address.
    #[error("{0:?} is not an http or https address without user information")]
    Origin(String),
}

/// One entry of `EGRESS_ALLOW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowRule {
    /// A name, trusted whatever it resolves to.
    Host(String),
    /// All addresses that share the first `prefix` bits with `base`.
    Net {
        /// Any address of the network.
        base: IpAddr,
        /// Bits.
        prefix: u8,
    },
}

impl FromStr for AllowRule {
    type Err = PolicyError;

    fn from_str(entry: &str) -> Result<Self, PolicyError> {
        let wrong = || PolicyError::Allow(entry.to_owned());
        let (host, prefix) = match entry.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (entry, None),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(base) = bare.parse::<IpAddr>() {
            let bits = if base.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.unwrap_or(bits);
            return if prefix <= bits { Ok(Self::Net { base, prefix }) } else { Err(wrong()) };
        }
        // Read through the URL parser, so that a rule and a request spell a name the same way.
        let url = Url::parse(&format!("http://{host}/")).map_err(|_| wrong())?;
        let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b) || !b.is_ascii());
        match url.host_str() {
            Some(name) if plain && prefix.is_none() && name.parse::<IpAddr>().is_err() => {
                Ok(Self::Host(name.trim_end_matches('.').to_owned()))
            }
            _ => Err(wrong()),
        }
    }
}

/// Scheme, host and port of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an absolute `http` or `https` address; path and query do not matter.
    ///
    /// # Errors
    /// Any other text.
    pub fn of(url: &str) -> Result<Self, PolicyError> {
        let wrong = || PolicyError::Origin(shown(url));
        let url = Url::parse(url.trim()).map_err(|_| wrong())?;
        Self::of_url(&url).filter(|_| !has_user(&url)).ok_or_else(wrong)
    }

    fn of_url(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self { https, host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }

    fn is(&self, url: &Url) -> bool {
        url.host_str() == Some(&self.host)
            && url.port_or_known_default() == Some(self.port)
            && (url.scheme() == "https") == self.https
    }
}

/// How an allowed address is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// The operator named it: whatever it resolves to.
    Trusted,
    /// Names are resolved by the guard, which drops addresses that may not be called.
    Guarded,
}

impl EgressPolicy {
    /// Whether `text` is an address that can be called at all.
    ///
    /// # Errors
    /// In words.
    pub fn readable(&self, text: &str) -> Result<(), String> {
        let text = crate::srv::plain(text);
        let url = Url::parse(text).map_err(|_| "this is not an absolute http or https address".to_owned())?;
        match url.scheme() {
            "http" | "https" if has_user(&url) => Err("the address must not hold user information".into()),
            "http" | "https" => Ok(()),
            _ => Err("only http and https addresses can be called".into()),
        }
    }

    /// Whether `text` is an address that this policy lets through, as far as that shows without asking for a name: what a
    /// name resolves to is judged when it is called.
    ///
    /// # Errors
    /// In words; for a private or loopback address they name `EGRESS_ALLOW`.
    pub fn registrable(&self, text: &str) -> Result<(), String> {
        self.readable(text)?;
        let url = Url::parse(crate::srv::plain(text)).map_err(|e| e.to_string())?;
        let is_local = url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"));
        match self.route(&url)? {
            Route::Guarded if is_local => self.check_ip(IpAddr::from([127, 0, 0, 1])),
            _ => Ok(()),
        }
    }

    /// Whether `url` may be called, or in words why not.
    pub(super) fn route(&self, url: &Url) -> Result<Route, String> {
        let (Some(host), "http" | "https") = (url.host_str(), url.scheme()) else {
            return Err("only http and https addresses can be called".into());
        };
        if has_user(url) {
            return Err("the address holds user information; send credentials in a header".into());
        }
        if self.configured_origins.iter().any(|o| o.is(url)) {
            return Ok(Route::Trusted);
        }
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return self.check_ip(ip).map(|()| Route::Guarded);
        }
        Ok(if self.is_named(host) { Route::Trusted } else { Route::Guarded })
    }

    /// Whether a host is opened by its name.
    fn is_named(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.');
        self.allow.iter().any(|rule| matches!(rule, AllowRule::Host(allowed) if allowed.eq_ignore_ascii_case(name)))
    }

    /// Whether a host may be spoken to at an address that it stands for, or in words why not.
    pub(super) fn check_host(&self, host: &str, ip: IpAddr) -> Result<(), String> {
        if self.is_named(host) { Ok(()) } else { self.check_ip(ip) }
    }

    /// Whether `ip` may be called, or in words why not.
    pub(super) fn check_ip(&self, ip: IpAddr) -> Result<(), String> {
        let Some(kind) = address::forbidden(ip) else { return Ok(()) };
        let opened =
            |rule: &AllowRule| matches!(rule, AllowRule::Net { base, prefix } if address::within(ip, *base, *prefix));
        if self.allow.iter().any(opened) {
            return Ok(());
        }
        Err(format!("{ip} is {kind}; the operator can open it in EGRESS_ALLOW"))
    }
}

/// The client would drop it without a word, and it makes an address look like another one.
fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// An address as it may be shown: no user information, query or fragment.
pub(crate) fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "an unreadable address".into() };
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_rules_are_names_addresses_and_networks() {
        let net = |base: &str, prefix| AllowRule::Net { base: base.parse().unwrap(), prefix };
        assert_eq!("10.0.0.0/8".parse(), Ok(net("10.0.0.0", 8)));
        assert_eq!("127.0.0.1".parse(), Ok(net("127.0.0.1", 32)));
        assert_eq!("[::1]".parse(), Ok(net("::1", 128)));
        assert_eq!("fd00::/8".parse(), Ok(net("fd00::", 8)));
        assert_eq!("LLM.Internal.".parse(), Ok(AllowRule::Host("llm.internal".into())));
        for wrong in [
            "10.0.0.0/33",
            "::/129",
            "host/8",
            "http://x",
            "x:80",
            "a b",
            "*",
            "x/",
            "",
            "user@x",
            "127.1",
            "0x7f000001",
        ] {
            assert_eq!(wrong.parse::<AllowRule>(), Err(PolicyError::Allow(wrong.into())), "{wrong}");
        }
    }

    #[test]
    fn shown_addresses_hold_no_secret() {
        assert_eq!(shown("https://user:pw@h.example:8443/a?key=1#f"), "https://h.example:8443/a");
        assert_eq!(shown("not a url with secret"), "an unreadable address");
    }
}
