//! Letting requests go when more come than can be answered in time.
//!
//! A worker serves its connections one after the other, so a request waits for those that were ready before it. That wait is
//! measured by standing in the same queue: now and then the first request of a turn has a task put at the queue's end, and
//! the task looks how long it took to come up. From the wait follows the share of requests that is let go, by a
//! proportional-integral rule on the queue's delay (after PIE, RFC 8033, with gains for the milliseconds in which an auction is
//! decided). Which ones are let go is spread evenly, without chance.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use crossbeam::utils::CachePadded;
use haggle_safety::Mode;
use tokio::sync::Notify;

use super::state::State;
use crate::clock::monotonic;
use crate::metrics::RequestOutcome;

/// Says why a request was let go unread.
const SHED_HEADER: &str = "x-haggle-shed";
/// Between two looks at the queue.
const ROUND: Duration = Duration::from_millis(10);
/// How much the share moves in a round for a wait that is off by the whole target: half a second from nothing to all
/// and back.
const INTEGRAL: f64 = 0.02;
/// How much for a wait that has grown by the whole target since the last round.
const PROPORTIONAL: f64 = 0.05;
/// A wait of many targets counts as this many: a stall of the machine is no reason to let everything go for long.
const MOST_TARGETS: f64 = 5.0;
/// While more than this is let go, the node is not ready: others had better take the traffic.
const UNREADY: f64 = 0.9;

/// What all workers show.
#[derive(Debug)]
pub struct Pressure {
    workers: Box<[CachePadded<AtomicU32>]>,
    started: AtomicU32,
}

impl Pressure {
    /// Of this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| CachePadded::default()).collect(),
            started: AtomicU32::new(0),
        }
    }

    /// The share of requests that is let go (or would be), over all workers; 0..=1.
    pub fn shedding(&self) -> f64 {
        let sum: f64 = self.workers.iter().map(|share| f64::from(share.load(Ordering::Relaxed))).sum();
        sum / 1e6 / self.workers.len() as f64
    }

    /// Whether so much is let go that the node should not be sent anything.
    pub fn is_unready(&self) -> bool {
        self.shedding() > UNREADY
    }
}

/// The rule, without clocks and tasks.
#[derive(Debug, Default)]
struct Controller {
    share: f64,
    /// The wait that the last round counted, in targets.
    before: f64,
    /// The wait that it saw.
    seen: f64,
}

impl Controller {
    /// Moves on by one round, in which a request waited this long.
    fn round(&mut self, wait: Duration, target: Duration) -> f64 {
        let seen = (wait.as_secs_f64() / target.as_secs_f64().max(1e-6)).min(MOST_TARGETS);
        // One stall, as when the machine does something else for a moment, is no queue: a queue is there twice.
        let wait = seen.min(std::mem::replace(&mut self.seen, seen));
        let moved = INTEGRAL * (wait - 1.0) + PROPORTIONAL * (wait - self.before);
        // Whatever happened while nothing was let go is no debt: growth counts from the target on.
        self.before = wait.max(1.0);
        self.share = (self.share + moved).clamp(0.0, 1.0);
        self.share
    }
}

/// One worker's door. Lives on its thread.
struct Door {
    share: Cell<f64>,
    /// What the share has added up to since one was let go.
    owed: Cell<f64>,
    /// How long the queue was when last looked at.
    wait: Cell<Duration>,
    /// A request came since the last round.
    busy: Cell<bool>,
    wake: Notify,
    /// The next request measures the queue. A timer alone could not: timers are looked at when the queue is done.
    due: Cell<bool>,
    /// When one did.
    measured_from: Cell<Option<Instant>>,
    measure: Notify,
}

impl Door {
    /// How long it takes from a request's turn to the end of the queue that stood behind it; nothing where none comes.
    async fn stand_in_line(&self) -> Duration {
        self.due.set(true);
        let stood = tokio::time::timeout(ROUND, self.measure.notified()).await.is_ok();
        self.due.set(false);
        let from = self.measured_from.take().filter(|_| stood);
        from.map_or(Duration::ZERO, |from| monotonic().saturating_duration_since(from))
    }
}

thread_local! {
    static DOOR: RefCell<Option<Rc<Door>>> = const { RefCell::new(None) };
}

/// Lets a request of an exchange in, and says about how long it has waited in this worker's queue; or has the answer for
/// one that is let go. Must be called inside an actix system.
#[allow(clippy::result_large_err, reason = "the answer goes straight to the connection")]
pub(super) fn admit(state: &State, exchange: usize) -> Result<Duration, HttpResponse> {
    let limit = state.limits.get(exchange).and_then(Option::as_ref);
    if limit.is_some_and(|limit| !limit.allows(monotonic())) {
        state.metrics.bid_request(exchange, RequestOutcome::RateLimited);
        return Err(let_go("rate_limited"));
    }
    let mode = state.settings.load_shedding;
    if mode == Mode::Off {
        return Ok(Duration::ZERO);
    }
    let (overloaded, waited) = ask(&state.pressure, state.settings.queue_target);
    if overloaded {
        state.metrics.shed.inc();
        if mode == Mode::Enforce {
            state.metrics.bid_request(exchange, RequestOutcome::Overloaded);
            return Err(let_go("overloaded"));
        }
    }
    Ok(waited)
}

fn let_go(why: &'static str) -> HttpResponse {
    HttpResponse::NoContent().insert_header((SHED_HEADER, why)).finish()
}

/// Asks the door of this worker, which is opened at its first request: whether this one is to be let go, and how long the
/// queue is.
fn ask(pressure: &Arc<Pressure>, target: Duration) -> (bool, Duration) {
    DOOR.with_borrow_mut(|door| {
        let door = door.get_or_insert_with(|| open(Arc::clone(pressure), target));
        if !door.busy.replace(true) {
            door.wake.notify_one();
        }
        if door.due.replace(false) {
            door.measured_from.set(Some(monotonic()));
            door.measure.notify_one();
        }
        let owed = door.owed.get() + door.share.get();
        let overloaded = owed >= 1.0;
        door.owed.set(if overloaded { owed - 1.0 } else { owed });
        (overloaded, door.wait.get())
    })
}

fn open(pressure: Arc<Pressure>, target: Duration) -> Rc<Door> {
    let door = Rc::new(Door {
        share: Cell::new(0.0),
        owed: Cell::new(0.0),
        wait: Cell::new(Duration::ZERO),
        busy: Cell::new(false),
        wake: Notify::new(),
        due: Cell::new(false),
        measured_from: Cell::new(None),
        measure: Notify::new(),
    });
    let place = pressure.started.fetch_add(1, Ordering::Relaxed) as usize % pressure.workers.len();
    let shown = Rc::clone(&door);
    actix_rt::spawn(async move {
        let mut controller = Controller::default();
        loop {
            // While nothing comes and nothing is let go, nothing wakes the worker.
            if !shown.busy.replace(false) && controller.share <= 0.0 {
                shown.wake.notified().await;
            }
            tokio::time::sleep(ROUND).await;
            let wait = shown.stand_in_line().await;
            shown.wait.set(wait);
            shown.share.set(controller.round(wait, target));
            if let Some(place) = pressure.workers.get(place) {
                // A share of at most 1, in millionths.
                place.store((controller.share * 1e6) as u32, Ordering::Relaxed);
            }
        }
    });
    door
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(2);

    /// A queue that `load` requests come to for each that it can serve: its wait grows by what is not let go.
    fn run(controller: &mut Controller, load: f64, seconds: f64) -> (f64, Duration) {
        let mut wait = 0.0_f64;
        let mut share = controller.share;
        for _ in 0..(seconds / ROUND.as_secs_f64()) as u32 {
            let served = load * (1.0 - share);
            wait = (wait + ROUND.as_secs_f64() * (served - 1.0)).max(0.0);
            share = controller.round(Duration::from_secs_f64(wait), TARGET);
        }
        (share, Duration::from_secs_f64(wait))
    }

    #[test]
    fn twice_the_load_lets_half_go_and_holds_the_wait() {
        let mut controller = Controller::default();
        let (share, wait) = run(&mut controller, 2.0, 20.0);
        assert!((0.4..=0.6).contains(&share), "{share}");
        assert!(wait < 5 * TARGET, "{wait:?}");
    }

    #[test]
    fn ten_times_the_load_is_answered_within_a_second_and_forgotten_in_one() {
        let mut controller = Controller::default();
        let (share, _) = run(&mut controller, 10.0, 1.0);
        // Nine tenths are right; since a queue counts once it is there twice, the share swings about that.
        assert!(share > 0.75, "{share}");
        let (share, wait) = run(&mut controller, 0.5, 1.0);
        assert_eq!((share, wait), (0.0, Duration::ZERO));
    }

    #[test]
    fn a_load_that_can_be_served_loses_nothing() {
        let mut controller = Controller::default();
        let (share, _) = run(&mut controller, 0.95, 10.0);
        assert!(share <= 0.0, "{share}");
        // One stall of a second, as of a machine that does something else.
        assert!(controller.round(Duration::from_secs(1), TARGET) <= 0.0);
        let (share, _) = run(&mut controller, 0.5, 0.5);
        assert!(share <= 0.0, "{share}");
    }

    #[actix_rt::test]
    async fn a_queue_that_takes_longer_than_the_target_has_some_let_go_until_it_is_gone() {
        let pressure = Arc::new(Pressure::new(1));
        let began = monotonic();
        while pressure.shedding() <= 0.2 {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", pressure.shedding());
            for _ in 0..4 {
                let pressure = Arc::clone(&pressure);
                actix_rt::spawn(async move {
                    ask(&pressure, TARGET);
                    std::thread::sleep(Duration::from_millis(3));
                });
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let began = monotonic();
        while pressure.shedding() > 0.0 {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", pressure.shedding());
            tokio::time::sleep(ROUND).await;
        }
    }
}
