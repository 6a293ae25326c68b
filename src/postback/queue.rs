//! What is still to be sent to one address: pure, so that time and chance are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use haggle_domain::{Attribution, Timestamp};
use minicbor::{Decode, Encode};

/// Deliveries that wait at once, at most; what comes then waits in the journal.
pub const MOST_WAITING: usize = 1_000;
/// Dead ones that are kept, at most; the one that died first goes.
pub const MOST_DEAD: usize = 10_000;
/// The pause after the first failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The longest reason that is kept, in bytes.
const LONGEST_REASON: usize = 200;

/// How often, and for how long, one is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tries, at most.
    pub tries: u32,
    /// From the first to the last.
    pub give_up_after: Duration,
}

/// Something to deliver.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Delivery {
    /// Where it stands in the journal; its number, whenever it is sent.
    #[n(0)]
    pub offset: u64,
    /// What is sent.
    #[n(1)]
    pub attribution: Attribution,
    /// Failures so far.
    #[n(2)]
    pub tries: u32,
    /// When it was first to be sent.
    #[n(3)]
    pub first_at: Timestamp,
    /// Not before.
    #[n(4)]
    pub next_at: Timestamp,
    /// Why it failed last.
    #[n(5)]
    pub why: String,
    /// It is being sent. Not kept: after a crash it is sent again.
    #[cbor(skip)]
    sending: bool,
}

/// What became of deliveries, since the postback was configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counts {
    /// Answered with a success.
    #[n(0)]
    pub delivered: u64,
    /// Tries that failed.
    #[n(1)]
    pub failed: u64,
    /// Given up.
    #[n(2)]
    pub dead: u64,
    /// Dead ones that were forgotten for lack of room.
    #[n(3)]
    pub forgotten: u64,
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Queue {
    /// Records of the journal below were looked at.
    #[n(0)]
    cursor: u64,
    #[n(1)]
    waiting: Vec<Delivery>,
    #[n(2)]
    dead: VecDeque<Delivery>,
    #[n(3)]
    counts: Counts,
}

impl Queue {
    /// One that begins at an offset of the journal.
    pub fn new(cursor: u64) -> Self {
        Self { cursor, ..Self::default() }
    }

    /// From where the journal is to be read.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// What became of deliveries.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What waits.
    pub fn waiting(&self) -> &[Delivery] {
        &self.waiting
    }

    /// What was given up, oldest first.
    pub fn dead(&self) -> impl ExactSizeIterator<Item = &Delivery> {
        self.dead.iter()
    }

    /// Whether more can be taken in.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// The record at an offset was looked at; it may be something to deliver.
    pub fn passed(&mut self, offset: u64, found: Option<Attribution>, now: Timestamp) {
        if offset < self.cursor {
            return;
        }
        self.cursor = offset + 1;
        if let Some(attribution) = found {
            let (first_at, next_at) = (now, now);
            self.waiting.push(Delivery {
                offset,
                attribution,
                tries: 0,
                first_at,
                next_at,
                why: String::new(),
                sending: false,
            });
        }
    }

    /// Takes up to `most` that are due, in the order of the journal.
    pub fn due(&mut self, now: Timestamp, most: usize) -> Vec<Delivery> {
        let due = self.waiting.iter_mut().filter(|delivery| !delivery.sending && delivery.next_at <= now);
        due.take(most)
            .map(|delivery| {
                delivery.sending = true;
                if delivery.tries == 0 {
                    delivery.first_at = now;
                }
                delivery.clone()
            })
            .collect()
    }

    /// One was delivered.
    pub fn delivered(&mut self, offset: u64) {
        let before = self.waiting.len();
        self.waiting.retain(|delivery| delivery.offset != offset);
        self.counts.delivered += (before - self.waiting.len()) as u64;
    }

    /// One was not. It waits twice as long as before, up to an hour, less up to half of that by `chance` (0 to 1), so that what
    /// failed together does not come again together; or it was its last try.
    pub fn failed(&mut self, offset: u64, why: &str, now: Timestamp, chance: f64, limits: &Limits) {
        let Some(place) = self.waiting.iter().position(|delivery| delivery.offset == offset) else { return };
        let Some(delivery) = self.waiting.get_mut(place) else { return };
        self.counts.failed += 1;
        delivery.sending = false;
        delivery.tries = delivery.tries.saturating_add(1);
        delivery.why = why.chars().filter(|letter| !letter.is_control()).collect();
        while delivery.why.len() > LONGEST_REASON {
            delivery.why.pop();
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (delivery.tries - 1).min(20)).min(LONGEST_PAUSE);
        delivery.next_at = now + pause.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0);
        let over = delivery.next_at.since(delivery.first_at) > limits.give_up_after;
        if over || delivery.tries >= limits.tries {
            let delivery = self.waiting.remove(place);
            self.counts.dead += 1;
            self.dead.push_back(delivery);
            if self.dead.len() > MOST_DEAD {
                self.dead.pop_front();
                self.counts.forgotten += 1;
            }
        }
    }

    /// Has dead ones sent again from anew, all or the one of an offset; gives how many. Their time begins with their first try.
    pub fn retry(&mut self, offset: Option<u64>) -> usize {
        let (again, rest): (Vec<_>, Vec<_>) =
            self.dead.drain(..).partition(|delivery| offset.is_none_or(|offset| delivery.offset == offset));
        self.dead = rest.into();
        let count = again.len();
        self.waiting.extend(again.into_iter().map(|delivery| Delivery {
            tries: 0,
            next_at: Timestamp::default(),
            sending: false,
            ..delivery
        }));
        self.waiting.sort_by_key(|delivery| delivery.offset);
        count
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{AttributionModel, Micros, Standing, Tag};
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { tries: 8, give_up_after: Duration::from_secs(3600) };

    fn attribution(order: u64) -> Attribution {
        Attribution {
            order: Tag(order),
            id: None,
            placed_at: Timestamp(0),
            value: Micros(1),
            standing: Standing::Credited,
            model: AttributionModel::Last,
            credits: Vec::new(),
        }
    }

    fn seconds(count: f64) -> Timestamp {
        Timestamp(0) + Duration::from_secs_f64(count)
    }

    #[test]
    fn pauses_double_with_chance_until_the_last_try() {
        let mut queue = Queue::new(5);
        queue.passed(5, Some(attribution(1)), seconds(0.0));
        let (mut now, mut pauses) = (0.0, Vec::new());
        while let [delivery] = &queue.due(seconds(now), 9)[..] {
            let chance = if delivery.tries % 2 == 0 { 0.0 } else { 1.0 };
            queue.failed(5, "is down", seconds(now), chance, &LIMITS);
            let Some(waiting) = queue.waiting().first() else { break };
            let next = waiting.next_at.since(Timestamp(0)).as_secs_f64();
            assert!(queue.clone().due(seconds(next - 0.1), 9).is_empty());
            pauses.push(next - now);
            now = next;
        }
        assert_eq!(pauses, [1.0, 1.0, 4.0, 4.0, 16.0, 16.0, 64.0]);
        let dead: Vec<_> = queue.dead().map(|dead| (dead.offset, dead.tries, dead.why.as_str())).collect();
        assert_eq!(dead, [(5, 8, "is down")]);
        assert_eq!(queue.retry(Some(4)), 0);
        assert_eq!(queue.retry(None), 1);
        assert_eq!(queue.due(seconds(now), 9)[0].tries, 0);
    }

    #[test]
    fn whatever_was_being_sent_is_sent_again_after_a_crash() {
        let mut queue = Queue::new(0);
        queue.passed(0, Some(attribution(1)), seconds(0.0));
        assert_eq!(queue.due(seconds(0.0), 9).len(), 1);
        assert!(queue.due(seconds(9.0), 9).is_empty(), "once at a time");
        let mut after: Queue = minicbor::decode(&minicbor::to_vec(&queue).unwrap()).unwrap();
        assert_eq!(after.due(seconds(0.0), 9).len(), 1);
    }

    proptest! {
        /// Each is delivered, waits, or is dead: none is lost, whatever happens and wherever it starts anew.
        #[test]
        fn none_is_lost(steps in proptest::collection::vec((0u8..10, 0u64..40, 0.0f64..1.0), 1..300)) {
            let (mut queue, mut next, mut now, mut delivered) = (Queue::new(0), 0u64, 0.0, 0usize);
            let mut kept = (queue.clone(), 0, 0);
            for (what, which, chance) in steps {
                now += chance * 60.0;
                match what {
                    0..=2 => {
                        queue.passed(next, Some(attribution(next)), seconds(now));
                        next += 1;
                    }
                    3..=4 => drop(queue.due(seconds(now), 4)),
                    5 => {
                        let before = queue.waiting().len();
                        queue.delivered(which);
                        delivered += before - queue.waiting().len();
                    }
                    6..=7 => queue.failed(which, "why\n", seconds(now), chance, &LIMITS),
                    8 => drop(queue.retry(None)),
                    _ if chance > 0.5 => {
                        kept = (minicbor::decode(&minicbor::to_vec(&queue).unwrap()).unwrap(), next, delivered);
                    }
                    _ => {
                        let offset;
                        (queue, offset, delivered) = kept.clone();
                        (offset..next).for_each(|at| queue.passed(at, Some(attribution(at)), seconds(now)));
                    }
                }
                prop_assert_eq!(queue.waiting().len() + queue.dead().len() + delivered, next as usize);
            }
        }
    }
}
