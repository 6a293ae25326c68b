//! The thread that delivers: reads the journal into each postback's queue, sends what is due, and keeps the queues.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use haggle_actors::journal::Journal;
use haggle_domain::draw::mix;
use haggle_domain::{CampaignKey, Clock, Event, Record, Timestamp};
use haggle_strategies::Snapshot;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::message::{body, signature};
use super::queue::{Delivery, Limits, Queue, Told};
use super::send::{Outgoing, Sender};
use super::{Counts, checkpoint_name};
use crate::attribution::Decides;
use crate::config::Postback;

/// Real time between two turns where nothing is answered.
const TURN: Duration = Duration::from_millis(100);
/// Between two checkpoints of a queue that changes. It may be some MB, and changes with every record of the journal. After a crash what
/// came since is read again; only how often it was tried meanwhile is forgotten.
const KEEP_EVERY: Duration = Duration::from_secs(30);
/// Records read at once.
const CHUNK: usize = 1024;
/// Records of what became of deliveries in one commit.
const PORTION: usize = 200;

/// What it works with.
#[derive(Clone)]
pub struct PostbackDeps {
    /// Who is told.
    pub postbacks: Vec<Postback>,
    /// The account's currency.
    pub currency: String,
    /// Where orders' credits are read.
    pub journal: Arc<dyn Journal>,
    /// Where campaigns' ids are known.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where its report is published.
    pub report: Arc<ArcSwapOption<PostbackReport>>,
    /// Whether this node sends.
    pub decides: Decides,
}

/// What it shows, by the postbacks' names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostbackReport(pub BTreeMap<String, Shown>);

/// What is shown of one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shown {
    /// What became of deliveries.
    pub counts: Counts,
    /// Those that wait.
    pub waiting: usize,
    /// Those that were given up and are kept.
    pub dead: usize,
    /// For how long the oldest has waited.
    pub oldest: Duration,
}

/// The running thread.
pub struct PostbackThread {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl PostbackThread {
    /// Starts it. To be called before anything is credited: a new postback is told of all that comes from now on.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up, or the system has no room for a thread.
    pub fn start(deps: PostbackDeps) -> Result<Self, String> {
        let sender = Sender::new().map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let (stop, stopped) = watch::channel(false);
        let begin = |postback: &Postback| (postback.clone(), recover(&*deps.journal, &postback.name));
        let queues: Vec<(Postback, Queue)> = deps.postbacks.iter().map(begin).collect();
        let run = move || {
            let tasks = LocalSet::new();
            let deps = Rc::new(deps);
            for (postback, queue) in queues {
                let (deps, sender, kept) = (Rc::clone(&deps), sender.clone(), queue.clone());
                let (term, ended) = (None, VecDeque::new());
                let worker = Worker { deps, postback, sender, queue, term, ended, under_way: 0, kept };
                tasks.spawn_local(worker.run(stopped.clone()));
            }
            runtime.block_on(tasks);
        };
        let thread = std::thread::Builder::new().name("postbacks".to_owned()).spawn(run);
        Ok(Self { stop, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Has it begin nothing more and keep its queues, and waits until that is done. What is under way is sent again by the next
    /// start. Blocks.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!(
                "the thread of postbacks panicked; what it had not delivered is sent after the next start"
            );
        }
    }
}

/// What came of a try.
struct Sent {
    number: u64,
    /// Under which it was begun.
    term: Option<u64>,
    result: Result<(), String>,
}

/// What a record tells a postback.
pub(super) fn told(postback: &Postback, record: Record) -> Option<Told> {
    match record.event {
        Event::Attributed { attribution } if postback.wants(&attribution) => {
            Some(Told::Found(record.at, *attribution))
        }
        Event::PostedBack { postback: of, delivery, delivered }
            if of.eq_ignore_ascii_case(&postback.name) =>
        {
            Some(Told::Ended { number: delivery, delivered })
        }
        _ => None,
    }
}

struct Worker {
    deps: Rc<PostbackDeps>,
    postback: Postback,
    sender: Sender,
    queue: Queue,
    /// Under which number this node sends, if it does.
    term: Option<u64>,
    /// Deliveries that ended under it, to be written. As many as were waiting, at most.
    ended: VecDeque<(u64, bool)>,
    under_way: usize,
    /// The queue as it was kept last.
    kept: Queue,
}

/// Goes on with the queue that was kept. A new postback begins with what comes from now on, and what comes is committed after
/// that it does. One whose queue cannot be read is made again of the whole journal, which tells of most deliveries that they have ended:
/// what is sent twice has the same number, and what waited is not lost.
pub(super) fn recover(journal: &dyn Journal, postback: &str) -> Queue {
    let name = checkpoint_name(postback);
    let unreadable = match journal.checkpoint(&name) {
        Ok(Some(checkpoint)) => match Queue::kept(&checkpoint.bytes, checkpoint.offset) {
            Ok(queue) => return queue,
            Err(error) => Some(error.to_string()),
        },
        Ok(None) => None,
        Err(error) => Some(error.to_string()),
    };
    let begin = if unreadable.is_some() { journal.durable_start() } else { journal.durable_end() };
    if let Some(error) = unreadable {
        tracing::error!(
            name,
            error,
            begin,
            "a queue of postbacks is unreadable; it is made again of the journal: what has not ended since its beginning is sent, \
             also what was credited before the postback was configured"
        );
    }
    let queue = Queue::new(begin);
    // Refused only by a journal that has stopped, and with it the program.
    let _ = journal.put_checkpoint(&name, queue.cursor(), minicbor::to_vec(&queue).unwrap_or_default());
    queue
}

impl Worker {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let (done, mut results) = mpsc::unbounded_channel();
        let mut keep = tokio::time::interval(KEEP_EVERY);
        // The first comes at once, and there is nothing to keep.
        keep.tick().await;
        while !*stopped.borrow() {
            self.turn_to((self.deps.decides)());
            self.read();
            if self.term.is_some() {
                self.begin(&done);
            }
            self.show();
            tokio::select! {
                // Whoever stops it has gone: then it stops, too.
                changed = stopped.changed() => if changed.is_err() { break },
                Some(result) = results.recv() => {
                    self.settle(result);
                    while let Ok(result) = results.try_recv() {
                        self.settle(result);
                    }
                    self.write();
                }
                _ = keep.tick() => self.keep(),
                () = tokio::time::sleep(TURN) => {}
            }
        }
        self.write();
        self.keep();
        self.show();
    }

    /// It sends from now on, or does not: what was under way before is not waited for.
    fn turn_to(&mut self, term: Option<u64>) {
        if term != self.term {
            self.term = term;
            self.ended.clear();
            self.queue.forget_sending();
        }
    }

    /// Takes in what the journal has, as far as there is room.
    fn read(&mut self) {
        self.write();
        loop {
            let from = self.queue.next().max(self.deps.journal.durable_start());
            let records = match self.deps.journal.read_from(from, CHUNK) {
                Ok(records) => records,
                Err(error) => {
                    tracing::error!(postback = self.postback.name, %error, "postbacks cannot read the journal");
                    return;
                }
            };
            let (now, whole, room) = (self.deps.clock.now(), records.len() == CHUNK, self.queue.has_room());
            let postback = &self.postback;
            self.queue
                .read(records.into_iter().map(|(offset, record)| (offset, told(postback, record))), now);
            if !whole && self.queue.has_room() == room {
                return;
            }
        }
    }

    /// Writes what became of deliveries, as far as the journal has room. It counts once it is read.
    fn write(&mut self) {
        while !self.ended.is_empty() {
            let Ok(permit) = self.deps.journal.try_reserve_spare() else { return };
            let at = self.deps.clock.now();
            let records = self.ended.drain(..self.ended.len().min(PORTION)).map(|(delivery, delivered)| {
                let event = Event::PostedBack { postback: self.postback.name.clone(), delivery, delivered };
                Record { at, campaign: CampaignKey::default(), event }
            });
            permit.under(self.term).commit(records.collect(), None);
        }
    }

    /// Begins what is due, as much as may be under way.
    fn begin(&mut self, done: &mpsc::UnboundedSender<Sent>) {
        let (now, free) = (self.deps.clock.now(), self.postback.concurrency.saturating_sub(self.under_way));
        for delivery in self.queue.due(now, free) {
            self.under_way += 1;
            let (outgoing, sender, done) = (self.outgoing(&delivery, now), self.sender.clone(), done.clone());
            let term = self.term;
            tokio::task::spawn_local(async move {
                let result = sender.send(&outgoing).await;
                // Whoever waits for it has stopped.
                let _ = done.send(Sent { number: delivery.number, term, result });
            });
        }
    }

    fn outgoing(&self, delivery: &Delivery, now: Timestamp) -> Outgoing {
        let Postback { name, url, key, allow_private, timeout, .. } = &self.postback;
        let id = format!("{name}-{:016x}", delivery.number);
        let catalog = Arc::clone(&self.deps.snapshot.load().catalog);
        let named = |key| catalog.get(key).map(|entry| entry.campaign.id.to_string());
        let body = body(&delivery.attribution, &id, &self.deps.currency, now, named);
        let timestamp = now.0.div_euclid(1_000_000);
        Outgoing {
            url: url.fill(&delivery.attribution, &id),
            signature: signature(key.expose(), timestamp, body.as_bytes()),
            body,
            delivery: id,
            timestamp,
            allow_private: *allow_private,
            timeout: *timeout,
        }
    }

    fn settle(&mut self, Sent { number, term, result }: Sent) {
        self.under_way = self.under_way.saturating_sub(1);
        // Another node may have sent it meanwhile, or sends it now; the other side has its number.
        if term != self.term {
            return;
        }
        let Err(why) = result else { return self.ended.push_back((number, true)) };
        let now = self.deps.clock.now();
        let limits = Limits { tries: self.postback.tries, give_up_after: self.postback.give_up_after };
        let chance = (mix(number ^ now.0.cast_unsigned()) >> 11) as f64 / (1u64 << 53) as f64;
        if self.queue.failed(number, &why, now, chance, &limits) {
            let (postback, delivery) = (&self.postback.name, format!("{number:016x}"));
            tracing::warn!(postback, delivery, why, "a postback is given up; see haggle postback");
            self.ended.push_back((number, false));
        }
    }

    /// Keeps the queue if it has changed. Refused for lack of room, it is due again the next time.
    fn keep(&mut self) {
        if self.kept == self.queue {
            return;
        }
        let (name, cursor) = (checkpoint_name(&self.postback.name), self.queue.cursor());
        let bytes = minicbor::to_vec(&self.queue).unwrap_or_default();
        if self.deps.journal.put_checkpoint(&name, cursor, bytes).is_ok() {
            self.kept = self.queue.clone();
        }
    }

    fn show(&self) {
        let now = self.deps.clock.now();
        let oldest = self.queue.waiting().iter().map(|delivery| now.since(delivery.first_at)).max();
        let shown = Shown {
            counts: self.queue.counts(),
            waiting: self.queue.waiting().len(),
            dead: self.queue.dead().len(),
            oldest: oldest.unwrap_or_default(),
        };
        let mut all = self.deps.report.load_full().map(|report| (*report).clone()).unwrap_or_default();
        all.0.insert(self.postback.name.clone(), shown);
        self.deps.report.store(Some(Arc::new(all)));
    }
}

#[cfg(test)]
mod tests;
