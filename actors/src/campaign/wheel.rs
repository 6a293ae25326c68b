//! One timer for all campaigns of a thread: it ticks those that have something to do, and nobody else.
//!
//! A campaign is ticked when its bell rang (a bid took money, or found none), when its actor asked for it, and when the moment
//! has come that its actor named. One that nobody asks for costs nothing in between.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Addr;
use haggle_domain::{Clock, Timestamp};
use haggle_strategies::{Bell, Board};

use super::actor::{CampaignActor, Tick};

/// In how much time every campaign keeps a checkpoint, though nothing has happened to it, so that the next start has
/// little to replay.
const ROUND: Duration = Duration::from_secs(3600);

/// Ticks of one turn at most, so that notices do not wait long behind them; the rest comes with the next turns, the longest
/// due first.
const MOST_TICKS: usize = 16_384;

/// The wheel of one thread. Actors call it while they handle messages, and it sends no message with its lock held.
pub struct Wheel {
    /// Real time between two turns.
    turn: Duration,
    /// Turns between something happening to a campaign and its checkpoint.
    checkpoint_turns: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    boards: Vec<Arc<Board>>,
    /// By the campaigns' numbers.
    actors: Vec<Slot>,
    due: BTreeSet<(Timestamp, u32)>,
    /// When a checkpoint is due, and whose. In order, because all wait equally long.
    checkpoints: VecDeque<(u64, u32)>,
    turns: u64,
    /// Who is next in the round of checkpoints, and how far into the next one's time.
    next: usize,
    credit: f64,
}

struct Slot {
    address: Arc<Addr<CampaignActor>>,
    /// Where it stands in `due`.
    due: Option<Timestamp>,
}

impl Wheel {
    /// A wheel that turns every `turn`, and has campaigns keep checkpoints `checkpoint_interval` after something happened.
    pub fn new(turn: Duration, checkpoint_interval: Duration) -> Self {
        let turns = checkpoint_interval.as_micros() / turn.as_micros().max(1);
        let checkpoint_turns = u64::try_from(turns).unwrap_or(u64::MAX).max(1);
        Self { turn, checkpoint_turns, inner: Mutex::default() }
    }

    /// Takes a campaign on; it is ticked at the next turn. Gives its number and its bell.
    pub fn join(&self, address: Arc<Addr<CampaignActor>>) -> (u32, Bell) {
        let mut inner = self.lock();
        let number = inner.actors.len();
        if number / Board::BELLS == inner.boards.len() {
            inner.boards.push(Arc::default());
        }
        let bell = inner.boards[number / Board::BELLS].bell(number % Board::BELLS);
        inner.actors.push(Slot { address, due: None });
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        inner.schedule(number, Timestamp::default());
        (number, bell)
    }

    /// The campaign is to be ticked at `at`, and not before unless its bell rings.
    pub fn schedule(&self, number: u32, at: Timestamp) {
        self.lock().schedule(number, at);
    }

    /// The campaign is to keep a checkpoint in a while. To be called again only after that.
    pub fn checkpoint_later(&self, number: u32) {
        let mut inner = self.lock();
        let at = inner.turns.saturating_add(self.checkpoint_turns);
        inner.checkpoints.push_back((at, number));
    }

    /// Turns for as long as its thread runs.
    pub async fn run(self: Arc<Self>, clock: Arc<dyn Clock>) {
        let mut interval = tokio::time::interval(self.turn);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            for (address, tick) in self.turn(clock.now()) {
                // At most one of each kind waits: the next is sent when its actor has handled this one.
                address.do_send(tick);
            }
        }
    }

    /// One turn, where nothing makes it turn by itself: returns when those who were to be ticked have been, one after the other.
    pub async fn turn_once(&self, now: Timestamp) {
        for (address, tick) in self.turn(now) {
            // An actor that is gone has nothing to do.
            let _ = address.send(tick).await;
        }
    }

    /// When the next campaign is to be ticked, but for those whose bells were rung meanwhile.
    pub fn next_due(&self) -> Timestamp {
        self.lock().due.first().map_or(Timestamp::MAX, |(at, _)| *at)
    }

    /// Who is to be ticked now.
    fn turn(&self, now: Timestamp) -> Vec<(Arc<Addr<CampaignActor>>, Tick)> {
        let inner = &mut *self.lock();
        inner.turns += 1;
        for (board, bells) in inner.boards.clone().iter().enumerate() {
            bells.answer(|bell| inner.ring((board * Board::BELLS + bell) as u32, now));
        }
        let mut ticks = Vec::new();
        let tick = |ticks: &mut Vec<_>, slot: &Slot, checkpoint| {
            ticks.push((Arc::clone(&slot.address), Tick { checkpoint }));
        };
        while let Some((at, number)) = inner.due.first().copied().filter(|(at, _)| *at <= now) {
            if ticks.len() >= MOST_TICKS {
                break;
            }
            inner.due.remove(&(at, number));
            if let Some(slot) = inner.actors.get_mut(number as usize) {
                slot.due = None;
                tick(&mut ticks, slot, false);
            }
        }
        while inner.checkpoints.front().is_some_and(|(at, _)| *at <= inner.turns) {
            let number = inner.checkpoints.pop_front().map_or(0, |(_, number)| number as usize);
            inner.actors.get(number).into_iter().for_each(|slot| tick(&mut ticks, slot, true));
        }
        inner.credit += inner.actors.len() as f64 * (self.turn.as_secs_f64() / ROUND.as_secs_f64());
        while inner.credit >= 1.0 {
            inner.credit -= 1.0;
            inner.next = if inner.next + 1 < inner.actors.len() { inner.next + 1 } else { 0 };
            inner.actors.get(inner.next).into_iter().for_each(|slot| tick(&mut ticks, slot, true));
        }
        ticks
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whoever was rung for is due now, behind those that have been due for longer.
    fn ring(&mut self, number: u32, now: Timestamp) {
        let due = self.actors.get(number as usize).and_then(|slot| slot.due);
        if due.is_none_or(|due| due > now) {
            self.schedule(number, now);
        }
    }

    fn schedule(&mut self, number: u32, at: Timestamp) {
        let Some(slot) = self.actors.get_mut(number as usize) else { return };
        if let Some(before) = slot.due.replace(at) {
            self.due.remove(&(before, number));
        }
        self.due.insert((at, number));
    }
}
