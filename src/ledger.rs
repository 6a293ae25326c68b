//! `haggle ledger verify`: replays the journal from its first record and checks every rule on the way.

mod reconcile;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use haggle_actors::books::Books;
use haggle_actors::campaign::{recover_all, recover_shared, replay_all};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalError, JournalOptions};

pub use self::reconcile::reconcile;
use crate::exit::{Exit, ExitError};
use crate::server::StartError;
use crate::several::is_copy;

/// Where a journal begins, if that is not at its first record ever.
///
/// # Errors
///
/// Its first record cannot be read.
pub fn begins(journal: &dyn Journal) -> Result<Option<String>, JournalError> {
    let start = journal.durable_start();
    if start == 0 {
        return Ok(None);
    }
    let first = journal.read_from(start, 1)?;
    let at = first.first().map(|(_, record)| format!(", {}", record.at)).unwrap_or_default();
    Ok(Some(format!("the journal begins at offset {start}{at}")))
}

/// Tells the person at the terminal where a journal begins from which something is about to be learned.
pub(crate) fn note_start(journal: &dyn Journal) {
    // Whoever reads on meets the error, if there is one.
    if let Ok(Some(begins)) = begins(journal) {
        // Nowhere is left to report that standard error cannot be written.
        let _ = writeln!(
            std::io::stderr().lock(),
            "haggle: {begins}: older records were dropped (`retention`), or a copy of several nodes' log began there"
        );
    }
}

/// Opens the journal under a data folder; it is never made.
///
/// # Errors
///
/// There is none, it cannot be opened, or a node has it open.
pub(crate) fn open_journal(data: &Path) -> Result<EmbeddedJournal, ExitError> {
    let folder = data.join("journal");
    if !folder.join("store").is_dir() {
        return Err(ExitError::new(
            Exit::IoFailed,
            format!("{} holds no journal; name the folder that was given as --data", data.display()),
        ));
    }
    Ok(EmbeddedJournal::open(&folder, &JournalOptions::default()).map_err(StartError::from)?)
}

/// Waits until everything that was handed over is durable.
pub(crate) fn settle(journal: &EmbeddedJournal) -> Result<(), ExitError> {
    let (sender, answer) = std::sync::mpsc::channel();
    // Whoever waits is still there.
    let asked = journal.barrier(Box::new(move |result| sender.send(result).unwrap_or(())));
    asked.map_err(|error| ExitError::new(Exit::IoFailed, error))?;
    let durable = answer.recv().unwrap_or(Err(JournalError::Closed));
    Ok(durable.map_err(StartError::from)?)
}

/// Verifies the journal under a data folder; gives the table to print, or why it does not hold.
///
/// Three things must agree: the journal's own checksums and order, the rules of bookkeeping after every single record,
/// and the ledgers that a start would recover from checkpoints. What else books hold (counts, averages) is not compared.
pub fn verify(data: &Path, mut progress: impl FnMut(u64, u64)) -> Result<String, ExitError> {
    let journal = open_journal(data)?;
    let (start, end) = (journal.durable_start(), journal.durable_end());
    let replayed = replay_all(&journal, |offset| progress(offset, end)).map_err(StartError::from)?;
    // Of a campaign that other nodes own, a node of several may have no checkpoint.
    let recovered = if is_copy(data) {
        recover_shared(&journal).map(|recovered| recovered.books)
    } else {
        recover_all(&journal)
    };
    let recovered = recovered.map_err(StartError::from)?;
    let begins = begins(&journal).map_err(StartError::from)?;
    journal.close().map_err(StartError::from)?;

    let mut campaigns: Vec<(&str, &Books)> =
        replayed.values().map(|books| (books.id.as_deref().unwrap_or("(not defined)"), books)).collect();
    campaigns.sort_unstable_by_key(|(id, _)| *id);
    let mut table = format!(
        "{:<24} {:>14}   {:>14}   {:>14}   {:>14}\n",
        "campaign", "settled", "reserved", "unspent", "budget"
    );
    for (id, books) in &campaigns {
        let ledger = &books.ledger;
        let (settled, reserved, unspent) = (ledger.settled(), ledger.leased(), ledger.unleased());
        let sign = if settled + reserved + unspent == ledger.budget() { '=' } else { '≠' };
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{id:<24} {:>14} + {:>14} + {:>14} {sign} {:>14}",
            settled.to_string(),
            reserved.to_string(),
            unspent.to_string(),
            ledger.budget().to_string(),
        );
    }
    let differing: Vec<&str> = replayed
        .iter()
        .filter(|(key, books)| recovered.get(key).is_none_or(|recovered| recovered.ledger != books.ledger))
        .map(|(_, books)| books.id.as_deref().unwrap_or("(not defined)"))
        .collect();
    if !differing.is_empty() {
        return Err(ExitError::new(
            Exit::CheckFailed,
            format!(
                "{table}checkpoints disagree with the journal for: {}; run `haggle ledger reconcile`, which says what differs",
                differing.join(", ")
            ),
        ));
    }
    if let Some(begins) = begins {
        let _ = writeln!(
            table,
            "{begins}; what the records before came to is kept with it, and verified from there"
        );
    }
    let _ = writeln!(
        table,
        "ok: {} records, {} campaigns, every rule holds after every record, the money of all checkpoints agrees",
        end.saturating_sub(start),
        campaigns.len()
    );
    Ok(table)
}
