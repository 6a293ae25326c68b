//! The money that this node holds: what was granted to it goes into purses, and what they need or have left is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haggle_actors::campaign::Posted;
use haggle_actors::journal::{Journal, JournalError};
use haggle_actors::purses::Granted;
use haggle_domain::{CampaignKey, Decision, Event, Record, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

use super::{BEAT, SURE, Several, Words};
use crate::clock::monotonic;

/// How often purses are looked after.
const TURN: Duration = Duration::from_millis(100);
/// How long until what could not be read is read again.
const AGAIN: Duration = Duration::from_secs(1);
/// Records read at once.
const CHUNK: usize = 1024;

/// Told of each impression of campaigns that this node owns, once.
pub type OnShown = Box<dyn Fn(&Decision)>;

impl Several {
    /// Follows what is granted and said, until the journal ends.
    pub async fn follow(self: Arc<Self>, words: Arc<Words>, shown: Option<OnShown>) {
        // By the process's clock, which never goes back and counts the time that a machine was halted.
        let started = self.clock.now();
        // What was granted before this process began is nobody's: it was another's.
        let mut next = self.journal.durable_end();
        let mut durable = self.journal.subscribe();
        // When what was granted is read again, where it could not be.
        let mut again: Option<Instant> = None;
        let mut turn = interval(TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                heard = words.heard() => for (campaign, bytes) in heard {
                    match minicbor::decode::<Posted>(&bytes) {
                        Ok(posted) => self.purses().posted(campaign, posted),
                        Err(error) => tracing::warn!(%campaign, %error, "what its owner says is not understood"),
                    }
                },
                changed = durable.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if again.is_none() {
                        again = self.take(&mut next, started, shown.as_ref()).await;
                    }
                }
                _ = turn.tick() => {
                    let told = self.purses().turn(self.clock.now().since(started));
                    self.tell_soon(told);
                    if again.is_some_and(|due| monotonic() >= due) {
                        again = self.take(&mut next, started, shown.as_ref()).await;
                    }
                }
                _ = beat.tick() => self.say_alive(),
            }
            if self.journal.failure().is_some() {
                return;
            }
        }
    }

    /// Everything is closed, and what was left of it is told.
    pub fn give_back(&self) {
        let told = self.purses().drain();
        self.tell_soon(told);
    }

    /// Puts what was granted into purses. Where it cannot be read, says so, and when to try again: the node goes on with what it has.
    async fn take(&self, next: &mut u64, started: Timestamp, shown: Option<&OnShown>) -> Option<Instant> {
        match self.take_all(next, started, shown).await {
            Ok(()) => None,
            // So old that it was dropped; what is in there is over.
            Err(JournalError::Dropped { .. }) => {
                *next = self.journal.durable_start().max(*next);
                Some(monotonic())
            }
            Err(error) => {
                tracing::error!(%error, "what was granted cannot be read; it is tried again");
                Some(monotonic() + AGAIN)
            }
        }
    }

    async fn take_all(
        &self,
        next: &mut u64,
        started: Timestamp,
        shown: Option<&OnShown>,
    ) -> Result<(), JournalError> {
        loop {
            let (journal, from) = (Arc::clone(&self.journal), *next);
            let read = tokio::task::spawn_blocking(move || journal.read_from(from, CHUNK)).await;
            let records = read.map_err(|_| JournalError::Closed)??;
            let Some((last, _)) = records.last() else { return Ok(()) };
            *next = last.saturating_add(1);
            let elapsed = self.clock.now().since(started);
            let mut told = Vec::new();
            for (_, Record { at, campaign, event }) in &records {
                if let (Event::Impression { decision }, Some(shown)) = (event, shown)
                    && self.owns(*campaign)
                {
                    shown(decision);
                }
                let Some(granted) = Granted::of(*campaign, *at, event) else { continue };
                told.extend(self.purses().granted(&granted, elapsed).map(|event| (*campaign, event)));
            }
            self.tell_soon(told);
        }
    }

    /// Says to every owner that this node lives, and that all it saw until lately was told.
    fn say_alive(&self) {
        if self.is_leaving() {
            return;
        }
        let (holder, now) = (self.purses().holder(), self.clock.now());
        for partition in 0..self.journal.partitions() {
            let record = Record {
                at: now.earlier(SURE),
                campaign: CampaignKey::default(),
                event: Event::Heard { holder },
            };
            // Without room it is said the next time.
            let _ = self.journal.tell_partition(partition, record, Box::new(|_| ()));
        }
    }
}
