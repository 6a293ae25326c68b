//! Where the records come from.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use haggle_actors::books::Books;
use haggle_actors::journal::{Checkpoint, EmbeddedJournal, Journal};
use haggle_domain::{CampaignKey, Event, Record};

use crate::backup::{self, Manifest};
use crate::exit::ExitError;
use crate::ledger::open_journal;
use crate::model::Progress;
use crate::server::StartError;

/// Records read at once.
const CHUNK: usize = 4_096;

/// What is read from its beginning to its end.
pub(super) struct Source {
    of: Of,
    /// The ids of campaigns, as far as they were met.
    ids: HashMap<CampaignKey, Box<str>>,
}

enum Of {
    Journal(Box<EmbeddedJournal>),
    Backup(PathBuf, Manifest),
}

/// Does something with a record, its offset and its campaign's id.
pub(super) type Visit<'v> = dyn FnMut(u64, &Record, Option<&str>) -> Result<(), ExitError> + 'v;

impl Source {
    /// Opens the journal of a node that is not running, or a backup, which is held against its checksums first.
    pub(super) fn open(data: &Path, progress: &Progress) -> Result<Self, ExitError> {
        let mut ids = HashMap::new();
        if Manifest::is_in(data) {
            let manifest = Manifest::read(data)?;
            manifest.verify(data, progress)?;
            backup::each_checkpoint(data, &mut |checkpoint| {
                ids.extend(id_of(&checkpoint));
                Ok(())
            })?;
            return Ok(Self { of: Of::Backup(data.to_owned(), manifest), ids });
        }
        let source = Self { of: Of::Journal(Box::new(open_journal(data)?)), ids };
        source.with_ids()
    }

    fn with_ids(mut self) -> Result<Self, ExitError> {
        if let Of::Journal(journal) = &self.of {
            // The learner's are large.
            for prefix in ["base/", "campaign/"] {
                let checkpoints = journal.checkpoints(prefix).map_err(StartError::from)?;
                self.ids.extend(checkpoints.iter().filter_map(id_of));
            }
        }
        Ok(self)
    }

    /// Whether a campaign was met, of those that are defined in what was read or of which a checkpoint tells.
    pub(super) fn knows(&self, campaign: CampaignKey) -> bool {
        self.ids.contains_key(&campaign)
    }

    /// The ids of those, in order; twenty at most.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<&str> = self.ids.values().map(|id| &**id).collect();
        names.sort_unstable();
        names.into_iter().take(20).map(str::to_owned).collect()
    }

    pub(super) fn start(&self) -> u64 {
        match &self.of {
            Of::Journal(journal) => journal.durable_start(),
            Of::Backup(_, manifest) => manifest.start,
        }
    }

    pub(super) fn end(&self) -> u64 {
        match &self.of {
            Of::Journal(journal) => journal.durable_end(),
            Of::Backup(_, manifest) => manifest.end,
        }
    }

    /// Shows the records of `from..to`.
    pub(super) fn each(&mut self, from: u64, to: u64, visit: &mut Visit<'_>) -> Result<(), ExitError> {
        let ids = &mut self.ids;
        let mut show = |offset: u64, record: &Record| {
            if let Event::Defined { id } = &record.event {
                ids.insert(record.campaign, id.as_str().into());
            }
            visit(offset, record, ids.get(&record.campaign).map(|id| &**id))
        };
        let journal = match &self.of {
            Of::Journal(journal) => journal,
            Of::Backup(folder, manifest) => {
                return backup::each_record(folder, manifest, &mut |offset, record| {
                    if (from..to).contains(&offset) { show(offset, record) } else { Ok(()) }
                });
            }
        };
        let mut cursor = from;
        while cursor < to {
            let chunk = journal.read_from(cursor, CHUNK).map_err(StartError::from)?;
            let Some((last, _)) = chunk.last() else { break };
            cursor = last.saturating_add(1);
            for (offset, record) in chunk.iter().filter(|(offset, _)| *offset < to) {
                show(*offset, record)?;
            }
        }
        Ok(())
    }
}

impl Drop for Source {
    /// Frees the journal before anybody goes on; dropping it alone would let it end by itself.
    fn drop(&mut self) {
        if let Of::Journal(journal) = &self.of {
            // Nothing was written, so what it may complain of is not about what was read.
            let _ = journal.close();
        }
    }
}

/// What a campaign's checkpoint, or what stands for its dropped records, says of its id.
fn id_of(checkpoint: &Checkpoint) -> Option<(CampaignKey, Box<str>)> {
    let (_, key) = checkpoint.name.split_once('/')?;
    let key = u64::from_str_radix(key, 16).ok()?;
    let books: Books = minicbor::decode(&checkpoint.bytes).ok()?;
    Some((CampaignKey(key), books.id?))
}
