//! The thread that takes what is committed to a shared journal and sends it on its way: commits of campaigns to the
//! log, records of no campaign to the spool, checkpoints behind the commits that they include.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use haggle_domain::{CampaignKey, Record};
use tokio::sync::OwnedSemaphorePermit;

use super::core::{Core, ORDERS};
use super::lanes::{Checkpointed, Lane, Waiting};
use super::log::LogError;
use super::message::{Message, Term};
use super::spool::{Spool, Told};
use crate::journal::intake::{Ack, Order, Queued};
use crate::journal::{Journal, JournalError, Refused};

/// Records in one note at most, so that no message is too large for the log.
pub(super) const NOTED: usize = 256;
const TURN: Duration = Duration::from_millis(200);
const SHORT: Duration = Duration::from_millis(1);
/// How often room in the spool is looked for: what waits behind must not wait for the broker.
const NOTE_TRIES: u32 = 500;
/// Orders between two looks whether the owner has settled facts without committing anything.
const BUSY: u32 = 2000;
/// Names of campaigns' checkpoints begin like that.
const CAMPAIGN: &str = "campaign/";

type Place = Option<OwnedSemaphorePermit>;

pub(super) struct Outbox {
    pub(super) core: Arc<Core>,
    pub(super) spool: Arc<Spool>,
    pub(super) orders: Receiver<Queued>,
    /// How long what is under way may take when it closes.
    pub(super) patience: Duration,
}

impl Outbox {
    /// Until the journal is closed or has failed; then it has the other threads end.
    pub(super) fn run(self) {
        let mut busy = 0;
        while self.core.progress.failure.borrow().is_none() {
            match self.orders.recv_timeout(TURN) {
                Ok(Queued { order: Order::Close, .. }) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Queued { order, place }) => {
                    busy += 1;
                    self.send(order, place);
                }
                Err(RecvTimeoutError::Timeout) => busy = BUSY,
            }
            if busy >= BUSY {
                busy = 0;
                self.tell_settled();
            }
        }
        if self.core.progress.failure.borrow().is_none() && !self.core.outstanding.wait(self.patience) {
            tracing::warn!("the journal was closed before everything that was committed was read back");
        }
        self.core.stop.store(true, Ordering::SeqCst);
        let error = self.core.progress.too_late();
        for queued in self.orders.try_iter() {
            if let Order::Commit { ack, .. } | Order::Rewrite { ack, .. } = queued.order {
                ack.settle(Err(error.clone()));
            }
        }
        self.core.lanes.abandon(&error);
        self.core.outstanding.abandon(&error);
    }

    fn send(&self, order: Order, place: Place) {
        match order {
            Order::Commit { records, ack, .. } if records.is_empty() => {
                self.core.outstanding.barrier(ack, place);
            }
            Order::Commit { records, under, ack, .. } => self.commit(records, under, ack, place),
            Order::Checkpoint { name, offset, bytes, under } => self.checkpoint(name, offset, bytes, under),
            // Erasures are the mirror's own.
            Order::Rewrite { ack, .. } => ack.settle(Err(JournalError::Closed)),
            Order::Close => {}
        }
    }

    fn commit(&self, records: Vec<Record>, under: Option<Term>, ack: Ack, place: Place) {
        let is_note =
            |record: &Record| record.campaign == CampaignKey::default() && !record.event.decides_on_order();
        let (notes, records): (Vec<_>, Vec<_>) = records.into_iter().partition(is_note);
        if records.is_empty() {
            return self.note(notes, ack);
        }
        if !notes.is_empty() {
            self.note(notes, Ack::new(None));
        }
        let mut partitions = records.iter().map(|record| self.core.partition_of_record(record));
        let partition = partitions.next().unwrap_or_default();
        if partitions.any(|other| other != partition) {
            return ack.settle(Err(JournalError::Scattered));
        }
        self.commit_to(partition, (records, under), ack, place);
    }

    /// Notes of this node, durable once they are in its spool.
    fn note(&self, mut records: Vec<Record>, ack: Ack) {
        let number = self.core.outstanding.begin();
        // They may lie anywhere, so with orders among them all lie with those.
        let of_orders = records.iter().any(|record| record.event.tells_of_order());
        let partition = if of_orders { ORDERS } else { self.core.partition_of(CampaignKey::default()) };
        let done = Arc::clone(&self.core);
        let on_durable = Box::new(move |durable: Result<(), JournalError>| {
            ack.settle(durable);
            done.progress.commits.fetch_add(1, Ordering::Relaxed);
            done.outstanding.done(number);
        });
        let mut last = Some(Ack::new(Some(on_durable)));
        let mut tries = 0;
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(NOTED));
            records.iter().for_each(|record| self.core.heed(record));
            let portion = std::mem::replace(&mut records, rest);
            let count = (portion.len() + records.len()) as u64;
            let told = Told::Note(portion);
            // The spool keeps the order, so the last of them is durable after the others.
            let mut ack = last.take_if(|_| records.is_empty()).unwrap_or_else(|| Ack::new(None));
            while let Err((refused, back)) = self.spool.offer(partition, self.core.node.0, &told, ack) {
                let error = if refused != Refused::Full || self.core.is_stopped() {
                    self.core.progress.too_late()
                } else if tries >= NOTE_TRIES {
                    JournalError::Log(LogError::Full)
                } else {
                    tries += 1;
                    ack = back;
                    thread::sleep(SHORT);
                    continue;
                };
                self.core.progress.dropped.fetch_add(count, Ordering::Relaxed);
                return last.unwrap_or(back).settle(Err(error));
            }
        }
    }

    fn commit_to(&self, partition: u32, of: (Vec<Record>, Option<Term>), ack: Ack, place: Place) {
        let (records, under) = of;
        let key = records.first().map_or(0, |record| record.campaign.0);
        let number = self.core.outstanding.begin();
        let mut records = Some(records);
        let outcome = loop {
            let mut lanes = self.core.lanes.lock();
            let lane = lanes.get_mut(partition as usize);
            // What follows from an earlier claim's books does not know what others did in between.
            let Some(lane) = lane.filter(|lane| lane.is_owned_under(under)) else {
                break Err(JournalError::Fenced);
            };
            match self.append(lane, partition, key, records.take().unwrap_or_default()) {
                Ok((term, seq)) => {
                    let checkpoints = Vec::new();
                    lane.waiting.push_back(Waiting { term, seq, number, ack, place, checkpoints });
                    return;
                }
                Err((JournalError::Log(LogError::Full), back)) if !self.core.is_stopped() => {
                    records = Some(back);
                }
                Err((error, _)) => break Err(error),
            }
            drop(lanes);
            thread::sleep(SHORT);
        };
        ack.settle(outcome);
        self.core.outstanding.done(number);
    }

    /// Appends the next commit of an owned partition; gives its term and number, or the records back.
    fn append(
        &self,
        lane: &mut Lane,
        partition: u32,
        key: u64,
        records: Vec<Record>,
    ) -> Result<(u64, u64), (JournalError, Vec<Record>)> {
        let Some(owned) = &mut lane.owned else { return Err((JournalError::Fenced, records)) };
        let facts_below = owned.settled_below;
        let (term, seq, node) = (owned.term, owned.seq.saturating_add(1), self.core.node);
        let message = Message::Commit { term, node, seq, facts_below, records };
        let appended = match message.encode() {
            Ok(bytes) => self.core.log.append(partition, key, &bytes, self.core.or_fail()),
            Err(why) => Err(LogError::Failed { why: why.to_string() }),
        };
        match (appended, message) {
            (Ok(()), _) => {
                owned.seq = seq;
                owned.told_below = facts_below;
                Ok((term, seq))
            }
            (Err(error), Message::Commit { records, .. }) => Err((JournalError::Log(error), records)),
            (Err(error), _) => Err((JournalError::Log(error), Vec::new())),
        }
    }

    /// Says how far facts are settled in partitions whose owner commits nothing else.
    fn tell_settled(&self) {
        for partition in 0..self.core.partitions {
            let mut lanes = self.core.lanes.lock();
            let Some(lane) = lanes.get_mut(partition as usize) else { continue };
            if lane.owned.as_ref().is_some_and(|owned| owned.told_below < owned.settled_below) {
                // Without room it is said later.
                if let Ok((term, seq)) = self.append(lane, partition, 0, Vec::new()) {
                    let number = self.core.outstanding.begin();
                    let (ack, checkpoints) = (Ack::new(None), Vec::new());
                    lane.waiting.push_back(Waiting { term, seq, number, ack, place: None, checkpoints });
                }
            }
        }
    }

    fn checkpoint(&self, name: String, offset: Option<u64>, bytes: Vec<u8>, under: Option<Term>) {
        let number = self.core.outstanding.begin();
        let campaign = name.strip_prefix(CAMPAIGN).and_then(|key| u64::from_str_radix(key, 16).ok());
        let kept = match (campaign, offset) {
            (Some(campaign), None) => {
                let partition = self.core.partition_of(CampaignKey(campaign));
                let mut lanes = self.core.lanes.lock();
                let lane = lanes.get_mut(partition as usize).filter(|lane| lane.is_owned_under(under));
                let checkpoint = Checkpointed { name, bytes, number };
                match lane {
                    // What is not this node's includes what does not count.
                    None => self.core.keep_checkpoint(checkpoint, false),
                    Some(lane) => match lane.waiting.back_mut() {
                        Some(last) => {
                            last.checkpoints.push(checkpoint);
                            Ok(())
                        }
                        None => self.core.keep_checkpoint(checkpoint, true),
                    },
                }
            }
            (_, offset) => self.keep_after_all(&name, offset, &bytes, number),
        };
        if let Err(error) = kept {
            self.core.fail(&error);
        }
    }

    /// Keeps a state that includes everything before, or everything below an offset: first all of that has to be
    /// there.
    fn keep_after_all(
        &self,
        name: &str,
        offset: Option<u64>,
        bytes: &[u8],
        number: u64,
    ) -> Result<(), JournalError> {
        let core = &self.core;
        if offset.is_none_or(|offset| offset > core.mirror.durable_end()) {
            while !core.outstanding.wait_for(number, TURN) {
                if core.is_stopped() {
                    return Err(core.progress.too_late());
                }
            }
        }
        loop {
            let kept = match offset {
                Some(offset) => core.mirror.put_checkpoint(name, offset, bytes.to_vec()),
                None => core.mirror.put_checkpoint_here(name, bytes.to_vec()),
            };
            match kept {
                Ok(()) => return core.after_mirror(number),
                Err(Refused::Full) if !core.is_stopped() => thread::sleep(SHORT),
                Err(_) => return Err(core.mirror.failure().unwrap_or(JournalError::Closed)),
            }
        }
    }
}
