//! What goes wrong: notices, answers, the machine, its clock, the exchanges. All of it follows from the seed, and every draw from what
//! it is for, so that a world with other faults has the same users, requests and luck.

use std::time::Duration;

use haggle_domain::{Tag, Timestamp};

use crate::chance::{Chance, Use};

/// Faults of a run; by default there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// The share of the notices that never come.
    pub lost: f64,
    /// The share that comes again, as late as late ones.
    pub duplicated: f64,
    /// The share that comes late.
    pub late: f64,
    /// By how much, in the middle: lognormal.
    pub late_by: Duration,
    /// How unequally: the standard deviation of the logarithm.
    pub late_spread: f64,
    /// The share that other notices overtake: it takes up to [`OVERTAKEN`] longer.
    pub reordered: f64,
    /// The share of the answers that come after the exchange has decided.
    pub slow_answers: f64,
    /// When the machine crashes, after the start.
    pub crashes: Vec<Duration>,
    /// The mean time between crashes by chance, which come on top.
    pub crash_every: Option<Duration>,
    /// How long it is down each time.
    pub down: Duration,
    /// Whether exchanges and the shop try again what they could not tell it meanwhile; otherwise that is lost.
    pub retried: bool,
    /// When its clock is wrong.
    pub clock: Vec<ClockFault>,
    /// When an exchange asks nothing.
    pub silences: Vec<Silence>,
}

/// For a time the machine's clock is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockFault {
    /// After the start.
    pub at: Duration,
    /// How long.
    pub lasts: Duration,
    /// By so many microseconds; below zero it is slow.
    pub off: i64,
}

/// For a time an exchange asks nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Which.
    pub exchange: String,
    /// After the start.
    pub at: Duration,
    /// How long.
    pub lasts: Duration,
}

/// How long a notice that others overtake takes longer, at most.
const OVERTAKEN: Duration = Duration::from_secs(10);
/// Between two tries to tell a machine that is down something.
pub(super) const RETRY: Duration = Duration::from_secs(60);
/// Crashes by chance, at most.
const MOST_CRASHES: usize = 10_000;

/// What a draw is about, beside the notices' kinds.
const ANSWER: u64 = 100;
const CRASHES: u64 = 101;

impl Faults {
    /// Whether nothing goes wrong.
    pub fn is_quiet(&self) -> bool {
        let shares = [self.lost, self.duplicated, self.late, self.reordered, self.slow_answers];
        let crashes = !self.crashes.is_empty() || self.crash_every.is_some();
        shares.iter().all(|share| *share <= 0.0)
            && !crashes
            && self.clock.is_empty()
            && self.silences.is_empty()
    }

    /// When a notice of this kind that is sent at `at` comes, none to two times.
    pub(super) fn arrivals(
        &self,
        seed: u64,
        request: &str,
        kind: u64,
        at: Timestamp,
    ) -> [Option<Timestamp>; 2] {
        if self.lost + self.duplicated + self.late + self.reordered == 0.0 {
            return [Some(at), None];
        }
        let mut chance = Chance::new(seed, Use::Faults, Tag::of(request).0, kind);
        // All are drawn, so that one share says nothing of what another finds.
        let [lost, duplicated, late, reordered, overtaken] = std::array::from_fn(|_| chance.uniform());
        let [by, again] = std::array::from_fn(|_| {
            // At most a year: what is later never comes.
            let seconds = chance.lognormal(self.late_by.as_secs_f64(), self.late_spread).clamp(0.0, 3.2e7);
            Duration::from_secs_f64(seconds)
        });
        if lost < self.lost {
            return [None, None];
        }
        let held_up = if late < self.late { by } else { Duration::ZERO };
        let swapped = if reordered < self.reordered { OVERTAKEN.mul_f64(overtaken) } else { Duration::ZERO };
        [Some(at + held_up + swapped), (duplicated < self.duplicated).then(|| at + again)]
    }

    /// Whether the exchange decides before the answer to this request is there.
    pub(super) fn is_slow(&self, seed: u64, request: &str) -> bool {
        self.slow_answers > 0.0
            && Chance::new(seed, Use::Faults, Tag::of(request).0, ANSWER).hit(self.slow_answers)
    }

    /// Whether an exchange asks nothing so long after the start.
    pub(super) fn is_silent(&self, exchange: &str, after: Duration) -> bool {
        self.silences.iter().any(|it| it.exchange == exchange && it.at <= after && after < it.at + it.lasts)
    }

    /// All crashes within `span`, in order.
    fn all_crashes(&self, seed: u64, span: Duration) -> Vec<Duration> {
        let mut all = self.crashes.clone();
        if let Some(mean) = self.crash_every {
            let (mut chance, mut after) = (Chance::new(seed, Use::Faults, 0, CRASHES), 0.0);
            while all.len() < MOST_CRASHES {
                after += -(1.0 - chance.uniform()).ln() * mean.as_secs_f64();
                if after >= span.as_secs_f64() {
                    break;
                }
                all.push(Duration::from_secs_f64(after));
            }
        }
        all.sort_unstable();
        all
    }
}

/// The machine that the bidder runs on: whether it is up, and what its clock says.
pub(super) struct Machine<'f> {
    faults: &'f Faults,
    start: Timestamp,
    /// When it crashes, the next one last.
    crashes: Vec<Timestamp>,
    /// Until when it is down.
    down_until: Option<Timestamp>,
    /// What its clock said last: within one process that never goes back.
    clock: Timestamp,
}

/// What has become of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It goes on.
    Same,
    /// It has crashed.
    Crashed,
    /// It is up again.
    Started,
}

impl<'f> Machine<'f> {
    pub(super) fn new(faults: &'f Faults, seed: u64, start: Timestamp, span: Duration) -> Self {
        let mut crashes: Vec<Timestamp> =
            faults.all_crashes(seed, span).into_iter().map(|after| start + after).collect();
        crashes.reverse();
        let mut machine = Self { faults, start, crashes, down_until: None, clock: start };
        machine.clock = machine.shown(start);
        machine
    }

    pub(super) fn is_up(&self) -> bool {
        self.down_until.is_none()
    }

    /// Moves on to a moment.
    pub(super) fn turn(&mut self, now: Timestamp) -> Turn {
        if let Some(until) = self.down_until {
            if now < until {
                return Turn::Same;
            }
            self.down_until = None;
            // Another process, that knows nothing of what the clock said before.
            self.clock = self.shown(now);
            // Whatever should have struck meanwhile met nothing.
            while self.crashes.last().is_some_and(|at| *at <= now) {
                self.crashes.pop();
            }
            return Turn::Started;
        }
        if self.crashes.last().is_some_and(|at| *at <= now) {
            self.crashes.pop();
            self.down_until = Some(now + self.faults.down);
            return Turn::Crashed;
        }
        Turn::Same
    }

    /// When something about it changes next.
    pub(super) fn next_turn(&self, now: Timestamp) -> Timestamp {
        let edges = self.faults.clock.iter().flat_map(|it| [it.at, it.at + it.lasts]);
        let edge = edges.map(|after| self.start + after).filter(|at| *at > now).min();
        let change = self.down_until.or(self.crashes.last().copied());
        edge.into_iter().chain(change).min().unwrap_or(Timestamp::MAX)
    }

    /// What its clock says.
    pub(super) fn clock(&mut self, now: Timestamp) -> Timestamp {
        self.clock = self.clock.max(self.shown(now));
        self.clock
    }

    /// When its clock will say so, if nothing changes about it.
    pub(super) fn when(&self, now: Timestamp, clock: Timestamp) -> Timestamp {
        if clock == Timestamp::MAX { clock } else { Timestamp(clock.0.saturating_sub(self.off(now))) }
    }

    fn shown(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.off(now)))
    }

    fn off(&self, now: Timestamp) -> i64 {
        let after = now.since(self.start);
        let on = self.faults.clock.iter().filter(|it| it.at <= after && after < it.at + it.lasts);
        on.map(|it| it.off).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const START: Timestamp = Timestamp(1_000_000_000_000_000);

    #[test]
    fn notices_are_lost_doubled_and_late_in_the_shares_that_were_asked_for() {
        let faults = Faults {
            lost: 0.1,
            duplicated: 0.2,
            late: 0.3,
            late_by: 20 * MINUTE,
            late_spread: 1.0,
            ..Faults::default()
        };
        let (mut lost, mut twice, mut late, mut later) = (0, 0, 0, 0);
        for number in 0..20_000 {
            let [first, second] = faults.arrivals(7, &format!("r{number}"), 1, START);
            lost += i32::from(first.is_none());
            twice += i32::from(second.is_some());
            late += i32::from(first.is_some_and(|at| at > START));
            later += i32::from(first.is_some_and(|at| at > START + 20 * MINUTE));
            assert_eq!(first, faults.arrivals(7, &format!("r{number}"), 1, START)[0]);
        }
        assert!((lost - 2_000).abs() < 200 && (twice - 3_600).abs() < 300, "{lost} {twice}");
        assert!((late - 5_400).abs() < 300 && (later * 2 - late).abs() < 300, "{late} {later}");
        // More of them are lost, and the others come when they did.
        let worse = Faults { lost: 0.5, ..faults.clone() };
        for number in 0..1_000 {
            let id = format!("r{number}");
            let (before, after) = (faults.arrivals(7, &id, 1, START), worse.arrivals(7, &id, 1, START));
            assert!(after == before || after == [None, None]);
        }
    }

    #[test]
    fn a_clock_stands_still_rather_than_goes_back_until_the_machine_starts_again() {
        let clock = vec![ClockFault { at: 10 * MINUTE, lasts: 10 * MINUTE, off: 300_000_000 }];
        let faults = Faults { clock, crashes: vec![22 * MINUTE], down: MINUTE, ..Faults::default() };
        let mut machine = Machine::new(&faults, 1, START, 60 * MINUTE);
        let at = |minutes: u32| START + minutes * MINUTE;
        assert_eq!(machine.clock(at(9)), at(9));
        assert_eq!(machine.next_turn(at(9)), at(10));
        assert_eq!(machine.clock(at(19)), at(24));
        assert_eq!(machine.when(at(19), at(24)), at(19));
        assert_eq!((machine.clock(at(20)), machine.clock(at(21))), (at(24), at(24)));
        assert_eq!(machine.turn(at(21)), Turn::Same);
        assert_eq!((machine.turn(at(22)), machine.is_up()), (Turn::Crashed, false));
        assert_eq!(machine.next_turn(at(22)), at(23));
        assert_eq!((machine.turn(at(23)), machine.is_up()), (Turn::Started, true));
        assert_eq!(machine.clock(at(23)), at(23));
        assert_eq!(machine.next_turn(at(23)), Timestamp::MAX);
    }

    #[test]
    fn crashes_by_chance_come_as_often_as_was_asked_for() {
        let faults = Faults { crash_every: Some(60 * MINUTE), ..Faults::default() };
        let crashes = faults.all_crashes(3, 60_000 * MINUTE);
        assert!((900..1_100).contains(&crashes.len()) && crashes.is_sorted(), "{}", crashes.len());
    }
}
