//! Where the records come from.

use std::collections::HashMap;
use std::path::Path;

use haggle_actors::books::Books;
use haggle_actors::journal::{Checkpoint, EmbeddedJournal, Journal};
use haggle_domain::{CampaignKey, Event, Record};

use crate::exit::ExitError;
use crate::ledger::open_journal;
use crate::server::StartError;

/// Records read at once.
const CHUNK: usize = 4_096;

/// A journal that is read from its beginning to its end.
pub(super) struct Source {
    journal: EmbeddedJournal,
    /// The ids of campaigns, as far as they were met.
    ids: HashMap<CampaignKey, Box<str>>,
}

/// Does something with a record, its offset and its campaign's id.
pub(super) type Visit<'v> = dyn FnMut(u64, &Record, Option<&str>) -> Result<(), ExitError> + 'v;

impl Source {
    /// Opens the journal of a node that is not running.
    pub(super) fn open(data: &Path) -> Result<Self, ExitError> {
        let journal = open_journal(data)?;
        let checkpoints = journal.checkpoints("").map_err(StartError::from)?;
        Ok(Self { journal, ids: checkpoints.iter().filter_map(id_of).collect() })
    }

    pub(super) fn start(&self) -> u64 {
        self.journal.durable_start()
    }

    pub(super) fn end(&self) -> u64 {
        self.journal.durable_end()
    }

    /// Shows the records of `from..to`.
    pub(super) fn each(&mut self, from: u64, to: u64, visit: &mut Visit<'_>) -> Result<(), ExitError> {
        let mut cursor = from;
        while cursor < to {
            let chunk = self.journal.read_from(cursor, CHUNK).map_err(StartError::from)?;
            let Some((last, _)) = chunk.last() else { break };
            cursor = last.saturating_add(1);
            for (offset, record) in chunk.iter().filter(|(offset, _)| *offset < to) {
                if let Event::Defined { id } = &record.event {
                    self.ids.insert(record.campaign, id.as_str().into());
                }
                visit(*offset, record, self.ids.get(&record.campaign).map(|id| &**id))?;
            }
        }
        Ok(())
    }
}

impl Drop for Source {
    /// Frees the journal before anybody goes on; dropping it alone would let it end by itself.
    fn drop(&mut self) {
        // Nothing was written, so what it may complain of is not about what was read.
        let _ = self.journal.close();
    }
}

/// What a campaign's checkpoint, or what stands for its dropped records, says of its id.
fn id_of(checkpoint: &Checkpoint) -> Option<(CampaignKey, Box<str>)> {
    let (_, key) = checkpoint.name.split_once('/')?;
    let key = u64::from_str_radix(key, 16).ok()?;
    let books: Books = minicbor::decode(&checkpoint.bytes).ok()?;
    Some((CampaignKey(key), books.id?))
}
