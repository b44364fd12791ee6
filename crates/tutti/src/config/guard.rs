//! Who may call the server from elsewhere, and by which names.

use super::form::{AdminKey, Host, List, Maybe};
use super::setting::concern;
use secrecy::SecretString;

concern! {
    /// Who may call the server from elsewhere, and by which names.
    Guard, "Other machines" {
        TUTTI_HOSTS: hosts: Vec<String> = List(Host), None,
            "Names by which the server may be called, besides localhost and plain addresses.";
        TUTTI_ADMIN_KEY: admin_key: Option<SecretString> = Maybe(AdminKey), None,
            "Key that other machines must show; without it the one in admin.key in the data directory, made when first needed.";
    }
}
