//! What a crash leaves of the bidder: its records and checkpoints, as the journal has them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use haggle_actors::books::Books;
use haggle_actors::campaign::{RecoveryError, checkpoint_of, recover_from};
use haggle_actors::journal::Checkpoint;
use haggle_actors::learner::LearnerMachine;
use haggle_domain::{CampaignKey, Record};

/// Names of the learner's checkpoints.
const MODEL: &str = "model";
const PROFILES: &str = "profiles";

/// Everything that is durable. In a simulated world that is all that was recorded: no time passes between a record and its being
/// durable, so there is nothing that a node would have lost unacknowledged.
#[derive(Default)]
pub(super) struct Tape {
    /// Since the oldest checkpoint.
    records: VecDeque<Record>,
    /// The number of the first of them.
    first: u64,
    campaigns: BTreeMap<String, Checkpoint>,
    learner: BTreeMap<&'static str, Checkpoint>,
}

impl Tape {
    /// One whose first record has this number.
    pub(super) fn starting_at(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// The number that the next record gets.
    pub(super) fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    pub(super) fn push(&mut self, record: Record) {
        self.records.push_back(record);
    }

    /// Keeps a campaign's books, of which everything is recorded.
    pub(super) fn keep_books(&mut self, key: CampaignKey, books: &Books) {
        let checkpoint = checkpoint_of(key, books, self.end());
        self.campaigns.insert(checkpoint.name.clone(), checkpoint);
    }

    /// Keeps what was learned, and lets go of the records that no restart needs.
    pub(super) fn keep_learner(&mut self, learner: &LearnerMachine) {
        let states = [
            (MODEL, learner.learned(), learner.save()),
            (PROFILES, learner.profiled(), learner.audience().save()),
        ];
        for (name, offset, bytes) in states {
            self.learner.insert(name, Checkpoint { name: name.to_owned(), offset, bytes });
        }
        let kept = self.campaigns.values().chain(self.learner.values()).map(|it| it.offset).min();
        while self.first < kept.unwrap_or(0) && self.records.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// The campaigns' books, as a node recovers them.
    pub(super) fn recover_books(&self) -> Result<HashMap<CampaignKey, Books>, RecoveryError> {
        let checkpoints = self.campaigns.values().cloned().collect();
        let empty = |_| Ok(Books::default());
        recover_from(checkpoints, 0, empty, |from| {
            self.from(from).map(|(offset, record)| Ok((offset, record.clone())))
        })
    }

    /// Has a new learner go on from the checkpoints, and read the rest.
    pub(super) fn recover_learner(&self, learner: &mut LearnerMachine) -> Result<(), String> {
        if let Some(Checkpoint { bytes, offset, .. }) = self.learner.get(MODEL) {
            learner.restore(bytes, *offset)?;
        }
        if let Some(Checkpoint { bytes, offset, .. }) = self.learner.get(PROFILES) {
            learner.restore_profiles(bytes, *offset)?;
        }
        for (offset, record) in self.from(learner.cursor()) {
            learner.consume(offset, record);
        }
        Ok(())
    }

    fn from(&self, offset: u64) -> impl Iterator<Item = (u64, &Record)> {
        let skipped = usize::try_from(offset.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (self.first..).zip(&self.records).skip(skipped)
    }
}
