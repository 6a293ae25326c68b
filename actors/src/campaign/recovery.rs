//! From checkpoint and journal to books.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{CampaignKey, Record};

use crate::books::Books;
use crate::journal::{
    Checkpoint, EmbeddedJournal, Journal, JournalError, Refused, View, replay, replay_view,
};
use crate::ledger::Violation;

pub(super) const PREFIX: &str = "campaign/";
/// Books as of the journal's start; see [`super::retention`].
pub(super) const BASES: &str = "base/";

/// Why books could not be recovered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What a campaign's dropped records came to cannot be read.
    #[error(
        "the journal's base of campaign {0}, which says what its dropped records came to, is unreadable; restore the \
         folder from a backup"
    )]
    Base(CampaignKey),
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

/// The name of what says what a campaign's dropped records came to.
pub(crate) fn base_name(key: CampaignKey) -> String {
    format!("{BASES}{key}")
}

pub(super) fn key_of(name: &str, prefix: &str) -> Option<CampaignKey> {
    name.strip_prefix(prefix).and_then(|key| u64::from_str_radix(key, 16).ok()).map(CampaignKey)
}

/// A campaign's books, with everything below an offset in them, as they are kept.
pub fn checkpoint_of(key: CampaignKey, books: &Books, offset: u64) -> Checkpoint {
    Checkpoint { name: checkpoint_name(key), offset, bytes: minicbor::to_vec(books).unwrap_or_default() }
}

/// Checkpoints that were passed over since the program started, because they could not be read.
static PASSED_OVER: AtomicU64 = AtomicU64::new(0);

/// How many checkpoints were passed over since the program started, because they could not be read.
pub fn passed_over() -> u64 {
    PASSED_OVER.load(Ordering::Relaxed)
}

/// Every campaign of which there is a checkpoint, with that; `None` where its bytes are not those that were written.
pub fn checkpoints(journal: &dyn Journal) -> Result<Vec<(CampaignKey, Option<Checkpoint>)>, JournalError> {
    let found = journal.readable_checkpoints(PREFIX)?.into_iter();
    Ok(found.filter_map(|(name, checkpoint)| Some((key_of(&name, PREFIX)?, checkpoint))).collect())
}

/// The books that every campaign's dropped records came to.
pub fn bases(journal: &dyn Journal) -> Result<HashMap<CampaignKey, Books>, RecoveryError> {
    let keys: Vec<CampaignKey> =
        journal.checkpoints(BASES)?.iter().filter_map(|base| key_of(&base.name, BASES)).collect();
    keys.into_iter().map(|key| Ok((key, base_of(journal, key)?))).collect()
}

/// Reads a checkpoint. One that cannot be read is passed over with a warning: the journal has everything. So is one from
/// before the journal's start: what the dropped records came to includes it.
fn decode(checkpoint: &Checkpoint, start: u64) -> Option<(Books, u64)> {
    if checkpoint.offset < start {
        return None;
    }
    let decoded = minicbor::decode::<Books>(&checkpoint.bytes).map_err(|error| error.to_string());
    // Books that do not add up are not what was written, whatever their checksums say.
    let sound = decoded.and_then(|books| match books.ledger.check() {
        Ok(()) => Ok(books),
        Err(violation) => Err(violation.to_string()),
    });
    match sound {
        Ok(books) => Some((books, checkpoint.offset)),
        Err(error) => {
            PASSED_OVER.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                name = checkpoint.name,
                error,
                "a checkpoint is unreadable; replaying from the start"
            );
            None
        }
    }
}

/// What a campaign's dropped records came to: its books at the journal's start.
pub(super) fn base_of(journal: &dyn Journal, key: CampaignKey) -> Result<Books, RecoveryError> {
    match journal.checkpoint(&base_name(key))? {
        Some(base) => minicbor::decode(&base.bytes).map_err(|_| RecoveryError::Base(key)),
        None => Ok(Books::default()),
    }
}

/// The books of every campaign that the journal knows, in one pass from the oldest checkpoint on.
///
/// That misses nothing, because an actor's first act, before its first record, is a checkpoint.
pub fn recover_all(journal: &dyn Journal) -> Result<HashMap<CampaignKey, Books>, RecoveryError> {
    let start = journal.durable_start();
    let found = checkpoints(journal)?.into_iter();
    // One that is damaged says nothing, and is passed over for that.
    let nothing = |key| Checkpoint { name: checkpoint_name(key), offset: start, bytes: Vec::new() };
    let checkpoints = found.map(|(key, found)| found.unwrap_or_else(|| nothing(key))).collect();
    recover_from(checkpoints, start, |key| base_of(journal, key), |from| replay(journal, from))
}

/// The same of checkpoints at hand, and of the records from an offset on. Records begin at `start`, and `base` has what
/// came before.
pub fn recover_from<R>(
    checkpoints: Vec<Checkpoint>,
    start: u64,
    base: impl Fn(CampaignKey) -> Result<Books, RecoveryError>,
    records: impl FnOnce(u64) -> R,
) -> Result<HashMap<CampaignKey, Books>, RecoveryError>
where
    R: Iterator<Item = Result<(u64, Record), JournalError>>,
{
    let mut recovered: HashMap<CampaignKey, (Books, u64)> = HashMap::new();
    for checkpoint in checkpoints {
        if let Some(key) = key_of(&checkpoint.name, PREFIX) {
            let books = match decode(&checkpoint, start) {
                Some(decoded) => decoded,
                None => (base(key)?, start),
            };
            recovered.insert(key, books);
        }
    }
    let from = recovered.values().map(|(_, offset)| *offset).min().unwrap_or(start);
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

/// The name of what says, by its offset, below what every campaign that has records has a checkpoint; of several nodes alone.
pub const COMPLETE: &str = "campaigns-complete";

/// The books of every campaign, up to an offset.
#[derive(Debug, Default)]
pub struct Recovered {
    /// By campaign.
    pub books: HashMap<CampaignKey, Books>,
    /// Everything below is in them.
    pub end: u64,
    /// Those whose records break a rule of bookkeeping, which are not among the books, each with the first that does.
    pub broken: BTreeMap<CampaignKey, RecoveryError>,
    /// Those of which the journal has a checkpoint that can be read.
    kept: HashSet<CampaignKey>,
}

impl Recovered {
    /// All of it, if nothing is broken.
    fn whole(mut self) -> Result<Self, RecoveryError> {
        self.broken.pop_first().map_or(Ok(self), |(_, error)| Err(error))
    }
}

/// The books of every campaign that a journal of several nodes knows, also of those that other nodes began and of which this one
/// never had a checkpoint. Any that cannot be recovered is an error.
pub fn recover_shared(journal: &dyn Journal) -> Result<Recovered, RecoveryError> {
    recover_sound(journal)?.whole()
}

/// The same, but a campaign whose records break a rule keeps no other from being recovered.
pub fn recover_sound(journal: &dyn Journal) -> Result<Recovered, RecoveryError> {
    loop {
        let start = journal.durable_start();
        let complete = journal.checkpoint(COMPLETE)?.map_or(0, |checkpoint| checkpoint.offset);
        let read = |from| replay(journal, from);
        match complete_books(start, complete, bases(journal)?, checkpoints(journal)?, read) {
            // Old records were dropped while they were read: what they came to is in the bases now.
            Err(RecoveryError::Journal(JournalError::Dropped { .. })) => {}
            recovered => return recovered,
        }
    }
}

/// The same as of the moment of a view, whatever is written meanwhile.
pub(crate) fn recover_view(journal: &EmbeddedJournal, view: &View) -> Result<Recovered, RecoveryError> {
    let (mut bases, mut checkpoints) = (HashMap::new(), Vec::new());
    for name in view.checkpoint_names()? {
        if let Some(key) = key_of(&name, BASES) {
            let base = view.checkpoint(&name)?.and_then(|base| minicbor::decode(&base.bytes).ok());
            bases.insert(key, base.ok_or(RecoveryError::Base(key))?);
        } else if let Some(key) = key_of(&name, PREFIX) {
            match view.checkpoint(&name) {
                Ok(found) => checkpoints.push((key, found)),
                Err(JournalError::Corrupt { .. }) => checkpoints.push((key, None)),
                Err(error) => return Err(error.into()),
            }
        }
    }
    let complete = view.checkpoint(COMPLETE)?.map_or(0, |checkpoint| checkpoint.offset);
    let read = |from| replay_view(journal, view, from);
    complete_books(view.start(), complete, bases, checkpoints, read)?.whole()
}

/// The books that follow from what the records before `start` came to, from checkpoints, and from the records. Below `complete`
/// every campaign that has records has a checkpoint.
fn complete_books<R>(
    start: u64,
    complete: u64,
    bases: HashMap<CampaignKey, Books>,
    checkpoints: Vec<(CampaignKey, Option<Checkpoint>)>,
    records: impl FnOnce(u64) -> R,
) -> Result<Recovered, RecoveryError>
where
    R: Iterator<Item = Result<(u64, Record), JournalError>>,
{
    let mut known: HashMap<CampaignKey, (Books, u64)> =
        bases.into_iter().map(|(key, books)| (key, (books, start))).collect();
    let mut kept = HashSet::new();
    for (key, found) in checkpoints {
        match found.and_then(|checkpoint| decode(&checkpoint, start)) {
            Some(decoded) => {
                known.insert(key, decoded);
                kept.insert(key);
            }
            // From its base, if it has one.
            None => drop(known.entry(key).or_insert_with(|| (Books::default(), start))),
        }
    }
    let from = known.values().map(|(_, offset)| *offset).fold(complete.max(start), u64::min);
    let mut end = from;
    let mut broken = BTreeMap::new();
    for entry in records(from) {
        let (offset, record) = entry?;
        end = offset.saturating_add(1);
        if record.campaign == CampaignKey::default() || broken.contains_key(&record.campaign) {
            continue;
        }
        let (books, included) = known.entry(record.campaign).or_default();
        if offset >= *included
            && let Err(error) = apply(books, &record, offset)
        {
            known.remove(&record.campaign);
            broken.insert(record.campaign, error);
        }
    }
    Ok(Recovered {
        books: known.into_iter().map(|(key, (books, _))| (key, books)).collect(),
        end,
        broken,
        kept,
    })
}

/// Keeps checkpoints of the campaigns that no actor keeps them of, so that this node has little to replay should one become its own.
/// Where the journal has no room it is for another time.
///
/// # Errors
///
/// The journal has no room.
pub fn keep_shared(
    journal: &dyn Journal,
    recovered: &Recovered,
    has_actor: impl Fn(CampaignKey) -> bool,
) -> Result<(), Refused> {
    // An actor's first checkpoint may not have come yet, and without one the campaign would be taken for new.
    let is_kept = |key: &CampaignKey| has_actor(*key) && recovered.kept.contains(key);
    for (key, books) in recovered.books.iter().filter(|(key, _)| !is_kept(key)) {
        journal.try_reserve_spare()?;
        let Checkpoint { name, offset, bytes } = checkpoint_of(*key, books, recovered.end);
        journal.put_checkpoint(&name, offset, bytes)?;
    }
    if recovered.broken.is_empty() {
        journal.put_checkpoint(COMPLETE, recovered.end, Vec::new())?;
    }
    Ok(())
}

/// One campaign's books, for an actor that starts again. Everything it committed must be durable by now.
pub fn recover_one(journal: &dyn Journal, key: CampaignKey) -> Result<Books, RecoveryError> {
    loop {
        match recover_once(journal, key) {
            // Old records were dropped while they were read: what they came to is in the base now.
            Err(RecoveryError::Journal(JournalError::Dropped { .. })) => {}
            recovered => return recovered,
        }
    }
}

fn recover_once(journal: &dyn Journal, key: CampaignKey) -> Result<Books, RecoveryError> {
    let start = journal.durable_start();
    let name = checkpoint_name(key);
    let found = journal.readable_checkpoints(&name)?.into_iter().find(|(found, _)| *found == name);
    // One that is damaged says nothing, and is passed over for that.
    let nothing = || Checkpoint { name: name.clone(), offset: start, bytes: Vec::new() };
    let checkpoint = found.map(|(_, checkpoint)| checkpoint.unwrap_or_else(nothing));
    let (mut books, from) = match checkpoint.and_then(|checkpoint| decode(&checkpoint, start)) {
        Some(decoded) => decoded,
        None => (base_of(journal, key)?, start),
    };
    for entry in replay(journal, from) {
        let (offset, record) = entry?;
        if record.campaign == key {
            apply(&mut books, &record, offset)?;
        }
    }
    Ok(books)
}

/// The books of every campaign without any checkpoint: from the journal's first record on, and before that from what the
/// dropped records came to. It is what `haggle ledger verify` compares with. `progress` is told each record's offset.
pub fn replay_all(
    journal: &dyn Journal,
    mut progress: impl FnMut(u64),
) -> Result<HashMap<CampaignKey, Books>, RecoveryError> {
    let mut books = bases(journal)?;
    for entry in replay(journal, journal.durable_start()) {
        let (offset, record) = entry?;
        progress(offset);
        // Events of no campaign, such as a user's behaviour, have the key zero.
        if record.campaign != CampaignKey::default() {
            apply(books.entry(record.campaign).or_default(), &record, offset)?;
        }
    }
    Ok(books)
}

pub(super) fn apply(books: &mut Books, record: &Record, offset: u64) -> Result<(), RecoveryError> {
    let applied = books.apply(&record.event, record.at).and_then(|()| books.ledger.check());
    applied.map_err(|violation| RecoveryError::Violation { offset, campaign: record.campaign, violation })
}
