//! Which ads each user saw and clicked, as far as an order can still be credited to them. In bounded memory.
//!
//! A user's journey is what they met since their last order. It ends with the next one, or without one when the first of its
//! touches is forgotten: then it counts among the [`Journeys`] that fitted models go by.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use haggle_domain::{BidId, PrivacyKey, Timestamp};
use haggle_learning::attribution::{Journeys, Touch};
use minicbor::{Decode, Encode};

/// Touches of one user, at most; the oldest makes room.
pub const MOST_OF_USER: usize = 64;

/// A touch and its bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    /// Of which bid's ad.
    #[n(0)]
    pub bid: BidId,
    /// When.
    #[n(1)]
    pub at: Timestamp,
    /// A click; otherwise a view.
    #[n(2)]
    pub clicked: bool,
    /// Its place among all, which rises.
    #[n(3)]
    number: u64,
}

impl Kept {
    /// One that is told of by a click's token alone.
    pub fn proven(bid: BidId, at: Timestamp) -> Self {
        Self { bid, at, clicked: true, number: 0 }
    }

    /// As models see it.
    pub fn touch(&self) -> Touch {
        Touch { at: self.at, campaign: self.bid.campaign, clicked: self.clicked }
    }
}

/// An ad that a user met just now, as far as is known.
#[derive(Clone, Copy, Debug)]
pub struct Met {
    /// Of which bid.
    pub bid: BidId,
    /// When.
    pub at: Timestamp,
    /// It was clicked; otherwise it was seen.
    pub clicked: bool,
    /// From when on its age counts: not in the future, whatever clock wrote it.
    pub noted_at: Timestamp,
}

/// How long before an order a touch counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// A click.
    pub click: Duration,
    /// A view.
    pub view: Duration,
}

impl Windows {
    /// Whether a touch counts for what happened at a time.
    pub fn hold(&self, touch: &Kept, at: Timestamp) -> bool {
        touch.at <= at && at.since(touch.at) <= if touch.clicked { self.click } else { self.view }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
struct Person {
    /// In the order in which they came.
    #[n(0)]
    touches: Vec<Kept>,
    /// The journey has the touches from this number on.
    #[n(1)]
    from: u64,
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Touches {
    #[n(0)]
    people: BTreeMap<PrivacyKey, Person>,
    /// Views and clicks, each in the order in which they came. Some are gone already.
    #[n(1)]
    views: VecDeque<(u64, Timestamp, PrivacyKey)>,
    #[n(2)]
    clicks: VecDeque<(u64, Timestamp, PrivacyKey)>,
    #[n(3)]
    next: u64,
    #[n(4)]
    count: usize,
    /// Forgotten because a user had too many, and because all together were too many.
    #[n(5)]
    crowded: u64,
    #[n(6)]
    displaced: u64,
}

impl Touches {
    /// How many are kept.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many were forgotten before their time, for lack of room: of one user, and of all.
    pub fn dropped(&self) -> (u64, u64) {
        (self.crowded, self.displaced)
    }

    /// A user's, oldest first.
    pub fn of(&self, user: PrivacyKey) -> &[Kept] {
        self.people.get(&user).map_or(&[], |person| &person.touches)
    }

    /// A user met an ad. A click takes the place of the view of the same ad, also of one that is told of later.
    pub fn note(
        &mut self,
        user: PrivacyKey,
        Met { bid, at, clicked, noted_at }: Met,
        capacity: usize,
        windows: &Windows,
        journeys: &mut Journeys,
    ) {
        if !clicked && self.of(user).iter().any(|kept| kept.clicked && kept.bid == bid) {
            return;
        }
        self.next += 1;
        let number = self.next;
        let person = self.people.entry(user).or_insert_with(|| Person { touches: Vec::new(), from: number });
        let before = person.touches.len();
        if clicked {
            // A view in the journey leaves its place in it to the click.
            person.touches.retain(|kept| kept.bid != bid);
        }
        self.count -= before - person.touches.len();
        if person.touches.len() >= MOST_OF_USER {
            let oldest = person.touches.first().map(|kept| kept.number);
            self.crowded += 1;
            self.forget(user, oldest, windows, journeys);
        }
        let person = self.people.entry(user).or_insert_with(|| Person { touches: Vec::new(), from: number });
        person.touches.push(Kept { bid, at, clicked, number });
        self.count += 1;
        let queue = if clicked { &mut self.clicks } else { &mut self.views };
        queue.push_back((number, noted_at, user));
        while self.count > capacity {
            let oldest = [self.views.front(), self.clicks.front()].into_iter().flatten().min().copied();
            let Some((number, _, user)) = oldest else { break };
            for queue in [&mut self.views, &mut self.clicks] {
                if queue.front().is_some_and(|(front, ..)| *front == number) {
                    queue.pop_front();
                }
            }
            self.displaced += u64::from(self.forget(user, Some(number), windows, journeys));
        }
        self.tidy();
    }

    /// Forgets what was seen before `views` and clicked before `clicks`.
    pub fn expire(
        &mut self,
        views: Timestamp,
        clicks: Timestamp,
        windows: &Windows,
        journeys: &mut Journeys,
    ) {
        for (clicked, before) in [(false, views), (true, clicks)] {
            loop {
                let queue = if clicked { &mut self.clicks } else { &mut self.views };
                let Some((number, _, user)) = queue.pop_front_if(|(_, at, _)| *at < before) else { break };
                self.forget(user, Some(number), windows, journeys);
            }
        }
    }

    /// Forgets one, and ends the journey that it belongs to. False if it is gone already.
    fn forget(
        &mut self,
        user: PrivacyKey,
        number: Option<u64>,
        windows: &Windows,
        journeys: &mut Journeys,
    ) -> bool {
        let (Some(person), Some(number)) = (self.people.get_mut(&user), number) else { return false };
        let Some(place) = person.touches.iter().position(|kept| kept.number == number) else { return false };
        if number >= person.from {
            let journey: Vec<Kept> =
                person.touches.iter().filter(|kept| kept.number >= person.from).copied().collect();
            // As if an order could have come with the last of them: what an order could not have been credited to is no part.
            let end = journey.iter().map(|kept| kept.at).max().unwrap_or_default();
            let path: Vec<Touch> =
                journey.iter().filter(|kept| windows.hold(kept, end)).map(Kept::touch).collect();
            journeys.note(&path, false);
            person.from = self.next + 1;
        }
        person.touches.remove(place);
        self.count -= 1;
        if person.touches.is_empty() {
            self.people.remove(&user);
        }
        true
    }

    /// A user ordered: their journey ends.
    pub fn ordered(&mut self, user: PrivacyKey) {
        if let Some(person) = self.people.get_mut(&user) {
            person.from = self.next + 1;
        }
    }

    /// Forgets a user, as if they had never been met. Queues are swept of them by and by, and before anything is saved: to look through
    /// half a million places for each of a thousand users takes seconds.
    pub fn erase(&mut self, user: PrivacyKey) {
        if let Some(person) = self.people.remove(&user) {
            self.count -= person.touches.len();
        }
        self.tidy();
    }

    /// The same of many, looking through everything once.
    pub fn erase_all(&mut self, users: &HashSet<PrivacyKey>) {
        for person in users.iter().filter_map(|user| self.people.remove(user)) {
            self.count -= person.touches.len();
        }
        self.views.retain(|(_, _, of)| !users.contains(of));
        self.clicks.retain(|(_, _, of)| !users.contains(of));
    }

    /// Queues hold little more than there is.
    fn tidy(&mut self) {
        if self.views.len() + self.clicks.len() > 2 * self.count + 1024 {
            self.sweep();
        }
    }

    /// Queues hold what there is, and no word of users who are gone.
    pub fn sweep(&mut self) {
        if self.views.len() + self.clicks.len() == self.count {
            return;
        }
        let people = &self.people;
        let kept = |(number, _, user): &(u64, Timestamp, PrivacyKey)| {
            people.get(user).is_some_and(|person| person.touches.iter().any(|kept| kept.number == *number))
        };
        self.views.retain(kept);
        self.clicks.retain(kept);
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::CampaignKey;
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const WINDOWS: Windows = Windows { click: HOUR.saturating_mul(48), view: HOUR.saturating_mul(24) };

    fn bid(campaign: u64, number: u32) -> BidId {
        BidId { campaign: CampaignKey(campaign), lease: 1, number }
    }

    fn hour(hours: u32) -> Timestamp {
        Timestamp(0) + HOUR * hours
    }

    fn met(bid: BidId, at: Timestamp, clicked: bool) -> Met {
        Met { bid, at, clicked, noted_at: at }
    }

    #[test]
    fn a_click_takes_the_place_of_its_view_and_an_erased_user_leaves_nothing() {
        let (mut touches, mut journeys) = (Touches::default(), Journeys::default());
        let user = PrivacyKey(1);
        for (at, clicked) in [(1, false), (2, true), (3, false)] {
            touches.note(user, met(bid(7, 1), hour(at), clicked), 10, &WINDOWS, &mut journeys);
        }
        assert_eq!(
            touches.of(user).iter().map(|kept| (kept.at, kept.clicked)).collect::<Vec<_>>(),
            [(hour(2), true)]
        );
        assert_eq!(touches.len(), 1);
        touches.erase(user);
        touches.sweep();
        assert_eq!(touches.clicks.len() + touches.views.len(), 0);
        touches.expire(hour(99), hour(99), &WINDOWS, &mut journeys);
        assert_eq!((touches.len(), journeys.totals()), (0, (0, 0)));
    }

    #[test]
    fn a_journey_ends_with_an_order_or_when_it_begins_to_be_forgotten() {
        let (mut touches, mut journeys) = (Touches::default(), Journeys::default());
        let user = PrivacyKey(1);
        let meet = |touches: &mut Touches, journeys: &mut Journeys, at, number, clicked| {
            touches.note(
                user,
                met(bid(u64::from(number), number), hour(at), clicked),
                10,
                &WINDOWS,
                journeys,
            );
        };
        meet(&mut touches, &mut journeys, 0, 1, false);
        touches.ordered(user);
        meet(&mut touches, &mut journeys, 10, 2, false);
        meet(&mut touches, &mut journeys, 40, 3, true);
        touches.expire(hour(5), hour(0), &WINDOWS, &mut journeys);
        assert_eq!(journeys.totals().0, 0, "what came before the order is no part of a journey");
        touches.expire(hour(11), hour(0), &WINDOWS, &mut journeys);
        // The view was too long before the click for one order to be credited to both.
        let sets: Vec<_> =
            journeys.sets().map(|(set, ended, ordered)| (set.to_vec(), ended, ordered)).collect();
        assert_eq!(sets, [(vec![CampaignKey(3)], 1, 0)]);
        touches.expire(hour(99), hour(99), &WINDOWS, &mut journeys);
        assert_eq!((touches.len(), journeys.totals().0), (0, 1), "the click was counted with it");
    }

    proptest! {
        #[test]
        fn whatever_comes_stays_within_bounds(
            events in proptest::collection::vec((0u64..6, 0u64..4, 0u32..400, any::<bool>(), 0u8..20), 1..1500),
            capacity in 1usize..200,
        ) {
            let (mut touches, mut journeys) = (Touches::default(), Journeys::default());
            for (minute, (user, campaign, number, clicked, what)) in (0u32..).zip(events) {
                let (user, now) = (PrivacyKey(user), Timestamp(0) + Duration::from_secs(600) * minute);
                match what {
                    0 => touches.erase(user),
                    1 => touches.ordered(user),
                    2 => touches.expire(now - HOUR * 24, now - HOUR * 48, &WINDOWS, &mut journeys),
                    _ => touches.note(user, met(bid(campaign, number), now, clicked), capacity, &WINDOWS, &mut journeys),
                }
                prop_assert!(touches.len() <= capacity);
                prop_assert!(touches.people.values().all(|person| person.touches.len() <= MOST_OF_USER));
                prop_assert_eq!(touches.people.values().map(|person| person.touches.len()).sum::<usize>(), touches.len());
                prop_assert!(touches.views.len() + touches.clicks.len() <= 2 * touches.len() + 1024);
            }
            let queued = |kept: &Kept| {
                touches.views.iter().chain(&touches.clicks).any(|(number, ..)| *number == kept.number)
            };
            let mut all = touches.people.values().flat_map(|person| &person.touches);
            prop_assert!(all.all(queued), "each can be forgotten in its time");
            touches.sweep();
            prop_assert_eq!(touches.views.len() + touches.clicks.len(), touches.len());
            let bytes = minicbor::to_vec(&touches).unwrap();
            prop_assert_eq!(minicbor::decode::<Touches>(&bytes).unwrap(), touches);
        }
    }
}
