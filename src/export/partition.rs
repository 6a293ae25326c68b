//! Which file a row goes to, and that few files and few rows are in memory at a time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use haggle_domain::Record;

use super::By;
use super::table::{Cell, KINDS, Kind, hex, offset_cell, time};
use super::writer::Table;
use crate::exit::{Exit, ExitError};

/// About how many bytes of rows wait for their row groups, of all files together.
const MOST_WAITING: usize = 128 * 1024 * 1024;
/// Files that are open at once. Records lie in order but for what is reported late; those of several partitions' copy alternate
/// between as many days as one was read before the other.
const MOST_OPEN: usize = 256;
const DAY: i64 = 86_400_000_000;

/// The files of an export.
pub(super) struct Partition {
    folder: PathBuf,
    by: Option<By>,
    /// By kind and day; 0 is the day of files that are not divided.
    open: BTreeMap<(u32, i64), Table>,
    /// Rows of files that are closed, and how many files each day has.
    rows: BTreeMap<u32, u64>,
    parts: BTreeMap<(u32, i64), u32>,
    /// Rows so far, and about how many bytes of them wait.
    pushed: u64,
    waiting: usize,
}

impl Partition {
    /// Undivided kinds get their file at once, so that one without rows can be asked, too.
    pub(super) fn new(
        folder: &Path,
        by: Option<By>,
        kinds: impl Iterator<Item = &'static Kind>,
    ) -> Result<Self, ExitError> {
        let mut partition = Self {
            folder: folder.to_owned(),
            by,
            open: BTreeMap::new(),
            rows: BTreeMap::new(),
            parts: BTreeMap::new(),
            pushed: 0,
            waiting: 0,
        };
        for kind in kinds {
            partition.rows.insert(kind.number, 0);
            if by.is_none() {
                partition.table(kind.number, 0)?;
            }
        }
        Ok(partition)
    }

    /// Adds a row to its file.
    pub(super) fn push(
        &mut self,
        kind: u32,
        offset: u64,
        record: &Record,
        id: Option<&str>,
        cells: Vec<Cell>,
    ) -> Result<(), ExitError> {
        let day = if self.by.is_some() { record.at.0.div_euclid(DAY) } else { 0 };
        let id = id.map_or(Cell::Null, |id| Cell::Text(id.to_owned()));
        let common = [offset_cell(offset), time(record.at), hex(record.campaign.0), id];
        self.pushed += 1;
        let pushed = self.pushed;
        let table = self.table(kind, day)?;
        table.used = pushed;
        let before = table.bytes;
        table.push(common.into_iter().chain(cells))?;
        // It may have written what waited.
        let after = table.bytes;
        self.waiting = (self.waiting + after).saturating_sub(before);
        if self.waiting > MOST_WAITING
            && let Some(largest) = self.open.values_mut().max_by_key(|table| table.bytes)
        {
            self.waiting = self.waiting.saturating_sub(largest.bytes);
            largest.flush()?;
        }
        Ok(())
    }

    /// The file for a kind and day, which is opened, and of too many that which was not written to for longest closed, as needed.
    fn table(&mut self, kind: u32, day: i64) -> Result<&mut Table, ExitError> {
        if !self.open.contains_key(&(kind, day)) {
            let stale = self.open.iter().min_by_key(|(_, table)| table.used).map(|(key, _)| *key);
            if let Some(stale) = stale.filter(|_| self.open.len() >= MOST_OPEN) {
                self.close_table(stale)?;
            }
            let path = self.path(kind, day)?;
            let found = KINDS.iter().find(|known| known.number == kind);
            let kind_of = found.ok_or_else(|| ExitError::new(Exit::Internal, format!("no table {kind}")))?;
            self.open.insert((kind, day), Table::create(&path, kind_of)?);
        }
        let missing = || ExitError::new(Exit::Internal, "a table that was opened is not there");
        self.open.get_mut(&(kind, day)).ok_or_else(missing)
    }

    fn path(&mut self, kind: u32, day: i64) -> Result<PathBuf, ExitError> {
        let name = KINDS.iter().find(|known| known.number == kind).map_or("unknown", |kind| kind.name);
        if self.by.is_none() {
            return Ok(self.folder.join(format!("{name}.parquet")));
        }
        let date = haggle_domain::Timestamp(day.saturating_mul(DAY)).to_string();
        let date = date.split('T').next().unwrap_or("unknown");
        let folder = self.folder.join(name).join(format!("day={date}"));
        fs::create_dir_all(&folder).map_err(|error| {
            ExitError::new(Exit::IoFailed, format!("{} cannot be made: {error}", folder.display()))
        })?;
        let part = self.parts.entry((kind, day)).or_default();
        *part += 1;
        Ok(folder.join(format!("{part:03}.parquet")))
    }

    fn close_table(&mut self, key: (u32, i64)) -> Result<(), ExitError> {
        if let Some(table) = self.open.remove(&key) {
            self.waiting = self.waiting.saturating_sub(table.bytes);
            *self.rows.entry(key.0).or_default() += table.close()?;
        }
        Ok(())
    }

    /// Closes all files; gives the rows of each kind.
    pub(super) fn close(mut self) -> Result<Vec<(&'static str, u64)>, ExitError> {
        while let Some(key) = self.open.keys().next().copied() {
            self.close_table(key)?;
        }
        let rows = |kind: &Kind| self.rows.get(&kind.number).map(|rows| (kind.name, *rows));
        Ok(KINDS.iter().filter_map(rows).collect())
    }
}
