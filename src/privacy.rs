//! `haggle privacy`: opts users out and erases them on the data folder of a node that is not running.

use std::io::Read;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use haggle_actors::journal::{EmbeddedJournal, Journal};
use haggle_domain::{Record, Timestamp};

use crate::exit::{Exit, ExitError};
use crate::ledger::open_journal;
use crate::server::{StartError, privacy};

/// Users in one commit.
const PORTION: usize = 1000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing of these users is read, stored or learned from now on.
    OptOut,
    /// What was written of them is removed.
    Erase,
}

/// Does what is asked for the users whose ids stand in `users`, one a line; gives what to print, which names nobody.
/// What an earlier run or a stopped node has left undone is done, too. A journal is opened, never made.
pub fn apply(request: Request, data: &Path, users: &str, now: Timestamp) -> Result<String, ExitError> {
    let journal = open_journal(data)?;
    let record = match request {
        Request::OptOut => privacy::opted_out,
        Request::Erase => privacy::erased,
    };
    let ids: Vec<&str> = users.lines().map(str::trim).filter(|id| !id.is_empty()).collect();
    for portion in ids.chunks(PORTION) {
        commit(&journal, portion.iter().map(|id| record(id, now)).collect())?;
    }
    // No learner runs that could replace its checkpoints.
    journal.complete_erasures(Duration::ZERO).map_err(StartError::from)?;
    journal.close().map_err(StartError::from)?;
    let done = match request {
        Request::OptOut => "opted out",
        Request::Erase => "erased",
    };
    Ok(format!("ok: {} users {done}", ids.len()))
}

fn commit(journal: &EmbeddedJournal, records: Vec<Record>) -> Result<(), ExitError> {
    let (sender, answer) = channel();
    let permit = journal.try_reserve().map_err(|error| ExitError::new(Exit::IoFailed, error))?;
    // Whoever waits is still there.
    permit.commit(records, Some(Box::new(move |result| sender.send(result).unwrap_or(()))));
    let committed = answer.recv().unwrap_or(Err(haggle_actors::journal::JournalError::Closed));
    Ok(committed.map_err(StartError::from)?)
}

/// The ids in a file, or on standard input if it is called `-`. Never from the command line, which other users of the
/// machine can read.
pub fn read_users(file: &Path) -> Result<String, ExitError> {
    let read = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| {
        ExitError::new(
            Exit::IoFailed,
            format!("{} cannot be read: {error}; name a file with one id a line", file.display()),
        )
    })
}
