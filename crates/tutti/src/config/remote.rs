//! The server that the command line talks to.

use super::form::{Maybe, Secret, WebUrl};
use super::setting::concern;
use reqwest::Url;
use secrecy::SecretString;

concern! {
    /// The server that the command line talks to.
    Remote, "Command line" {
        TUTTI_URL: url: Option<Url> = Maybe(WebUrl), None,
            "Server that the commands talk to; without it the one on the configured host and port.";
        TUTTI_KEY: key: Option<SecretString> = Maybe(Secret), None,
            "Key that the commands show to that server.";
    }
}
