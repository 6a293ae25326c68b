//! `haggle backup` and `haggle restore`: all that a node must not lose, as of one moment, in a folder of plain files.
//!
//! A backup holds records as they were written, not the store's files: it is consistent to one offset though the node goes
//! on, and every byte of it is under a checksum of the manifest.

mod manifest;
mod read;
mod restore;
mod write;

use std::path::{Path, PathBuf};

use clap::Args;
use haggle_actors::journal::{EmbeddedJournal, Journal};
use haggle_domain::{Clock, Timestamp};

pub use self::manifest::{Entry, Manifest};
pub(crate) use self::read::{each_checkpoint, each_record};
use crate::clock::WallClock;
use crate::exit::{Exit, ExitError};
use crate::export::{beside, publish};
use crate::ledger::open_journal;
use crate::model::{Progress, watched};
use crate::server::StartError;

const RECORDS: &str = "records-";
const CHECKPOINTS: &str = "checkpoints";
const PRIVACY: &str = "privacy";
const MODELS: &str = "models";
const KEYS: &str = "token.";

/// Copy a node's data into a folder.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// The data folder of a node that is not running; a running one makes its own (`POST /backup` on the admin port).
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The folder to make; it must not exist.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Put the token keys in, too: whoever has them can charge what bids reserved.
    #[arg(long)]
    pub with_keys: bool,
}

/// Make a data folder from a backup.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The folder to make; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
}

/// Runs `haggle backup`.
///
/// # Errors
///
/// A journal that is in use, damaged or not there, a folder that is there, or a stop, which leaves nothing behind.
pub fn run(args: &BackupArgs) -> Result<(), ExitError> {
    let args = args.clone();
    let (manifest, to) = watched(false, move |progress| {
        let journal = open_journal(&args.data).map_err(|error| match error.exit {
            Exit::DataLocked => {
                let hint = "a running node makes its own: POST /backup on its admin port";
                ExitError::new(Exit::DataLocked, format!("{}; {hint}", error.message))
            }
            _ => error,
        })?;
        let made = make(&journal, &args.data, args.with_keys, &args.to, WallClock::new().now(), progress);
        // Whoever comes next finds it free.
        let closed = journal.close();
        let manifest = made?;
        closed.map_err(StartError::from)?;
        Ok((manifest, args.to))
    })?;
    crate::cli::print(said(&manifest, &to))
}

/// Runs `haggle restore`.
///
/// # Errors
///
/// A backup that is damaged, by the name of the file; a folder that is not empty; or a stop, which leaves nothing behind.
pub fn run_restore(args: &RestoreArgs) -> Result<(), ExitError> {
    let args = args.clone();
    let said = watched(false, move |progress| restore::restore(&args.from, &args.data, progress))?;
    crate::cli::print(said)
}

/// Makes a backup of a journal, which may be at work, and of what lies beside it in `data`.
///
/// # Errors
///
/// Those of [`run`].
pub(crate) fn make(
    journal: &EmbeddedJournal,
    data: &Path,
    keys: bool,
    to: &Path,
    at: Timestamp,
    progress: &Progress,
) -> Result<Manifest, ExitError> {
    if to.exists() {
        return Err(ExitError::new(
            Exit::CannotCreate,
            format!("{} exists; name another folder", to.display()),
        ));
    }
    // It says of users and money what the journal does.
    let half = beside(to, 0o700)?;
    let view = journal.view().map_err(StartError::from)?;
    let manifest = write::write(view, data, keys, half.path(), at, progress)?;
    publish(half, to)?;
    Ok(manifest)
}

fn said(manifest: &Manifest, to: &Path) -> String {
    let keys = if manifest.keys {
        "with the token keys"
    } else {
        "without the token keys: keep token.key elsewhere"
    };
    format!(
        "ok: offsets {} to {} in {} files of {} bytes in {}, {keys}",
        manifest.start,
        manifest.end,
        manifest.files.len(),
        manifest.bytes(),
        to.display()
    )
}

#[cfg(test)]
mod tests;
