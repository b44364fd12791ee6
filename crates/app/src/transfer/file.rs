//! The file of a thing: where it lies and how it is written.

use super::Thing;
use crate::failure::Failure;
use crate::json::hash_parts;
use serde::Serialize;
use tutti_agents::yaml;

/// Longer names are cut, and told apart by a number.
const NAME_BYTES_MAX: usize = 120;

/// A file of an export or an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// `FOLDER/NAME.yaml`, with slashes on every system.
    pub path: String,
    /// YAML, of which JSON is a part.
    pub content: String,
}

impl File {
    pub(super) fn of(folder: &str, thing: &Thing) -> Result<Self, Failure> {
        let path = format!("{folder}/{}.yaml", file_name(&thing.name));
        let content = yaml::json_to_yaml(&thing.body).map_err(|why| Failure::internal(format!("{path}: {why}")))?;
        Ok(Self { path, content })
    }
}

/// A name as every file system takes it, different for different names: letters, digits, `.`, `_` and `-` stay, other bytes are
/// written as in addresses.
fn file_name(name: &str) -> String {
    let plain = |at: usize, byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (at > 0 && b".-".contains(&byte));
    let bytes = name.bytes().enumerate();
    let mut out: String = bytes
        .map(|(at, byte)| if plain(at, byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    if out.len() > NAME_BYTES_MAX {
        let hash = hash_parts(&[name]);
        out.truncate(NAME_BYTES_MAX);
        out.push('~');
        out.extend(hash[..8].iter().map(|byte| format!("{byte:02x}")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_become_files_that_lie_where_they_should() {
        assert_eq!(file_name("billing-agent_2.1"), "billing-agent_2.1");
        assert_eq!(file_name("../etc/passwd"), "%2E./etc/passwd".replace('/', "%2F"));
        assert_eq!(file_name(".git"), "%2Egit");
        assert_eq!(file_name("é: ü"), "%C3%A9%3A%20%C3%BC");
        let long = ["a".repeat(300), "a".repeat(301), format!("{}b", "a".repeat(300)), "é".repeat(200)];
        let files: BTreeSet<String> = long.iter().map(|name| file_name(name)).collect();
        assert!(files.len() == 4 && files.iter().all(|file| file.len() < 150), "{files:?}");
    }
}
