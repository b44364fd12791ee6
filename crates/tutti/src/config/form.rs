//! What a setting's text must look like. A form reads one text, says in words what it wants, and hides what must not be shown.

use reqwest::Url;
use secrecy::SecretString;
use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Reads the text of a setting.
pub trait Form: Sync {
    /// What the text stands for.
    type Out;
    /// The value, or `None` when the text does not have this form.
    fn read(&self, text: &str) -> Option<Self::Out>;
    /// The form in words; completes the sentence "it should be …".
    fn wants(&self) -> String;
    /// What an unset setting without a default stands for; `None` where a default is a must.
    fn absent(&self) -> Option<Self::Out> {
        None
    }
    /// The text as it may be shown.
    fn show(&self, text: &str) -> String {
        text.to_owned()
    }
    /// Whether the value is hidden everywhere and may be given as a file.
    fn is_secret(&self) -> bool {
        false
    }
    /// Whether `tutti.toml` may give an array.
    fn is_list(&self) -> bool {
        false
    }
}

/// A form without its type, so that forms can stand in one list.
pub trait AnyForm: Sync {
    /// Whether the text has the form.
    fn fits(&self, text: &str) -> bool;
    /// As [`Form::wants`].
    fn wants(&self) -> String;
    /// As [`Form::show`].
    fn show(&self, text: &str) -> String;
    /// As [`Form::is_secret`].
    fn is_secret(&self) -> bool;
    /// As [`Form::is_list`].
    fn is_list(&self) -> bool;
}

impl<F: Form> AnyForm for F {
    fn fits(&self, text: &str) -> bool {
        self.read(text).is_some()
    }
    fn wants(&self) -> String {
        Form::wants(self)
    }
    fn show(&self, text: &str) -> String {
        Form::show(self, text)
    }
    fn is_secret(&self) -> bool {
        Form::is_secret(self)
    }
    fn is_list(&self) -> bool {
        Form::is_list(self)
    }
}

/// May stay unset.
pub struct Maybe<F>(pub F);

impl<F: Form> Form for Maybe<F> {
    type Out = Option<F::Out>;
    fn read(&self, text: &str) -> Option<Self::Out> {
        self.0.read(text).map(Some)
    }
    fn wants(&self) -> String {
        self.0.wants()
    }
    fn absent(&self) -> Option<Self::Out> {
        Some(None)
    }
    fn show(&self, text: &str) -> String {
        self.0.show(text)
    }
    fn is_secret(&self) -> bool {
        self.0.is_secret()
    }
    fn is_list(&self) -> bool {
        self.0.is_list()
    }
}

/// A whole number within bounds, both included.
pub struct Integer<T> {
    /// The smallest.
    pub min: T,
    /// The largest.
    pub max: T,
}

impl<T: FromStr + PartialOrd + Display + Sync> Form for Integer<T> {
    type Out = T;
    fn read(&self, text: &str) -> Option<T> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().filter(|n| *n >= self.min && *n <= self.max)
    }
    fn wants(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}

/// Seconds, decimals allowed.
pub struct Seconds {
    /// The shortest, in milliseconds.
    pub min_ms: u64,
    /// The longest, in seconds.
    pub max_s: u64,
}

impl Form for Seconds {
    type Out = Duration;
    fn read(&self, text: &str) -> Option<Duration> {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.bytes().any(|b| b.is_ascii_digit());
        let duration = plain.then(|| Duration::try_from_secs_f64(text.parse().ok()?).ok()).flatten()?;
        let bounds = Duration::from_millis(self.min_ms)..=Duration::from_secs(self.max_s);
        bounds.contains(&duration).then_some(duration)
    }
    fn wants(&self) -> String {
        let min = Duration::from_millis(self.min_ms).as_secs_f64();
        format!("a number of seconds from {min} to {}, decimals allowed", self.max_s)
    }
}

/// Minutes above zero, decimals allowed.
pub struct Minutes {
    /// The longest.
    pub max: u64,
}

impl Form for Minutes {
    type Out = Duration;
    fn read(&self, text: &str) -> Option<Duration> {
        let seconds = Seconds { min_ms: 0, max_s: self.max * 60 };
        let minutes: f64 = Seconds { min_ms: 0, max_s: self.max }.read(text)?.as_secs_f64();
        seconds.read(&format!("{}", minutes * 60.0)).filter(|time| !time.is_zero())
    }
    fn wants(&self) -> String {
        format!("a number of minutes above 0, at most {}, decimals allowed", self.max)
    }
}

/// `true|false|1|0|yes|no`.
pub struct Boolean;

impl Form for Boolean {
    type Out = bool;
    fn read(&self, text: &str) -> Option<bool> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        }
    }
    fn wants(&self) -> String {
        "true or false (also 1, 0, yes, no)".into()
    }
}

/// One of a few words.
pub struct OneOf(pub &'static [&'static str]);

impl Form for OneOf {
    type Out = &'static str;
    fn read(&self, text: &str) -> Option<&'static str> {
        self.0.iter().find(|word| word.eq_ignore_ascii_case(text)).copied()
    }
    fn wants(&self) -> String {
        format!("one of {}", self.0.join(", "))
    }
}

/// Any text on one line.
pub struct Text;

impl Form for Text {
    type Out = String;
    fn read(&self, text: &str) -> Option<String> {
        (!text.chars().any(char::is_control)).then(|| text.to_owned())
    }
    fn wants(&self) -> String {
        "text on one line".into()
    }
}

/// Text that is never shown; may be given as a file by `<NAME>_FILE`.
pub struct Secret;

impl Form for Secret {
    type Out = SecretString;
    fn read(&self, text: &str) -> Option<SecretString> {
        (!text.chars().any(char::is_control)).then(|| SecretString::from(text))
    }
    fn wants(&self) -> String {
        "text on one line without control characters".into()
    }
    fn show(&self, _text: &str) -> String {
        "(hidden)".into()
    }
    fn is_secret(&self) -> bool {
        true
    }
}

/// The key that other machines show: of one form, so that none can be guessed.
pub struct AdminKey;

impl Form for AdminKey {
    type Out = SecretString;
    fn read(&self, text: &str) -> Option<SecretString> {
        crate::key::is_key(text).then(|| SecretString::from(text))
    }
    fn wants(&self) -> String {
        "a key of tt_admin_ and 64 hexadecimal digits, as `echo tt_admin_$(openssl rand -hex 32)` makes them".into()
    }
    fn show(&self, _text: &str) -> String {
        "(hidden)".into()
    }
    fn is_secret(&self) -> bool {
        true
    }
}

/// A file or directory.
pub struct Path;

impl Form for Path {
    type Out = PathBuf;
    fn read(&self, text: &str) -> Option<PathBuf> {
        (!text.contains('\0')).then(|| PathBuf::from(text))
    }
    fn wants(&self) -> String {
        "a path".into()
    }
}

/// An address with a port.
pub struct SocketAddress;

impl Form for SocketAddress {
    type Out = std::net::SocketAddr;
    fn read(&self, text: &str) -> Option<std::net::SocketAddr> {
        text.parse().ok()
    }
    fn wants(&self) -> String {
        "an address with a port, such as 10.0.0.2:53".into()
    }
}

/// A host name or an IP address, without port.
pub struct Host;

impl Form for Host {
    type Out = String;
    fn read(&self, text: &str) -> Option<String> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        (bare.parse::<IpAddr>().is_ok() || (bare == text && is_host_name(text))).then(|| bare.to_owned())
    }
    fn wants(&self) -> String {
        "a host name or an IP address, without a port".into()
    }
}

/// An `http` or `https` address.
pub struct WebUrl;

impl Form for WebUrl {
    type Out = Url;
    fn read(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
    }
    fn wants(&self) -> String {
        "an address that begins with http:// or https://".into()
    }
    fn show(&self, text: &str) -> String {
        hide_password(text)
    }
}

/// Comma-separated items, each with a form of its own.
pub struct List<F>(pub F);

impl<F: Form> Form for List<F> {
    type Out = Vec<F::Out>;
    fn read(&self, text: &str) -> Option<Vec<F::Out>> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| self.0.read(item)).collect()
    }
    fn wants(&self) -> String {
        format!("a comma-separated list, each item {}", self.0.wants())
    }
    fn absent(&self) -> Option<Self::Out> {
        Some(Vec::new())
    }
    fn is_list(&self) -> bool {
        true
    }
}

/// Where a browser page comes from: `https://host[:port]`, or `*` for any.
pub struct WebOrigin;

impl Form for WebOrigin {
    type Out = String;
    fn read(&self, text: &str) -> Option<String> {
        if text == "*" {
            return Some(text.into());
        }
        let url = WebUrl.read(text)?;
        let bare = url.username().is_empty() && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        bare.then(|| url.origin().ascii_serialization())
    }
    fn wants(&self) -> String {
        "an origin such as https://app.example.org, or *".into()
    }
}

/// A host name, an IP address, or a network such as `10.0.0.0/8`.
pub struct Destination;

impl Form for Destination {
    type Out = String;
    fn read(&self, text: &str) -> Option<String> {
        let fits = match text.split_once('/') {
            Some((address, bits)) => {
                let bits_max = if address.parse::<IpAddr>().ok()?.is_ipv4() { 32 } else { 128 };
                Integer { min: 0_u8, max: bits_max }.read(bits).is_some()
            }
            None => Host.read(text).is_some(),
        };
        fits.then(|| text.to_owned())
    }
    fn wants(&self) -> String {
        "a host, an IP address, or a network such as 10.0.0.0/8".into()
    }
}

fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    // All digits and dots would be a mistyped IPv4 address.
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.len() <= 253 && !digits && text.split('.').all(label)
}

/// An address without the user and password that may stand before its host.
#[must_use]
pub fn hide_password(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}***{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_bounds_and_no_coercion() {
        let form = Integer { min: 1_u16, max: 100 };
        assert_eq!(form.read("100"), Some(100));
        for bad in ["0", "101", "+5", "-1", "5.0", "1e1", " 5", "", "five", "99999999999999999999"] {
            assert_eq!(form.read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn seconds_take_decimals_and_nothing_odd() {
        let form = Seconds { min_ms: 100, max_s: 60 };
        assert_eq!(form.read("2.5"), Some(Duration::from_millis(2_500)));
        assert_eq!(form.read(".5"), Some(Duration::from_millis(500)));
        for bad in ["0.05", "61", "inf", "NaN", "1e1", "-1", "1s", "1.2.3", ".", ""] {
            assert_eq!(form.read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn minutes_are_above_zero() {
        let form = Minutes { max: 60 };
        assert_eq!(form.read("60"), Some(Duration::from_secs(3_600)));
        assert_eq!(form.read("0.005"), Some(Duration::from_millis(300)));
        for bad in ["0", "61", "-1", "1m", ""] {
            assert_eq!(form.read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn hosts_and_destinations() {
        for good in ["127.0.0.1", "::1", "[::1]", "localhost", "db-1.internal"] {
            assert!(Host.read(good).is_some(), "{good}");
        }
        for bad in ["127.0.0.1:80", "999.1.1.1", "a b", "-a", "http://a", ""] {
            assert!(Host.read(bad).is_none(), "{bad}");
        }
        assert!(Destination.read("10.0.0.0/8").is_some());
        assert!(Destination.read("fd00::/8").is_some());
        assert!(Destination.read("10.0.0.0/33").is_none());
        assert!(Destination.read("host/8").is_none());
    }

    #[test]
    fn origins_are_bare() {
        assert_eq!(WebOrigin.read("https://Example.org"), Some("https://example.org".into()));
        assert!(WebOrigin.read("https://example.org/path").is_none());
        assert_eq!(List(WebOrigin).read("*, http://localhost:5173").map(|l| l.len()), Some(2));
    }

    #[test]
    fn passwords_in_addresses_are_hidden() {
        assert_eq!(hide_password("https://me:pw@host/v1?x=a@b"), "https://***@host/v1?x=a@b");
        assert_eq!(hide_password("https://me:p@w@host"), "https://***@host");
        assert_eq!(hide_password("https://host/v1"), "https://host/v1");
    }
}
