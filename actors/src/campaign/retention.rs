//! Dropping records that are old enough, without forgetting what they came to.
//!
//! For every campaign of which records are dropped a *base* is kept: its books as of the journal's start. It is made
//! by replaying what is about to go onto the former base, under the same rules as ever, and is written in the same batch as
//! the new start. So books are still base + replay, and `haggle ledger verify` still proves every cent of them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use haggle_domain::{CampaignKey, Clock, Record, Timestamp};

use super::recovery::{BASES, PREFIX, RecoveryError, apply, base_name, base_of, key_of};
use crate::books::Books;
use crate::journal::{Checkpoint, EmbeddedJournal, Journal, replay};

/// Records that are dropped at once, at most.
const PORTION: u64 = 100_000;
/// Campaigns whose bases are written at once, at most.
const BASES_AT_ONCE: usize = 256;
/// So many records in a row that are young end the search for old ones: nearly all lie in the order of their times.
const YOUNG: usize = 4_096;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records are dropped when they are older.
    pub keep: Duration,
    /// A click later than this after the bid does not count, so a base need not remember earlier ones.
    pub click_expiry: Duration,
    /// The same of orders.
    pub conversion_window: Duration,
}

impl Retention {
    /// How often it is worth looking for what is too old.
    fn turn(&self) -> Duration {
        (self.keep / 200).clamp(Duration::from_millis(500), Duration::from_secs(3_600))
    }
}

/// Starts the thread that drops what becomes too old; [`Journal::close`] ends it.
pub fn start_keeper(
    journal: &Arc<EmbeddedJournal>,
    retention: Retention,
    clock: Arc<dyn Clock>,
) -> io::Result<()> {
    journal.beside("keeper", retention.turn(), move |journal| match trim(journal, &retention, clock.now()) {
        Ok(0) => {}
        Ok(records) => {
            tracing::info!(records, start = journal.durable_start(), "dropped old records");
        }
        Err(_) if journal.is_closing() => {}
        Err(error) => tracing::error!(%error, "old records cannot be dropped; it is tried again"),
    })
}

/// Drops the records that are older than what is kept and that nobody needs: neither a checkpoint that does not include
/// them, nor a campaign whose checkpoint is from before them. Gives how many. Blocks; one caller at a time.
///
/// # Errors
///
/// The journal's, or records that break a rule of bookkeeping: then nothing is dropped.
pub fn trim(journal: &EmbeddedJournal, retention: &Retention, now: Timestamp) -> Result<u64, RecoveryError> {
    let first = journal.durable_start();
    while !journal.is_closing() {
        let Some(portion) = Portion::find(journal, retention, now)? else { break };
        portion.drop(journal, retention, now)?;
    }
    Ok(journal.durable_start() - first)
}

/// Records to drop, already in the books of their campaigns.
struct Portion {
    start: u64,
    books: HashMap<CampaignKey, Books>,
}

impl Portion {
    /// The next one from the journal's start on, if anything there may go.
    fn find(
        journal: &EmbeddedJournal,
        retention: &Retention,
        now: Timestamp,
    ) -> Result<Option<Self>, RecoveryError> {
        let first = journal.durable_start();
        let (campaigns, end) = needed(journal)?;
        let mut portion = Self { start: first, books: HashMap::new() };
        // Young records between old ones go with them.
        let mut between: VecDeque<(u64, Record)> = VecDeque::new();
        for entry in replay(journal, first) {
            let (offset, record) = entry?;
            let included = campaigns.get(&record.campaign).is_none_or(|included| offset < *included);
            if offset >= end || !included {
                break;
            }
            let old = now.since(record.at) > retention.keep;
            between.push_back((offset, record));
            if !old {
                if between.len() >= YOUNG {
                    break;
                }
                continue;
            }
            while let Some((offset, record)) = between.pop_front() {
                portion.take(journal, offset, &record)?;
            }
            if portion.start - first >= PORTION || portion.books.len() >= BASES_AT_ONCE {
                break;
            }
        }
        Ok(Some(portion).filter(|portion| portion.start > first))
    }

    fn take(&mut self, journal: &EmbeddedJournal, offset: u64, record: &Record) -> Result<(), RecoveryError> {
        // Events of no campaign, such as a user's behaviour, have the key zero.
        if record.campaign != CampaignKey::default() {
            let books = match self.books.entry(record.campaign) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(base_of(journal, record.campaign)?),
            };
            apply(books, record, offset)?;
        }
        self.start = offset.saturating_add(1);
        Ok(())
    }

    fn drop(
        self,
        journal: &EmbeddedJournal,
        retention: &Retention,
        now: Timestamp,
    ) -> Result<(), RecoveryError> {
        let start = self.start;
        let bases = self.books.into_iter().map(|(key, mut books)| {
            books.forget(now, retention.click_expiry, retention.conversion_window);
            let bytes = minicbor::to_vec(&books).unwrap_or_default();
            Checkpoint { name: base_name(key), offset: start, bytes }
        });
        Ok(journal.drop_below(start, bases.collect())?)
    }
}

/// Below which offset each campaign's checkpoint includes everything, and below which all others do, at most the end.
///
/// A campaign to which nothing happens needs no records, however old its checkpoint is, so it holds nothing back.
fn needed(journal: &EmbeddedJournal) -> Result<(HashMap<CampaignKey, u64>, u64), RecoveryError> {
    let (mut campaigns, mut end) = (HashMap::new(), journal.durable_end());
    for (name, offset) in journal.checkpoint_offsets()? {
        if let Some(key) = key_of(&name, PREFIX) {
            campaigns.insert(key, offset);
        } else if !name.starts_with(BASES) {
            end = end.min(offset);
        }
    }
    Ok((campaigns, end))
}
