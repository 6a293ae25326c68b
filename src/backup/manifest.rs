//! What a backup says of itself: of which moment it is, and how each of its files must be.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use haggle_domain::Timestamp;
use ring::digest::{Context, Digest, SHA256};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, ExitError};
use crate::model::Progress;

/// Its name in the backup.
pub(super) const FILE: &str = "manifest.json";
/// How backups are laid out.
const FORMAT: u32 = 1;

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its path in the backup, with `/`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as `sha256sum` writes it.
    pub sha256: String,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// How it is laid out.
    pub format: u32,
    /// Who made it.
    pub program: String,
    /// When, in RFC 3339.
    pub at: String,
    /// The journal's first record.
    pub start: u64,
    /// Everything below this offset is in it, and nothing from it on.
    pub end: u64,
    /// Whether the token keys are in it.
    pub keys: bool,
    /// Whether it is of one of several nodes, whose journal is a copy of their log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copy: bool,
    /// Its files, without this one.
    pub files: Vec<Entry>,
    /// The SHA-256 of all of the above.
    pub sha256: String,
}

fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Manifest {
    pub(super) fn new(
        at: Timestamp,
        (start, end): (u64, u64),
        keys: bool,
        copy: bool,
        files: Vec<Entry>,
    ) -> Self {
        let program = format!("haggle {}", env!("CARGO_PKG_VERSION"));
        let mut manifest = Self {
            format: FORMAT,
            program,
            at: at.to_string(),
            start,
            end,
            keys,
            copy,
            files,
            sha256: String::new(),
        };
        manifest.sha256 = manifest.own_sum();
        manifest
    }

    fn own_sum(&self) -> String {
        let without = Self { sha256: String::new(), ..self.clone() };
        // Plain values can always be written.
        let text = serde_json::to_vec(&without).unwrap_or_default();
        hex(&ring::digest::digest(&SHA256, &text))
    }

    /// All bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), ExitError> {
        let path = folder.join(FILE);
        let written = File::create(&path).and_then(|mut file| {
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
        written.map_err(|error| failed(&path, "written", &error))
    }

    /// Whether a folder is a backup.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    /// Reads the manifest in a folder.
    ///
    /// # Errors
    ///
    /// There is none, it is damaged, or of a layout that is not known.
    pub fn read(folder: &Path) -> Result<Self, ExitError> {
        let path = folder.join(FILE);
        let mut text = Vec::new();
        open(&path).and_then(|mut file| file.read_to_end(&mut text)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                unusable(format!("{} is no backup: it has no {FILE}", folder.display()))
            }
            _ => unread(&path, &error),
        })?;
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| damaged(&path, &error.to_string()))?;
        if manifest.format != FORMAT {
            let problem = format!(
                "{} has format {}, this version reads {FORMAT}; use the version that made it",
                folder.display(),
                manifest.format
            );
            return Err(unusable(problem));
        }
        if manifest.own_sum() != manifest.sha256 {
            return Err(damaged(&path, "its checksum does not match"));
        }
        // Nothing is read or written outside of the folder, whoever wrote the manifest.
        let outside = |entry: &&Entry| {
            entry
                .name
                .split('/')
                .any(|part| part.is_empty() || part == "." || part == ".." || part.contains('\\'))
        };
        match manifest.files.iter().find(outside) {
            Some(entry) => Err(damaged(&path, &format!("{:?} is no name of a file in it", entry.name))),
            None => Ok(manifest),
        }
    }

    /// Holds every file against its checksum.
    ///
    /// # Errors
    ///
    /// The first file that is missing or is not what was written, by its name; or a stop.
    pub(crate) fn verify(&self, folder: &Path, progress: &Progress) -> Result<(), ExitError> {
        progress.length.store(self.bytes(), Ordering::Relaxed);
        let mut buffer = vec![0; 1 << 16];
        for entry in &self.files {
            let path = folder.join(&entry.name);
            let mut file = open(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => damaged(&path, "it is missing"),
                _ => unread(&path, &error),
            })?;
            let (mut context, mut length) = (Context::new(&SHA256), 0);
            loop {
                progress.check()?;
                let read = file.read(&mut buffer).map_err(|error| failed(&path, "read", &error))?;
                if read == 0 {
                    break;
                }
                context.update(buffer.get(..read).unwrap_or_default());
                length += read as u64;
                progress.read.fetch_add(read as u64, Ordering::Relaxed);
            }
            if length != entry.bytes {
                return Err(damaged(&path, &format!("it has {length} bytes, not {}", entry.bytes)));
            }
            if hex(&context.finish()) != entry.sha256 {
                return Err(damaged(&path, "its checksum does not match"));
            }
        }
        Ok(())
    }
}

/// A file of a backup that is being written.
pub(super) struct Hashed {
    name: String,
    path: PathBuf,
    out: BufWriter<File>,
    context: Context,
    pub(super) bytes: u64,
}

impl Hashed {
    pub(super) fn create(folder: &Path, name: &str) -> Result<Self, ExitError> {
        let path = folder.join(name);
        let file = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&path));
        let file = file.map_err(|error| failed(&path, "written", &error))?;
        let out = BufWriter::with_capacity(1 << 16, file);
        Ok(Self { name: name.to_owned(), path, out, context: Context::new(&SHA256), bytes: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ExitError> {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| failed(&self.path, "written", &error))
    }

    /// Copies a file.
    pub(super) fn copy(&mut self, from: &Path) -> Result<(), ExitError> {
        let mut file = BufReader::new(open(from).map_err(|error| unread(from, &error))?);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer).map_err(|error| failed(from, "read", &error))?;
            if read == 0 {
                return Ok(());
            }
            self.write(buffer.get(..read).unwrap_or_default())?;
        }
    }

    /// Syncs it; gives what the manifest says of it.
    pub(super) fn close(self) -> Result<Entry, ExitError> {
        let Self { name, path, out, context, bytes } = self;
        let synced =
            out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.map_err(|error| failed(&path, "written", &error))?;
        Ok(Entry { name, bytes, sha256: hex(&context.finish()) })
    }
}

/// Opens a file that is a plain one: who opens a pipe waits until somebody writes there, and a device may have no end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// A file that could not be opened.
pub(super) fn unread(path: &Path, error: &io::Error) -> ExitError {
    match error.kind() {
        io::ErrorKind::InvalidInput => unusable(format!("{}: {error}; remove it", path.display())),
        _ => failed(path, "read", error),
    }
}

pub(super) fn failed(path: &Path, done: &str, error: &io::Error) -> ExitError {
    ExitError::new(Exit::IoFailed, format!("{} cannot be {done}: {error}", path.display()))
}

pub(super) fn damaged(path: &Path, what: &str) -> ExitError {
    unusable(format!("{} is damaged: {what}; use another backup", path.display()))
}

fn unusable(problem: String) -> ExitError {
    ExitError::new(Exit::InputUnusable, problem)
}
