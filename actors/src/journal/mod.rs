//! The event journal: what happened, in order, durable before it is acknowledged.
//!
//! A [`Journal`] is one ordered log of [`Record`]s, numbered from 0. Whoever writes first reserves a place in its
//! bounded [`Intake`], then changes its own state, then commits the records: so nobody changes state for which
//! there is no room in the journal. One thread writes what has gathered as one batch, syncs once, and only then
//! acknowledges. Readers keep their own cursor and see durable records alone.

mod checkpoints;
mod copy;
mod embedded;
mod erasure;
mod error;
mod frame;
pub(crate) mod intake;
mod lock;
pub(crate) mod mark;
mod privacy;
pub(crate) mod purge;
mod start;
pub(crate) mod store;
mod tail;
mod writer;

use haggle_domain::Record;
use tokio::sync::watch;

pub use copy::{Remaking, View, record_of};
pub(crate) use embedded::Position;
pub use embedded::{EmbeddedJournal, JournalOptions};
pub use error::JournalError;
pub use intake::{Intake, JournalStats, OnDurable, Permit, Refused};

/// A consumer's or an actor's state, as of an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub name: String,
    /// From where to replay: everything below this offset is included, nothing from it on.
    pub offset: u64,
    /// The state, as its owner encodes it.
    pub bytes: Vec<u8>,
}

/// The event backbone, whatever keeps it.
pub trait Journal: Send + Sync {
    /// Where records and checkpoints go in.
    fn intake(&self) -> &Intake;

    /// Durable records from `offset` on, at most `limit`, in order, each with its offset. Empty at the end, and
    /// [`JournalError::Dropped`] below [`Journal::durable_start`].
    fn read_from(&self, offset: u64, limit: usize) -> Result<Vec<(u64, Record)>, JournalError>;

    /// The checkpoint of that name.
    fn checkpoint(&self, name: &str) -> Result<Option<Checkpoint>, JournalError>;

    /// All checkpoints whose names begin like that, in the order of their names.
    fn checkpoints(&self, prefix: &str) -> Result<Vec<Checkpoint>, JournalError>;

    /// The same with the names alone of those whose bytes are not those that were written.
    fn readable_checkpoints(&self, prefix: &str) -> Result<Vec<(String, Option<Checkpoint>)>, JournalError> {
        let found = self.checkpoints(prefix)?.into_iter();
        Ok(found.map(|checkpoint| (checkpoint.name.clone(), Some(checkpoint))).collect())
    }

    /// Writes what is waiting, syncs, and lets go of the store. Blocks; not to be called by a callback.
    fn close(&self) -> Result<(), JournalError>;

    /// A place for one commit; `Err` without waiting where there is none.
    fn try_reserve(&self) -> Result<Permit, Refused> {
        self.intake().try_reserve()
    }

    /// A place for what can wait, such as a campaign's own housekeeping: none while half of the places are taken, so that
    /// it never keeps notices out.
    fn try_reserve_spare(&self) -> Result<Permit, Refused> {
        self.intake().try_reserve_spare()
    }

    /// Appends what may be lost (sampled bids), or drops and counts it while others need the room.
    fn try_append_unacknowledged(&self, records: Vec<Record>) -> bool {
        self.intake().try_append_unacknowledged(records)
    }

    /// Calls back once everything that was committed before is durable.
    fn barrier(&self, on_durable: OnDurable) -> Result<(), Refused> {
        self.try_reserve().map(|permit| permit.commit(Vec::new(), Some(on_durable)))
    }

    /// Keeps a state that includes every record below `offset`. It is written after what was committed before.
    fn put_checkpoint(&self, name: &str, offset: u64, bytes: Vec<u8>) -> Result<(), Refused> {
        self.intake().put_checkpoint(name, Some(offset), bytes, None)
    }

    /// Keeps a state that includes every record committed before this call, whatever offsets they get.
    fn put_checkpoint_here(&self, name: &str, bytes: Vec<u8>) -> Result<(), Refused> {
        self.intake().put_checkpoint(name, None, bytes, None)
    }

    /// The same of what was known under a claim; see [`Permit::under`]. Under another it is not kept.
    fn put_checkpoint_under(&self, claim: Option<u64>, name: &str, bytes: Vec<u8>) -> Result<(), Refused> {
        self.intake().put_checkpoint(name, None, bytes, claim)
    }

    /// Where the log begins: what was below is dropped.
    fn durable_start(&self) -> u64 {
        0
    }

    /// Everything below is durable; the next record's offset at the earliest.
    fn durable_end(&self) -> u64 {
        *self.intake().progress().durable.borrow()
    }

    /// Follows [`Journal::durable_end`].
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.intake().progress().durable.subscribe()
    }

    /// Why the journal stopped, if it did. It stays stopped.
    fn failure(&self) -> Option<JournalError> {
        self.intake().progress().failure.borrow().clone()
    }

    /// Follows [`Journal::failure`]; the program exits when there is one.
    fn failures(&self) -> watch::Receiver<Option<JournalError>> {
        self.intake().progress().failure.subscribe()
    }

    /// Counts since the start.
    fn stats(&self) -> JournalStats {
        self.intake().stats()
    }
}

/// How many records a replay reads at once.
const REPLAY_CHUNK: usize = 4096;

/// Every durable record from `offset` on, for a start. Ends at the durable end or after the first error.
pub fn replay(
    journal: &dyn Journal,
    offset: u64,
) -> impl Iterator<Item = Result<(u64, Record), JournalError>> + '_ {
    let mut next = Some(offset);
    let chunks = std::iter::from_fn(move || {
        let chunk = journal.read_from(next?, REPLAY_CHUNK);
        next = match &chunk {
            Ok(records) => records.last().map(|(last, _)| last.saturating_add(1)),
            Err(_) => None,
        };
        Some(chunk)
    });
    chunks.flat_map(|chunk| {
        let (records, error) = match chunk {
            Ok(records) => (records, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        records.into_iter().map(Ok).chain(error)
    })
}

/// The same as far as a view shows, whatever is written meanwhile.
pub(crate) fn replay_view<'j>(
    journal: &'j EmbeddedJournal,
    view: &View,
    offset: u64,
) -> impl Iterator<Item = Result<(u64, Record), JournalError>> + use<'j> {
    let end = view.end();
    replay(journal, offset).take_while(move |entry| entry.as_ref().map_or(true, |(offset, _)| *offset < end))
}
