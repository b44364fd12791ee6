//! The admin key: what other machines must show. It is made once and kept in the data directory, readable by its owner alone.

use anyhow::Context as _;
use secrecy::SecretString;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The file in the data directory.
const FILE: &str = "admin.key";
const FRONT: &str = "tt_admin_";
const KEY_BYTES: usize = 32;

/// Whether a text has the form of a key: too long to be guessed.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let hex = text.strip_prefix(FRONT).unwrap_or_default();
    hex.len() == 2 * KEY_BYTES && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Where the key of a data directory is kept.
#[must_use]
pub fn file(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// The key of a data directory; `None` where none was made yet.
pub fn find(dir: &Path) -> anyhow::Result<Option<SecretString>> {
    let path = file(dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("{} cannot be read", path.display())),
    };
    let text = text.trim();
    if !is_key(text) {
        anyhow::bail!("{} holds no key; remove it, and the next start makes a new one", path.display());
    }
    Ok(Some(text.into()))
}

/// The key of a data directory, made where there is none yet.
pub fn keep(dir: &Path) -> anyhow::Result<SecretString> {
    if find(dir)?.is_none() {
        make(dir).with_context(|| format!("{} cannot be written", file(dir).display()))?;
    }
    close(&file(dir));
    // Read again: another process may have been faster, and there is one key.
    find(dir)?.with_context(|| format!("{} is gone", file(dir).display()))
}

/// Whole or not at all, and never in place of another one: a key that somebody was given stays good.
fn make(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let (key, name) = (random::<KEY_BYTES>()?, random::<8>()?);
    let draft = dir.join(format!(".{FILE}.{name}"));
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&draft)?;
    let placed = writeln!(out, "{FRONT}{key}").and_then(|()| out.sync_all()).and_then(|()| place(&draft, &file(dir)));
    let _ = std::fs::remove_file(&draft);
    placed?;
    // The name has to last like the content.
    File::open(dir)?.sync_all()
}

fn place(draft: &Path, path: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(draft, path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        // Some file systems have no second names.
        Err(_) => std::fs::rename(draft, path),
    }
}

/// Takes from others what a copy, or a volume's owner, may have given them.
#[cfg(unix)]
fn close(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(about) = std::fs::metadata(path) else { return };
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return;
    }
    let shown = path.display();
    match std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
        Ok(()) => tracing::warn!("{shown} was open to others (mode {mode:o}) and is closed now"),
        Err(e) => tracing::warn!("{shown} is open to others (mode {mode:o}) and cannot be closed: {e}"),
    }
}

#[cfg(not(unix))]
fn close(_path: &Path) {}

fn random<const N: usize>() -> std::io::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().fold(String::with_capacity(2 * N), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use tempfile::TempDir;

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("a/b");
        assert!(find(&data).unwrap().is_none());
        let key = keep(&data).unwrap();
        assert!(is_key(key.expose_secret()));
        assert_eq!(keep(&data).unwrap().expose_secret(), key.expose_secret());
        assert_eq!(find(&data).unwrap().unwrap().expose_secret(), key.expose_secret());
        assert_eq!(names(&data), [FILE], "no draft is left behind");
        let other = TempDir::new().unwrap();
        assert_ne!(keep(other.path()).unwrap().expose_secret(), key.expose_secret());
    }

    #[test]
    fn all_who_begin_at_once_get_the_same_key() {
        let dir = TempDir::new().unwrap();
        let keys: Vec<String> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| keep(dir.path()).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap().expose_secret().to_owned()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert_eq!(names(dir.path()), [FILE]);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = TempDir::new().unwrap();
        let mode = || std::fs::metadata(file(dir.path())).unwrap().permissions().mode() & 0o777;
        keep(dir.path()).unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(file(dir.path()), std::fs::Permissions::from_mode(0o664)).unwrap();
        keep(dir.path()).unwrap();
        assert_eq!(mode(), 0o600, "what a copy opened is closed again");
    }

    #[test]
    fn what_is_no_key_is_never_taken_for_one() {
        let dir = TempDir::new().unwrap();
        let hex = "0".repeat(64);
        for bad in
            ["", "\n", "secret", "tt_admin_", &hex, &format!("tt_admin_{hex}0"), &format!("tt_admin_{}g", &hex[1..])]
        {
            std::fs::write(file(dir.path()), bad).unwrap();
            let why = keep(dir.path()).unwrap_err().to_string();
            assert!(why.contains("admin.key holds no key"), "{bad:?}: {why}");
        }
        std::fs::write(file(dir.path()), format!("tt_admin_{hex}\n")).unwrap();
        assert!(keep(dir.path()).is_ok());
    }
}
