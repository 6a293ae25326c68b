//! A node's journal, measured.

use std::path::Path;

use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};
use haggle_domain::{Event, Record, Timestamp};

use super::records::{Names, Records};
use crate::exit::{Exit, ExitError};
use crate::ledger::note_start;
use crate::model::Progress;
use crate::server::StartError;

/// Records read at once.
const CHUNK: usize = 4_096;
/// Less of a day says nothing of how many bids there are a day.
const SHORTEST: f64 = 0.9;

/// Shows all records of the journal in a node's data folder. The node must not be running.
///
/// # Errors
///
/// There is no journal, it cannot be read, or it was to stop.
pub(in super::super) fn each(
    data: &Path,
    progress: &Progress,
    show: &mut dyn FnMut(&Record),
) -> Result<(), ExitError> {
    let folder = data.join("journal");
    if !folder.join("store").is_dir() {
        let problem =
            format!("{} holds no journal; name the folder that was given as --data", data.display());
        return Err(ExitError::new(Exit::IoFailed, problem));
    }
    let journal = EmbeddedJournal::open(&folder, &JournalOptions::default()).map_err(StartError::from)?;
    note_start(&journal);
    let (mut cursor, end) = (journal.durable_start(), journal.durable_end());
    while cursor < end {
        progress.check()?;
        let chunk = journal.read_from(cursor, CHUNK).map_err(StartError::from)?;
        let Some((last, _)) = chunk.last() else { break };
        cursor = last + 1;
        chunk.iter().for_each(|(_, record)| show(record));
    }
    journal.close().map_err(StartError::from)?;
    Ok(())
}

/// Measures the journal in a node's data folder. All results of bids are in it, and of bids a sample, so results are counted.
///
/// # Errors
///
/// Those of [`each`].
pub(super) fn read(data: &Path, names: &Names, progress: &Progress) -> Result<Records, ExitError> {
    let mut records = Records::default();
    let mut span: Option<(Timestamp, Timestamp)> = None;
    each(data, progress, &mut |record| {
        records.note(names, &record.event, record.at);
        if matches!(record.event, Event::Won { .. } | Event::Lost { .. }) {
            let (first, last) = span.get_or_insert((record.at, record.at));
            *first = record.at.min(*first);
            *last = record.at.max(*last);
        }
    })?;
    let days = span.map(|(first, last)| last.since(first).as_secs_f64() / 86_400.0);
    records.days = days.filter(|days| *days >= SHORTEST);
    Ok(records)
}
