//! This node among several: which campaigns are its own, what it tells the others, and what it is told.
//!
//! Nodes know nothing of one another but what stands in the log that they share (`actors/src/backbone`).

mod bases;
mod behind;
mod clocks;
mod definitions;
mod keys;
mod models;
mod money;
mod owner;
mod seed;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haggle_actors::backbone::{Heard, SharedJournal};
use haggle_actors::campaign::{Others, Posted};
use haggle_actors::journal::Refused;
use haggle_actors::purses::Purses;
use haggle_domain::{CampaignKey, Clock, Event, Holder, NodeId, Record, Timestamp};
use tokio::sync::oneshot;

use crate::metrics::NodeShown;

use self::bases::Bases;
pub use self::bases::Orders;
use self::behind::Lagging;
use self::clocks::Clocks;
pub use definitions::Definitions;
pub use keys::{SharedKeyError, share_key};
pub use models::Models;
pub use money::OnShown;
pub use owner::{OnSettled, Owner, UNKNOWN};
pub use seed::{Seed, SeedError, is_copy};
pub use words::Words;

/// How often a node says that it lives.
const BEAT: Duration = Duration::from_secs(1);
/// How long a node that stops waits for the log to have said so.
const LEAVE: Duration = Duration::from_secs(1);
/// What was seen this long ago is in the spool: how far behind the present a node is sure of what it said.
const SURE: Duration = Duration::from_secs(2);

/// What all parts of the node know of the others.
pub struct Several {
    journal: Arc<SharedJournal>,
    purses: Mutex<Purses>,
    heard: Mutex<BTreeMap<u32, Heard>>,
    /// Campaigns of which something that was heard waits.
    lagging: Lagging,
    /// After this time without a word from a node it is not waited for.
    grace: Duration,
    clock: Arc<dyn Clock>,
    /// Claims that counted.
    claims: AtomicU64,
    definitions: Definitions,
    bases: Bases,
    /// It says no more that it lives.
    leaving: AtomicBool,
    clocks: Mutex<Clocks>,
}

impl Several {
    /// Of a process that has just started; `holder` is its own among all that ever were.
    pub fn new(
        journal: Arc<SharedJournal>,
        holder: Holder,
        grace: Duration,
        definitions: Definitions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let bases = Bases::new(&journal);
        let clocks = Mutex::new(Clocks::new(journal.node()));
        Self {
            clocks,
            journal,
            purses: Mutex::new(Purses::new(holder)),
            heard: Mutex::default(),
            lagging: Lagging::default(),
            grace,
            clock,
            claims: AtomicU64::new(0),
            definitions,
            bases,
            leaving: AtomicBool::new(false),
        }
    }

    /// What the nodes share.
    pub fn journal(&self) -> &Arc<SharedJournal> {
        &self.journal
    }

    /// The money that this node holds.
    pub fn purses(&self) -> MutexGuard<'_, Purses> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a campaign's owner said of it last.
    pub fn posted(&self, campaign: CampaignKey) -> Option<Posted> {
        self.purses().last_posted(campaign).cloned()
    }

    /// How the node stands, for metrics.
    pub fn shown(&self) -> NodeShown {
        NodeShown {
            owned: self.journal.tenures().borrow().len(),
            claims: self.claims.load(Ordering::Relaxed),
            purse: self.purses().left(),
            spool: self.journal.spool(),
            bases_age: self.bases.age(),
            clocks: self.clocks().greatest(),
            log: self.journal.log().stats(),
            lost: self.journal.lost(),
        }
    }

    /// Gives up what this node owns, for good: others go on with it at once. Blocks until they may know.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.journal.hand_over(LEAVE);
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// Whether a campaign is this node's.
    fn owns(&self, campaign: CampaignKey) -> bool {
        self.journal.tenures().borrow().contains_key(&self.journal.partition_of(campaign))
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<u32, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clocks(&self) -> MutexGuard<'_, Clocks> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node says what time it is, [`SURE`] after the time up to which it has told all that it saw.
    fn compare_clocks(&self, node: NodeId, sure: Timestamp, now: Timestamp) {
        for (node, seconds) in self.clocks().hear(node, sure + SURE, now) {
            tracing::error!(
                %node, seconds,
                "a node's clock is ahead of this one's by so many seconds, or behind; keep clocks in step, or money is given and taken at wrong times"
            );
        }
    }

    /// Whether the node may take on new money: not while what it has to tell fills half of the spool.
    pub fn bids(&self) -> bool {
        !self.journal.spool().is_high()
    }

    /// Tells a campaign's owner what was seen; returns once that is durable here, from where it arrives whatever happens. `None` where
    /// there is no room: it may come again.
    pub async fn tell(&self, campaign: CampaignKey, event: Event) -> Option<()> {
        let at = self.clock.now();
        let (done, durable) = oneshot::channel();
        let told = self.journal.tell(
            Record { at, campaign, event },
            Box::new(move |result| {
                // Whoever waited has gone.
                let _ = done.send(result);
            }),
        );
        told.ok()?;
        durable.await.ok()?.ok()
    }

    /// Has a campaign stop bidding, or begin again, whoever owns it.
    pub async fn pause(&self, campaign: CampaignKey, paused: bool) -> Option<()> {
        self.tell(campaign, Event::Paused { paused, told_at: None }).await
    }

    /// The same without waiting. What there is no room for is lost: it is told again, or is made good by time.
    fn tell_soon(&self, told: Vec<(CampaignKey, Event)>) {
        let at = self.clock.now();
        for (campaign, event) in told {
            let refused = self.journal.tell(Record { at, campaign, event }, Box::new(|_| ()));
            if let Err(refused) = refused
                && refused != Refused::Full
            {
                return;
            }
        }
    }
}

impl Others for Several {
    fn post(&self, campaign: CampaignKey, bytes: Vec<u8>) -> bool {
        self.journal.post(campaign, bytes)
    }

    fn known_until(&self, campaign: CampaignKey, now: Timestamp) -> Timestamp {
        // What nodes saw of it earlier than what they said since may still wait for its actor.
        if self.lagging.holds(campaign) {
            return Timestamp::default();
        }
        let partition = self.journal.partition_of(campaign);
        self.heard().get(&partition).map_or(Timestamp::default(), |heard| heard.known_until(now))
    }
}
