//! A file's bytes, unpacked where its name ends in `.gz`, and how far reading has come.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

/// A file that is being read.
pub(super) struct Source {
    reader: Box<dyn Read + Send>,
    position: Arc<AtomicU64>,
    length: u64,
}

struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let position = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, position: Arc::clone(&position) };
        let packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
        let reader: Box<dyn Read + Send> = if packed {
            // A packed file may be several, one after the other, as log rotation makes them.
            Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, counted)))
        } else {
            Box::new(counted)
        };
        Ok(Self { reader, position, length })
    }

    /// Bytes of the file read so far, and in all, as they lie on the disk.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.position.load(Ordering::Relaxed), self.length)
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}
