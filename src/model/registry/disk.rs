//! The registry's state file: replaced whole, read with suspicion.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::state::State;
use crate::exit::{Exit, ExitError};
use crate::model::folder::{checksum, refuse};

/// The state's file in the registry's folder.
pub(super) const STATE: &str = "state.json";
/// Where the next one is written. There is one writer at a time, so one name is enough.
const NEXT: &str = ".state.json.new";
/// The layout of the file.
const FORMAT: u32 = 1;
/// Far more than the longest state takes.
const LARGEST: u64 = 1 << 20;

/// What is around the state.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    /// Looked at before, as [`Layout`].
    #[serde(rename = "format")]
    _format: u32,
    /// XXH3 of the state's text, in hex.
    checksum: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

#[derive(Serialize)]
struct Seal<'a> {
    format: u32,
    checksum: String,
    state: &'a RawValue,
}

/// Only the layout's number: other layouts may have other fields.
#[derive(Deserialize)]
struct Layout {
    format: u32,
}

/// Reads the state; where there is no file, nothing was ever promoted.
pub(super) fn read(folder: &Path) -> Result<State, ExitError> {
    let path = folder.join(STATE);
    let cannot = |error: io::Error| {
        ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", path.display()))
    };
    // Opening a pipe would wait for somebody to write into it.
    if fs::metadata(&path).is_ok_and(|it| !it.is_file()) {
        return Err(refuse(&path, format!("is no file; {REMEDY}")));
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(cannot(error)),
    };
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text).map_err(cannot)?;
    if text.len() as u64 > LARGEST {
        return Err(refuse(
            &path,
            format!("has more than {LARGEST} bytes, so it is no registry's state; {REMEDY}"),
        ));
    }
    State::unseal(&text).map_err(|unreadable| match unreadable {
        Unreadable::Format(_) => refuse(&path, format!("{unreadable}; use the program that wrote it")),
        Unreadable::Damaged(_) => refuse(&path, format!("{unreadable}; {REMEDY}")),
    })
}

/// Why a state cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another program wrote it, probably a newer one.
    #[error("is of format {0}, this program reads {FORMAT}")]
    Format(u32),
    /// It is no state, or not what was written.
    #[error("{0}")]
    Damaged(String),
}

impl State {
    /// The state as it lies on disk, with its layout and checksum.
    ///
    /// # Errors
    ///
    /// None that a state could be the cause of.
    pub fn seal(&self) -> Result<Vec<u8>, ExitError> {
        let internal = |error: serde_json::Error| {
            ExitError::new(Exit::Internal, format!("cannot write the state: {error}"))
        };
        let state = serde_json::value::to_raw_value(self).map_err(internal)?;
        let seal = Seal { format: FORMAT, checksum: checksum(state.get().as_bytes()), state: &state };
        let mut text = serde_json::to_vec(&seal).map_err(internal)?;
        text.push(b'\n');
        Ok(text)
    }

    /// What [`Self::seal`] wrote, wherever it comes from.
    ///
    /// # Errors
    ///
    /// It is of another layout, was changed, or says what no state can.
    pub fn unseal(text: &[u8]) -> Result<Self, Unreadable> {
        let damaged = |error: serde_json::Error| Unreadable::Damaged(format!("is damaged: {error}"));
        let Layout { format } = serde_json::from_slice(text).map_err(damaged)?;
        if format != FORMAT {
            return Err(Unreadable::Format(format));
        }
        let sealed: Sealed<'_> = serde_json::from_slice(text).map_err(damaged)?;
        let found = checksum(sealed.state.get().as_bytes());
        if found != sealed.checksum {
            let expected = &sealed.checksum;
            return Err(Unreadable::Damaged(format!("its checksum is {found}, it says {expected}")));
        }
        let state: Self = serde_json::from_str(sealed.state.get()).map_err(damaged)?;
        state.check().map_err(Unreadable::Damaged)?;
        Ok(state)
    }
}

const REMEDY: &str = "restore it from a backup, or remove it and promote again";

/// The steps of replacing the file, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Create,
    Write,
    Sync,
    Rename,
    SyncFolder,
}

/// Replaces the state: whoever reads it, even after a power cut, finds the old one or the new one.
pub(super) fn write(folder: &Path, state: &State) -> Result<(), ExitError> {
    write_in_steps(folder, state, |_| Ok(()))
}

/// Replaces the state; `before` is called ahead of each step and can end it there, as a crash would.
pub(super) fn write_in_steps(
    folder: &Path,
    state: &State,
    mut before: impl FnMut(Step) -> io::Result<()>,
) -> Result<(), ExitError> {
    let text = state.seal()?;
    let next = folder.join(NEXT);
    let written = (|| {
        before(Step::Create)?;
        let mut file = File::create(&next)?;
        before(Step::Write)?;
        file.write_all(&text)?;
        before(Step::Sync)?;
        file.sync_all()?;
        before(Step::Rename)?;
        fs::rename(&next, folder.join(STATE))?;
        before(Step::SyncFolder)?;
        sync_folder(folder)
    })();
    written.map_err(|error| cannot_write(folder, &error))
}

pub(super) fn cannot_write(folder: &Path, error: &io::Error) -> ExitError {
    ExitError::new(Exit::CannotCreate, format!("{} cannot be written: {error}", folder.display()))
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Waits until nobody else holds the lock of this name, and holds it until what is given goes. The system lets go of it
/// when the process ends, however that ends.
pub(super) fn lock(folder: &Path, name: &str) -> Result<File, ExitError> {
    let path = folder.join(name);
    if fs::metadata(&path).is_ok_and(|it| !it.is_file()) {
        return Err(refuse(&path, "is no file; remove it"));
    }
    let locked = OpenOptions::new().create(true).append(true).open(&path).and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    locked.map_err(|error| {
        ExitError::new(Exit::CannotCreate, format!("{} cannot be locked: {error}", path.display()))
    })
}
