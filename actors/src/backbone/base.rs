//! What a partition of the log came to as of an offset, so that who comes new need not read what is below.
//!
//! Every node judges the log alike, so a base follows from the log alone, whoever made it: which of two whole ones is taken matters
//! for nothing but how much there is left to read.

use std::collections::BTreeMap;
use std::path::Path;

use haggle_domain::{CampaignKey, NodeId, PrivacyKey, Record, Timestamp};
use minicbor::{Decode, Encode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::core::{ORDERS, partition_of};
use super::fence::PartitionState;
use crate::attribution::{Attributor, AttributorSettings, Before, CHECKPOINT};
use crate::books;
use crate::campaign::{self, RecoveryError, recover_view};
use crate::journal::{
    Checkpoint, EmbeddedJournal, Journal, JournalError, Position, View, replay, replay_view,
};
use crate::suppression::Suppression;

/// Bytes of one piece: few enough for any broker, and for commits not to wait long behind one.
pub(super) const PIECE: usize = 256 * 1024;
const SEED: u64 = u64::from_be_bytes(*b"hagglebs");

/// One campaign's books as of the base.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(super) struct Books {
    #[n(0)]
    pub(super) campaign: CampaignKey,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub(super) books: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub(super) struct Content {
    /// By rising keys.
    #[n(0)]
    pub(super) books: Vec<Books>,
    /// Who is to be forgotten, of all partitions as far as its maker had read them: more than enough.
    #[n(1)]
    pub(super) forgotten: Vec<(PrivacyKey, Suppression)>,
    /// Of the partition that has what is told of orders: which are known and what became of them, but not what users did before.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub(super) orders: Option<Vec<u8>>,
    /// Of the same partition: what else follows from those records.
    #[cbor(n(3), default)]
    pub(super) beside: Vec<Beside>,
}

/// A state that follows from what is told of orders: whoever begins at the base finds it as a checkpoint of that name, which includes
/// everything before its first record, whatever offsets the state itself may name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Beside {
    /// The checkpoint's.
    #[n(0)]
    pub name: String,
    /// The state.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// A node's copy of the log as of one moment.
pub struct Moment<'a> {
    mirror: &'a EmbeddedJournal,
    view: &'a View,
}

impl Moment<'_> {
    /// The checkpoint of that name.
    pub fn checkpoint(&self, name: &str) -> Result<Option<Checkpoint>, JournalError> {
        self.view.checkpoint(name)
    }

    /// The records from an offset on, each with its own.
    pub fn records(&self, from: u64) -> impl Iterator<Item = Result<(u64, Record), JournalError>> {
        replay_view(self.mirror, self.view, from.max(self.view.start()))
    }
}

/// What else the first partition's base has, as of a moment.
pub type Besides<'a> = dyn Fn(&Moment<'_>) -> Result<Vec<Beside>, JournalError> + 'a;

/// What a partition came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    pub(super) partition: u32,
    pub(super) state: PartitionState,
    pub(super) content: Content,
}

impl Base {
    /// Of which partition.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// What is known of the partition: everything below its `next` is in the base.
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    /// Its bytes in pieces, and their checksums.
    pub(super) fn pieces(&self) -> (Vec<Vec<u8>>, Vec<u64>) {
        // Encoding into memory cannot fail.
        let bytes = minicbor::to_vec(&self.content).unwrap_or_default();
        let pieces: Vec<Vec<u8>> = bytes.chunks(PIECE).map(<[u8]>::to_vec).collect();
        let checksums = pieces.iter().map(|piece| checksum(piece)).collect();
        (pieces, checksums)
    }
}

pub(super) fn checksum(piece: &[u8]) -> u64 {
    xxh3_64_with_seed(piece, SEED)
}

/// What is written of a base last: with it the base is whole.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Header {
    /// Above those of all bases of the partition that its maker knew of.
    #[n(0)]
    pub generation: u64,
    /// Who made it.
    #[n(1)]
    pub node: NodeId,
    /// When, by its maker's clock.
    #[n(2)]
    pub at: Timestamp,
    /// What is known of the partition.
    #[n(3)]
    pub state: PartitionState,
    /// The checksums of its pieces, in order.
    #[n(4)]
    pub pieces: Vec<u64>,
    /// How many campaigns are in it.
    #[n(5)]
    pub campaigns: u64,
}

impl Header {
    /// Nobody needs what is below in the log once this base is whole: everything there is in it, and every fact there is settled.
    pub fn trimmable(&self) -> u64 {
        self.state.next.min(self.state.facts_below)
    }
}

/// Who is to be forgotten.
pub(super) type Forgotten = BTreeMap<PrivacyKey, Suppression>;

/// Adds what one base knows of a user to what others do. Nobody ever leaves.
pub(super) fn merge(all: &mut Forgotten, user: PrivacyKey, known: Suppression) {
    let entry = all.entry(user).or_default();
    entry.opted_out |= known.opted_out;
    entry.erased_until = entry.erased_until.max(known.erased_until);
}

/// What came before the records of a journal that becomes the beginning of a log, by partitions of which there are so many; nothing where all
/// its records are there.
pub fn bases_before(
    journal: &EmbeddedJournal,
    partitions: u32,
    attribution: AttributorSettings,
) -> Result<Vec<Base>, RecoveryError> {
    if journal.durable_start() == 0 {
        return Ok(Vec::new());
    }
    let mut books: BTreeMap<u32, Vec<Books>> = BTreeMap::new();
    for (campaign, base) in campaign::bases(journal)? {
        let books = books.entry(partition_of(campaign, partitions)).or_default();
        books.push(encoded(campaign, &base));
    }
    let (forgotten, state) = (forgotten(journal), PartitionState::default());
    let base = |partition| of(partition, state.clone(), books.remove(&partition), &forgotten);
    let mut bases: Vec<Base> = (0..partitions).map(base).collect();
    if let Some(base) = bases.iter_mut().find(|base| base.partition == ORDERS) {
        base.content.orders = Some(orders_before(journal, attribution)?);
    }
    Ok(bases)
}

/// Which orders were known before a journal's first record: whoever tells of them again tells nothing new.
fn orders_before(
    journal: &EmbeddedJournal,
    attribution: AttributorSettings,
) -> Result<Vec<u8>, JournalError> {
    let mut known = Attributor::new(attribution);
    restore(&mut known, journal.checkpoint(CHECKPOINT)?, journal.view()?.dir())?;
    let start = journal.durable_start();
    for entry in replay(journal, known.cursor().max(start)) {
        let (offset, record) = entry?;
        known.consume(offset, &record);
    }
    let mut before = Before::new(known);
    for entry in replay(journal, start) {
        before.tell(&entry?.1);
    }
    Ok(before.save())
}

/// How often a cut is made anew because old records were dropped under its feet.
const TRIES: u32 = 10;

/// What some partitions came to, as of one moment in a node's copy of the log: how far each was read lies in the batch of the records
/// that brought it there, so books that end where the copy ends hold exactly what is below. None of a partition of which nothing was
/// read. Blocks for as long as it takes to read what is not in checkpoints.
pub(super) fn cut(
    mirror: &EmbeddedJournal,
    partition_of: impl Fn(CampaignKey) -> u32,
    partitions: &[u32],
    attribution: AttributorSettings,
    besides: &Besides<'_>,
) -> Result<Vec<Base>, RecoveryError> {
    let mut tries = 0;
    loop {
        match try_cut(mirror, &partition_of, partitions, attribution, besides) {
            Err(RecoveryError::Journal(JournalError::Dropped { .. })) if tries < TRIES => tries += 1,
            cut => return cut,
        }
    }
}

fn try_cut(
    mirror: &EmbeddedJournal,
    partition_of: &impl Fn(CampaignKey) -> u32,
    partitions: &[u32],
    attribution: AttributorSettings,
    besides: &Besides<'_>,
) -> Result<Vec<Base>, RecoveryError> {
    let view = mirror.view()?;
    let mut states: BTreeMap<u32, PartitionState> = BTreeMap::new();
    for Position { partition, state } in view.positions()? {
        let state = minicbor::decode(&state).map_err(|_| {
            let what = "how far the log was read is not what was written".to_owned();
            JournalError::Corrupt { dir: view.dir().to_owned(), offset: None, what }
        })?;
        states.insert(partition, state);
    }
    let mut books: BTreeMap<u32, Vec<Books>> = BTreeMap::new();
    for (campaign, recovered) in recover_view(mirror, &view)?.books {
        books.entry(partition_of(campaign)).or_default().push(encoded(campaign, &recovered));
    }
    // After the view: who was told of in what it shows is known by now. More than those does no harm.
    let forgotten = forgotten(mirror);
    let base = |partition: &u32| {
        Some(of(*partition, states.remove(partition)?, books.remove(partition), &forgotten))
    };
    let mut bases: Vec<Base> = partitions.iter().filter_map(base).collect();
    if let Some(base) = bases.iter_mut().find(|base| base.partition == ORDERS) {
        let moment = Moment { mirror, view: &view };
        base.content.orders = Some(orders(&moment, attribution)?);
        base.content.beside = besides(&moment)?;
    }
    Ok(bases)
}

/// What is known of orders as of the moment of a view.
fn orders(moment: &Moment<'_>, attribution: AttributorSettings) -> Result<Vec<u8>, JournalError> {
    let view = moment.view;
    let mut attributor = Attributor::new(attribution);
    match view.checkpoint(CHECKPOINT).and_then(|kept| restore(&mut attributor, kept, view.dir())) {
        // Of a journal that has all its records they say the same.
        Err(JournalError::Corrupt { .. }) if view.start() == 0 => attributor = Attributor::new(attribution),
        restored => restored?,
    }
    for entry in moment.records(attributor.cursor()) {
        let (offset, record) = entry?;
        attributor.consume(offset, &record);
    }
    Ok(attributor.save_orders())
}

/// Has it go on from its checkpoint, if there is one.
fn restore(attributor: &mut Attributor, kept: Option<Checkpoint>, dir: &Path) -> Result<(), JournalError> {
    let Some(Checkpoint { bytes, offset, .. }) = kept else { return Ok(()) };
    attributor.restore(&bytes, offset).map_err(|_| {
        let what = "which orders are known is not what was written".to_owned();
        JournalError::Corrupt { dir: dir.to_owned(), offset: None, what }
    })
}

fn encoded(campaign: CampaignKey, books: &books::Books) -> Books {
    // Encoding into memory cannot fail.
    Books { campaign, books: minicbor::to_vec(books).unwrap_or_default() }
}

fn forgotten(journal: &EmbeddedJournal) -> Vec<(PrivacyKey, Suppression)> {
    let mut forgotten = Forgotten::new();
    let suppressions = journal.suppressions();
    for user in suppressions.everybody() {
        if let Some(known) = suppressions.get(user) {
            merge(&mut forgotten, user, known);
        }
    }
    forgotten.into_iter().collect()
}

fn of(
    partition: u32,
    state: PartitionState,
    books: Option<Vec<Books>>,
    forgotten: &[(PrivacyKey, Suppression)],
) -> Base {
    let mut books = books.unwrap_or_default();
    books.sort_unstable_by_key(|kept| kept.campaign);
    Base { partition, state, content: Content { books, forgotten: forgotten.to_vec(), ..Content::default() } }
}
