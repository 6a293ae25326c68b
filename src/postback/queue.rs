//! What is still to be sent to one address: pure, so that time and chance are arguments.
//!
//! It is a fold over the journal. What is to be sent is read there, and so is what became of it, also by who sent it: so of several nodes
//! that share a journal each knows what waits, and any can go on. Tries and pauses are the own node's.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use haggle_domain::draw::mix;
use haggle_domain::{Attribution, Timestamp};
use minicbor::{Decode, Encode};

/// Deliveries that wait at once, at most; what comes then waits in the journal.
pub const MOST_WAITING: usize = 1_000;
/// Deliveries that wait in what a node tells those who come after it, at most.
pub const MOST_CARRIED: usize = 100_000;
/// Dead ones that are kept, at most; the one that died first goes. And of those that wait to be sent again on demand so many.
pub const MOST_DEAD: usize = 10_000;
/// Ends of what was not taken in yet that are remembered, at most; what is forgotten is sent again.
const MOST_ENDED: usize = 10_000;
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

/// A delivery's number, the same on every node and whenever it is sent: of what is sent and when that was written.
pub fn number(at: Timestamp, attribution: &Attribution) -> u64 {
    let Attribution { order, value, standing, .. } = attribution;
    let words = [at.0.cast_unsigned(), order.0, value.0.cast_unsigned(), *standing as u64];
    words.iter().fold(0, |so_far, word| mix(so_far ^ word).wrapping_add(*word))
}

/// Something to deliver.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Delivery {
    /// Its number.
    #[n(0)]
    pub number: u64,
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
    /// It was given up before, and is sent again on demand.
    #[n(6)]
    #[cbor(default)]
    again: bool,
    /// It is being sent. Not kept: after a crash it is sent again.
    #[cbor(skip)]
    sending: bool,
}

/// What became of deliveries, since the postback was configured. Tries are this node's.
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

/// What a record of the journal tells a queue.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Something is to be delivered, which was written then.
    Found(Timestamp, Attribution),
    /// A delivery ended.
    Ended {
        /// Which.
        number: u64,
        /// Or given up.
        delivered: bool,
    },
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Queue {
    /// What is to be delivered was taken in from the journal's records below.
    #[n(0)]
    cursor: u64,
    #[n(1)]
    waiting: Vec<Delivery>,
    #[n(2)]
    dead: VecDeque<Delivery>,
    #[n(3)]
    counts: Counts,
    /// What became of deliveries was taken in from the records below: ahead of the cursor while there is no room.
    #[n(4)]
    ended_below: u64,
    /// What ended before it was taken in, and whether it was delivered. Only what another node had room for sooner than this one: once
    /// everything that was read is taken in, there is nothing more to come that has ended.
    #[n(5)]
    ended: BTreeMap<u64, bool>,
}

impl Queue {
    /// One that begins at an offset of the journal.
    pub fn new(cursor: u64) -> Self {
        Self { cursor, ended_below: cursor, ..Self::default() }
    }

    /// The one of a checkpoint that includes all records below an offset.
    ///
    /// # Errors
    ///
    /// The bytes are no queue.
    pub fn kept(bytes: &[u8], offset: u64) -> Result<Self, minicbor::decode::Error> {
        let mut queue: Self = minicbor::decode(bytes)?;
        // Another node made it, whose offsets are others: it took in everything before.
        if queue.cursor != offset {
            (queue.cursor, queue.ended_below) = (offset, offset);
        }
        Ok(queue)
    }

    /// From where the journal is to be read for the queue's checkpoint.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Up to where what became of deliveries was taken in.
    pub fn ended_below(&self) -> u64 {
        self.ended_below
    }

    /// The same queue for a journal in which the records that were below an offset of this one's are below `place` of it.
    #[must_use]
    pub fn moved(self, place: impl Fn(u64) -> u64) -> Self {
        Self { cursor: place(self.cursor), ended_below: place(self.ended_below), ..self }
    }

    /// From where the journal is to be read now: without room only for what makes some.
    pub fn next(&self) -> u64 {
        if self.has_room() { self.cursor } else { self.ended_below }
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

    /// Whether more can be taken in. What is sent again on demand takes no room: where another node sends, it waits for as long as that
    /// one does.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING || self.waiting.len() - self.again() < MOST_WAITING
    }

    /// How many wait to be sent again on demand.
    fn again(&self) -> usize {
        self.waiting.iter().filter(|delivery| delivery.again).count()
    }

    /// Takes in records of the journal from [`Queue::next`] on, until that is elsewhere because there is room again, or no more.
    pub fn read(&mut self, records: impl IntoIterator<Item = (u64, Option<Told>)>, now: Timestamp) {
        let had_room = self.has_room();
        for (offset, told) in records {
            if had_room {
                self.cursor = offset + 1;
            }
            let is_new = offset >= self.ended_below;
            self.ended_below = self.ended_below.max(offset + 1);
            match told {
                Some(Told::Found(at, attribution)) if had_room => self.found(at, attribution, now),
                Some(Told::Ended { number, delivered }) if is_new => self.end(number, delivered),
                _ => {}
            }
            self.forget_ended();
            if self.has_room() != had_room {
                return;
            }
        }
    }

    /// Takes in a record from [`Queue::cursor`] on though there may be no room to send more, for who cannot read it later. False where
    /// even so too many wait.
    pub fn take_in(&mut self, offset: u64, told: Option<Told>, now: Timestamp) -> bool {
        let is_new = offset >= self.ended_below;
        (self.cursor, self.ended_below) = (offset + 1, self.ended_below.max(offset + 1));
        match told {
            Some(Told::Found(..)) if self.waiting.len() >= MOST_CARRIED => return false,
            Some(Told::Found(at, attribution)) => self.found(at, attribution, now),
            Some(Told::Ended { number, delivered }) if is_new => self.end(number, delivered),
            _ => {}
        }
        self.forget_ended();
        true
    }

    /// An end comes after what has ended: once everything that was read is taken in, what is left was to be sent before the queue began.
    fn forget_ended(&mut self) {
        if self.cursor >= self.ended_below {
            self.ended.clear();
        }
    }

    fn found(&mut self, at: Timestamp, attribution: Attribution, now: Timestamp) {
        let number = number(at, &attribution);
        let delivery = Delivery {
            number,
            attribution,
            tries: 0,
            first_at: now,
            next_at: now,
            why: String::new(),
            again: false,
            sending: false,
        };
        match self.ended.remove(&number) {
            None => self.waiting.push(delivery),
            Some(true) => self.counts.delivered += 1,
            Some(false) => self.bury(delivery),
        }
    }

    fn end(&mut self, number: u64, delivered: bool) {
        let place = self.waiting.iter().position(|delivery| delivery.number == number);
        if let Some(delivery) = place.map(|place| self.waiting.remove(place)) {
            if delivered {
                self.counts.delivered += 1;
            } else {
                self.bury(delivery);
            }
        } else if let Some(place) = self.dead.iter().position(|delivery| delivery.number == number) {
            // It was sent again.
            if delivered {
                self.counts.delivered += 1;
                self.dead.remove(place);
            }
        } else if self.ended.len() < MOST_ENDED {
            self.ended.insert(number, delivered);
        }
    }

    fn bury(&mut self, delivery: Delivery) {
        self.counts.dead += 1;
        self.dead.push_back(Delivery { again: false, ..delivery });
        if self.dead.len() > MOST_DEAD {
            self.dead.pop_front();
            self.counts.forgotten += 1;
        }
    }

    /// Nothing is being sent any more that anybody waits for.
    pub fn forget_sending(&mut self) {
        self.waiting.iter_mut().for_each(|delivery| delivery.sending = false);
    }

    /// Takes up to `most` that are due, in the order of the journal. What is told of one order is told in order: a later word of it
    /// waits until the one before has ended.
    pub fn due(&mut self, now: Timestamp, most: usize) -> Vec<Delivery> {
        let mut told = HashSet::new();
        // Of each order the first alone.
        let first = self.waiting.iter_mut().filter(|delivery| told.insert(delivery.attribution.order));
        let due = first.filter(|delivery| !delivery.sending && delivery.next_at <= now);
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

    /// One was not delivered. It waits twice as long as before, up to an hour, less up to half of that by `chance` (0 to 1), so that what
    /// failed together does not come again together. Or it was its last try: says so, and it waits to be read that it ended.
    pub fn failed(&mut self, number: u64, why: &str, now: Timestamp, chance: f64, limits: &Limits) -> bool {
        let found = self.waiting.iter_mut().find(|delivery| delivery.number == number);
        let Some(delivery) = found else { return false };
        self.counts.failed += 1;
        delivery.tries = delivery.tries.saturating_add(1);
        delivery.why = why.chars().filter(|letter| !letter.is_control()).collect();
        while delivery.why.len() > LONGEST_REASON {
            delivery.why.pop();
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (delivery.tries - 1).min(20)).min(LONGEST_PAUSE);
        delivery.next_at = now + pause.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0);
        let over = delivery.next_at.since(delivery.first_at) > limits.give_up_after;
        let last = over || delivery.tries >= limits.tries;
        delivery.sending = last;
        last
    }

    /// Has dead ones sent again from anew, all or the one of a number; gives how many. Their time begins with their first try. Where
    /// as many as may wait for that already, the rest stays dead.
    pub fn retry(&mut self, number: Option<u64>) -> usize {
        let mut room = MOST_DEAD.saturating_sub(self.again());
        let (again, rest): (Vec<_>, Vec<_>) = self.dead.drain(..).partition(|delivery| {
            let asked = room > 0 && number.is_none_or(|number| delivery.number == number);
            room -= usize::from(asked);
            asked
        });
        self.dead = rest.into();
        let count = again.len();
        let again = again.into_iter().map(|delivery| Delivery {
            tries: 0,
            next_at: Timestamp::default(),
            again: true,
            sending: false,
            ..delivery
        });
        // Before what waits, since it was told before that.
        self.waiting.splice(..0, again);
        count
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{Micros, Standing, Tag};
    use proptest::prelude::*;

    use super::super::fixtures::attribution;
    use super::*;

    const LIMITS: Limits = Limits { tries: 8, give_up_after: Duration::from_secs(3600) };

    fn seconds(count: f64) -> Timestamp {
        Timestamp(0) + Duration::from_secs_f64(count)
    }

    fn found(order: u64) -> Told {
        Told::Found(Timestamp(3), attribution(order))
    }

    fn ended(order: u64, delivered: bool) -> Told {
        Told::Ended { number: number(Timestamp(3), &attribution(order)), delivered }
    }

    /// Reads on as a node does.
    fn read(queue: &mut Queue, journal: &[Told], most: usize, now: f64) {
        let most = queue.next() as usize + most.min(journal.len());
        loop {
            let (from, room) = (queue.next() as usize, queue.has_room());
            let records = (from as u64..).zip(journal.iter().take(most).skip(from).cloned().map(Some));
            queue.read(records, seconds(now));
            if queue.has_room() == room {
                return;
            }
        }
    }

    #[test]
    fn pauses_double_with_chance_until_the_last_try() {
        let mut queue = Queue::new(5);
        queue.read([(5, Some(found(5)))], seconds(0.0));
        let number = queue.waiting()[0].number;
        let (mut now, mut pauses) = (0.0, Vec::new());
        while let [delivery] = &queue.due(seconds(now), 9)[..] {
            let chance = if delivery.tries % 2 == 0 { 0.0 } else { 1.0 };
            if queue.failed(number, "is down", seconds(now), chance, &LIMITS) {
                break;
            }
            let next = queue.waiting()[0].next_at.since(Timestamp(0)).as_secs_f64();
            assert!(queue.clone().due(seconds(next - 0.1), 9).is_empty());
            pauses.push(next - now);
            now = next;
        }
        assert_eq!(pauses, [1.0, 1.0, 4.0, 4.0, 16.0, 16.0, 64.0]);
        assert!(queue.due(seconds(now + 9e9), 9).is_empty(), "it waits for its end to be written");
        queue.read([(6, Some(ended(5, false)))], seconds(now));
        let dead: Vec<_> = queue.dead().map(|dead| (dead.number, dead.tries, dead.why.as_str())).collect();
        assert_eq!(dead, [(number, 8, "is down")]);
        assert_eq!(queue.retry(Some(4)), 0);
        assert_eq!(queue.retry(None), 1);
        assert_eq!(queue.due(seconds(now), 9)[0].tries, 0);
    }

    #[test]
    fn whatever_was_being_sent_is_sent_again_after_a_crash() {
        let mut queue = Queue::new(0);
        queue.read([(0, Some(found(0)))], seconds(0.0));
        assert_eq!(queue.due(seconds(0.0), 9).len(), 1);
        assert!(queue.due(seconds(9.0), 9).is_empty(), "once at a time");
        let mut after: Queue = minicbor::decode(&minicbor::to_vec(&queue).unwrap()).unwrap();
        assert_eq!(after.due(seconds(0.0), 9).len(), 1);
        queue.forget_sending();
        assert_eq!(queue.due(seconds(0.0), 9).len(), 1, "nor does another node's turn keep it");
    }

    #[test]
    fn what_is_told_of_an_order_is_told_in_order() {
        let corrected = Attribution { standing: Standing::Corrected, value: Micros(0), ..attribution(1) };
        let (second, first) = (number(Timestamp(4), &corrected), number(Timestamp(3), &attribution(1)));
        let told = [found(1), Told::Found(Timestamp(4), corrected), found(2)];
        let mut queue = Queue::new(0);
        queue.read((0..).zip(told.into_iter().map(Some)), seconds(0.0));
        let due = |queue: &mut Queue, now| -> Vec<u64> {
            queue.due(seconds(now), 9).iter().map(|delivery| delivery.number).collect()
        };
        assert_eq!(due(&mut queue, 0.0), [first, number(Timestamp(3), &attribution(2))]);
        assert_eq!(due(&mut queue, 0.0), [0; 0], "while the first is under way");
        assert!(!queue.failed(first, "is down", seconds(0.0), 0.0, &LIMITS));
        assert_eq!(due(&mut queue, 0.5), [0; 0], "nor while it waits for another try");
        assert_eq!(due(&mut queue, 1.0), [first]);
        let once = Limits { tries: 1, ..LIMITS };
        assert!(queue.failed(first, "is down", seconds(1.0), 0.0, &once));
        assert_eq!(due(&mut queue, 9.0), [0; 0], "nor before it is written that it was given up");
        queue.read([(3, Some(ended(1, false)))], seconds(9.0));
        // On demand it is sent again, and before what still waits.
        assert_eq!(queue.clone().retry(None), 1);
        let mut again = queue.clone();
        again.retry(None);
        assert_eq!(due(&mut again, 9.0), [first]);
        assert_eq!(due(&mut queue, 9.0), [second]);
    }

    #[test]
    fn one_order_told_twice_is_two_deliveries() {
        let corrected = Attribution { standing: Standing::Corrected, ..attribution(1) };
        let numbers = [
            number(Timestamp(3), &attribution(1)),
            number(Timestamp(3), &corrected),
            number(Timestamp(4), &attribution(1)),
            number(Timestamp(3), &attribution(2)),
            number(Timestamp(3), &Attribution { value: Micros(2), ..attribution(1) }),
        ];
        assert_eq!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len(), numbers.len());
    }

    proptest! {
        /// Two nodes read one journal, and take turns in sending and in writing what became of it. Each is delivered, waits, or is
        /// dead: none is lost, whatever happens, wherever one starts anew, and however far behind one is.
        #[test]
        fn none_is_lost(steps in proptest::collection::vec((0u8..12, 0usize..40, 0.0f64..1.0), 1..400)) {
            let mut journal = Vec::new();
            let mut nodes = [Queue::new(0), Queue::new(0)];
            let mut kept = nodes.clone();
            let (mut orders, mut now, mut sender) = (0u64, 0.0, 0);
            for (what, which, chance) in steps {
                now += chance * 60.0;
                let other = which % 2;
                match what {
                    0..=3 => {
                        journal.push(found(orders));
                        orders += 1;
                    }
                    4..=5 => read(&mut nodes[other], &journal, which, now),
                    6..=8 => {
                        // Whoever sends has read everything.
                        read(&mut nodes[sender], &journal, usize::MAX, now);
                        for delivery in nodes[sender].due(seconds(now), 1 + which / 10) {
                            let number = delivery.number;
                            if chance > 0.4 {
                                journal.push(Told::Ended { number, delivered: true });
                            } else if nodes[sender].failed(number, "why\n", seconds(now), chance, &LIMITS) {
                                journal.push(Told::Ended { number, delivered: false });
                            }
                        }
                    }
                    9 => {
                        nodes[sender].forget_sending();
                        sender = other;
                    }
                    10 if chance > 0.5 => kept[other] = minicbor::decode(&minicbor::to_vec(&nodes[other]).unwrap()).unwrap(),
                    10 => nodes[other] = kept[other].clone(),
                    _ => drop(nodes[sender].retry(None)),
                }
            }
            let delivered =
                |number| journal.contains(&Told::Ended { number, delivered: true });
            for queue in &mut nodes {
                read(queue, &journal, usize::MAX, now);
                for order in 0..orders {
                    let number = number(Timestamp(3), &attribution(order));
                    let waits = queue.waiting().iter().any(|delivery| delivery.number == number);
                    let dead = queue.dead().any(|delivery| delivery.number == number);
                    prop_assert_eq!(u8::from(waits) + u8::from(dead) + u8::from(delivered(number)), 1);
                }
                prop_assert!(queue.ended.is_empty());
            }
        }
    }

    #[test]
    fn what_is_sent_again_on_demand_keeps_nothing_new_out() {
        let most = MOST_DEAD as u64;
        let mut journal: Vec<Told> =
            (0..most).flat_map(|order| [found(order), ended(order, false)]).collect();
        let mut queue = Queue::new(0);
        read(&mut queue, &journal, usize::MAX, 0.0);
        assert_eq!(queue.retry(None), MOST_DEAD);
        // Where another node sends they wait, perhaps for weeks.
        journal.extend([found(most), ended(most, true), found(most + 1)]);
        read(&mut queue, &journal, usize::MAX, 0.0);
        assert_eq!((queue.waiting().len(), queue.cursor()), (MOST_DEAD + 1, 2 * most + 3));
        // Asked for again and again, they are no more than those that were given up once.
        journal.extend((most + 2..2 * most).flat_map(|order| [found(order), ended(order, false)]));
        read(&mut queue, &journal, usize::MAX, 0.0);
        assert_eq!(queue.retry(None), 0);
        let mut again: Queue = minicbor::decode(&minicbor::to_vec(&queue).unwrap()).unwrap();
        assert!(again.has_room());
        // One that ends makes room for another.
        journal.push(ended(0, true));
        read(&mut again, &journal, usize::MAX, 0.0);
        assert_eq!((again.waiting().len(), again.retry(None)), (MOST_DEAD, 1));
    }

    /// Also of what was written before a queue begins the end is told.
    #[test]
    fn ends_of_what_it_never_was_to_send_are_not_remembered() {
        let mut queue = Queue::new(0);
        let most = MOST_WAITING as u64;
        let mut journal: Vec<Told> = (0..most + 5).map(|order| ended(order + 100_000, true)).collect();
        read(&mut queue, &journal, usize::MAX, 0.0);
        assert!(queue.ended.is_empty());
        // While there is no room, what has ended may still be found.
        journal.extend((0..most + 1).map(found));
        read(&mut queue, &journal, usize::MAX, 0.0);
        journal.extend([ended(most, true), ended(7_000_000, true)]);
        read(&mut queue, &journal, usize::MAX, 0.0);
        assert_eq!((queue.ended.len(), queue.has_room()), (2, false));
        journal.push(ended(0, true));
        read(&mut queue, &journal, usize::MAX, 0.0);
        assert_eq!((queue.ended.len(), queue.counts().delivered), (0, 2));
        assert_eq!(queue.cursor(), journal.len() as u64);
    }

    #[test]
    fn a_full_queue_reads_on_for_what_makes_room() {
        let most = MOST_WAITING as u64;
        let mut journal: Vec<Told> = (0..most + 5).map(found).collect();
        let mut queue = Queue::new(0);
        read(&mut queue, &journal, usize::MAX, 0.0);
        assert_eq!((queue.waiting().len(), queue.cursor()), (MOST_WAITING, most));
        // Another node had room for one of those that this one has none for.
        journal.extend([ended(7, true), ended(most, true), ended(most + 1, false), ended(8, true)]);
        read(&mut queue, &journal, usize::MAX, 0.0);
        let counts = queue.counts();
        assert_eq!((counts.delivered, counts.dead, queue.waiting().len()), (3, 1, MOST_WAITING));
        let waits = |order| queue.waiting().iter().any(|delivery| delivery.attribution.order == Tag(order));
        assert_eq!([7, most, most + 1, most + 2, most + 3].map(waits), [false, false, false, true, true]);
        assert_eq!(queue.cursor(), most + 4, "and no further");
    }
}
