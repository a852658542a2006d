//! The one key of an installation, and everything that is derived from it.
//!
//! `master.key` holds 32 random bytes as they are. Every use has its own label, so that no derived key
//! tells anything about another.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const KEY_BYTES: usize = 32;
/// Bits that let anybody but the owner read or write.
const OTHERS: u32 = 0o077;
/// Bits that let everybody read or write.
const EVERYBODY: u32 = 0o007;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read or make the key {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{0} is not a key of this service: it must hold exactly 32 bytes. Restore it from a backup; \
             deleting it ends every join token that was handed out"
    )]
    Damaged(PathBuf),
    #[error("{path} can be read by everybody (mode {mode:03o}): run `chmod 600 {path}`")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{0} is empty: write a key into it, or delete it and a new one is made")]
    Empty(PathBuf),
    #[error("the system has no random bytes to give: {0}")]
    NoRandomness(getrandom::Error),
}

/// The secret from which all others are derived.
#[derive(Clone)]
pub struct MasterKey([u8; KEY_BYTES]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Reads the key, or makes it at the first start. `strict` refuses a file that everybody can read.
    pub fn load_or_make(path: &Path, strict: bool) -> Result<MasterKey, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        match File::open(path) {
            Ok(file) => MasterKey::read(path, file, strict),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; KEY_BYTES];
                getrandom::fill(&mut bytes).map_err(KeyError::NoRandomness)?;
                make(path, &bytes)?;
                MasterKey::read(path, File::open(path).map_err(io)?, strict)
            }
            Err(error) => Err(io(error)),
        }
    }

    fn read(path: &Path, file: File, strict: bool) -> Result<MasterKey, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        check_mode(path, &file, strict)?;
        let mut bytes = Vec::with_capacity(KEY_BYTES + 1);
        // One byte more than a key, to see that the file is too long.
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
        bytes.try_into().map(MasterKey).map_err(|_| KeyError::Damaged(path.to_owned()))
    }

    /// The key for one use. Labels are part of the format of what the keys sign: never change one.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mac) => mac,
            // HMAC takes keys of any length.
            Err(_) => unreachable!("HMAC refused a key"),
        };
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Whether others could read a key. `strict`: everybody is refused.
fn check_mode(path: &Path, file: &File, strict: bool) -> Result<(), KeyError> {
    let metadata = file.metadata().map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode();
    if strict && mode & EVERYBODY != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode: mode & 0o777 });
    }
    if mode & OTHERS != 0 {
        tracing::warn!(path = %path.display(), "the key can be read by other accounts; run chmod 600 on it");
    }
    Ok(())
}

/// Writes a fresh key beside its place and links it there: a crash leaves no half key, and of two
/// processes that start at once one wins and both read the same key.
fn make(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let draft = path.with_extension(format!("{}.new", random_text(5)));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }?;
        // The name must survive a power cut as well as the bytes.
        path.parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    let written = write();
    let removed = std::fs::remove_file(&draft);
    written.and(removed).map_err(io)
}

/// Reads the secret text of a file, or makes it with 120 random bits at the first start, readable for its owner only.
pub fn load_or_make_text(path: &Path) -> Result<String, KeyError> {
    const BYTES: usize = 15;
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    if !path.exists() {
        make(path, random_text(BYTES).as_bytes())?;
    }
    let mut file = File::open(path).map_err(io)?;
    check_mode(path, &file, true)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(io)?;
    let text = text.trim().to_owned();
    if text.is_empty() { Err(KeyError::Empty(path.to_owned())) } else { Ok(text) }
}

/// Random lower-case base32 text of `bytes` random bytes.
pub fn random_text(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    if getrandom::fill(&mut buffer).is_err() {
        // Without randomness no key can be made either; the kernel blocks rather than fail here.
        unreachable!("the system has no random bytes");
    }
    data_encoding::BASE32_NOPAD.encode(&buffer).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_text_is_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.key");
        let made = load_or_make_text(&path).unwrap();
        assert_eq!(made.len(), 24);
        assert_eq!(load_or_make_text(&path).unwrap(), made);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_make_text(&path), Err(KeyError::Exposed { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, " \n").unwrap();
        assert!(matches!(load_or_make_text(&path), Err(KeyError::Empty(_))));
    }

    #[test]
    fn is_made_once_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let first = MasterKey::load_or_make(&path, true).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 32);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
        let second = MasterKey::load_or_make(&path, true).unwrap();
        assert_eq!(first.derive("join"), second.derive("join"));
        assert_ne!(first.derive("join"), first.derive("turn"));
    }

    #[test]
    fn is_refused_when_everybody_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::load_or_make(&path, true).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = MasterKey::load_or_make(&path, true).unwrap_err();
        assert!(error.to_string().contains("mode 644"), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        MasterKey::load_or_make(&path, false).unwrap();
    }

    #[test]
    fn is_never_replaced_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        for length in [0, 31, 33, 4096] {
            std::fs::write(&path, vec![7; length]).unwrap();
            assert!(matches!(MasterKey::load_or_make(&path, false), Err(KeyError::Damaged(_))), "{length}");
            assert_eq!(std::fs::read(&path).unwrap().len(), length);
        }
    }

    #[test]
    fn is_one_key_when_many_start_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| MasterKey::load_or_make(&path, true).unwrap().derive("x")))
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key == &keys[0]));
    }
}
