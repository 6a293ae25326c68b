//! A data folder's lock: one process at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::JournalError;

/// Held until it is dropped.
///
/// A lock belongs to the open file, which a process that this one has just started shares until it runs its own program. So it is let go
/// of by name: closing the file alone would leave the folder locked for that moment.
pub(super) struct Lock(File);

impl Lock {
    /// [`JournalError::Locked`] where another has it.
    pub(super) fn take(dir: &Path) -> Result<Self, JournalError> {
        let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock"));
        let file = file.map_err(|error| JournalError::io(dir, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(JournalError::io(dir, &error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file does the same as soon as nobody shares it.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_free_once_it_is_dropped_whoever_shares_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(JournalError::Locked { .. })));
        // As a process does that is being started.
        let _shared = lock.0.try_clone().unwrap();
        drop(lock);
        Lock::take(dir.path()).unwrap();
    }
}
