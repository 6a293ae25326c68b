//! Files that are written row by row, and take their name once they are whole: whatever happens before, what had the name stays.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::{Exit, ExitError};

/// A file that is being written.
pub(super) struct Output {
    path: PathBuf,
    out: BufWriter<Sink>,
}

enum Sink {
    /// Beside the name that it will take.
    File(NamedTempFile),
    /// What is no file, such as a pipe, is written to as it is.
    Other(fs::File),
    Standard(io::Stdout),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Other(file) => file.write(bytes),
            Self::Standard(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Other(file) => file.flush(),
            Self::Standard(out) => out.flush(),
        }
    }
}

impl Output {
    /// Standard output.
    pub(super) fn standard() -> Self {
        Self { path: PathBuf::new(), out: BufWriter::new(Sink::Standard(io::stdout())) }
    }

    /// Begins a file. What has the name now is not touched yet.
    ///
    /// # Errors
    ///
    /// The folder takes no file.
    pub(super) fn create(path: &Path) -> Result<Self, ExitError> {
        let sink = if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
            fs::OpenOptions::new().write(true).open(path).map(Sink::Other)
        } else {
            let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // For whoever may see the folder, as with any other file.
            let mode = fs::Permissions::from_mode(0o666);
            tempfile::Builder::new().permissions(mode).tempfile_in(folder).map(Sink::File)
        };
        match sink {
            Ok(sink) => Ok(Self { path: path.to_owned(), out: BufWriter::new(sink) }),
            Err(error) => Err(ExitError::new(
                Exit::CannotCreate,
                format!("{} cannot be written: {error}", path.display()),
            )),
        }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// What the system says; then the file is gone, and what had the name is as it was.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.out.into_inner().map_err(io::IntoInnerError::into_error)? {
            Sink::File(file) => file.persist(&self.path).map(drop).map_err(|error| error.error),
            mut other => other.flush(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
