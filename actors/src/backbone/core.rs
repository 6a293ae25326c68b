//! What the threads of a shared journal have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haggle_domain::{CampaignKey, Event, Holder, NodeId, Record};
use tokio::sync::watch;

use super::lanes::{Lanes, Tenures};
use super::log::{Log, LogError, OnKept};
use super::outstanding::Outstanding;
use super::presence::Voices;
use crate::journal::intake::Progress;
use crate::journal::{EmbeddedJournal, JournalError};

/// The partition of orders: its owner says what comes of them.
pub(super) const ORDERS: u32 = 0;

pub(super) struct Core {
    pub(super) node: NodeId,
    pub(super) log: Arc<dyn Log>,
    pub(super) partitions: u32,
    pub(super) mirror: Arc<EmbeddedJournal>,
    /// Of the intake that others commit to; the mirror has its own.
    pub(super) progress: Arc<Progress>,
    pub(super) lanes: Lanes,
    pub(super) outstanding: Arc<Outstanding>,
    pub(super) tenures: watch::Sender<Tenures>,
    /// Per partition: whose it is and who was heard.
    pub(super) voices: Mutex<Vec<Voices>>,
    /// Per partition: everything below was read.
    pub(super) read: Vec<AtomicU64>,
    /// Per partition: where it ended when the journal was opened.
    pub(super) behind: Vec<u64>,
    /// This process, as it says it lives.
    pub(super) holder: Holder,
    /// What this process tells has this number or one above.
    pub(super) tells_from: AtomicU64,
    /// Messages that were missing between others.
    pub(super) lost: AtomicU64,
    pub(super) stop: AtomicBool,
}

/// The partition of a campaign, where there are so many.
pub(super) fn partition_of(campaign: CampaignKey, partitions: u32) -> u32 {
    u32::try_from(campaign.0 % u64::from(partitions.max(1))).unwrap_or_default()
}

impl Core {
    /// The partition that a campaign's records lie in.
    pub(super) fn partition_of(&self, campaign: CampaignKey) -> u32 {
        // What is of no campaign keeps the order of its node.
        let of_none = campaign == CampaignKey::default();
        partition_of(if of_none { CampaignKey(self.node.0) } else { campaign }, self.partitions)
    }

    pub(super) fn voices(&self) -> MutexGuard<'_, Vec<Voices>> {
        self.voices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition that a record lies in, whoever writes it. What is told of orders and decided about them lies in one, so that all
    /// read it in one order.
    pub(super) fn partition_of_record(&self, record: &Record) -> u32 {
        let event = &record.event;
        let is_order = event.tells_of_order() || event.decides_on_order();
        if is_order { ORDERS } else { self.partition_of(record.campaign) }
    }

    /// Whether the threads are to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.progress.failure.borrow().is_some()
    }

    /// It stops for good.
    pub(super) fn fail(&self, error: &JournalError) {
        self.progress.fail(error);
    }

    /// Whoever opts out is forgotten here at once, though the log that tells the others may not be reached for a
    /// while.
    pub(super) fn heed(&self, record: &Record) {
        if matches!(record.event, Event::UserOptedOut { .. }) {
            self.mirror.suppressions().note(0, record);
        }
    }

    /// For a message whose being kept shows when it is read back: only that it never will be matters.
    pub(super) fn or_fail(&self) -> OnKept {
        let progress = Arc::clone(&self.progress);
        Box::new(move |kept: Result<(), LogError>| {
            if let Err(error) = kept {
                progress.fail(&JournalError::Log(error));
            }
        })
    }
}
