//! Files of rows, read ahead while the model is at work on what was read.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use haggle_learning::data::{DataError, FeatureIndex, Format, ReadOptions, ReadReport, Reader};
use haggle_learning::{Batch, archive_fields};

use super::archive::Archive;
use super::say;
use crate::exit::{Exit, ExitError};

/// Rows in a batch.
const ROWS: usize = 4096;
/// Batches that are read ahead.
const AHEAD: usize = 4;
/// Rows that are looked at to see which fields there are where nothing says so.
const LOOK: u64 = 10_000;

impl From<DataError> for ExitError {
    fn from(error: DataError) -> Self {
        let exit = match &error {
            DataError::Io { .. } => Exit::IoFailed,
            DataError::Unusable { .. } | DataError::TooManyBad { .. } => Exit::InputUnusable,
        };
        Self::new(exit, error)
    }
}

/// Work on a file seen from outside.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Set to end the work early.
    pub(crate) stop: AtomicBool,
    /// Bytes read, and in all.
    pub(crate) read: AtomicU64,
    pub(crate) length: AtomicU64,
    /// Rows done.
    pub(crate) rows: AtomicU64,
}

impl Progress {
    /// Ends the work if that was asked for.
    pub(crate) fn check(&self) -> Result<(), ExitError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ExitError::new(Exit::CheckFailed, "stopped before the end; nothing was written"));
        }
        Ok(())
    }

    fn note(&self, before: u64, rows: &Rows) {
        self.read.store(before + rows.progress(), Ordering::Relaxed);
    }
}

/// Where rows come from.
enum Rows {
    File(Box<Reader>),
    Journal(Box<Archive>),
}

impl Rows {
    fn open(path: &Path, options: &ReadOptions) -> Result<Self, ExitError> {
        if options.format == Some(Format::Haggle) {
            return Archive::open(path).map(|archive| Self::Journal(Box::new(archive)));
        }
        Ok(Self::File(Box::new(Reader::open(path, options)?)))
    }

    fn fill(&mut self, batch: &mut Batch, rows: usize) -> Result<usize, ExitError> {
        match self {
            Self::File(reader) => Ok(reader.fill(batch, rows)?),
            Self::Journal(archive) => archive.fill(batch, rows),
        }
    }

    /// Bytes of a file that are read. How much of a journal is left is not known in bytes.
    fn progress(&self) -> u64 {
        match self {
            Self::File(reader) => reader.progress().0,
            Self::Journal(_) => 0,
        }
    }

    fn report(&self) -> ReadReport {
        match self {
            Self::File(reader) => reader.report(),
            Self::Journal(archive) => {
                if archive.unknown() > 0 {
                    say(&format!(
                        "left {} impressions of campaigns out that are not configured",
                        archive.unknown()
                    ));
                }
                archive.report()
            }
        }
    }
}

/// Whether rows can be read from there; reads none.
pub(super) fn check(path: &Path, options: &ReadOptions) -> Result<(), ExitError> {
    Rows::open(path, options).map(drop)
}

/// Calls `take` with all rows of a file, batch by batch, in their order.
pub(super) fn each_batch(
    path: &Path,
    options: &ReadOptions,
    threads: u32,
    progress: &Progress,
    mut take: impl FnMut(&Batch) -> Result<(), ExitError>,
) -> Result<ReadReport, ExitError> {
    let mut reader = Rows::open(path, options)?;
    let before = progress.read.load(Ordering::Relaxed);
    let mut done = |batch: &Batch| {
        progress.check()?;
        take(batch)?;
        progress.rows.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    };
    if threads < 2 {
        let mut batch = Batch::default();
        while reader.fill(&mut batch, ROWS)? > 0 {
            progress.note(before, &reader);
            done(&batch)?;
        }
        return Ok(reader.report());
    }
    let (full, filled) = sync_channel(AHEAD);
    let (empty, emptied) = sync_channel(AHEAD + 2);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_ahead(reader, &full, &emptied, progress, before));
        // On an error the channels are dropped, so the reading thread ends too.
        let (filled, empty): (Receiver<Batch>, SyncSender<Batch>) = (filled, empty);
        let mut learned = Ok(());
        for batch in &filled {
            learned = done(&batch);
            if learned.is_err() {
                break;
            }
            // Where the reader has enough of them, this one goes.
            let _ = empty.try_send(batch);
        }
        drop((filled, empty));
        let read = reading.join().map_err(|_| ExitError::new(Exit::Internal, "reading ended early"))?;
        learned.and(read)
    })
}

fn read_ahead(
    mut reader: Rows,
    full: &SyncSender<Batch>,
    emptied: &Receiver<Batch>,
    progress: &Progress,
    before: u64,
) -> Result<ReadReport, ExitError> {
    loop {
        let mut batch = emptied.try_recv().unwrap_or_default();
        if reader.fill(&mut batch, ROWS)? == 0 {
            return Ok(reader.report());
        }
        progress.note(before, &reader);
        // Nobody takes more.
        if full.send(batch).is_err() {
            return Ok(reader.report());
        }
    }
}

/// The names of the fields, as far as they have names, and how many there are. Where neither a schema nor an index says
/// so, the first rows do.
pub(super) fn fields(path: &Path, options: &ReadOptions) -> Result<(Vec<String>, usize), ExitError> {
    if options.format == Some(Format::Haggle) {
        let names: Vec<String> = archive_fields().map(str::to_owned).collect();
        let count = names.len();
        return Ok((names, count));
    }
    let mut reader = Reader::open(path, options)?;
    let named = reader.fields();
    if !named.is_empty() {
        let count = named.len();
        return Ok((named, count));
    }
    let (mut batch, mut count) = (Batch::default(), 0);
    while reader.report().rows < LOOK && reader.fill(&mut batch, ROWS)? > 0 {
        let fields = batch.rows().flat_map(|(_, slots)| slots.iter().map(|slot| usize::from(slot.field) + 1));
        count = fields.fold(count, usize::max);
    }
    Ok((reader.fields(), count))
}

/// The file that says which field each index is of.
pub(super) fn feature_index(path: Option<&Path>) -> Result<Option<FeatureIndex>, ExitError> {
    Ok(path.map(FeatureIndex::read).transpose()?)
}

/// The first rows of a file.
pub(super) fn sample(path: &Path, options: &ReadOptions) -> Result<Batch, ExitError> {
    let mut batch = Batch::default();
    Rows::open(path, options)?.fill(&mut batch, 2 * ROWS)?;
    Ok(batch)
}
