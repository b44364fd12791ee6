//! Names that belong to surfaces and backends this version does not have yet. They are known, checked and never ignored silently.

use super::form::{AnyForm, Boolean, List, Path, Secret, Text, WebUrl};
use super::setting::{Concern, Setting, Use};

const NO_LOGIN: &str = "this version has no login yet and would let everybody in";
const NO_TLS: &str = "this version has no TLS yet and would answer unencrypted";
const NO_AUDIT: &str = "this version has no audit log yet and would record nothing";

const fn later(name: &'static str, form: &'static dyn AnyForm, about: &'static str) -> Setting {
    Setting { name, form, default: None, about, used: Use::Later }
}

const fn refused(name: &'static str, form: &'static dyn AnyForm, why: &'static str, about: &'static str) -> Setting {
    Setting { name, form, default: None, about, used: Use::Refused(why) }
}

/// The list.
pub const CONCERN: Concern = Concern {
    title: "Known, not used by this version",
    settings: &[
        refused("REQUIRE_AUTH", &Boolean, NO_LOGIN, "Whether everyone must log in."),
        refused("AUTH_ENABLED", &Boolean, NO_LOGIN, "The same as REQUIRE_AUTH."),
        later("JWT_SECRET", &Secret, "Secret of signed tokens."),
        later("JWT_ISSUER", &Text, "Issuer that tokens must name."),
        later("JWT_AUDIENCE", &Text, "Audience that tokens must name."),
        later("JWKS_URL", &WebUrl, "Where the keys of signed tokens are published."),
        refused("TLS_CERT", &Path, NO_TLS, "Certificate of the server."),
        refused("TLS_KEY", &Path, NO_TLS, "Key of that certificate."),
        later("TRUSTED_PROXIES", &List(Text), "Networks whose X-Forwarded-* headers are believed."),
        refused("AUDIT_READS", &Boolean, NO_AUDIT, "Whether reads are in the audit log too."),
        later("METRICS_TOKEN", &Secret, "Token that may read /metrics."),
    ],
};
