//! Secrets of runs, encrypted with a key that lies elsewhere: a copy of the database tells nothing. On SQLite here; on PostgreSQL
//! with the same seal.

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
/// Secrets that are older belong to no run any more, in seconds; those under `kept/` belong to none to begin with.
pub(crate) const AGE_MAX: i64 = 7 * 24 * 3600;

/// What makes secrets unreadable for whoever has no key.
pub(crate) struct Seal {
    key: [u8; KEY_BYTES],
    cipher: ChaCha20Poly1305,
}

impl Seal {
    fn of(key: [u8; KEY_BYTES]) -> Self {
        Self { key, cipher: ChaCha20Poly1305::new(&key.into()) }
    }

    /// With the key in a file, made where it is not there yet.
    pub fn of_file(dir: &Path) -> Result<Self, String> {
        let file = dir.join("vault.key");
        let said = |e: &dyn std::fmt::Display| format!("{} cannot be used: {e}", file.display());
        std::fs::create_dir_all(dir).map_err(|e| said(&e))?;
        key(&file).map(Self::of).map_err(|e| said(&e))
    }

    /// With a key that somebody chose: 64 hexadecimal digits.
    pub fn of_text(text: &str) -> Result<Self, String> {
        let wrong = || "it should be 64 hexadecimal digits, for example from `openssl rand -hex 32`".to_owned();
        let mut key = [0; KEY_BYTES];
        if text.len() != KEY_BYTES * 2 || !text.is_ascii() {
            return Err(wrong());
        }
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self::of(key))
    }

    pub fn seal(&self, secret: &str) -> Result<Vec<u8>, String> {
        let mut body = random::<NONCE_BYTES>()?.to_vec();
        let nonce = Nonce::try_from(body.as_slice()).map_err(|e| e.to_string())?;
        body.extend(self.cipher.encrypt(&nonce, secret.as_bytes()).map_err(|e| e.to_string())?);
        Ok(body)
    }

    pub fn open(&self, body: &[u8]) -> Result<String, String> {
        let damaged = || "a secret in the vault does not fit its key (vault.key, or VAULT_KEY)".to_owned();
        let (nonce, sealed) = body.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        let nonce = Nonce::try_from(nonce).map_err(|_| damaged())?;
        let secret = self.cipher.decrypt(&nonce, sealed).map_err(|_| damaged())?;
        String::from_utf8(secret).map_err(|_| damaged())
    }

    pub fn fingerprint(&self, secret: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(b"fingerprint");
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// See the module.
pub struct SqliteVault {
    db: Mutex<Connection>,
    seal: Seal,
}

impl SqliteVault {
    /// Opens `vault.db` and `vault.key` in the data directory, and makes them where they are not there yet.
    ///
    /// # Errors
    /// In words: a file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let said = |what: &str, e: &dyn std::fmt::Display| format!("{} cannot be used: {e}", dir.join(what).display());
        std::fs::create_dir_all(dir).map_err(|e| said("", &e))?;
        let seal = Seal::of_file(dir)?;
        let db = Connection::open(dir.join("vault.db")).map_err(|e| said("vault.db", &e))?;
        // Secure: what is removed is overwritten, not only unlinked.
        let schema = "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;
            CREATE TABLE IF NOT EXISTS secrets(handle TEXT PRIMARY KEY, body BLOB NOT NULL, born INTEGER NOT NULL) WITHOUT ROWID;";
        db.execute_batch(schema).map_err(|e| said("vault.db", &e))?;
        db.execute("DELETE FROM secrets WHERE born < ?1 AND handle NOT LIKE 'kept/%'", [now() - AGE_MAX])
            .map_err(|e| said("vault.db", &e))?;
        Ok(Self { db: Mutex::new(db), seal })
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault for SqliteVault {
    fn put(&self, handle: &str, secret: &str) -> Result<(), String> {
        let body = self.seal.seal(secret)?;
        let insert = "INSERT OR REPLACE INTO secrets(handle, body, born) VALUES(?1, ?2, ?3)";
        self.db().execute(insert, params![handle, body, now()]).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn get(&self, handle: &str) -> Result<Option<String>, String> {
        let select = "SELECT body FROM secrets WHERE handle = ?1";
        let body: Option<Vec<u8>> =
            self.db().query_row(select, [handle], |r| r.get(0)).optional().map_err(|e| e.to_string())?;
        body.map(|body| self.seal.open(&body)).transpose()
    }

    fn remove(&self, handle: &str) -> Result<(), String> {
        self.db().execute("DELETE FROM secrets WHERE handle = ?1", [handle]).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn fingerprint(&self, secret: &str) -> String {
        self.seal.fingerprint(secret)
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

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tempfile::TempDir;
    use tutti_engine::ports::vault::KEPT;

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
    fn secrets_of_runs_age_and_others_do_not() {
        let dir = TempDir::new().unwrap();
        let vault = SqliteVault::open(dir.path()).unwrap();
        let kept = format!("{KEPT}tool/a");
        vault.put("run", "s").unwrap();
        vault.put(&kept, "s").unwrap();
        vault.db().execute("UPDATE secrets SET born = born - ?1", [AGE_MAX + 10]).unwrap();
        drop(vault);
        let vault = SqliteVault::open(dir.path()).unwrap();
        assert_eq!((vault.get("run").unwrap(), vault.get(&kept).unwrap().as_deref()), (None, Some("s")));
    }

    #[test]
    fn another_key_opens_nothing() {
        let dir = TempDir::new().unwrap();
        SqliteVault::open(dir.path()).unwrap().put("a", "s").unwrap();
        std::fs::remove_file(dir.path().join("vault.key")).unwrap();
        assert!(SqliteVault::open(dir.path()).unwrap().get("a").unwrap_err().contains("vault.key"));
    }
}
