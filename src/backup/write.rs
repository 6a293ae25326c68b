//! Writing a backup.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use haggle_actors::journal::View;
use haggle_domain::Timestamp;

use super::manifest::{Entry, Hashed, Manifest, failed};
use super::{CHECKPOINTS, KEYS, MODELS, PRIVACY, RECORDS};
use crate::exit::ExitError;
use crate::model::Progress;
use crate::model::registry::Registry;
use crate::server::StartError;
use crate::several::is_copy;

/// Bytes of records that are read at once, and after which another file is begun.
const PORTION: usize = 1 << 20;
const FILE_BYTES: u64 = 64 << 20;

/// Writes everything of a view, and what lies beside the journal in `data`, into an empty folder.
pub(super) fn write(
    mut view: View,
    data: &Path,
    keys: bool,
    folder: &Path,
    at: Timestamp,
    progress: &Progress,
) -> Result<Manifest, ExitError> {
    let (start, end) = (view.start(), view.end());
    progress.length.store(end.saturating_sub(start), Ordering::Relaxed);
    let mut files = Vec::new();
    records(&mut view, folder, &mut files, progress)?;
    let mut out = Hashed::create(folder, CHECKPOINTS)?;
    for name in view.checkpoint_names().map_err(StartError::from)? {
        progress.check()?;
        if let Some(checkpoint) = view.checkpoint(&name).map_err(StartError::from)? {
            text(&mut out, name.as_bytes())?;
            out.write(&checkpoint.offset.to_le_bytes())?;
            text(&mut out, &checkpoint.bytes)?;
        }
    }
    files.push(out.close()?);
    let mut out = Hashed::create(folder, PRIVACY)?;
    for (key, value) in view.privacy().map_err(StartError::from)? {
        text(&mut out, &key)?;
        text(&mut out, &value)?;
    }
    files.push(out.close()?);
    // The store's files are needed no more.
    drop(view);
    copy_models(data, folder, &mut files, progress)?;
    if keys {
        copy_keys(data, folder, &mut files)?;
    }
    let manifest = Manifest::new(at, (start, end), keys, is_copy(data), files);
    manifest.write(folder)?;
    Ok(manifest)
}

/// Lengths come before what they are of; `Entries` reads the same.
fn text(out: &mut Hashed, bytes: &[u8]) -> Result<(), ExitError> {
    out.write(&(bytes.len() as u64).to_le_bytes())?;
    out.write(bytes)
}

fn records(
    view: &mut View,
    folder: &Path,
    files: &mut Vec<Entry>,
    progress: &Progress,
) -> Result<(), ExitError> {
    let mut open: Option<Hashed> = None;
    loop {
        progress.check()?;
        let frames = view.frames(PORTION).map_err(StartError::from)?;
        let Some((last, _)) = frames.last() else { break };
        let done = last.saturating_add(1).saturating_sub(view.start());
        let mut out = match open.take() {
            Some(out) => out,
            None => Hashed::create(folder, &format!("{RECORDS}{:05}", files.len()))?,
        };
        for (offset, frame) in &frames {
            out.write(&offset.to_le_bytes())?;
            text(&mut out, frame)?;
        }
        if out.bytes >= FILE_BYTES {
            files.push(out.close()?);
        } else {
            open = Some(out);
        }
        progress.read.store(done, Ordering::Relaxed);
        progress.rows.store(done, Ordering::Relaxed);
    }
    if let Some(out) = open {
        files.push(out.close()?);
    }
    Ok(())
}

/// Copies the registry, if there is one, as of one moment.
fn copy_models(
    data: &Path,
    folder: &Path,
    files: &mut Vec<Entry>,
    progress: &Progress,
) -> Result<(), ExitError> {
    let models = data.join(MODELS);
    if !models.is_dir() {
        return Ok(());
    }
    let _held = Registry::open(models)?.hold()?;
    copy_folder(data, MODELS, folder, files, progress)
}

/// Copies the files of a folder of `data`, and those in its folders.
fn copy_folder(
    data: &Path,
    name: &str,
    folder: &Path,
    files: &mut Vec<Entry>,
    progress: &Progress,
) -> Result<(), ExitError> {
    let from = data.join(name);
    let listed = fs::read_dir(&from).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for entry in listed.map_err(|error| failed(&from, "read", &error))? {
        progress.check()?;
        // Names that are no text are not the program's.
        let Ok(file) = entry.file_name().into_string() else { continue };
        // Locks, and what is on its way and may be gone before it is read.
        if file.starts_with('.') {
            continue;
        }
        let name = format!("{name}/{file}");
        if entry.path().is_dir() {
            copy_folder(data, &name, folder, files, progress)?;
        } else {
            let mut out = Hashed::create(folder, &name)?;
            out.copy(&entry.path())?;
            files.push(out.close()?);
        }
    }
    Ok(())
}

/// Copies the token keys: every file whose name begins like theirs.
fn copy_keys(data: &Path, folder: &Path, files: &mut Vec<Entry>) -> Result<(), ExitError> {
    let listed = fs::read_dir(data).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for entry in listed.map_err(|error| failed(data, "read", &error))? {
        let Ok(file) = entry.file_name().into_string() else { continue };
        if file.starts_with(KEYS) && entry.path().is_file() {
            let mut out = Hashed::create(folder, &file)?;
            out.copy(&entry.path())?;
            files.push(out.close()?);
        }
    }
    Ok(())
}
