//! Making a data folder from a backup.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use haggle_actors::campaign::{COMPLETE, checkpoint_of, recover_shared};
use haggle_actors::journal::{Checkpoint, Journal, Remaking};

use super::manifest::{Hashed, Manifest};
use super::read::{Entries, each_checkpoint, each_frame};
use super::{CHECKPOINTS, PRIVACY, RECORDS};
use crate::exit::{Exit, ExitError};
use crate::export::{beside, publish};
use crate::ledger::{self, open_journal, settle};
use crate::model::Progress;
use crate::server::StartError;

/// Checkpoints that are written with one sync.
const AT_ONCE: usize = 500;

/// Makes `data` from the backup in `from`; gives what to print. Nothing appears there before everything was held against its
/// checksum and the books that follow from it were verified.
pub(super) fn restore(from: &Path, data: &Path, progress: &Progress) -> Result<String, ExitError> {
    if fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()) || data.is_file() {
        let problem =
            format!("{} is not empty; name a folder that is, or that does not exist", data.display());
        return Err(ExitError::new(Exit::CannotCreate, problem));
    }
    let manifest = Manifest::read(from)?;
    manifest.verify(from, progress)?;
    let half = beside(data, 0o777)?;
    journal(from, &manifest, half.path(), progress)?;
    if manifest.copy {
        stand_alone(half.path(), progress)?;
    }
    let of_journal = |name: &str| name.starts_with(RECORDS) || name == CHECKPOINTS || name == PRIVACY;
    for file in manifest.files.iter().filter(|file| !of_journal(&file.name)) {
        progress.check()?;
        let mut out = Hashed::create(half.path(), &file.name)?;
        out.copy(&from.join(&file.name))?;
        out.close()?;
        if file.name.starts_with(super::KEYS) {
            only_for_the_owner(&half.path().join(&file.name))?;
        }
    }
    let table = ledger::verify(half.path(), |_, _| {})?;
    publish(half, data)?;
    let keys = if manifest.keys {
        ""
    } else {
        "the backup holds no token key: put the node's token.key into the folder before it starts, or the notices of open bids are refused\n"
    };
    let alone = if manifest.copy {
        "the backup is of one of several nodes: this folder is of one that stands alone; start it without `kafka`, where the log of the \
         others is lost\n"
    } else {
        ""
    };
    Ok(format!(
        "{table}{keys}{alone}ok: restored offsets {} to {} as of {}\n",
        manifest.start, manifest.end, manifest.at
    ))
}

fn journal(from: &Path, manifest: &Manifest, half: &Path, progress: &Progress) -> Result<(), ExitError> {
    let mut remaking = Remaking::begin(&half.join("journal"), manifest.start).map_err(StartError::from)?;
    progress.length.store(manifest.end.saturating_sub(manifest.start), Ordering::Relaxed);
    each_frame(from, manifest, &mut |offset, frame| {
        remaking.frame(offset, frame).map_err(StartError::from)?;
        if offset.is_multiple_of(1_024) {
            progress.check()?;
            progress.read.store(offset.saturating_sub(manifest.start), Ordering::Relaxed);
        }
        Ok(())
    })?;
    each_checkpoint(from, &mut |checkpoint| {
        // It would say of a node that stands alone what it does not look at, and hold `retention` back.
        if manifest.copy && checkpoint.name == COMPLETE {
            return Ok(());
        }
        Ok(remaking.checkpoint(&checkpoint).map_err(StartError::from)?)
    })?;
    let mut entries = Entries::open(from, PRIVACY)?;
    while let Some(key) = entries.text()? {
        let value = entries.next()?;
        remaking.privacy(&key, &value).map_err(StartError::from)?;
    }
    Ok(remaking.finish(manifest.end).map_err(StartError::from)?)
}

/// Has the journal say of every campaign what its books are: one of several nodes has checkpoints only of those that were its own
/// once, and a node that stands alone goes by nothing else.
fn stand_alone(data: &Path, progress: &Progress) -> Result<(), ExitError> {
    let journal = open_journal(data)?;
    let recovered = recover_shared(&journal).map_err(StartError::from)?;
    for (number, (key, books)) in recovered.books.iter().enumerate() {
        if number.is_multiple_of(AT_ONCE) {
            progress.check()?;
            settle(&journal)?;
        }
        let Checkpoint { name, offset, bytes } = checkpoint_of(*key, books, recovered.end);
        let put = journal.put_checkpoint(&name, offset, bytes);
        put.map_err(|refused| ExitError::new(Exit::IoFailed, refused))?;
    }
    Ok(journal.close().map_err(StartError::from)?)
}

fn only_for_the_owner(path: &Path) -> Result<(), ExitError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|error| super::manifest::failed(path, "protected", &error))
}
