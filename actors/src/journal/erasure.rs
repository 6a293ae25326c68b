//! Erasing users from what is written: their records are overwritten in place, then every file that held the old bytes
//! is replaced.
//!
//! The journal's writer remains the only one that writes. The eraser, a thread of its own, searches the records below
//! the erasure's and hands what it found to the writer in small portions, so that no commit waits for more than one of
//! them. Offsets, money and counts stay. An erasure that is cut short stands as not done in the store, and is done from
//! its beginning by the next eraser.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use haggle_domain::PrivacyKey;

use super::intake::{Intake, Rewrite};
use super::purge::Files;
use super::store::Store;
use super::{Checkpoint, EmbeddedJournal, Journal, JournalError};
use crate::attribution;

/// Records read at once.
const SEARCHED: usize = 2048;
/// Records that the writer overwrites in one portion.
const PORTION: usize = 256;
/// Between two looks at something that is waited for.
const STEP: Duration = Duration::from_millis(20);
/// How often a running eraser looks for work.
const TURN: Duration = Duration::from_millis(200);
/// Turns until a failed erasure is tried again.
const REST: u32 = 300;
/// The same where only others have failed, before or after everything that takes long.
const SHORT_REST: u32 = 25;

/// Checkpoints with data of users begin like this.
pub(super) const CHECKPOINTS: &str = "learner/";

impl EmbeddedJournal {
    /// Starts the thread that erases what is asked for, and what an earlier life has left undone. [`Journal::close`]
    /// ends it. `patience` is how long the learner may take to replace checkpoints from before an erasure; then they
    /// are removed, and the learner's next start replays the journal. Attribution's stays, without the users.
    ///
    /// What is known of the users elsewhere is erased by `elsewhere`: first, so that nothing else is begun while that cannot be
    /// done, and once more at the end, when whatever was on its way there has arrived. It may block for some seconds. An erasure is
    /// not done before both have come about.
    pub fn start_eraser(
        self: &Arc<Self>,
        patience: Duration,
        elsewhere: impl Fn(&[PrivacyKey]) -> Result<(), String> + Send + 'static,
    ) -> io::Result<()> {
        let mut rest = 0;
        self.beside("eraser", TURN, move |journal| {
            if rest == 0
                && let Err(error) = journal.complete(patience, &elsewhere)
                && !journal.is_closing()
            {
                match error {
                    Unfinished::Journal(error) => {
                        tracing::error!(%error, "an erasure is not complete; it is tried again");
                        rest = REST;
                    }
                    Unfinished::Elsewhere(why) => {
                        tracing::warn!(why, "an erasure is not complete elsewhere; it is tried again");
                        rest = SHORT_REST;
                    }
                }
            }
            rest = u32::saturating_sub(rest, 1);
        })
    }

    /// Erases what is asked for durably and not done yet; gives how many users. Blocks; one caller at a time.
    pub fn complete_erasures(&self, patience: Duration) -> Result<usize, JournalError> {
        match self.complete(patience, &|_| Ok(())) {
            Ok(count) => Ok(count),
            Err(Unfinished::Journal(error)) => Err(error),
            Err(Unfinished::Elsewhere(_)) => Ok(0),
        }
    }

    fn complete(&self, patience: Duration, elsewhere: &Elsewhere) -> Result<usize, Unfinished> {
        let end = self.durable_end();
        let mut users = self.suppressions().unfinished();
        users.retain(|(_, below)| *below < end);
        let Some(below) = users.iter().map(|(_, below)| *below).max() else { return Ok(0) };
        let keys: Vec<PrivacyKey> = users.iter().map(|(user, _)| *user).collect();
        elsewhere(&keys).map_err(Unfinished::Elsewhere)?;
        let eraser = Eraser { store: self.store()?, intake: self.intake() };
        let records = eraser.redact(below)?;
        eraser.replace_checkpoints(below, &keys, patience)?;
        eraser.purge()?;
        elsewhere(&keys).map_err(Unfinished::Elsewhere)?;
        let count = users.len();
        eraser.rewrite(Rewrite::Finished(users))?;
        tracing::info!(users = count, records, "erased users' data");
        Ok(count)
    }
}

/// What erases users elsewhere, or says why it has not.
type Elsewhere = dyn Fn(&[PrivacyKey]) -> Result<(), String>;

/// Why an erasure is not done.
enum Unfinished {
    Journal(JournalError),
    Elsewhere(String),
}

impl From<JournalError> for Unfinished {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

struct Eraser<'j> {
    store: Arc<Store>,
    intake: &'j Intake,
}

impl Eraser<'_> {
    /// Has the writer do a portion, and waits until it is durable.
    fn rewrite(&self, rewrite: Rewrite) -> Result<(), JournalError> {
        self.intake.rewrite(rewrite)
    }

    /// Overwrites the records below `below` that name erased users; gives how many.
    fn redact(&self, below: u64) -> Result<usize, JournalError> {
        let (mut next, mut count) = (0, 0);
        while next < below {
            next = self.store.start().max(next);
            let records = match self.store.read(next, below, SEARCHED) {
                // The start has moved meanwhile.
                Err(JournalError::Dropped { .. }) => continue,
                read => read?,
            };
            let Some((last, _)) = records.last() else { break };
            next = last.saturating_add(1);
            let found = records
                .iter()
                .filter(|(offset, record)| self.store.suppressions.erased(*offset, record).is_some());
            let offsets: Vec<u64> = found.map(|(offset, _)| *offset).collect();
            count += offsets.len();
            for portion in offsets.chunks(PORTION) {
                self.rewrite(Rewrite::Redact(portion.to_vec()))?;
            }
        }
        Ok(count)
    }

    /// Removes records below the log's start that share their files with younger ones.
    fn remove_leftovers(&self) -> Result<(), JournalError> {
        let mut next = 0;
        loop {
            let found = self.store.leftovers(next, PORTION)?;
            let Some(last) = found.last() else { return Ok(()) };
            next = last.saturating_add(1);
            self.rewrite(Rewrite::Remove(found))?;
        }
    }

    /// Waits until the learner has replaced its checkpoints from before the erasure of `users` at `erasure`; removes those that
    /// it has not, but takes the users out of attribution's.
    fn replace_checkpoints(
        &self,
        erasure: u64,
        users: &[PrivacyKey],
        patience: Duration,
    ) -> Result<(), JournalError> {
        let mut waited = Duration::ZERO;
        loop {
            let mut older = false;
            self.store.each_checkpoint(CHECKPOINTS, |_, head| {
                older |= head.offset <= erasure;
                Ok(())
            })?;
            if !older {
                return Ok(());
            }
            if waited >= patience {
                let instead = self.attribution_without(users)?;
                return self.rewrite(Rewrite::DropCheckpoints {
                    prefix: CHECKPOINTS,
                    up_to: erasure,
                    instead: instead.filter(|kept| kept.offset <= erasure),
                });
            }
            if self.intake.is_closed() {
                return Err(JournalError::Closed);
            }
            thread::sleep(STEP);
            waited += STEP;
        }
    }

    /// Attribution's checkpoint without what the users did; none where there is none that can be read.
    ///
    /// Unlike a model it cannot be made again of the records: it knows orders and touches for longer than `retention` may keep those,
    /// and an order that it has forgotten counts once more. What it holds of a user it holds under their key, so it can be taken out.
    fn attribution_without(&self, users: &[PrivacyKey]) -> Result<Option<Checkpoint>, JournalError> {
        let kept = match self.store.checkpoint(attribution::CHECKPOINT) {
            Err(JournalError::Corrupt { .. }) | Ok(None) => return Ok(None),
            kept => kept?,
        };
        let rest = kept.map(|kept| {
            let bytes = attribution::without_users(&kept.bytes, users)?;
            Ok::<_, minicbor::decode::Error>(Checkpoint { bytes, ..kept })
        });
        rest.transpose().or_else(|error| {
            tracing::warn!(%error, "attribution's checkpoint is unreadable; it goes with the erasure");
            Ok(None)
        })
    }

    /// Replaces every file of the store that may hold bytes that were overwritten.
    fn purge(&self) -> Result<(), JournalError> {
        self.remove_leftovers()?;
        let store = &*self.store;
        Files {
            dir: store.dir(),
            folder: store.folder(),
            keyspaces: &store.keyspaces(),
            emptied: &[&store.records, &store.checkpoints],
            filler: &store.filler,
            fill: &|| self.rewrite(Rewrite::Fill),
            check: &|| store.check(),
            failed: &|error| store.failed(error),
        }
        .replace()
    }
}
