//! One database, one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

/// The most we read of a lock file. It should hold a dozen bytes; it may hold anything.
const HOLDER_SHOWN: u64 = 100;

/// A lock that the system takes back when the process ends, however it ends. The file stays behind: deleting
/// it would let two processes lock two files of one name.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `<database>.lock` and writes down who holds it.
    pub(super) fn take(database: &Path) -> Result<Lock, StoreError> {
        let path = path_for(database);
        let fault = |source| StoreError::File { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The name is a courtesy; the refusal does not depend on it.
                let _ = file.take(HOLDER_SHOWN).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    named => named.to_owned(),
                };
                return Err(StoreError::Held { path: database.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(fault(source)),
        }
        file.set_len(0).map_err(fault)?;
        file.rewind().map_err(fault)?;
        writeln!(file, "process {}", std::process::id()).map_err(fault)?;
        Ok(Lock { _file: file })
    }
}

fn path_for(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
