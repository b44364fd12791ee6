//! Secrets of runs on SQLite, encrypted with a key in a file of its own: a copy of the database tells nothing.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hmac::{Hmac, Mac};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::Sha256;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tutti_engine::ports::vault::Vault;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// Secrets that are older belong to no run any more, in seconds.
const AGE_MAX: i64 = 7 * 24 * 3600;

/// See the module.
pub struct SqliteVault {
    db: Mutex<Connection>,
    key: [u8; KEY_BYTES],
    cipher: ChaCha20Poly1305,
}

impl SqliteVault {
    /// Opens `vault.db` and `vault.key` in the data directory, and makes them where they are not there yet.
    ///
    /// # Errors
    /// In words: a file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let said = |what: &str, e: &dyn std::fmt::Display| format!("{} cannot be used: {e}", dir.join(what).display());
        std::fs::create_dir_all(dir).map_err(|e| said("", &e))?;
        let key = key(&dir.join("vault.key")).map_err(|e| said("vault.key", &e))?;
        let db = Connection::open(dir.join("vault.db")).map_err(|e| said("vault.db", &e))?;
        // Secure: what is removed is overwritten, not only unlinked.
        let schema = "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;
            CREATE TABLE IF NOT EXISTS secrets(handle TEXT PRIMARY KEY, body BLOB NOT NULL, born INTEGER NOT NULL) WITHOUT ROWID;";
        db.execute_batch(schema).map_err(|e| said("vault.db", &e))?;
        db.execute("DELETE FROM secrets WHERE born < ?1", [now() - AGE_MAX]).map_err(|e| said("vault.db", &e))?;
        let cipher = ChaCha20Poly1305::new(&key.into());
        Ok(Self { db: Mutex::new(db), key, cipher })
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault for SqliteVault {
    fn put(&self, handle: &str, secret: &str) -> Result<(), String> {
        let mut body = random::<NONCE_BYTES>()?.to_vec();
        let nonce = Nonce::try_from(body.as_slice()).map_err(|e| e.to_string())?;
        body.extend(self.cipher.encrypt(&nonce, secret.as_bytes()).map_err(|e| e.to_string())?);
        let insert = "INSERT OR REPLACE INTO secrets(handle, body, born) VALUES(?1, ?2, ?3)";
        self.db().execute(insert, params![handle, body, now()]).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn get(&self, handle: &str) -> Result<Option<String>, String> {
        let select = "SELECT body FROM secrets WHERE handle = ?1";
        let body: Option<Vec<u8>> =
            self.db().query_row(select, [handle], |r| r.get(0)).optional().map_err(|e| e.to_string())?;
        let Some(body) = body else { return Ok(None) };
        let damaged = || "a secret in vault.db does not fit vault.key".to_owned();
        let (nonce, sealed) = body.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        let nonce = Nonce::try_from(nonce).map_err(|_| damaged())?;
        let secret = self.cipher.decrypt(&nonce, sealed).map_err(|_| damaged())?;
        String::from_utf8(secret).map(Some).map_err(|_| damaged())
    }

    fn remove(&self, handle: &str) -> Result<(), String> {
        self.db().execute("DELETE FROM secrets WHERE handle = ?1", [handle]).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn fingerprint(&self, secret: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(b"fingerprint");
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The key in a file that only its owner can read.
fn key(path: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    match std::fs::File::open(path) {
        Ok(mut file) => file.read_exact(&mut key)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            key = random().map_err(std::io::Error::other)?;
            let mut options = OpenOptions::new();
            options.create_new(true).write(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(path)?;
            file.write_all(&key)?;
            file.sync_all()?;
        }
        Err(e) => return Err(e),
    }
    Ok(key)
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| format!("the system has no random numbers: {e}"))?;
    Ok(bytes)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn secrets_are_kept_encrypted_until_they_are_removed() {
        let dir = TempDir::new().unwrap();
        let vault = SqliteVault::open(dir.path()).unwrap();
        vault.put("a", "my voice is my passport").unwrap();
        assert_eq!(vault.get("b").unwrap(), None);
        let print = vault.fingerprint("x");
        drop(vault);
        let vault = SqliteVault::open(dir.path()).unwrap();
        assert_eq!(vault.get("a").unwrap().as_deref(), Some("my voice is my passport"));
        assert_eq!((print.len(), &print), (64, &vault.fingerprint("x")));
        assert_ne!(print, vault.fingerprint("y"));
        for file in ["vault.db", "vault.key"] {
            let bytes = std::fs::read(dir.path().join(file)).unwrap();
            assert!(!bytes.windows(8).any(|w| w == b"passport"), "{file}");
        }
        vault.remove("a").unwrap();
        assert_eq!(vault.get("a").unwrap(), None);
    }

    #[test]
    fn another_key_opens_nothing() {
        let dir = TempDir::new().unwrap();
        SqliteVault::open(dir.path()).unwrap().put("a", "s").unwrap();
        std::fs::remove_file(dir.path().join("vault.key")).unwrap();
        assert!(SqliteVault::open(dir.path()).unwrap().get("a").unwrap_err().contains("vault.key"));
    }
}
