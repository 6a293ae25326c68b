//! `haggle ledger verify`: replays the journal from its first record and checks every rule on the way.

use std::fmt::Write;
use std::path::Path;

use haggle_actors::books::Books;
use haggle_actors::campaign::{recover_all, replay_all};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};

use crate::exit::{Exit, ExitError};
use crate::server::StartError;

/// Verifies the journal under a data folder; gives the table to print, or why it does not hold.
///
/// Three things must agree: the journal's own checksums and order, the rules of bookkeeping after every single record,
/// and the books that a start would recover from checkpoints.
pub fn verify(data: &Path, mut progress: impl FnMut(u64, u64)) -> Result<String, ExitError> {
    let folder = data.join("journal");
    if !folder.join("store").is_dir() {
        return Err(ExitError::new(
            Exit::IoFailed,
            format!("{} holds no journal; name the folder that was given as --data", data.display()),
        ));
    }
    let journal = EmbeddedJournal::open(&folder, &JournalOptions::default()).map_err(StartError::from)?;
    let end = journal.durable_end();
    let replayed = replay_all(&journal, |offset| progress(offset, end)).map_err(StartError::from)?;
    let recovered = recover_all(&journal).map_err(StartError::from)?;
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
                "{table}checkpoints disagree with the journal for: {}; restore the data folder from a backup",
                differing.join(", ")
            ),
        ));
    }
    let _ = writeln!(
        table,
        "ok: {end} records, {} campaigns, every rule holds after every record, checkpoints agree",
        campaigns.len()
    );
    Ok(table)
}
