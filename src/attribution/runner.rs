//! The thread that credits orders as they come: it reads the journal, writes what it finds, and keeps checkpoints.
//!
//! It is a reader like the learner, beside the bid path. What it writes it reads back, and only then takes for done: so a crash
//! at any moment loses no order and credits none twice. Of several nodes each reads everything and one writes; the next that may
//! finds what is still awaited.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use haggle_actors::attribution::{Attributor, AttributorSettings, CHECKPOINT, Counts};
use haggle_actors::journal::Journal;
use haggle_domain::{Attribution, CampaignKey, Clock, Event, Record, Timestamp};

/// Real time between two turns.
const TURN: Duration = Duration::from_millis(100);
/// How long it rests after a panic.
const REST: Duration = Duration::from_secs(1);
/// Records read at once.
const CHUNK: usize = 2048;
/// Credits in one commit.
const PORTION: usize = 200;
/// Checkpoints of the campaigns between two of its own: half a million touches are 27 MB, and a start reads what came since in
/// two microseconds a record.
const CHECKPOINT_EVERY: u32 = 30;

/// What it works with.
#[derive(Clone)]
pub struct AttributionDeps {
    /// How orders are credited.
    pub settings: AttributorSettings,
    /// Where records come from and go to.
    pub journal: Arc<dyn Journal>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How often campaigns are checkpointed.
    pub checkpoint_interval: Duration,
    /// Where its report is published.
    pub report: Arc<ArcSwapOption<AttributionReport>>,
    /// Whether this node decides.
    pub decides: Decides,
}

/// Under which number this node may decide what comes of orders; none while another node does. A number is another whenever others may
/// have decided meanwhile, and once it is given, the journal has all that they did.
pub type Decides = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// What it shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributionReport {
    /// What came of orders, since the journal's beginning.
    pub counts: Counts,
    /// Touches that are kept.
    pub touches: usize,
    /// Touches forgotten before their time: of users who had too many, and because all together were too many.
    pub dropped: (u64, u64),
    /// Orders that are known.
    pub orders: usize,
    /// Durable records not read yet.
    pub lag: u64,
}

/// The running thread.
pub struct AttributionThread {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl AttributionThread {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// The system has no room for a thread.
    pub fn start(deps: AttributionDeps) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            while !stopped.load(Ordering::Relaxed) {
                let turns = AssertUnwindSafe(|| Runner::recover(deps.clone()).run(&stopped));
                if catch_unwind(turns).is_err() {
                    tracing::error!("attribution panicked; it starts again from its checkpoint");
                    std::thread::park_timeout(REST);
                }
            }
        };
        let thread = std::thread::Builder::new().name("attribution".to_owned()).spawn(run)?;
        Ok(Self { stop, thread })
    }

    /// Has it catch up and keep a checkpoint, and waits until that is done. Blocks.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        // A panic was said.
        let _ = self.thread.join();
    }
}

struct Runner {
    deps: AttributionDeps,
    attributor: Attributor,
    /// Under which number this node decides.
    term: Option<u64>,
    /// The time of the last record that was handed over.
    last_at: Timestamp,
    saved: u64,
    saved_forgotten: u64,
}

impl Runner {
    /// Goes on from the checkpoint. One that cannot be read costs a replay, nothing else.
    fn recover(deps: AttributionDeps) -> Self {
        let mut attributor = Attributor::new(deps.settings);
        match deps.journal.checkpoint(CHECKPOINT) {
            Ok(Some(checkpoint)) => {
                if let Err(error) = attributor.restore(&checkpoint.bytes, checkpoint.offset) {
                    tracing::warn!(name = CHECKPOINT, %error, "a checkpoint is unreadable; replaying the journal");
                    attributor = Attributor::new(deps.settings);
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(name = CHECKPOINT, %error, "a checkpoint cannot be read; replaying the journal");
            }
        }
        // What an earlier life of this thread has handed over is to be read before anything is handed over again.
        let (done, durable) = std::sync::mpsc::channel();
        let barrier = deps.journal.barrier(Box::new(move |result| {
            // Whoever waited has gone.
            let _ = done.send(result);
        }));
        if barrier.is_ok() {
            // An error means that the journal has stopped, and with it the program.
            let _ = durable.recv();
        }
        let saved = attributor.cursor();
        Self { deps, attributor, term: None, last_at: Timestamp::default(), saved, saved_forgotten: 0 }
    }

    fn run(&mut self, stop: &AtomicBool) {
        let interval = self.deps.checkpoint_interval.as_micros() / TURN.as_micros();
        let mut turns = 0u128;
        loop {
            // Asked before, so that what came before is read after.
            let last = stop.load(Ordering::Relaxed);
            let term = (self.deps.decides)();
            if term != self.term {
                // What was handed over before counts if it is in the journal by now, and else never.
                self.term = term;
                self.attributor.hand_over_again();
            }
            if self.catch_up() && self.term.is_some() {
                self.write();
            }
            self.show();
            turns += 1;
            let forgot = self.attributor.forgotten() != self.saved_forgotten;
            if last || is_due(turns, interval, forgot) {
                self.checkpoint();
                turns = 0;
            }
            if last {
                return;
            }
            std::thread::park_timeout(TURN);
        }
    }

    /// Reads to the journal's end; false where that cannot be read.
    fn catch_up(&mut self) -> bool {
        loop {
            match self
                .deps
                .journal
                .read_from(self.attributor.cursor().max(self.deps.journal.durable_start()), CHUNK)
            {
                Ok(records) => {
                    for (offset, record) in &records {
                        self.attributor.consume(*offset, record);
                    }
                    if records.len() < CHUNK {
                        return true;
                    }
                }
                Err(error) => {
                    // The journal's own failure ends the program.
                    tracing::error!(%error, "attribution cannot read the journal");
                    return false;
                }
            }
        }
    }

    /// Hands what was found to the journal, as far as that has room.
    fn write(&mut self) {
        loop {
            let new: Vec<_> = self.attributor.to_write().take(PORTION).cloned().collect();
            if new.is_empty() {
                return;
            }
            let Ok(permit) = self.deps.journal.try_reserve_spare() else { return };
            let count = new.len();
            let records = records(new, self.deps.clock.now(), &mut self.last_at);
            // It is read back once it is durable.
            permit.under(self.term).commit(records, None);
            self.attributor.handed_over(count);
        }
    }

    fn show(&self) {
        let (touches, dropped) = self.attributor.touches();
        self.deps.report.store(Some(Arc::new(AttributionReport {
            counts: self.attributor.counts(),
            touches,
            dropped,
            orders: self.attributor.orders(),
            lag: self.deps.journal.durable_end().saturating_sub(self.attributor.cursor()),
        })));
    }

    /// Refused for lack of room, it is due again at the next turn that it is asked for.
    fn checkpoint(&mut self) {
        let (cursor, forgotten) = (self.attributor.cursor(), self.attributor.forgotten());
        if cursor != self.saved
            && self.deps.journal.put_checkpoint(CHECKPOINT, cursor, self.attributor.save()).is_ok()
        {
            (self.saved, self.saved_forgotten) = (cursor, forgotten);
        }
    }
}

/// Whether a checkpoint is due so many turns after the last one, of which a campaign's checkpoints have `interval` between two. Whom it
/// still knows and is to forget should not stand there for long, but opt-outs may come ten times a second, and each would write all.
fn is_due(turns: u128, interval: u128, forgot: bool) -> bool {
    let every = if forgot { interval } else { interval * u128::from(CHECKPOINT_EVERY) };
    turns >= every.max(1)
}

/// What was found as it is written: no two at the same time, since a postback is told from an equal one of the same order by when it was
/// written. An order may be changed to 10, to 20 and back to 10 in one go.
fn records(found: Vec<Attribution>, now: Timestamp, last_at: &mut Timestamp) -> Vec<Record> {
    let record = |attribution| {
        *last_at = now.max(*last_at + Duration::from_micros(1));
        let event = Event::Attributed { attribution: Box::new(attribution) };
        Record { at: *last_at, campaign: CampaignKey::default(), event }
    };
    found.into_iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use haggle_domain::{AttributionModel, Micros, Standing, Tag};

    use super::*;

    #[test]
    fn what_is_written_at_once_is_told_apart_by_its_time() {
        let changed = |value| Attribution {
            order: Tag(1),
            id: None,
            placed_at: Timestamp(0),
            value: Micros(value),
            standing: Standing::Corrected,
            model: AttributionModel::Last,
            credits: Vec::new(),
        };
        let (now, mut last_at) = (Timestamp(1_000), Timestamp::default());
        let mut written = records(vec![changed(10), changed(20), changed(10)], now, &mut last_at);
        // The next commit may follow within the same microsecond.
        written.extend(records(vec![changed(20)], now, &mut last_at));
        assert_eq!(
            written.iter().map(|record| record.at.0).collect::<Vec<_>>(),
            [1_000, 1_001, 1_002, 1_003]
        );
        assert_eq!(records(vec![changed(10)], Timestamp(9_000), &mut last_at)[0].at, Timestamp(9_000));
    }

    #[test]
    fn who_is_forgotten_costs_a_checkpoint_now_and_then_and_not_each_turn() {
        assert!(!is_due(99, 100, true) && is_due(100, 100, true));
        assert!(!is_due(2_999, 100, false) && is_due(3_000, 100, false));
        assert!(is_due(1, 0, false));
    }
}
