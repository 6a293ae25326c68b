//! Reading a backup's files, entry by entry.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use haggle_actors::journal::{Checkpoint, record_of};
use haggle_domain::Record;

use super::manifest::{Manifest, damaged, failed, open, unread};
use super::{CHECKPOINTS, RECORDS};
use crate::exit::ExitError;

/// Longer is no entry: damage that a checksum did not see.
const LONGEST: u64 = 8 << 30;

/// A file that is read from its beginning.
pub(super) struct Entries {
    path: PathBuf,
    file: BufReader<File>,
}

impl Entries {
    pub(super) fn open(folder: &Path, name: &str) -> Result<Self, ExitError> {
        let path = folder.join(name);
        let file = open(&path).map_err(|error| unread(&path, &error))?;
        Ok(Self { path, file: BufReader::with_capacity(1 << 16, file) })
    }

    /// A number; `None` at the end of the file.
    pub(super) fn number(&mut self) -> Result<Option<u64>, ExitError> {
        let mut bytes = [0; 8];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(damaged(&self.path, "it is cut short")),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.path, "read", &error)),
            }
        }
        Ok(Some(u64::from_le_bytes(bytes)))
    }

    /// Bytes behind their length; `None` at the end of the file.
    pub(super) fn text(&mut self) -> Result<Option<Vec<u8>>, ExitError> {
        let Some(length) = self.number()? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read =
            if length > LONGEST { Ok(0) } else { (&mut self.file).take(length).read_to_end(&mut bytes) };
        let read = read.map_err(|error| failed(&self.path, "read", &error))?;
        if read as u64 == length { Ok(Some(bytes)) } else { Err(damaged(&self.path, "it is cut short")) }
    }

    /// What must follow.
    pub(super) fn next(&mut self) -> Result<Vec<u8>, ExitError> {
        self.text()?.ok_or_else(|| damaged(&self.path, "it is cut short"))
    }

    pub(super) fn damaged(&self, what: &str) -> ExitError {
        damaged(&self.path, what)
    }
}

/// Does something with a frame and its offset.
pub(super) type VisitFrame<'v> = dyn FnMut(u64, &[u8]) -> Result<(), ExitError> + 'v;

/// Shows the frames of a backup's records in order, each with its offset.
pub(super) fn each_frame(
    folder: &Path,
    manifest: &Manifest,
    visit: &mut VisitFrame<'_>,
) -> Result<(), ExitError> {
    for file in manifest.files.iter().filter(|file| file.name.starts_with(RECORDS)) {
        let mut entries = Entries::open(folder, &file.name)?;
        while let Some(offset) = entries.number()? {
            let frame = entries.next()?;
            visit(offset, &frame)?;
        }
    }
    Ok(())
}

/// Shows the checkpoints of a backup.
pub(crate) fn each_checkpoint(
    folder: &Path,
    visit: &mut dyn FnMut(Checkpoint) -> Result<(), ExitError>,
) -> Result<(), ExitError> {
    let mut entries = Entries::open(folder, CHECKPOINTS)?;
    while let Some(name) = entries.text()? {
        let name = String::from_utf8(name).map_err(|_| entries.damaged("a name is no text"))?;
        let offset = entries.number()?.ok_or_else(|| entries.damaged("it is cut short"))?;
        visit(Checkpoint { name, offset, bytes: entries.next()? })?;
    }
    Ok(())
}

/// Does something with a record and its offset.
pub(crate) type VisitRecord<'v> = dyn FnMut(u64, &Record) -> Result<(), ExitError> + 'v;

/// Shows the records of a backup in order.
pub(crate) fn each_record(
    folder: &Path,
    manifest: &Manifest,
    visit: &mut VisitRecord<'_>,
) -> Result<(), ExitError> {
    each_frame(folder, manifest, &mut |offset, frame| {
        let record =
            record_of(offset, frame).map_err(|what| damaged(folder, &format!("record {offset}: {what}")))?;
        record.map_or(Ok(()), |record| visit(offset, &record))
    })
}
