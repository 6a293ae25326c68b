//! How a node that has no copy of the log comes to one: from the bases that others have published, if there are any.
//!
//! What it gets is what a copy would be whose older records were dropped: its log begins later, and bases say what was before.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::base::{self, Base, Beside, Forgotten, merge};
use super::bases::{Found, newest};
use super::log::Log;
use super::shared::JOURNAL;
use crate::attribution::CHECKPOINT;
use crate::books::Books;
use crate::campaign::base_name;
use crate::journal::mark::sync_folder;
use crate::journal::{
    Checkpoint, EmbeddedJournal, Journal, JournalError, JournalOptions, Position, Remaking,
};

/// A copy that is being made; renamed when it is whole.
const NEW: &str = "journal.new";

/// Opens a node's copy of the log, made from bases where nothing was copied yet.
pub(super) fn open_copy(
    log: &Arc<dyn Log>,
    dir: &Path,
    options: &JournalOptions,
) -> Result<EmbeddedJournal, JournalError> {
    let folder = dir.join(JOURNAL);
    if folder.join("store").is_dir() {
        let journal = EmbeddedJournal::open(&folder, options)?;
        if journal.durable_end() > 0 || !journal.positions()?.is_empty() {
            return Ok(journal);
        }
        journal.close()?;
    }
    let bases = usable(log)?;
    if !bases.is_empty() {
        let new = dir.join(NEW);
        remove(&new)?;
        let start = make(&new, &bases)?;
        remove(&folder)?;
        fs::rename(&new, &folder)
            .and_then(|()| sync_folder(dir))
            .map_err(|error| JournalError::io(&folder, &error))?;
        let campaigns: usize = bases.iter().map(|base| base.content.books.len()).sum();
        tracing::info!(
            partitions = bases.len(),
            campaigns,
            start,
            "begins at bases that other nodes have published"
        );
    }
    EmbeddedJournal::open(&folder, options)
}

/// The bases to begin at; none of partitions that the log has from their beginning and of which there is none.
fn usable(log: &Arc<dyn Log>) -> Result<Vec<Base>, JournalError> {
    let mut bases = Vec::new();
    for (partition, (begin, found)) in (0..).zip(newest(log)?) {
        match found {
            Found::Whole(base) => bases.push(*base),
            Found::Nothing(_) if begin == 0 => {}
            Found::Nothing(why) => {
                return Err(JournalError::NoBase { partition, begin, why: why.to_owned() });
            }
            Found::Beyond(next) => return Err(JournalError::OtherBase { partition, next }),
        }
    }
    Ok(bases)
}

/// Makes a journal that begins at bases; gives where its records begin.
fn make(dir: &Path, bases: &[Base]) -> Result<u64, JournalError> {
    // Not 0, which would say that nothing came before; and not below what a copy from the beginning would mostly have.
    let start = bases.iter().fold(0, |sum: u64, base| sum.saturating_add(base.state.next)).max(1);
    let mut copy = Remaking::begin(dir, start)?;
    let mut forgotten = Forgotten::new();
    for Base { partition, state, content } in bases {
        for base::Books { campaign, books } in &content.books {
            let sound = minicbor::decode::<Books>(books).map_err(|error| error.to_string());
            let sound = sound.and_then(|it| it.ledger.check().map_err(|error| error.to_string()));
            sound.map_err(|why| JournalError::NoBase {
                partition: *partition,
                begin: state.next,
                why: format!("the books of campaign {campaign} in its base cannot be read ({why})"),
            })?;
            copy.checkpoint(&Checkpoint { name: base_name(*campaign), offset: start, bytes: books.clone() })?;
        }
        if let Some(orders) = &content.orders {
            let (name, bytes) = (CHECKPOINT.to_owned(), orders.clone());
            copy.checkpoint(&Checkpoint { name, offset: start, bytes })?;
        }
        for Beside { name, bytes } in &content.beside {
            copy.checkpoint(&Checkpoint { name: name.clone(), offset: start, bytes: bytes.clone() })?;
        }
        for (user, known) in &content.forgotten {
            merge(&mut forgotten, *user, *known);
        }
        // Encoding into memory cannot fail.
        let state = minicbor::to_vec(state).unwrap_or_default();
        copy.position(Position { partition: *partition, state })?;
    }
    for (user, known) in forgotten {
        copy.privacy(&user.0.to_be_bytes(), &minicbor::to_vec(known).unwrap_or_default())?;
    }
    copy.finish(start)?;
    Ok(start)
}

fn remove(folder: &Path) -> Result<(), JournalError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JournalError::io(folder, &error)),
        _ => Ok(()),
    }
}
