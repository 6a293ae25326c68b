//! From checkpoint and journal to books.

use std::collections::HashMap;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{CampaignKey, Record};

use crate::books::Books;
use crate::journal::{Checkpoint, Journal, JournalError, Refused, replay};
use crate::ledger::Violation;

const PREFIX: &str = "campaign/";

/// Why books could not be recovered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal can be read, but a record breaks a rule of bookkeeping.
    #[error("record {offset} of campaign {campaign} breaks a rule: {violation}; run `haggle ledger verify`")]
    Violation {
        /// Which record.
        offset: u64,
        /// Whose.
        campaign: CampaignKey,
        /// Which rule.
        violation: Violation,
    },
}

/// The name of a campaign's checkpoint in the journal.
pub fn checkpoint_name(key: CampaignKey) -> String {
    format!("{PREFIX}{key}")
}

/// A campaign's books, with everything below an offset in them, as they are kept.
pub fn checkpoint_of(key: CampaignKey, books: &Books, offset: u64) -> Checkpoint {
    Checkpoint { name: checkpoint_name(key), offset, bytes: minicbor::to_vec(books).unwrap_or_default() }
}

/// Reads a checkpoint. One that cannot be read is passed over with a warning: the journal has everything.
fn decode(checkpoint: &Checkpoint) -> (Books, u64) {
    match minicbor::decode(&checkpoint.bytes) {
        Ok(books) => (books, checkpoint.offset),
        Err(error) => {
            tracing::warn!(name = checkpoint.name, %error, "a checkpoint is unreadable; replaying from the start");
            (Books::default(), 0)
        }
    }
}

/// The books of every campaign that the journal knows, in one pass from the oldest checkpoint on.
///
/// That misses nothing, because an actor's first act, before its first record, is a checkpoint.
pub fn recover_all(journal: &dyn Journal) -> Result<HashMap<CampaignKey, Books>, RecoveryError> {
    recover_from(journal.checkpoints(PREFIX)?, |from| replay(journal, from))
}

/// The same of checkpoints at hand, and of the records from an offset on.
pub fn recover_from<R>(
    checkpoints: Vec<Checkpoint>,
    records: impl FnOnce(u64) -> R,
) -> Result<HashMap<CampaignKey, Books>, RecoveryError>
where
    R: Iterator<Item = Result<(u64, Record), JournalError>>,
{
    let mut recovered: HashMap<CampaignKey, (Books, u64)> = HashMap::new();
    for checkpoint in checkpoints {
        let key = checkpoint.name.strip_prefix(PREFIX).and_then(|key| u64::from_str_radix(key, 16).ok());
        if let Some(key) = key {
            recovered.insert(CampaignKey(key), decode(&checkpoint));
        }
    }
    let from = recovered.values().map(|(_, offset)| *offset).min().unwrap_or(0);
    for entry in records(from) {
        let (offset, record) = entry?;
        if let Some((books, included)) = recovered.get_mut(&record.campaign)
            && offset >= *included + u64::from(planted(Bug::RecoverySkipsRecord))
        {
            apply(books, &record, offset)?;
        }
    }
    Ok(recovered.into_iter().map(|(key, (books, _))| (key, books)).collect())
}

/// Says, by its offset, below what every campaign that has records has a checkpoint.
const COMPLETE: &str = "campaigns-complete";

/// The books of every campaign, up to an offset.
#[derive(Debug, Default)]
pub struct Recovered {
    /// By campaign.
    pub books: HashMap<CampaignKey, Books>,
    /// Everything below is in them.
    pub end: u64,
}

/// The books of every campaign that a journal of several nodes knows, also of those that other nodes began and of which this one
/// never had a checkpoint.
pub fn recover_shared(journal: &dyn Journal) -> Result<Recovered, RecoveryError> {
    let complete = journal.checkpoint(COMPLETE)?.map_or(0, |checkpoint| checkpoint.offset);
    let mut known: HashMap<CampaignKey, (Books, u64)> = HashMap::new();
    for checkpoint in journal.checkpoints(PREFIX)? {
        let key = checkpoint.name.strip_prefix(PREFIX).and_then(|key| u64::from_str_radix(key, 16).ok());
        if let Some(key) = key {
            known.insert(CampaignKey(key), decode(&checkpoint));
        }
    }
    let from = known.values().map(|(_, offset)| *offset).fold(complete, u64::min);
    let mut end = from;
    for entry in replay(journal, from) {
        let (offset, record) = entry?;
        end = offset.saturating_add(1);
        if record.campaign == CampaignKey::default() {
            continue;
        }
        let (books, included) = known.entry(record.campaign).or_default();
        if offset >= *included {
            apply(books, &record, offset)?;
        }
    }
    Ok(Recovered { books: known.into_iter().map(|(key, (books, _))| (key, books)).collect(), end })
}

/// Keeps checkpoints of the campaigns that are others', so that this node has little to replay should one become its own. Refused
/// where the journal has no room; then it is for another time.
pub fn keep_shared(
    journal: &dyn Journal,
    recovered: &Recovered,
    is_own: impl Fn(CampaignKey) -> bool,
) -> Result<(), Refused> {
    for (key, books) in recovered.books.iter().filter(|(key, _)| !is_own(**key)) {
        journal.try_reserve_spare()?;
        let Checkpoint { name, offset, bytes } = checkpoint_of(*key, books, recovered.end);
        journal.put_checkpoint(&name, offset, bytes)?;
    }
    journal.put_checkpoint(COMPLETE, recovered.end, Vec::new())
}

/// One campaign's books, for an actor that starts again. Everything it committed must be durable by now.
pub fn recover_one(journal: &dyn Journal, key: CampaignKey) -> Result<Books, RecoveryError> {
    let checkpoint = journal.checkpoint(&checkpoint_name(key))?;
    let (mut books, from) = checkpoint.as_ref().map(decode).unwrap_or_default();
    for entry in replay(journal, from) {
        let (offset, record) = entry?;
        if record.campaign == key {
            apply(&mut books, &record, offset)?;
        }
    }
    Ok(books)
}

/// The books of every campaign from the journal's first record on, without any checkpoint: what
/// `haggle ledger verify` compares with. `progress` is told each record's offset.
pub fn replay_all(
    journal: &dyn Journal,
    mut progress: impl FnMut(u64),
) -> Result<HashMap<CampaignKey, Books>, RecoveryError> {
    let mut books: HashMap<CampaignKey, Books> = HashMap::new();
    for entry in replay(journal, 0) {
        let (offset, record) = entry?;
        progress(offset);
        // Events of no campaign, such as a user's behaviour, have the key zero.
        if record.campaign != CampaignKey::default() {
            apply(books.entry(record.campaign).or_default(), &record, offset)?;
        }
    }
    Ok(books)
}

fn apply(books: &mut Books, record: &Record, offset: u64) -> Result<(), RecoveryError> {
    let applied = books.apply(&record.event, record.at).and_then(|()| books.ledger.check());
    applied.map_err(|violation| RecoveryError::Violation { offset, campaign: record.campaign, violation })
}
