//! A journal that several nodes share: commits go through their log, and each node keeps a copy of all of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use haggle_domain::{CampaignKey, Holder, NodeId, Record};
use tokio::sync::{mpsc, watch};

use super::base::{Base, Besides, cut};
use super::begin::open_copy;
use super::core::{Core, ORDERS};
use super::deciding::Deciding;
use super::facts::{Feeder, SeenFact};
use super::lanes::{Claiming, Lanes, OnClaimed, Owned, Tenures};
use super::log::{Log, LogError};
use super::message::{Message, Term};
use super::mirror::{Mirror, OnPost, check, states};
use super::outbox::{Outbox, portions};
use super::outstanding::Outstanding;
use super::presence::Voices;
use super::ship::Shipper;
use super::spool::{Fill, Spool, Told};
use crate::attribution::AttributorSettings;
use crate::campaign::RecoveryError;
use crate::journal::{
    Checkpoint, EmbeddedJournal, Intake, Journal, JournalError, JournalOptions, JournalStats, OnDurable,
    Refused,
};
use crate::suppression::Suppressions;

pub(super) const JOURNAL: &str = "journal";
const SPOOL: &str = "spool";
/// How long a purge waits for the log.
const PURGE_PATIENCE: Duration = Duration::from_secs(5);

/// How a shared journal works.
#[derive(Clone, Debug)]
pub struct SharedOptions {
    /// This process among all that ever were, as it says it lives.
    pub holder: Holder,
    /// Of this node's copy; its capacity also bounds the commits that wait to be read back.
    pub journal: JournalOptions,
    /// Bytes of facts and notes that may wait for the log on this node's disk.
    pub spool_bytes: u64,
    /// Facts that may wait for who acts upon them.
    pub facts: usize,
    /// How long commits that are under way may take when the journal is closed.
    pub close_patience: Duration,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self {
            holder: Holder::default(),
            journal: JournalOptions::default(),
            spool_bytes: 1024 * 1024 * 1024,
            facts: 1024,
            close_patience: Duration::from_secs(10),
        }
    }
}

/// The journal of one of several nodes.
///
/// Commits need a claim on the partition of their campaign; they are acknowledged once they were read back from the log,
/// count, and are durable in this node's own copy, in order within their partition. Facts and notes need none; they are
/// acknowledged once they are in this node's spool.
///
/// Readers see the copy: every record of every node that counts, under this node's own offsets.
pub struct SharedJournal {
    core: Arc<Core>,
    intake: Intake,
    spool: Arc<Spool>,
    facts: Mutex<Option<mpsc::Receiver<SeenFact>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl SharedJournal {
    /// Opens the journal of a node in `dir`, where its copy lies in `journal` and what it has to tell in `spool`. No two
    /// nodes may have one id, nor the same folder.
    ///
    /// A folder without a copy begins at the newest bases that were published, or at the log's beginning where there are none.
    ///
    /// Waits for the log's ends, and in a folder without a spool until everything is read: what this node told in an
    /// earlier life says which numbers it may give.
    pub fn open(
        log: Arc<dyn Log>,
        dir: &Path,
        node: NodeId,
        options: &SharedOptions,
        on_post: OnPost,
    ) -> Result<Self, JournalError> {
        let mirror = Arc::new(open_copy(&log, dir, &options.journal)?);
        let partitions = log.partitions();
        let looked = states(&mirror, &dir.join(JOURNAL), partitions).and_then(|states| {
            let ends = log.ends()?;
            check(&states, &ends)?;
            Ok((states, ends))
        });
        let (states, ends) = looked.inspect_err(|_| {
            // So that the folder is free once it is known that this fails; why it fails is known already.
            let _ = mirror.close();
        })?;
        let (intake, orders) = Intake::new(options.journal.capacity, mirror.durable_end());
        let core = Arc::new(Core {
            node,
            log,
            partitions,
            mirror,
            progress: Arc::clone(intake.progress()),
            lanes: Lanes::new(states.iter().map(|state| state.term)),
            outstanding: Arc::new(Outstanding::default()),
            tenures: watch::Sender::new(Tenures::new()),
            voices: Mutex::new(states.iter().map(Voices::from).collect()),
            behind: ends.iter().map(|range| range.end).collect(),
            read: states.iter().map(|state| AtomicU64::new(state.next)).collect(),
            lost: AtomicU64::new(0),
            deciding: AtomicU64::new(0),
            holder: options.holder,
            tells_from: AtomicU64::new(u64::MAX),
            stop: AtomicBool::new(false),
        });
        let mut reader = Mirror::new(Arc::clone(&core), states, on_post)?;
        let folder = dir.join(SPOOL);
        let first = if Spool::exists(&folder) {
            0
        } else {
            reader.catch_up(&ends)?;
            let told = reader.states().iter().filter_map(|state| state.seen.get(&node)).max();
            told.map_or(0, |last| last.saturating_add(1))
        };
        let progress = Arc::clone(intake.progress());
        let failed = move |error: &JournalError| progress.fail(error);
        let spool = Arc::new(Spool::open(&folder, node, options.spool_bytes, first, failed)?);
        core.tells_from.store(spool.told(), Ordering::SeqCst);
        let (sender, facts) = mpsc::channel(options.facts.max(1));
        let feeder = Feeder { tenures: core.tenures.subscribe(), core: Arc::clone(&core), facts: sender };
        let shipper = Shipper { core: Arc::clone(&core), spool: Arc::clone(&spool) };
        let deciding = Deciding { core: Arc::clone(&core) };
        let patience = options.close_patience;
        let late = Cell::default();
        let outbox = Outbox { core: Arc::clone(&core), spool: Arc::clone(&spool), orders, patience, late };
        let shared = Self { core, intake, spool, facts: Mutex::new(Some(facts)), threads: Mutex::default() };
        shared.start(dir, "journal-in", move || reader.run())?;
        shared.start(dir, "facts", move || feeder.run())?;
        shared.start(dir, "shipper", move || shipper.run())?;
        shared.start(dir, "deciding", move || deciding.run())?;
        shared.start(dir, "journal-out", move || outbox.run())?;
        Ok(shared)
    }

    fn start(&self, dir: &Path, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), JournalError> {
        let core = Arc::clone(&self.core);
        let thread = thread::Builder::new().name(name.to_owned());
        let name = name.to_owned();
        let thread = thread.spawn(move || {
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                let why = format!("the thread {name:?} of the journal stopped unexpectedly");
                core.fail(&JournalError::Log(LogError::Failed { why }));
            }
        });
        let thread = thread.map_err(|error| {
            self.core.stop.store(true, Ordering::SeqCst);
            JournalError::io(dir, &error)
        })?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// This node's copy, for erasures and whoever follows it.
    pub fn mirror(&self) -> &Arc<EmbeddedJournal> {
        &self.core.mirror
    }

    /// Whom to forget.
    pub fn suppressions(&self) -> &Arc<Suppressions> {
        self.core.mirror.suppressions()
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.core.node
    }

    /// How many partitions there are, numbered from 0.
    pub fn partitions(&self) -> u32 {
        self.core.partitions
    }

    /// The partition that a campaign belongs to. What is of no campaign goes where its node's other such records go.
    pub fn partition_of(&self, campaign: CampaignKey) -> u32 {
        self.core.partition_of(campaign)
    }

    /// The partition that a record is written to.
    pub fn partition_of_record(&self, record: &Record) -> u32 {
        self.core.partition_of_record(record)
    }

    /// Takes a partition over. `on_claimed` is told the term once the claim was read back and counts: then everything
    /// before it is durable in this node's copy, no commit of another owner counts any more, and this node may commit.
    /// It is told [`JournalError::Fenced`] where others keep claiming it first. What this node owns already it claims anew,
    /// and its commits that are under way may be fenced by that. It is called by a thread of the journal's
    /// and must not wait for the journal.
    pub fn claim(&self, partition: u32, on_claimed: OnClaimed) -> Result<(), JournalError> {
        let mut lanes = self.core.lanes.lock();
        let lane = lanes.get_mut(partition as usize);
        let lane = lane.ok_or(JournalError::Log(LogError::NoPartition(partition)))?;
        if self.intake.is_closed() {
            return Err(self.core.progress.too_late());
        }
        let term = lane.term.saturating_add(1);
        self.core.append_claim(partition, term)?;
        let before = lane.claiming.replace(Claiming { term, tries: 0, on_claimed });
        drop(lanes);
        if let Some(before) = before {
            (before.on_claimed)(Err(JournalError::Fenced));
        }
        Ok(())
    }

    /// Gives a partition up: commits for it are refused from here on; those under way may still count.
    pub fn release(&self, partition: u32) {
        let mut lanes = self.core.lanes.lock();
        let Some(lane) = lanes.get_mut(partition as usize) else { return };
        lane.owned = None;
        let claiming = lane.claiming.take();
        self.core.tenures.send_if_modified(|tenures| tenures.remove(&partition).is_some());
        drop(lanes);
        if let Some(claiming) = claiming {
            (claiming.on_claimed)(Err(JournalError::Fenced));
        }
    }

    /// Gives up every partition that is this node's, so that others claim it at once. To be called when all its commits were
    /// answered. Waits until the log has it, for each no longer than `patience`: without it others claim it later.
    pub fn hand_over(&self, patience: Duration) {
        let (kept, answers) = std::sync::mpsc::channel();
        let mut lanes = self.core.lanes.lock();
        for (partition, lane) in (0..).zip(lanes.iter_mut()) {
            let Some(Owned { term, .. }) = lane.owned.take() else { continue };
            let release = Message::Release { term, node: self.core.node };
            let kept = kept.clone();
            let on_kept = Box::new(move |_: Result<(), LogError>| {
                // Whoever waited has gone.
                let _ = kept.send(());
            });
            if let Ok(bytes) = release.encode()
                && let Err(error) = self.core.log.append(partition, 0, &bytes, on_kept)
            {
                tracing::debug!(partition, %error, "others will wait for it");
            }
        }
        self.core.tenures.send_modify(Tenures::clear);
        drop((lanes, kept));
        while answers.recv_timeout(patience).is_ok() {}
    }

    /// Follows which partitions this node owns. One that is missing is not its own: its actors stop at once.
    pub fn tenures(&self) -> watch::Receiver<Tenures> {
        self.core.tenures.subscribe()
    }

    /// The claim under which this node may decide what comes of orders, if it may: everything that any partition had by then can be
    /// read, since what led to an order may lie elsewhere than the order.
    pub fn decides_orders(&self) -> Option<Term> {
        let deciding = self.core.deciding.load(Ordering::SeqCst);
        let tenures = self.core.tenures.borrow();
        tenures.get(&ORDERS).filter(|tenure| tenure.term == deciding).map(|tenure| tenure.term)
    }

    /// Tells the owner of the record's campaign what this node saw. Does not wait; `on_durable` is called once it is in
    /// the spool, from where it reaches the owner whatever happens. [`Refused::Full`] where the spool is.
    pub fn tell(&self, record: Record, on_durable: OnDurable) -> Result<(), Refused> {
        let (partition, key) = (self.core.partition_of(record.campaign), record.campaign.0);
        self.spool.put(partition, key, &Told::Fact(record), Some(on_durable))
    }

    /// The same for whoever owns a partition, of a record that is of no campaign.
    pub fn tell_partition(
        &self,
        partition: u32,
        record: Record,
        on_durable: OnDurable,
    ) -> Result<(), Refused> {
        self.spool.put(partition, record.campaign.0, &Told::Fact(record), Some(on_durable))
    }

    /// The nodes that ever told something to the owner of a partition that is this node's, as of its claim.
    pub fn nodes(&self, partition: u32) -> Vec<NodeId> {
        let tenures = self.core.tenures.borrow();
        tenures.get(&partition).map_or_else(Vec::new, |tenure| tenure.nodes.to_vec())
    }

    /// Has everybody's copy get records that move no money. Those that the spool has no room for are dropped and counted;
    /// says whether all were taken.
    pub fn note(&self, records: Vec<Record>) -> bool {
        let mut parts: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        for record in records {
            self.core.heed(&record);
            parts.entry(self.core.partition_of_record(&record)).or_default().push(record);
        }
        let mut all = true;
        for (partition, records) in parts {
            let key = records.first().map_or(0, |record| record.campaign.0);
            for records in portions(records) {
                let count = records.len() as u64;
                if self.spool.put(partition, key, &Told::Note(records), None).is_err() {
                    self.core.progress.dropped.fetch_add(count, Ordering::Relaxed);
                    all = false;
                }
            }
        }
        all
    }

    /// Says how a campaign bids from here on. Lost where the log has no room or the partition is not this node's, which
    /// it says; the next word makes up for it.
    pub fn post(&self, campaign: CampaignKey, bytes: Vec<u8>) -> bool {
        let partition = self.core.partition_of(campaign);
        let term = self.core.tenures.borrow().get(&partition).map(|tenure| tenure.term);
        let Some(term) = term else { return false };
        let post = Message::Post { term, node: self.core.node, campaign, bytes };
        post.encode().is_ok_and(|bytes| {
            self.core.log.append(partition, campaign.0, &bytes, self.core.or_fail()).is_ok()
        })
    }

    /// The facts of partitions that this node owns, from the first that is not settled on; once. They come in order within
    /// their partition.
    pub fn facts(&self) -> Option<mpsc::Receiver<SeenFact>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Every fact of the partition below the offset is settled under this claim, and what came of it was acknowledged. It need not come
    /// again; the log is told with the next commit, or soon. Under another claim it says nothing: what was acknowledged may not count.
    pub fn settled_below(&self, partition: u32, term: Term, offset: u64) {
        let mut lanes = self.core.lanes.lock();
        let owned = lanes.get_mut(partition as usize).and_then(|lane| lane.owned.as_mut());
        if let Some(owned) = owned.filter(|owned| owned.term == term) {
            owned.settled_below = owned.settled_below.max(offset);
        }
    }

    /// How full the spool is.
    pub fn spool(&self) -> Fill {
        self.spool.fill()
    }

    /// Gets what the log has of this node's words off its disk, once it has all that is in the spool now: what is removed there lies on in
    /// files. Blocks for some seconds.
    ///
    /// # Errors
    ///
    /// Why not: mostly that the log cannot be reached.
    pub fn purge_spool(&self) -> Result<(), String> {
        self.spool.purge(PURGE_PATIENCE).map_err(|error| error.to_string())
    }

    /// The log.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.core.log
    }

    /// Messages that the log has lost: they were missing between others when this node read it. Zero, or the brokers are to be
    /// looked at: facts among them are gone, and money that they meant has to be found by reconciliation.
    pub fn lost(&self) -> u64 {
        self.core.lost.load(Ordering::Relaxed)
    }

    /// What some partitions came to, as of one moment in this node's copy; none of one of which nothing was read. Blocks for as long as it
    /// takes to read what checkpoints do not have.
    pub fn bases(
        &self,
        partitions: &[u32],
        attribution: AttributorSettings,
    ) -> Result<Vec<Base>, RecoveryError> {
        self.bases_with(partitions, attribution, &|_| Ok(Vec::new()))
    }

    /// The same with what else follows from what is told of orders.
    pub fn bases_with(
        &self,
        partitions: &[u32],
        attribution: AttributorSettings,
        besides: &Besides<'_>,
    ) -> Result<Vec<Base>, RecoveryError> {
        let partition_of = |campaign| self.core.partition_of(campaign);
        cut(&self.core.mirror, partition_of, partitions, attribution, besides)
    }

    /// Whether a partition is this node's under a claim, and the journal is open.
    pub fn owns(&self, partition: u32, term: Term) -> bool {
        let is_own = self.core.tenures.borrow().get(&partition).is_some_and(|tenure| tenure.term == term);
        is_own && !self.intake.is_closed()
    }

    /// Whose each partition is, and who was heard in it.
    pub fn voices(&self) -> Vec<Voices> {
        self.core.voices().clone()
    }

    /// Whether everything was read that was there when the journal was opened.
    pub fn is_caught_up(&self) -> bool {
        self.core.read.iter().zip(&self.core.behind).all(|(read, end)| read.load(Ordering::SeqCst) >= *end)
    }

    /// Up to where each partition was read.
    pub fn read(&self) -> Vec<u64> {
        self.core.read.iter().map(|read| read.load(Ordering::SeqCst)).collect()
    }
}

impl Journal for SharedJournal {
    fn intake(&self) -> &Intake {
        &self.intake
    }

    fn read_from(&self, offset: u64, limit: usize) -> Result<Vec<(u64, Record)>, JournalError> {
        self.core.mirror.read_from(offset, limit)
    }

    fn checkpoint(&self, name: &str) -> Result<Option<Checkpoint>, JournalError> {
        self.core.mirror.checkpoint(name)
    }

    fn checkpoints(&self, prefix: &str) -> Result<Vec<Checkpoint>, JournalError> {
        self.core.mirror.checkpoints(prefix)
    }

    fn readable_checkpoints(&self, prefix: &str) -> Result<Vec<(String, Option<Checkpoint>)>, JournalError> {
        self.core.mirror.readable_checkpoints(prefix)
    }

    fn durable_start(&self) -> u64 {
        self.core.mirror.durable_start()
    }

    fn close(&self) -> Result<(), JournalError> {
        self.intake.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // They contain what goes wrong with them; there is nothing more to learn.
            let _ = thread.join();
        }
        self.spool.close();
        let closed = self.core.mirror.close();
        self.failure().map_or(closed, Err)
    }

    fn try_append_unacknowledged(&self, records: Vec<Record>) -> bool {
        if self.intake.is_closed() || self.spool.fill().is_high() {
            self.core.progress.dropped.fetch_add(records.len() as u64, Ordering::Relaxed);
            return false;
        }
        self.note(records)
    }

    fn durable_end(&self) -> u64 {
        self.core.mirror.durable_end()
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.core.mirror.subscribe()
    }

    fn stats(&self) -> JournalStats {
        let (own, mirror) = (self.intake.stats(), self.core.mirror.stats());
        JournalStats {
            records: mirror.records,
            syncs: mirror.syncs,
            start: mirror.start,
            bytes: mirror.bytes,
            ..own
        }
    }
}
